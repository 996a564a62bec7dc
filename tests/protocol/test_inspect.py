"""``protocol inspect`` names every kind of file, says what it holds, and exits 1 when it is broken."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from blindsight.cli import main
from blindsight.protocol import agreement, bundle, changes, grant, keystore, logfile, manifest
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.session import Phase
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
    "complaint": "ceremony complaint",
    "abort": "ceremony abort",
    "roster": "roster record",
    "retire": "retire record",
    "notice": "notice",
    "join": "request",
    "grant": "grant",
    "log": "exported log",
    "manifest": "data set manifest",
    "data": "data set",
    "shard": "shard",
    "bundle": "model bundle",
    "statement": "model bundle statement",
    "rekeyed": "model bundle",
    "imported": "model bundle",
    "imported_statement": "model bundle statement",
    "weights": "tensor file",
    "keystore": "keystore",
    "box": "drop-box",
}
LOGLESS = {"card", "genesis", "partial", "box", "join", "log"}


def derived(world, how, **more):
    """What a holder states of a model that no trainer signed for its present key."""
    parts = {"by": world.keys[0].entry.fpr, "how": how, "origin": None, "epochs": []} | more
    return bundles.predicate(world) | {"derived": parts}


def rekeyed(world, first, folder):
    """The same model as if it had been re-keyed."""
    again = bundles.files(**{bundle.ORIGIN: first.to_bytes()})
    stated = derived(world, "rekeyed", origin=first.mid, epochs=[1]) | {"serial": 2, "supersedes": first.mid}
    bundle.make(folder, world.keys[0], stated, again)
    return folder


def imported(world, folder):
    """A model that a holder brought in."""
    bundle.make(folder, world.keys[0], derived(world, "imported") | {"trainer": None}, bundles.files())
    return folder


def others(world, sessions):
    """Documents that lie in no folder of their own here: name → envelope."""
    anna, bert, *_ = world.keys
    session = sessions[anna.entry.fpr]
    complaint = {"v": 1, "type": "complaint", "sid": session.sid, "from": anna.entry.fpr, "about": bert.entry.fpr}
    complaint |= {"code": "E_BOX", "kem_seed": to_b64(bytes(32))}
    join = grant.make_join(
        bert, world.log.fed, kem_seed=bytes(32), nonce=bytes(32), created=worlds.CREATED, expires=worlds.DEADLINE
    )
    asked = grant.read_join(join, world.log.fed, worlds.NOW)
    roster = changes.make_roster(world.log, [key.entry for key in world.keys[:-1]], [], [])
    return {
        "complaint": Envelope.of("complaint", complaint).signed(anna),
        "abort": agreement.give_up(replace(session, phase=Phase.COMMITTED), anna, "person").outbox[-1],
        "roster": roster.signed(anna),
        "retire": changes.make_retire(world.log, [1], "done").signed(anna),
        "notice": worlds.notice_of(world.log, anna),
        "join": join,
        "grant": grant.make_grant(anna, world.log, asked, {1: world.secret}),
    }


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
    documents = others(WORLD, sessions)
    for name, document in documents.items():
        (root / f"{name}.json").write_bytes(document.to_bytes())
    (root / "exported.log").write_bytes(logfile.log_bytes(log))
    data = bundles.write_data_set(root / "data", WORLD)
    model = bundles.write(root / "bundle", WORLD)
    brought = imported(WORLD, root / "imported")
    return {
        "card": Path(box.put_card(WORLD.keys[0], worlds.CREATED)),
        "genesis": Path(box.put_record(log.records[0], log.fed, 0, me)),
        "partial": root / "partial.json",
        "epoch": Path(box.put_record(log.records[1], log.fed, 1, me)),
        "propose": Path(box.put_message(offer, log.fed, offer.mid, "propose", me)),
        "commit": Path(box.put_message(commit, log.fed, offer.mid, "commit", me)),
        "reveal": Path(box.put_message(reveal, log.fed, offer.mid, "reveal", me)),
        **{name: root / f"{name}.json" for name in documents},
        "log": root / "exported.log",
        "manifest": data / manifest.FILE_NAME,
        "data": data,
        "shard": data / "shards" / "00000.safetensors",
        "bundle": model,
        "statement": model / bundle.STATEMENT,
        "rekeyed": rekeyed(WORLD, bundle.read_statement(model), root / "rekeyed"),
        "imported": brought,
        "imported_statement": brought / bundle.STATEMENT,
        "weights": model / bundle.WEIGHTS,
        "keystore": worlds.keystore_of(root, "site").path,
        "box": box.transport.root,
    }


@pytest.fixture
def inspect(capsys, made, monkeypatch):
    for module in ("inspect", "findings"):
        monkeypatch.setattr(f"blindsight.cli.{module}.now", lambda: worlds.NOW)

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


FOLDERS = {"data", "bundle", "box", "rekeyed", "imported"}


@pytest.mark.parametrize("name", sorted(set(KINDS) - FOLDERS - {"shard", "weights"}))
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


@pytest.mark.parametrize("log", [False, True])
def test_who_re_keyed_a_model_and_from_what_is_said(inspect, made, log):
    report = inspect(made["rekeyed"], log=log)[1]
    anna, lab = (key.entry.label if log else key.entry.code for key in (WORLD.keys[0], bundles.TRAINER))
    assert (report["re-keyed_by"], report["trainer"], report["from_epochs"]) == (anna, lab, [1])
    assert report["first_statement"] == bundle.read_statement(made["bundle"]).mid[:12]
    assert "re-keyed_by" not in inspect(made["bundle"], log=log)[1]


@pytest.mark.parametrize("name", ["imported", "imported_statement"])
@pytest.mark.parametrize("log", [False, True])
def test_an_imported_model_has_no_trainer(inspect, made, name, log):
    report = inspect(made[name], log=log)[1]
    anna = WORLD.keys[0].entry
    assert (report["imported_by"], report["trainer"]) == (anna.label if log else anna.code, "nobody of this federation")


def test_a_changed_first_statement_makes_its_folder_broken(inspect, made, tmp_path):
    folder = shutil.copytree(made["rekeyed"], tmp_path / "copy")
    (folder / bundle.ORIGIN).write_bytes((folder / bundle.STATEMENT).read_bytes())
    status, report = inspect(folder)
    assert (status, report["code"]) == (1, "E_SHA")


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
