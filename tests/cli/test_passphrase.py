"""Passphrases: the first source that has one wins, and none ever shows up anywhere."""

import argparse
import getpass
import os
import resource
import sys
import threading
import time

import pytest

from blindsight.cli import passphrase
from blindsight.protocol.errors import BlindsightError, KeystoreError, LockedKeyError
from blindsight.protocol.keystore import recovery
from tests.protocol import vaults, worlds

SOURCES = ("BLINDSIGHT_KEYSTORE", "BLINDSIGHT_PASSPHRASE", "BLINDSIGHT_PASSPHRASE_FILE", "CREDENTIALS_DIRECTORY")


@pytest.fixture(autouse=True)
def _no_sources(monkeypatch):
    for name in SOURCES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)


def options(**given):
    return argparse.Namespace(**({"keystore": None, "passphrase_fd": None, "passphrase_file": None} | given))


def written(folder, text, name="secret", mode=0o600):
    path = folder / name
    path.write_bytes(text.encode())
    path.chmod(mode)
    return path


def pipe_with(*pieces, pause=0.0):
    """A pipe into which somebody writes the pieces."""
    reader, writer = os.pipe()

    def write():
        for piece in pieces:
            os.write(writer, piece)
            time.sleep(pause)
        os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    return reader, thread


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("sesame", b"sesame"),
        ("sesame\n", b"sesame"),
        ("sesame\r\n", b"sesame"),
        ("sesame\n\n", b"sesame\n"),
        ("sesame\r", b"sesame\r"),
        (" sesame ", b" sesame "),
        ("sésame\n", "sésame".encode()),
    ],
    ids=ascii,
)
def test_exactly_one_line_end_is_dropped(tmp_path, text, secret):
    assert passphrase.read(options(passphrase_file=written(tmp_path, text))) == secret


@pytest.mark.parametrize("text", ["", "\n", "\r\n"], ids=ascii)
def test_an_empty_passphrase_is_refused(tmp_path, text):
    with pytest.raises(KeystoreError, match="empty") as caught:
        passphrase.read(options(passphrase_file=written(tmp_path, text)))
    assert caught.value.code == "E_PASSPHRASE"


