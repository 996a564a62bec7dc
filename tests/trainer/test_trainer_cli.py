"""``blindsight trainer`` names the holder at fault before any training, and resumes what it began."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace

import pytest

from blindsight.cli import main
from blindsight.protocol import bundle, keystore, manifest
from blindsight.protocol.clock import now
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.scheme import Descriptor
from blindsight.trainer import checkpoint
from blindsight.trainer.checkpoint import BEST, LAST
from blindsight.trainer.job import Job
from tests.protocol import worlds
from tests.trainer import sites

SETTINGS = ("--rounds", "2", "--workers", "1", "--set", "precision=fp32", "--set", "batch=8", "--set", "least-steps=4")


@pytest.fixture
def trainer(capsys, box):
    """Run a verb: exit status, stdout, stderr."""

    def run(verb, *words, log=box):
        capsys.readouterr()
        status = main(["trainer", verb, *map(str, words), "--log", str(log)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def check(trainer):
    """Run ``check --json``: exit status and the faults."""

    def run(*words, **options):
        status, out, _ = trainer("check", *words, "--json", **options)
        return status, json.loads(out)["faults"]

    return run


def blamed(faults, key):
    """Codes of the faults of one holder; nobody else may have any."""
    assert {fault["holder"] for fault in faults} == {key.entry.label}
    return {fault["code"] for fault in faults}


def test_sound_manifests_have_no_fault(trainer, folders):
    status, out, err = trainer("check", *folders)
    assert (status, err) == (0, "")
    assert out.startswith("4 manifest(s) of federation ")
    assert out.endswith("no fault\n")


def test_manifests_alone_are_checked_and_the_absence_of_shards_is_said(trainer, folders, tmp_path):
    for number, folder in enumerate(folders):
        shutil.copy(folder / manifest.FILE_NAME, tmp_path / f"{number}.json")
    status, out, err = trainer("check", *tmp_path.iterdir())
    assert (status, "no fault" in out) == (0, True)
    assert "the shards of 4 manifest(s) are not here" in err


# One of three holders does it otherwise: each is named, with the reason, before any training.


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Three holders and the train splits of the first two."""
    root = tmp_path_factory.mktemp("three")
    world = sites.federation(3)
    box = sites.write_log(sites.next_epoch(world), root / "box")
    return world, box, [sites.published(world, place, root / f"site-{place}" / "train") for place in (0, 1)]


def odd_block(world, folder):
    return sites.published(world, 2, folder, scheme=("le", {"block": 8}))


def odd_scheme(world, folder):
    return sites.published(world, 2, folder, scheme=("block-shuffle", {"block": 4}))


def odd_epoch(world, folder):
    return sites.published(sites.next_epoch(world), 2, folder)


def odd_classes(world, folder):
    return sites.published(world, 2, folder, classes=("cat", "owl", "dog"))


def odd_version(world, folder):
    folder.mkdir(parents=True)
    descriptor = Descriptor("le", 2, (8, 8, 3), {"block": 4})
    offered = world.manifest(world.keys[2], descriptor)
    (folder / manifest.FILE_NAME).write_bytes(offered.to_bytes())
    return folder


def odd_key(world, folder):
    return sites.published(replace(world, secret=bytes(32)), 2, folder)


ODD = {
    odd_block: "E_SCHEME",
    odd_scheme: "E_SCHEME",
    odd_version: "E_SCHEME",
    odd_epoch: "E_EPOCH",
    odd_key: "E_SCV",
    odd_classes: "E_TASK",
}


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.__name__)
def test_who_does_it_otherwise_is_named_with_the_reason(odd, check, trainer, three, tmp_path):
    world, box, folders = three
    other = odd(world, tmp_path / "train")
    status, faults = check(*folders, other, log=box)
    assert status == 1
    assert ODD[odd] in blamed(faults, world.keys[2])
    status, out, _ = trainer("check", *folders, other, log=box)
    assert (status, world.keys[2].entry.label in out, f"[{ODD[odd]}]" in out) == (1, True, True)


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.__name__)
def test_nothing_is_trained_with_who_does_it_otherwise(odd, trainer, three, tmp_path, capsys):
    world, box, folders = three
    other = odd(world, tmp_path / "train")
    words = ["trainer", "fit", *folders, other, "--out", tmp_path / "run", *SETTINGS, "--log", box]
    assert main([str(word) for word in words]) == 1
    err = capsys.readouterr().err
    assert "training does not start" in err
    assert world.keys[2].entry.label in err
    assert f"[{ODD[odd]}]" in err
    assert not (tmp_path / "run").exists()


