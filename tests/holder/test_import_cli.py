"""``blindsight holder import-model``, as people type it: with and without torch, whole or not at all."""

from __future__ import annotations

import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import time

import numpy as np
import pytest

from blindsight.cli.arguments import Verbs
from blindsight.holder import notices
from blindsight.operator.engine import Engine, selftest_in
from blindsight.protocol import bundle, tensorfile
from blindsight.protocol.clock import now
from tests.holder import lives, models
from tests.holder.models import TOLERANCE, pictures, scheme
from tests.trainer import foreign_models
from tests.trainer.foreign_models import CLASSES, MEAN, SHAPE, STD, alike, answers, images, own, params

MISSING_EXTRA = 3
LE = scheme("le")
DUMPING = """
import json, os, pathlib, time
here = pathlib.Path(__file__).parent
(here / "environment").write_text(json.dumps(dict(os.environ)))
time.sleep({seconds})
raise ModuleNotFoundError("No module named 'torch'", name="torch")
"""


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    return lives.agreed(tmp_path_factory.mktemp("agreed"), "majority", moment=now(), epochs=2)


@pytest.fixture
def desk(founded, tmp_path, capsys):
    return lives.Desk(lives.copied(founded, tmp_path / "life"), capsys)


@pytest.fixture
def world(desk):
    return models.World([desk.keys[name] for name in desk.names], desk.log(), (desk.secret("anna", 1),))


@pytest.fixture
def converted(tmp_path):
    """A folder as ``trainer convert`` writes it, on nibbles."""
    content = models.files("nibble")
    noise = pictures(8)
    test = {"images": noise, "logits": models.engine(content).infer(noise)}
    content |= {bundle.SELFTEST: tensorfile.to_bytes(test, {"v": 1, "kind": "selftest"})}
    (tmp_path / "plain").mkdir()
    for name, data in content.items():
        (tmp_path / "plain" / name).write_bytes(data)
    return tmp_path / "plain"


@pytest.fixture
def no_process(monkeypatch):
    """Whoever starts a process fails."""

    def refuse(*words, **more):
        raise AssertionError(f"a process was started: {words}")

    monkeypatch.setattr(subprocess, "run", refuse)


@pytest.fixture
def without_torch(tmp_path, monkeypatch):
    """Processes that are started find no torch, and write down their environment: its folder."""

    def made(seconds=0):
        (tmp_path / "shadow").mkdir()
        (tmp_path / "shadow" / "torch.py").write_text(DUMPING.format(seconds=seconds))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "shadow"), prepend=os.pathsep)
        return tmp_path / "shadow"

    return made


def words(desk, model, *more, epoch=1, out="out"):
    typed = ("import-model", model, "--scheme", "le", "--epoch", epoch, "--name", "pets", "--out", desk.root / out)
    return (*typed, "--log", desk.root / "box", *more)


def imports(desk, model, *more, name="anna", **options):
    (facts,) = desk.json(name, *words(desk, model, *more, **options), box=False)
    return facts, bundle.load(desk.root / options.get("out", "out"), desk.log(), now())


def refused(desk, model, *more, name="anna", **options):
    """Code and sentence of a refusal that left nothing anywhere."""
    before = listing(desk)
    code, sentence = desk.refused(name, *words(desk, model, *more, **options), box=False)
    assert listing(desk) == before
    return code, sentence


def listing(desk):
    return {path for path in desk.root.rglob("*") if not path.name.endswith(".lock")}


def test_the_example_uses_options_that_exist(desk, monkeypatch):
    status, out, _ = desk.run("holder", "import-model", "--help")
    (example,) = [line.strip() for line in out.splitlines() if line.startswith("  blindsight holder")]
    typed = shlex.split(example)
    assert (status, typed[:3]) == (0, ["blindsight", "holder", "import-model"])
    monkeypatch.setattr(Verbs, "main", lambda self, words: self._parser.parse_args(words) and 0)
    assert desk.run(*typed[1:])[0] == 0


def test_the_help_says_to_whom_plain_weights_must_not_go(desk):
    out = " ".join(desk.run("holder", "import-model", "--help")[1].split())
    assert "give the plain weights to nobody who must not see the images" in out