def test_the_sources_win_in_their_order(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BLINDSIGHT_PASSPHRASE", "environment")
    assert passphrase.read(options()) == b"environment"
    assert "inherited by every child" in capsys.readouterr().err
    written(tmp_path, "credential\n", "blindsight-passphrase")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert passphrase.read(options()) == b"credential"
    monkeypatch.setenv("BLINDSIGHT_PASSPHRASE_FILE", str(written(tmp_path, "named by environment", "b")))
    assert passphrase.read(options()) == b"named by environment"
    named = written(tmp_path, "named by option", "a")
    assert passphrase.read(options(passphrase_file=named)) == b"named by option"
    reader, thread = pipe_with(b"descriptor\n")
    assert passphrase.read(options(passphrase_file=named, passphrase_fd=reader)) == b"descriptor"
    thread.join()


def test_a_credentials_folder_without_ours_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("BLINDSIGHT_PASSPHRASE", "environment")
    assert passphrase.read(options()) == b"environment"


def test_a_passphrase_that_comes_in_pieces_is_read_to_its_end():
    reader, thread = pipe_with(b"open ", b"sesame\n", pause=0.05)
    assert passphrase.read(options(passphrase_fd=reader)) == b"open sesame"
    thread.join()


def test_a_descriptor_whose_writer_keeps_its_end_open_is_not_waited_for():
    reader, writer = os.pipe()
    os.write(writer, b"open sesame\n")
    assert passphrase.read(options(passphrase_fd=reader)) == b"open sesame"
    os.close(writer)


def test_two_secrets_may_come_one_after_the_other_over_one_descriptor():
    reader, thread = pipe_with(b"old\nnew\n")
    assert passphrase.read(options(passphrase_fd=reader)) == b"old"
    assert passphrase.read_new(options(new_passphrase_fd=reader, new_passphrase_file=None)) == b"new"
    thread.join()


def test_a_passphrase_over_a_descriptor_is_never_silently_cut():
    reader, thread = pipe_with(b"x" * (passphrase.MAX_BYTES + 1))
    with pytest.raises(KeystoreError, match="longer than"):
        passphrase.read(options(passphrase_fd=reader))
    thread.join()


def test_a_descriptor_that_is_not_open_is_a_sentence_and_no_traceback():
    with pytest.raises(BlindsightError):
        passphrase.read(options(passphrase_fd=987))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_passphrase_file_that_others_can_read_is_refused_with_the_remedy(tmp_path, mode):
    path = written(tmp_path, "sesame", mode=mode)
    with pytest.raises(KeystoreError) as caught:
        passphrase.read(options(passphrase_file=path))
    assert (caught.value.code, caught.value.hint) == ("E_PERMS", f"chmod 600 {path}")


def test_a_systemd_credential_may_show_its_access_list_as_group_bits(tmp_path, monkeypatch):
    """With User= or DynamicUser=, systemd grants access by an ACL, which stat shows as 0440 (systemd issue 29435)."""
    written(tmp_path, "credential\n", "blindsight-passphrase", mode=0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert passphrase.read(options()) == b"credential"


def test_a_passphrase_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(KeystoreError) as caught:
        passphrase.read(options(passphrase_file=tmp_path / "none"))
    assert caught.value.code == "E_IO"


def test_a_passphrase_is_never_silently_cut(tmp_path):
    with pytest.raises(KeystoreError) as caught:
        passphrase.read(options(passphrase_file=written(tmp_path, "x" * (passphrase.MAX_BYTES + 1))))
    assert "xxx" not in caught.value.message
    longest = "x" * passphrase.MAX_BYTES
    assert passphrase.read(options(passphrase_file=written(tmp_path, longest))) == longest.encode()


def test_without_any_source_and_terminal_the_sources_are_listed():
    with pytest.raises(LockedKeyError) as caught:
        passphrase.read(options())
    assert (caught.value.code, caught.value.exit_status) == ("E_LOCKED_KEY", 3)
    for source in ("--passphrase-file", "--passphrase-fd", *SOURCES[1:3], "credential"):
        assert source in caught.value.hint


@pytest.fixture
def terminal(monkeypatch):
    """Somebody at a terminal who types these answers."""

    def answering(*answers):
        given = iter(answers)
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
        monkeypatch.setattr(getpass, "getpass", lambda prompt: next(given))

    return answering


def test_a_terminal_is_asked_once_to_open(terminal):
    terminal("sesame")
    assert passphrase.read(options()) == b"sesame"


def test_a_terminal_is_asked_twice_to_make_one(terminal):
    terminal("sesame", "sesame")
    assert passphrase.read(options(), new=True) == b"sesame"


def test_two_different_answers_are_refused(terminal):
    terminal("sesame", "sésame")
    with pytest.raises(KeystoreError, match="differ; nothing was written"):
        passphrase.read(options(), new=True)


def test_a_person_who_closes_the_terminal_gets_a_sentence_and_no_traceback(monkeypatch):
    def closed(prompt):
        raise EOFError

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(getpass, "getpass", closed)
    with pytest.raises(BlindsightError):
        passphrase.read(options())


def test_the_keystore_is_named_by_option_then_environment_then_default(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert passphrase.keystore_path(options()) == tmp_path / ".config" / "blindsight" / "keystore.json"
    monkeypatch.setenv("BLINDSIGHT_KEYSTORE", "by-environment.json")
    assert passphrase.keystore_path(options()).name == "by-environment.json"
    assert passphrase.keystore_path(options(keystore=tmp_path / "x")) == tmp_path / "x"


def test_a_keystore_that_is_not_there_is_refused_before_any_passphrase_is_asked(tmp_path):
    with pytest.raises(KeystoreError) as caught, passphrase.opened(options(keystore=tmp_path / "none.json")):
        pass
    assert caught.value.code == "E_MISSING"


def test_the_named_keystore_opens_with_the_passphrase(tmp_path):
    store = worlds.keystore_of(tmp_path, "anna")
    secret = written(tmp_path, worlds.PASSPHRASE.decode() + "\n")
    with passphrase.opened(options(keystore=store.path, passphrase_file=secret)) as opened:
        assert opened.key.entry == store.key.entry


# Every way of opening, in order.


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A keystore with a slot of every type, in a machine that has the keyring and the key service."""
    vaults.install_keyring(monkeypatch)
    return vaults.filled(tmp_path, vaults.install_vault(tmp_path / "plugin", monkeypatch))


def number(path, **given):
    """Which slot opened: 1 passphrase, 2 recovery, 3 keyring, 4 key service."""
    with passphrase.opened(options(keystore=path, **given)) as store:
        return store.number


def without(path, *numbers):
    with passphrase.keystore.opened(path, worlds.PASSPHRASE) as store:
        for place in sorted(numbers, reverse=True):
            store.remove(place)


def test_a_named_recovery_code_comes_first(path, tmp_path):
    paper = written(tmp_path, recovery.write_code(vaults.SEED) + "\n")
    assert number(path, recovery_file=paper) == 2


def test_a_named_passphrase_comes_before_the_keyring(path, tmp_path, monkeypatch):
    secret = written(tmp_path, worlds.PASSPHRASE.decode())
    assert number(path, passphrase_file=secret) == 1
    monkeypatch.setenv("BLINDSIGHT_PASSPHRASE_FILE", str(secret))
    assert number(path) == 1


def test_the_keyring_comes_before_a_passphrase_in_the_environment(path, monkeypatch, capsys):
    monkeypatch.setenv("BLINDSIGHT_PASSPHRASE", worlds.PASSPHRASE.decode())
    assert number(path) == 3
    assert capsys.readouterr().err == ""
    without(path, 3)
    assert number(path) == 1
    assert "a passphrase file is better" in capsys.readouterr().err


def test_the_key_service_comes_before_a_prompt(path, tmp_path, terminal):
    without(path, 3)
    pin = written(tmp_path, "1234\n")
    with passphrase.opened(options(keystore=path, pin_file=pin)) as store:
        assert store.slots[store.number - 1]["type"] == "kms"
    terminal("1234")
    assert number(path) == 3


def test_a_pin_may_be_a_systemd_credential_or_come_over_a_descriptor(path, tmp_path, monkeypatch):
    without(path, 3)
    reader, thread = pipe_with(b"1234\n")
    assert number(path, pin_fd=reader) == 3
    thread.join()
    written(tmp_path, "1234", "blindsight-pin", mode=0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert number(path) == 3


def test_a_terminal_is_asked_for_the_recovery_code_when_nothing_else_opens(path, tmp_path, terminal):
    with passphrase.keystore.opened(path, worlds.PASSPHRASE) as store:
        store.backup(tmp_path / "backup.json")
    terminal(recovery.write_code(vaults.SEED).lower())
    assert number(tmp_path / "backup.json") == 1


def test_a_mistyped_recovery_code_is_told_from_a_wrong_one(path, tmp_path):
    for text, code in ((recovery.write_code(vaults.SEED)[:-1] + "0", "E_FORMAT"), (bytes(32), "E_PASSPHRASE")):
        paper = written(tmp_path, text if isinstance(text, str) else recovery.write_code(text))
        with pytest.raises(KeystoreError) as caught:
            number(path, recovery_file=paper)
        assert caught.value.code == code


def test_a_recovery_file_that_others_can_read_is_refused(path, tmp_path):
    paper = written(tmp_path, recovery.write_code(vaults.SEED), mode=0o644)
    with pytest.raises(KeystoreError) as caught:
        number(path, recovery_file=paper)
    assert caught.value.code == "E_PERMS"


def test_a_damaged_keystore_is_named_before_anybody_is_asked(path, terminal):
    path.write_bytes(path.read_bytes()[:-10])
    terminal()
    with pytest.raises(KeystoreError) as caught:
        number(path)
    assert caught.value.code == "E_CORRUPT"


READERS = {
    "read": lambda given: passphrase.read(given),
    "read_new": lambda given: passphrase.read_new(given),
    "pin": lambda given: passphrase.pin(given, "token"),
    "opened": lambda given: passphrase.opened(given).__enter__(),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
def test_core_files_are_forbidden_before_a_secret_is_read(tmp_path, monkeypatch, reader):
    limits = []
    monkeypatch.setattr(resource, "setrlimit", lambda *limit: limits.append(limit))
    fields = dict.fromkeys(("new_passphrase_fd", "new_passphrase_file", "pin_fd", "pin_file"))
    with pytest.raises(KeystoreError):
        reader(options(keystore=tmp_path / "none.json", **fields))
    assert limits == [(resource.RLIMIT_CORE, (0, 0))]
