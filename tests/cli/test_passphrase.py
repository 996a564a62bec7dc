"""Passphrases: the first source that has one wins, and none ever shows up anywhere."""

import argparse
import getpass
import os
import sys
import threading
import time

import pytest

from blindsight.cli import passphrase
from blindsight.protocol.errors import BlindsightError, KeystoreError, LockedKeyError
from tests.protocol import worlds

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
