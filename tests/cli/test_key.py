"""``key passwd``, ``key slot`` and ``key backup`` as a person types them."""

import json
import re

import pytest

from blindsight.cli import main, slot_verbs
from blindsight.protocol import keystore
from blindsight.protocol.keystore import Unlock, recovery
from tests.protocol import vaults, worlds

CODE = re.compile(r"(?:[0-9A-HJKMNP-TV-Z]{4}-){13}[0-9A-HJKMNP-TV-Z]{4}")


class Desk:
    """A folder with a keystore, secrets in files, and a terminal that shows what was said."""

    def __init__(self, root, capsys):
        self.root, self._capsys = root, capsys
        self.path = root / "anna" / "keystore.json"

    def secret(self, name, text):
        (self.root / name).unlink(missing_ok=True)
        (self.root / name).touch(mode=0o600)
        (self.root / name).write_text(text + "\n")
        return str(self.root / name)

    def run(self, *words, unlock=None, keystore=None):
        self._capsys.readouterr()
        place = ["--keystore", str(keystore or self.path)]
        if unlock is None:
            unlock = ["--passphrase-file", self.secret("passphrase", worlds.PASSPHRASE.decode())]
        try:
            status = main(["holder", "key", *map(str, words), *place, *unlock])
        except SystemExit as stop:
            status = stop.code
        said = self._capsys.readouterr()
        return status, said.out, said.err

    def json(self, *words, **given):
        status, out, err = self.run(*words, "--json", **given)
        assert status == 0, err
        return [json.loads(line) for line in out.splitlines()]

    def types(self):
        return [line["type"] for line in self.json("slot", "list", unlock=[])]

    def paper(self):
        """Add a recovery slot; returns its code."""
        return self.json("slot", "add", "recovery")[0]["code"]


