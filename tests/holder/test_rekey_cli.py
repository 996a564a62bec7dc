"""``blindsight holder rekey``, as people type it: into a newer epoch, out of one that is over, whole or not at all."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from blindsight.cli.arguments import Verbs
from blindsight.holder import notices
from blindsight.holder.absorption import Layout, key_of
from blindsight.protocol import bundle, logfile
from blindsight.protocol.clock import now
from blindsight.protocol.envelope import Envelope
from tests.holder import lives, models
from tests.holder.models import TOLERANCE, scheme

WRONG_USAGE = 2
LE = scheme("le")


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    return lives.agreed(tmp_path_factory.mktemp("agreed"), "majority", moment=now(), epochs=3)


@pytest.fixture
def desk(founded, tmp_path, capsys):
    return lives.Desk(lives.copied(founded, tmp_path / "life"), capsys)


@pytest.fixture
def world(desk):
    secrets = tuple(desk.secret("anna", number) for number in (1, 2, 3))
    return models.World([desk.keys[name] for name in desk.names], desk.log(), secrets)


@pytest.fixture
def one(desk, world):
    """A model of epoch 1, with everything that may lie beside it."""
    content = models.files("nibble")
    content |= models.companions(LE, "nibble", models.engine(content))
    bundle.make(desk.root / "one", models.TRAINER, models.predicate(LE, "nibble", where=world), content)
    return desk.root / "one"


def words(desk, folder, number, out="out"):
    return ("rekey", folder, "--to-epoch", number, "--out", desk.root / out, "--log", desk.root / "box")


def rekeys(desk, name, folder, number, out="out", *more):
    (facts,) = desk.json(name, *words(desk, folder, number, out), *more, box=False)
    return facts


def refused(desk, name, folder, number, *more):
    code, sentence = desk.refused(name, *words(desk, folder, number), *more, box=False)
    assert not (desk.root / "out").exists()
    return code, sentence


def logits(world, content, epoch, rows=32):
    return models.engine(content).infer(world.cipher(LE, epoch).encrypt(models.pictures(rows)))


def test_the_example_uses_options_that_exist(desk, monkeypatch):
    status, out, _ = desk.run("holder", "rekey", "--help")
    (example,) = [line.strip() for line in out.splitlines() if line.startswith("  blindsight holder")]
    typed = shlex.split(example)
    assert (status, typed[:3]) == (0, ["blindsight", "holder", "rekey"])
    monkeypatch.setattr(Verbs, "main", lambda self, words: self._parser.parse_args(words) and 0)
    assert desk.run(*typed[1:])[0] == 0


@pytest.mark.parametrize("number", ["0", "-1", "two", "1.0"])
def test_an_epoch_that_is_no_number_is_wrong_usage(desk, one, number):
    assert desk.type("anna", *words(desk, one, f"{number}"), box=False)[0] == WRONG_USAGE


def test_a_holder_leads_a_model_into_the_next_epoch(desk, world, one):
    facts = rekeys(desk, "bert", one, 2)
    loaded = bundle.load(desk.root / "out", desk.log(), now())
    assert facts == {
        "bundle": str(desk.root / "out"),
        "model": loaded.predicate["model"],
        "from_epoch": 1,
        "to_epoch": 2,
        "signed_by": desk.label("bert"),
        "statement": loaded.envelope.mid,
    }
    assert (loaded.signer, loaded.trainer) == (desk.label("bert"), models.TRAINER.entry.label)
    before = bundle.load(one, desk.log(), now())
    assert np.abs(logits(world, loaded.files, 2) - logits(world, before.files, 1)).max() < TOLERANCE
    assert "bert" in loaded.files[bundle.CARD].decode()


def test_people_read_what_was_done(desk, one):
    status, out, err = desk.type("anna", *words(desk, one, 2), box=False)
    assert (status, err) == (
        0,
        "blindsight: whoever has both models and knows the key of epoch 1 or 2 can compute the other one's\n",
    )
    assert [line.split("  ")[0] for line in out.splitlines()] == [
        "bundle",
        "model",
        "from epoch",
        "to epoch",
        "signed by",
        "statement",
    ]
    assert "pets 1" in out


def test_another_holder_leads_it_on(desk, world, one):
    rekeys(desk, "anna", one, 2, "two")
    rekeys(desk, "cleo", desk.root / "two", 3, "three")
    three, first = bundle.load(desk.root / "three", desk.log(), now()), bundle.load(one, desk.log(), now())
    derived = three.predicate["derived"]
    assert (derived["by"], derived["epochs"], derived["origin"]) == (desk.fpr("cleo"), [1, 2], first.envelope.mid)
    assert np.abs(logits(world, three.files, 3) - logits(world, first.files, 1)).max() < TOLERANCE


def test_the_log_may_be_an_exported_one(desk, one):
    (desk.root / "log").write_bytes(logfile.log_bytes(desk.log()))
    typed = ("rekey", one, "--to-epoch", 2, "--out", desk.root / "out", "--log", desk.root / "log")
    desk.json("anna", *typed, box=False)
    bundle.load(desk.root / "out", desk.log(), now())


def test_an_operator_takes_it_and_predicts_on_images_under_the_new_key_alone(desk, world, one):
    rekeys(desk, "anna", one, 2)
    log = ("--log", desk.root / "box", "--json")
    status, out, err = desk.run("operator", "check", desk.root / "out", *log)
    assert (status, json.loads(out)["epoch"]) == (0, 2), err
    tag = bundle.load(desk.root / "out", desk.log(), now()).tag.digest
    np.save(desk.root / "images.npy", world.cipher(LE, 2).encrypt(models.pictures(6)))
    status, out, err = desk.run("operator", "predict", desk.root / "out", desk.root / "images.npy", "--tag", tag, *log)
    assert status == 0, err
    answers = [json.loads(line)["index"] for line in out.splitlines()][:6]
    before = bundle.load(one, desk.log(), now())
    assert answers == logits(world, before.files, 1, rows=6).argmax(axis=1).tolist()
    typed = ("operator", "predict", desk.root / "out", desk.root / "images.npy", "--tag", before.tag.digest)
    status, out, _ = desk.run(*typed, *log)
    assert (status, json.loads(out)["error"]["code"]) == (1, "E_SCHEME")


# Epochs.


def test_out_of_a_retired_epoch_it_is_led_and_that_is_said(desk, one):
    desk.retired(1)
    status, _, err = desk.type("anna", *words(desk, one, 2), box=False)
    assert (status, "epoch 1 is retired: spent; re-keying leads the model out of it" in err) == (0, True)
    assert bundle.load(desk.root / "out", desk.log(), now()).tag.epoch == 2


@pytest.mark.parametrize("retired", [False, True])
def test_out_of_an_epoch_that_a_member_warns_of_only_by_decision(desk, one, retired):
    desk.act("bert", notices.warn, 1, "laptop stolen", now())
    if retired:
        desk.retired(1)
    code, sentence = refused(desk, "anna", one, 2)
    assert (code, "compute the key of epoch 2" in sentence) == ("E_NOTICE", True)
    rekeys(desk, "anna", one, 2, "out", "--despite-notice", "no operator has the old model")
    (line,) = (desk.root / "anna" / "overrides.jsonl").read_text().splitlines()
    assert json.loads(line)["reason"] == "no operator has the old model"


def test_two_models_and_one_key_give_the_other_key(desk, world, one):
    """What the command says: the weights show what leads from one key to the other."""
    rekeys(desk, "anna", one, 2)
    old, new = (
        models.stored({bundle.WEIGHTS: (folder / bundle.WEIGHTS).read_bytes()})["stem.blocks.weight"]
        for folder in (one, desk.root / "out")
    )
    before, after = (np.abs(layer.reshape(len(layer), -1)) for layer in (old, new))
    places = [int(np.flatnonzero((before == column[:, None]).all(axis=0))[0]) for column in after.T]
    layout = Layout("nibble", models.BLOCK, models.SHAPE)
    keys = [key_of(world.cipher(LE, number), layout) for number in (1, 2)]
    assert np.array_equal(keys[0].places[places], keys[1].places)


def test_into_a_retired_epoch_nothing_is_led(desk, one):
    desk.retired(2)
    for more in ((), ("--despite-notice", "I insist")):
        assert refused(desk, "anna", one, 2, *more)[0] == "E_RETIRED"


def test_nor_into_one_whose_retirement_the_place_does_not_show_any_more(desk, one):
    old = shutil.copytree(desk.root / "box", desk.root / "old")
    desk.retired(2)
    desk.act("anna", lambda store, box, log: None)  # the keystore follows the log
    typed = ("rekey", one, "--to-epoch", 2, "--out", desk.root / "out", "--log", old)
    assert desk.refused("anna", *typed, box=False)[0] == "E_RETIRED"


def test_into_an_epoch_that_a_member_warns_of_only_by_decision(desk, one):
    desk.act("bert", notices.warn, 2, "laptop stolen", now())
    code, sentence = refused(desk, "anna", one, 2)
    assert (code, "--despite-notice" in sentence) == ("E_NOTICE", True)
    rekeys(desk, "anna", one, 2, "out", "--despite-notice", "the laptop is found")
    (line,) = (desk.root / "anna" / "overrides.jsonl").read_text().splitlines()
    assert json.loads(line)["verb"] == "holder rekey"


def test_an_epoch_that_is_not_agreed_is_refused(desk, one):
    assert refused(desk, "anna", one, 7)[0] == "E_EPOCH"


def test_the_epoch_that_it_is_for_is_refused(desk, one):
    code, sentence = refused(desk, "anna", one, 1)
    assert (code, "already" in sentence) == ("E_EPOCH", True)


def test_without_a_secret_there_is_no_re_keying(desk, one):
    desk.loses("anna")
    assert refused(desk, "anna", one, 2)[0] == "E_EPOCH"


# Refusals.


def test_a_bundle_of_another_federation_is_refused(desk, tmp_path):
    content = models.files("nibble")
    bundle.make(tmp_path / "foreign", models.TRAINER, models.predicate(LE, "nibble"), content)
    assert refused(desk, "anna", tmp_path / "foreign", 2)[0] == "E_FED"


def test_a_changed_bundle_is_refused(desk, one):
    data = bytearray((one / bundle.WEIGHTS).read_bytes())
    data[-1] ^= 1
    (one / bundle.WEIGHTS).write_bytes(data)
    assert refused(desk, "anna", one, 2)[0] == "E_SHA"


def test_a_changed_first_statement_is_refused(desk, one):
    rekeys(desk, "anna", one, 2, "two")
    path = desk.root / "two" / bundle.ORIGIN
    path.write_bytes(Envelope.from_bytes(path.read_bytes()).signed(desk.keys["anna"]).to_bytes())
    assert refused(desk, "bert", desk.root / "two", 3)[0] == "E_SHA"


def test_a_member_who_was_removed_re_keys_nothing(desk, one):
    desk.removed("cleo")
    assert refused(desk, "cleo", one, 2)[0] == "E_ROSTER"


def test_nobody_re_keys_for_a_federation_whose_code_was_not_compared(desk, one):
    with desk.store("anna") as store:
        store.data["feds"][desk.fed]["verified"] = "none"
        store.save()
    assert refused(desk, "anna", one, 2)[0] == "E_UNVERIFIED"


def test_a_log_of_another_federation_is_refused(desk, one, tmp_path):
    (tmp_path / "log").write_bytes(logfile.log_bytes(models.world().log))
    typed = ("rekey", one, "--to-epoch", 2, "--out", desk.root / "out", "--log", tmp_path / "log")
    assert desk.refused("anna", *typed, box=False)[0] == "E_FED"


def test_what_stands_at_the_target_is_never_overwritten(desk, one):
    (desk.root / "out").mkdir()
    assert desk.refused("anna", *words(desk, one, 2), box=False)[0] == "E_EXISTS"
    assert list((desk.root / "out").iterdir()) == []


# Whole or not at all.

KILLER = """
import os, signal, sys
from blindsight.cli import main