def test_a_converted_model_is_imported_without_any_process(desk, world, converted, no_process):
    facts, loaded = imports(desk, converted)
    assert facts == {
        "bundle": str(desk.root / "out"),
        "model": loaded.predicate["model"],
        "source": "a model in the files of a bundle, without a statement",
        "scheme": LE.to_json(),
        "epoch": 1,
        "signed_by": desk.label("anna"),
        "statement": loaded.envelope.mid,
    }
    before = models.engine({bundle.MODEL: (converted / bundle.MODEL).read_bytes()})
    got = Engine.of(loaded).infer(world.cipher(LE, 1).encrypt(pictures(100)))
    assert np.abs(got - before.infer(pictures(100))).max() < TOLERANCE
    assert (loaded.predicate["model"]["name"], loaded.signer) == ("pets", desk.label("anna"))


def test_people_read_what_was_done_and_are_warned(desk, converted):
    status, out, err = desk.type("anna", *words(desk, converted), box=False)
    assert status == 0
    assert [line.split("  ")[0] for line in out.splitlines()] == [
        "bundle",
        "model",
        "source",
        "scheme",
        "epoch",
        "signed by",
        "statement",
    ]
    assert "the plain model finds the key of scheme le" in err


def test_the_operator_checks_and_inspects_an_imported_model(desk, converted):
    imports(desk, converted)
    for verb in (("operator", "check"), ("protocol", "inspect")):
        status, out, err = desk.run(*verb, desk.root / "out", "--log", desk.root / "box", "--json")
        assert status == 0, out + err
    status, out, _ = desk.run("operator", "check", desk.root / "out", "--log", desk.root / "box")
    assert f"by {desk.label('anna')}" in out
    assert "nobody of this federation" in out


def test_a_network_on_bytes_is_converted_to_nibbles_in_a_process_of_its_own(desk, world, tmp_path, monkeypatch):
    network, run, started = own("small", params("small")), subprocess.run, []
    folder = foreign_models.write_own(tmp_path / "ours", "small", params("small"), network)
    before = listing(desk)
    monkeypatch.setattr(subprocess, "run", lambda command, **more: started.extend(command) or run(command, **more))
    facts, loaded = imports(desk, folder)
    assert started[started.index("--out") + 1].startswith(str(desk.root / "anna" / ".keystore.json.plain"))
    assert facts["source"] == "network small of blindsight"
    assert loaded.predicate["arch"]["params"]["unit"] == "nibble"
    assert {path for path in listing(desk) - before if desk.root / "out" not in (path, *path.parents)} == set()
    encrypted = world.cipher(loaded.descriptor, 1).encrypt(images(200))
    assert alike(Engine.of(loaded).infer(encrypted), answers(network, images(200)))
    Engine.of(loaded).demand_answers(selftest_in(loaded))


def test_what_a_transformer_does_not_say_is_typed_and_passed_on(desk, world, tmp_path):
    made = foreign_models.transformer(eps=0.01)
    file = foreign_models.write_timm(tmp_path / "vit.safetensors", made)
    mean, std = (",".join(map(str, numbers)) for numbers in (MEAN, STD))
    told = ("--heads", "3", "--mean", mean, "--std", std, "--eps", "0.01", "--size", "16x24")
    facts, loaded = imports(desk, file, *told, "--classes", ",".join(CLASSES))
    assert (facts["source"], loaded.classes) == ("vision transformer in the layout of timm", CLASSES)
    assert loaded.descriptor.params == {"block": 4}
    encrypted = world.cipher(loaded.descriptor, 1).encrypt(images(200))
    assert alike(Engine.of(loaded).infer(encrypted), made.logits(images(200)))
    assert loaded.shape == SHAPE


# The process that converts.


def test_what_the_process_refuses_is_refused_here(desk, tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    code, sentence = refused(desk, tmp_path / "pytorch_model.bin")
    assert (code, "runs programs" in sentence, "save_file" in sentence) == ("E_FORMAT", True, True)
    code, sentence = refused(desk, tmp_path / "pytorch_model.bin", "--size", "large")
    assert (code, "status 2" in sentence, "expected a size like 224x224" in sentence) == ("E_DATA", True, True)


def test_without_torch_it_says_what_to_install(desk, tmp_path, without_torch):
    without_torch()
    before = listing(desk)
    status, out, err = desk.type("anna", *words(desk, tmp_path / "theirs"), "--json", box=False)
    error = json.loads(out)["error"]
    assert (status, error["code"], "needs torch" in error["message"]) == (MISSING_EXTRA, "E_EXTRA", True)
    assert 'pip install "blindsight[trainer]"' in error["hint"]
    assert "Traceback" not in err
    assert listing(desk) == before


def test_the_process_gets_nothing_that_opens_a_keystore(desk, tmp_path, without_torch, monkeypatch):
    shadow = without_torch()
    monkeypatch.setenv("BLINDSIGHT_PASSPHRASE_FILE", str(desk.root / "anna" / "passphrase"))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(desk.root / "anna"))
    desk.type("anna", *words(desk, tmp_path / "theirs"), box=False)
    environment = json.loads((shadow / "environment").read_text())
    assert environment["PYTHONSAFEPATH"] == "1"
    assert [name for name in environment if name.startswith(("BLINDSIGHT_", "CREDENTIALS_"))] == []


