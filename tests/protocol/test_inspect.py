"""``protocol inspect`` names every kind of file, says what it holds, and exits 1 when it is broken."""

import json
import shutil
from pathlib import Path

import pytest

from blindsight.cli import main
from blindsight.protocol import bundle, keystore, manifest
from blindsight.protocol.dropbox import DropBox
from tests.operator import bundles
from tests.protocol import worlds

WORLD = worlds.world()
KINDS = {
    "card": "identity card",
    "genesis": "genesis",
    "partial": "genesis",
    "epoch": "epoch record",
    "propose": "ceremony proposal",
    "commit": "ceremony commit",
    "reveal": "ceremony reveal",
    "manifest": "data set manifest",
    "data": "data set",
    "shard": "shard",
    "bundle": "model bundle",
    "statement": "model bundle statement",
    "weights": "tensor file",
    "keystore": "keystore",
    "box": "drop-box",
}
LOGLESS = {"card", "genesis", "partial", "box"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One real file of every kind: name → path."""
    root = tmp_path_factory.mktemp("inspect")
    box, log = DropBox(root / "box"), WORLD.log
    offer = worlds.proposal(WORLD.keys[0], worlds.founded(WORLD.keys, [bundles.TRAINER.entry]))
    sessions = worlds.sessions(WORLD.keys, worlds.founded(WORLD.keys, [bundles.TRAINER.entry]), offer)
    worlds.exchange(sessions, WORLD.keys)
    commit, reveal = sessions[WORLD.keys[0].entry.fpr].outbox[:2]
    me = WORLD.keys[0].entry.fpr
    partial = worlds.draft(WORLD.keys, [bundles.TRAINER.entry]).signed(WORLD.keys[0])
    (root / "partial.json").write_bytes(partial.to_bytes())
    data = bundles.write_data_set(root / "data", WORLD)
    model = bundles.write(root / "bundle", WORLD)
    return {
        "card": Path(box.put_card(WORLD.keys[0], worlds.CREATED)),
        "genesis": Path(box.put_record(log.records[0], log.fed, 0, me)),
        "partial": root / "partial.json",
        "epoch": Path(box.put_record(log.records[1], log.fed, 1, me)),
        "propose": Path(box.put_message(offer, log.fed, offer.mid, "propose", me)),
        "commit": Path(box.put_message(commit, log.fed, offer.mid, "commit", me)),
        "reveal": Path(box.put_message(reveal, log.fed, offer.mid, "reveal", me)),
        "manifest": data / manifest.FILE_NAME,
        "data": data,
        "shard": data / "shards" / "00000.safetensors",
        "bundle": model,
        "statement": model / bundle.STATEMENT,
        "weights": model / bundle.WEIGHTS,
        "keystore": worlds.keystore_of(root, "site").path,
        "box": box.transport.root,
    }


@pytest.fixture
def inspect(capsys, made, monkeypatch):
    monkeypatch.setattr("blindsight.cli.inspect.now", lambda: worlds.NOW)

    def run(path, *words, log=False):
        where = ["--log", str(made["box"])] if log else []
        status = main(["protocol", "inspect", str(path), *where, *words, "--json"])
        lines = capsys.readouterr().out.splitlines()
        return status, json.loads(lines[-1])

    return run


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("log", [False, True])
def test_every_kind_of_file_is_named_and_verifies(inspect, made, name, log):
    status, report = inspect(made[name], log=log)
    assert (status, report["kind"]) == (0, KINDS[name])
    assert report["verifies"] != "no"


@pytest.mark.parametrize("name", sorted(set(KINDS) - LOGLESS))
def test_what_is_not_checked_is_said(inspect, made, name):
    assert inspect(made[name])[1]["unchecked"]


@pytest.mark.parametrize("name", ["data", "bundle", "epoch", "propose", "commit", "reveal"])
def test_with_the_log_nothing_is_left_unchecked(inspect, made, name):
    assert inspect(made[name], log=True)[1]["verifies"] == "yes"
    assert "unchecked" not in inspect(made[name], log=True)[1]


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"data", "bundle", "box", "shard", "weights"}))
def test_a_flipped_byte_in_a_document_is_found_with_the_log(inspect, made, name, tmp_path):
    data = bytearray(made[name].read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "file").write_bytes(data)
    (tmp_path / "file").chmod(0o600)
    assert inspect(tmp_path / "file", log=True)[0] == 1


@pytest.mark.parametrize("name", ["shard", "weights"])
def test_a_tensor_file_that_is_cut_short_is_broken(inspect, made, name, tmp_path):
    (tmp_path / "file").write_bytes(made[name].read_bytes()[:-1])
    status, report = inspect(tmp_path / "file")
    assert (status, report["kind"], report["code"]) == (1, KINDS[name], "E_SHARD")


@pytest.mark.parametrize(("name", "file"), [("data", "shards/00000.safetensors"), ("bundle", bundle.MODEL)])
def test_a_changed_file_makes_its_folder_broken(inspect, made, name, file, tmp_path):
    folder = shutil.copytree(made[name], tmp_path / "copy")
    data = bytearray((folder / file).read_bytes())
    data[-1] ^= 1
    (folder / file).write_bytes(data)
    status, report = inspect(folder)
    assert (status, report["verifies"], report["code"]) == (1, "no", "E_SHA")


def test_who_signed_a_genesis_and_who_is_missing_is_said(inspect, made):
    report = inspect(made["partial"])[1]
    first, *others = (key.entry.label for key in WORLD.keys)
    assert (report["signed"], sorted(report["missing"])) == ([first], sorted(others))


def test_a_document_of_another_federation_is_broken_against_this_log(inspect, tmp_path):
    foreign = worlds.genesis(WORLD.keys, name="another ward")
    (tmp_path / "genesis.json").write_bytes(foreign.to_bytes())
    status, report = inspect(tmp_path / "genesis.json", log=True)
    assert (status, report["code"]) == (1, "E_FED")


def test_a_genesis_signed_by_a_stranger_is_broken(inspect, tmp_path):
    forged = worlds.genesis(WORLD.keys).signed(worlds.identity("stranger"))
    (tmp_path / "genesis.json").write_bytes(forged.to_bytes())
    status, report = inspect(tmp_path / "genesis.json")
    assert (status, report["code"]) == (1, "E_ROSTER")


def test_a_manifest_by_a_stranger_is_broken_against_the_log(inspect, tmp_path):
    stranger = worlds.identity("stranger")
    (tmp_path / "m.json").write_bytes(manifest.make(stranger, WORLD.predicate(stranger)).to_bytes())
    assert inspect(tmp_path / "m.json")[0] == 0
    assert inspect(tmp_path / "m.json", log=True)[1]["code"] == "E_ROSTER"


def test_a_keystore_is_told_without_a_passphrase_and_without_a_secret(inspect, made, monkeypatch):
    monkeypatch.setattr(keystore, "opened", None)
    report = inspect(made["keystore"])[1]
    assert (report["slots"], report["generation"]) == (["passphrase"], 1)
    assert "body" not in json.dumps(report)


def test_a_federation_that_waits_for_signatures_is_no_fault(inspect, tmp_path):
    draft = worlds.draft(WORLD.keys).signed(WORLD.keys[0])
    DropBox(tmp_path / "box").put_record(draft, draft.mid, 0, WORLD.keys[0].entry.fpr)
    status, report = inspect(tmp_path / "box")
    assert status == 0
    assert "lacks a valid signature" in report["federations"][0]


@pytest.mark.parametrize("data", [b"", b"hello", b"{}", b'{"v":1}', b'{"payloadType":"x"}', bytes(64), b"\x38" * 64])
def test_what_is_not_ours_is_refused(inspect, tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    status, report = inspect(tmp_path / "file")
    assert (status, report["error"]["code"]) == (1, "E_FORMAT")


def test_an_empty_folder_and_a_missing_file_are_refused(inspect, tmp_path):
    assert inspect(tmp_path)[0] == 1
    assert inspect(tmp_path / "none")[0] == 1


def test_a_table_is_printed_for_people(capsys, made):
    assert main(["protocol", "inspect", str(made["card"])]) == 0
    assert "fingerprint" in capsys.readouterr().out