def test_all_faults_of_all_holders_are_listed(check, three, tmp_path):
    world, box, folders = three
    others = [odd_block(world, tmp_path / "a" / "train"), folders[0]]
    late = sites.published(sites.next_epoch(world), 1, tmp_path / "b" / "train")
    _, faults = check(*others, late, log=box)
    assert {fault["holder"] for fault in faults} >= {world.keys[1].entry.label, world.keys[2].entry.label}


def test_a_changed_shard_is_found_and_its_holder_named(check, world, folders, tmp_path):
    shutil.copytree(folders[2], tmp_path / "train")
    shard = next((tmp_path / "train" / "shards").iterdir())
    shard.write_bytes(shard.read_bytes()[:-1] + bytes([shard.read_bytes()[-1] ^ 1]))
    status, faults = check(*folders[:2], tmp_path / "train", folders[3])
    assert (status, blamed(faults, world.keys[1])) == (1, {"E_SHA"})


def test_a_manifest_signed_by_a_stranger_is_refused(check, world, folders, tmp_path):
    envelope = Envelope.from_bytes((folders[0] / manifest.FILE_NAME).read_bytes())
    forged = Envelope(envelope.type, envelope.payload, {}).signed(worlds.identity("mallory"))
    (tmp_path / "forged.json").write_bytes(forged.to_bytes())
    status, faults = check(tmp_path / "forged.json", *folders[2:])
    assert (status, [fault["code"] for fault in faults]) == (1, ["E_QUORUM"])


# Fitting and exporting.


@pytest.fixture(scope="module")
def run(box, folders, tmp_path_factory):
    """A run that the command has trained."""
    out = tmp_path_factory.mktemp("cli") / "run"
    words = ["trainer", "fit", *folders, "--out", out, *SETTINGS, "--log", box, "--json"]
    assert main([str(word) for word in words]) == 0
    return out


def test_fit_reports_every_model_and_says_what_came_out(trainer, folders, tmp_path):
    status, out, err = trainer("fit", *folders, "--out", tmp_path / "run", *SETTINGS, "--json")
    facts = json.loads(out)
    assert (status, facts["rounds"], len(facts["weights"])) == (0, 2, 64)
    for number in range(3):
        assert f"model after round {number} of 2: val accuracy" in err


def test_fit_names_the_round_whose_model_was_kept(trainer, folders, run):
    _, out, _ = trainer("fit", *folders, "--out", run, *SETTINGS, "--json")
    best = checkpoint.load(run / BEST, Job.load(run).digest)
    assert json.loads(out)["best_round"] == best.number


def test_of_equally_good_rounds_fit_names_the_one_that_was_kept(trainer, box, folders, tmp_path):
    words = [folders[0], folders[2], "--out", tmp_path / "run", *SETTINGS, "--json"]
    _, out, _ = trainer("fit", *words)
    best = checkpoint.load(tmp_path / "run" / BEST, Job.load(tmp_path / "run").digest)
    assert (json.loads(out)["best_round"], best.number) == (2, 2)