def typed(desk, model):
    """The command as a process of its own, at the moment when it converts."""
    site = desk.root / "anna"
    line = [*words(desk, model), "--keystore", site / "keystore.json", "--passphrase-file", site / "passphrase"]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "blindsight.cli", "holder", *map(str, line)], stderr=subprocess.PIPE
    )
    return process, site / ".keystore.json.plain"


def wait_for(path):
    for _ in range(2000):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


def test_interrupted_it_leaves_nothing(desk, tmp_path, without_torch):
    shadow, before = without_torch(seconds=600), listing(desk)
    process, folder = typed(desk, tmp_path / "theirs")
    wait_for(shadow / "environment")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    process.send_signal(signal.SIGINT)
    assert (process.wait(60), b"interrupted" in process.communicate()[1]) == (130, True)
    assert listing(desk) == before


def test_what_a_killed_run_left_is_cleared_by_the_next(desk, converted, tmp_path, without_torch):
    folder = desk.root / "anna" / ".keystore.json.plain"
    (folder / "plain").mkdir(parents=True)
    (folder / "plain" / bundle.WEIGHTS).write_bytes(b"plain weights")
    without_torch()
    desk.type("anna", *words(desk, tmp_path / "theirs"), box=False)
    assert not folder.exists()


# Refusals of the rest.


def test_an_epoch_that_is_not_agreed_is_refused(desk, converted, no_process):
    assert refused(desk, converted, epoch=7)[0] == "E_EPOCH"


def test_into_a_retired_epoch_nothing_is_imported(desk, converted):
    desk.retired(1)
    assert refused(desk, converted)[0] == "E_RETIRED"


def test_into_an_epoch_that_a_member_warns_of_only_by_decision(desk, converted):
    desk.act("bert", notices.warn, 1, "laptop stolen", now())
    assert refused(desk, converted)[0] == "E_NOTICE"
    desk.json("anna", *words(desk, converted, "--despite-notice", "the laptop is found"), box=False)
    (line,) = (desk.root / "anna" / "overrides.jsonl").read_text().splitlines()
    assert json.loads(line)["verb"] == "holder import-model"


def test_without_a_secret_nothing_is_imported(desk, converted):
    desk.loses("anna")
    assert refused(desk, converted)[0] == "E_EPOCH"


def test_a_scheme_that_no_model_follows_is_refused_before_anything_is_converted(desk, converted, no_process):
    assert refused(desk, converted, "--scheme", "ele")[0] == "E_SCHEME"
    assert "not allowed in epoch 1" in refused(desk, converted, "--scheme", "block-shuffle")[1]


def test_nobody_imports_for_a_federation_whose_code_was_not_compared(desk, converted):
    with desk.store("anna") as store:
        store.data["feds"][desk.fed]["verified"] = "none"
        store.save()
    assert refused(desk, converted)[0] == "E_UNVERIFIED"


def test_a_member_who_was_removed_imports_nothing(desk, converted):
    desk.removed("cleo")
    assert refused(desk, converted, name="cleo")[0] == "E_ROSTER"


def test_what_stands_at_the_target_is_never_overwritten(desk, converted, no_process):
    (desk.root / "out").mkdir()
    assert refused(desk, converted)[0] == "E_EXISTS"


def test_a_name_that_no_statement_takes_is_refused(desk, converted):
    typed = words(desk, converted)
    longer = tuple("x" * 200 if word == "pets" else word for word in typed)
    assert desk.refused("anna", *longer, box=False)[0] == "E_FORMAT"


def test_no_secret_is_said_or_written(desk, world, converted):
    status, out, err = desk.type("anna", *words(desk, converted), box=False)
    shown = (out + err).encode() + b"".join(path.read_bytes() for path in (desk.root / "out").iterdir())
    assert status == 0
    for secret in (world.secret(1), world.key(LE, 1)):
        assert secret not in shown
        assert secret.hex().encode() not in shown