@pytest.fixture
def desk(tmp_path, capsys, monkeypatch):
    for name in ("BLINDSIGHT_KEYSTORE", "BLINDSIGHT_PASSPHRASE", "BLINDSIGHT_PASSPHRASE_FILE", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(keystore.Argon2Cost.__init__, "__defaults__", (8_192, 1, 1))
    worlds.keystore_of(tmp_path, "anna")
    return Desk(tmp_path, capsys)


# Devices.


@pytest.mark.parametrize(("words", "role"), [([], "holder"), (["--device"], "device")], ids=str)
def test_key_init_makes_a_holder_or_a_device(desk, words, role):
    (facts,) = desk.json("init", "--name", "cam", *words, keystore=desk.root / "cam.json")
    assert facts["role"] == role


def test_a_trainer_is_no_device(desk):
    with pytest.raises(SystemExit) as caught:
        main(["trainer", "key", "init", "--name", "x", "--device"])
    assert caught.value.code == 2


# A new passphrase.


def test_passwd_changes_the_passphrase_and_keeps_the_identity(desk):
    before = desk.json("show")
    new = desk.secret("new", "swordfish")
    assert desk.json("passwd", "--new-passphrase-file", new) == [{"slot": 1, "keystore": str(desk.path)}]
    status, _, err = desk.run("show")
    assert (status, "[E_PASSPHRASE]" in err) == (1, True)
    assert desk.json("show", unlock=["--passphrase-file", new]) == before


def test_who_forgot_the_passphrase_sets_a_new_one_with_the_paper(desk):
    paper = desk.secret("paper", desk.paper())
    new = desk.secret("new", "swordfish")
    desk.json("passwd", "--new-passphrase-file", new, unlock=["--recovery-file", paper])
    assert desk.types() == ["passphrase", "recovery"]
    desk.json("show", unlock=["--passphrase-file", new])


def test_passwd_adds_a_passphrase_where_there_is_none(desk):
    paper = desk.secret("paper", desk.paper())
    desk.json("slot", "remove", 1)
    new = desk.secret("new", "swordfish")
    assert desk.json("passwd", "--new-passphrase-file", new, unlock=["--recovery-file", paper])[0]["slot"] == 2


def test_of_several_passphrases_the_one_that_was_given_changes(desk):
    second, third = desk.secret("second", "second"), desk.secret("third", "third")
    desk.json("slot", "add", "passphrase", "--new-passphrase-file", second)
    desk.json("passwd", "--new-passphrase-file", third, unlock=["--passphrase-file", second])
    desk.json("show")
    desk.json("show", unlock=["--passphrase-file", third])
    assert desk.run("show", unlock=["--passphrase-file", second])[0] == 1


def test_of_several_passphrases_and_none_given_one_must_be_named(desk):
    paper = ["--recovery-file", desk.secret("paper", desk.paper())]
    new = ["--new-passphrase-file", desk.secret("new", "swordfish")]
    desk.json("slot", "add", "passphrase", "--new-passphrase-file", desk.secret("second", "second"))
    status, _, err = desk.run("passwd", *new, unlock=paper)
    assert (status, "--slot NUMBER" in err) == (1, True)
    assert desk.run("passwd", *new, "--slot", 2, unlock=paper)[0] == 1
    assert desk.run("passwd", *new, "--slot", 9, unlock=paper)[0] == 1
    assert desk.json("passwd", *new, "--slot", 3, unlock=paper)[0]["slot"] == 3


def test_without_a_new_passphrase_and_a_terminal_nothing_is_written(desk, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    before = desk.path.read_bytes()
    status, _, err = desk.run("passwd")
    assert (status, "--new-passphrase-file" in err) == (3, True)
    assert desk.path.read_bytes() == before


# Slots.


def test_slots_are_listed_without_any_secret(desk):
    status, out, _ = desk.run("slot", "list", unlock=[])
    assert (status, out) == (0, "1   passphrase  argon2id m=8192 t=1 p=1\n")
    assert desk.json("slot", "list", unlock=[]) == [
        {"slot": 1, "type": "passphrase", "detail": "argon2id m=8192 t=1 p=1"}
    ]


def test_a_recovery_code_is_shown_once_on_stdout_and_opens(desk):
    status, out, err = desk.run("slot", "add", "recovery")
    (code,) = CODE.findall(out)
    assert status == 0
    assert not CODE.search(err)
    paper = desk.secret("paper", code)
    assert desk.json("show", unlock=["--recovery-file", paper])[0]["name"] == "anna"
    for words in (["slot", "list"], ["show"]):
        assert not CODE.search("".join(desk.run(*words, unlock=["--recovery-file", paper])[1:]))


def test_the_name_of_the_paper_is_that_in_the_list(desk):
    (added,) = desk.json("slot", "add", "recovery")
    assert added["detail"] == desk.json("slot", "list", unlock=[])[1]["detail"]


def test_a_code_that_could_not_be_saved_is_not_shown(desk, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    status, out, err = desk.run("slot", "add", "recovery")
    assert (status, "[E_IO]" in err) == (1, True)
    assert not CODE.search(out + err)


def test_a_code_that_does_not_open_what_was_saved_is_not_shown(desk, monkeypatch):
    monkeypatch.setattr(slot_verbs.recovery, "open_slot", lambda *args, **kwargs: None)
    status, out, err = desk.run("slot", "add", "recovery")
    assert (status, "[E_PASSPHRASE]" in err) == (1, True)
    assert not CODE.search(out)
    assert desk.types() == ["passphrase"]


def test_a_keyring_slot_opens_without_any_option_and_its_key_goes_with_it(desk, monkeypatch):
    held = vaults.install_keyring(monkeypatch)
    desk.json("slot", "add", "keyring")
    assert len(held) == 1
    assert desk.json("show", unlock=[])[0]["name"] == "anna"
    assert desk.json("slot", "remove", 2, unlock=[]) == [{"removed": 2, "type": "keyring"}]
    assert held == {}


def test_a_keyring_slot_of_another_machine_can_be_removed(desk, monkeypatch):
    held = vaults.install_keyring(monkeypatch)
    desk.json("slot", "add", "keyring")
    held.clear()
    status, _, err = desk.run("slot", "remove", 2)
    assert (status, "may still lie in a keyring" in err) == (0, True)


def test_a_key_service_slot_names_its_key_and_opens_with_the_pin(desk, monkeypatch):
    uri = vaults.install_vault(desk.root / "plugin", monkeypatch)
    pin = ["--pin-file", desk.secret("pin", "1234")]
    assert desk.json("slot", "add", "kms", "--uri", uri, *pin)[0]["detail"] == uri
    assert desk.json("show", unlock=pin)[0]["name"] == "anna"


def test_without_keyring_the_extra_is_named(desk, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "keyring", None)
    status, _, err = desk.run("slot", "add", "keyring")
    assert (status, 'pip install "blindsight[keyring]"' in err) == (3, True)


def test_the_last_slot_is_not_removed(desk):
    status, _, err = desk.run("slot", "remove", 1)
    assert (status, "the last slot stays" in err) == (1, True)
    assert desk.types() == ["passphrase"]


@pytest.mark.parametrize(
    "words",
    [
        ["slot"],
        ["slot", "paint"],
        ["slot", "list", "1"],
        ["slot", "add"],
        ["slot", "add", "fingerprint"],
        ["slot", "add", "kms"],
        ["slot", "add", "recovery", "--uri", "x:y"],
        ["slot", "remove"],
        ["slot", "remove", "first"],
        ["passwd", "--slot", "0"],
        ["backup"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2_and_changes_nothing(desk, words):
    before = desk.path.read_bytes()
    status, out, err = desk.run(*words)
    assert (status, out, "usage:" in err) == (2, "", True)
    assert desk.path.read_bytes() == before


# Backup and rollback.


def test_a_backup_opens_with_the_paper_only_and_is_never_overwritten(desk):
    paper = ["--recovery-file", desk.secret("paper", desk.paper())]
    out = desk.root / "backup.json"
    assert desk.json("backup", "--out", out)[0]["backup"] == str(out)
    assert desk.json("show", keystore=out, unlock=paper)[0]["name"] == "anna"
    assert desk.run("show", keystore=out)[0] == 1
    before = out.read_bytes()
    status, _, err = desk.run("backup", "--out", out)
    assert (status, "[E_EXISTS]" in err) == (1, True)
    assert out.read_bytes() == before


def test_without_a_recovery_slot_there_is_no_backup(desk):
    status, _, err = desk.run("backup", "--out", desk.root / "backup.json")
    assert (status, "slot add recovery" in err) == (1, True)
    assert not (desk.root / "backup.json").exists()


def test_a_backup_put_back_is_a_rollback_until_it_is_accepted(desk):
    paper = ["--recovery-file", desk.secret("paper", desk.paper())]
    desk.json("backup", "--out", desk.root / "backup.json")
    (desk.root / "backup.json").replace(desk.path)
    status, _, err = desk.run("show", unlock=paper)
    assert (status, "[E_ROLLBACK]" in err, "--accept-rollback" in err) == (1, True, True)
    assert desk.json("show", "--accept-rollback", unlock=paper)[0]["name"] == "anna"
    assert desk.json("show", unlock=paper)[0]["name"] == "anna"


@pytest.mark.parametrize("verb", ["passwd", "slot", "backup", "init", "show"])
def test_every_help_ends_with_an_example(capsys, verb):
    with pytest.raises(SystemExit) as caught:
        main(["holder", "key", verb, "--help"])
    assert caught.value.code == 0
    lines = capsys.readouterr().out.rstrip().splitlines()
    assert (lines[-2], lines[-1].startswith("  blindsight holder key")) == ("example:", True)


def test_no_secret_of_any_verb_is_said(desk):
    code = desk.paper()
    new = desk.secret("new", "swordfish")
    said = "".join(
        str(desk.run(*words))
        for words in (
            ["show"],
            ["slot", "add", "passphrase", "--new-passphrase-file", new],
            ["slot", "list"],
            ["passwd", "--new-passphrase-file", new],
            ["backup", "--out", desk.root / "backup.json"],
        )
    )
    for secret in (worlds.PASSPHRASE.decode(), "swordfish", code):
        assert secret not in said
    with keystore.opened(desk.path, Unlock(recovery=lambda: recovery.read_code(code))) as store:
        assert store.data["identity"]["seed"] not in said