count, *words = sys.argv[1:]
left, rename, replace = int(count), os.rename, os.replace

def armed(call):
    def wrapped(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return wrapped

os.rename, os.replace = armed(rename), armed(replace)
sys.exit(main(words))
"""


def killed(desk, one, count):
    """Type the command and kill it before the rename of that number: the exit status."""
    site = desk.root / "anna"
    typed = ["holder", *words(desk, one, 2), "--keystore", site / "keystore.json"]
    typed += ["--passphrase-file", site / "passphrase"]
    command = [sys.executable, "-P", "-c", KILLER, str(count), *map(str, typed)]
    return subprocess.run(command, capture_output=True, timeout=240, check=False).returncode


@pytest.mark.parametrize("count", [1, 5, 9])
def test_killed_in_the_middle_it_leaves_nothing_that_counts_and_the_next_goes_on(desk, one, count):
    assert killed(desk, one, count) == -signal.SIGKILL
    assert not (desk.root / "out").exists()
    rekeys(desk, "anna", one, 2)
    assert bundle.load(desk.root / "out", desk.log(), now()).tag.epoch == 2
    assert not list(desk.root.glob(".out*"))


def test_no_secret_is_said_or_written(desk, world, one):
    status, out, err = desk.type("anna", *words(desk, one, 2), box=False)
    shown = (out + err).encode() + b"".join(path.read_bytes() for path in (desk.root / "out").iterdir())
    assert status == 0
    for number in (1, 2):
        for secret in (world.secret(number), world.key(LE, number)):
            assert secret not in shown
            assert secret.hex().encode() not in shown