def test_the_same_command_on_a_finished_run_gives_the_same_answer(trainer, folders, run):
    before = (run / LAST).read_bytes()
    answers = {trainer("fit", *folders, "--out", run, *SETTINGS, "--json")[1] for _ in range(2)}
    assert len(answers) == 1
    assert (run / LAST).read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--network", "huge"), "network must be one of small"),
        (("--rounds", "0"), "rounds must be from 1"),
        (("--seed", "-1"), "seed must be from 0"),
        (("--set", "lr=fast"), "lr must be float, got 'fast'"),
        (("--set", "batch=2.5"), "batch must be int"),
        (("--set", "speed=9"), "there is no key 'speed'"),
        (("--set", "lr"), "lr must be float"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_its_key_before_anything_is_written(
    folders, box, tmp_path, words, message, capsys
):
    line = ["trainer", "fit", *folders, "--out", tmp_path / "run", *words, "--log", box]
    assert main([str(word) for word in line]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_export_writes_a_bundle_signed_by_the_trainer(run, box, world, tmp_path, capsys):
    store = keystore_of_the_trainer(tmp_path)
    words = ["trainer", "export", run, "--out", tmp_path / "pets", "--name", "pets", "--log", box, *store, "--json"]
    assert main([str(word) for word in words]) == 0
    facts = json.loads(capsys.readouterr().out)
    loaded = bundle.load(tmp_path / "pets", world.log, now())
    assert (loaded.trainer, facts["model"], facts["id"]) == (sites.TRAINER.entry.label, "pets", loaded.envelope.mid)


def keystore_of_the_trainer(folder):
    seed = hashlib.sha256(b"trainer/lab").digest()  # as worlds.identity has it
    path = folder / "lab" / "keystore.json"
    keystore.create(
        path,
        role="trainer",
        name="lab",
        passphrase=worlds.PASSPHRASE,
        created=worlds.CREATED,
        cost=worlds.CHEAP,
        seed=seed,
    )
    (folder / "passphrase").touch(mode=0o600)
    (folder / "passphrase").write_bytes(worlds.PASSPHRASE)
    return ["--keystore", path, "--passphrase-file", folder / "passphrase"]


def test_export_by_a_holder_is_refused(run, box, tmp_path, capsys):
    store = worlds.keystore_of(tmp_path, "site-0")
    (tmp_path / "passphrase").touch(mode=0o600)
    (tmp_path / "passphrase").write_bytes(worlds.PASSPHRASE)
    words = ["trainer", "export", run, "--out", tmp_path / "pets", "--log", box, "--keystore", store.path]
    assert main([str(word) for word in (*words, "--passphrase-file", tmp_path / "passphrase")]) == 1
    assert "[E_ROSTER]" in capsys.readouterr().err
    assert not (tmp_path / "pets").exists()


def test_export_of_a_folder_without_a_run_says_what_to_do(box, tmp_path, capsys):
    words = ["trainer", "export", tmp_path, "--out", tmp_path / "pets", "--log", box]
    assert main([str(word) for word in words]) == 1
    assert "hint: blindsight trainer fit" in capsys.readouterr().err


def test_a_trainer_makes_its_identity_with_a_card_for_the_others(tmp_path, capsys):
    (tmp_path / "passphrase").touch(mode=0o600)
    (tmp_path / "passphrase").write_bytes(worlds.PASSPHRASE)
    words = ["trainer", "key", "init", "--name", "lab", "--keystore", tmp_path / "keystore.json"]
    words += ["--passphrase-file", tmp_path / "passphrase", "--dropbox", tmp_path / "box", "--json"]
    assert main([str(word) for word in words]) == 0
    assert json.loads(capsys.readouterr().out)["role"] == "trainer"
    (card,) = DropBox(tmp_path / "box").cards()
    assert (card.role, card.name) == ("trainer", "lab")


def test_the_manifests_in_a_drop_box_are_checked_wherever_it_is(trainer, folders, tmp_path):
    distant = DropBox("memory://trainer-check/box")
    for folder in folders:
        data = (folder / manifest.FILE_NAME).read_bytes()
        predicate = Envelope.from_bytes(data).body()["predicate"]
        place = f"{distant.data(predicate['fed'], predicate['holder'])}/{predicate['dataset']['split']}"
        distant.transport.put(f"{place}/{manifest.FILE_NAME}", data)
    status, out, _ = trainer("check", "--dropbox", "memory://trainer-check/box")
    assert (status, out.startswith("4 manifest(s)")) == (0, True)


def test_nothing_to_check_is_a_sentence(trainer):
    status, _, err = trainer("check")
    assert (status, "no manifest to check" in err) == (1, True)


def test_an_older_edition_of_a_data_set_is_refused_once_a_newer_one_was_admitted(check, world, tmp_path):
    key = world.keys[0]
    newer, older = (
        world.manifest(key, serial=serial, supersedes=None if serial == 1 else "ab" * 32) for serial in (2, 1)
    )
    (tmp_path / "newer.json").write_bytes(newer.to_bytes())
    (tmp_path / "older.json").write_bytes(older.to_bytes())
    assert check(tmp_path / "newer.json") == (0, [])
    status, faults = check(tmp_path / "older.json")
    assert (status, blamed(faults, key)) == (1, {"E_ROLLBACK"})
