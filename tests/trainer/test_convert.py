"""``blindsight trainer convert``: a plain network becomes the files of a bundle, whole or not at all."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from blindsight.cli import main
from blindsight.cli.arguments import Verbs
from blindsight.operator.engine import Engine
from blindsight.protocol import bundle, tensorfile
from blindsight.protocol.errors import DataError, FormatError, SchemeError
from blindsight.protocol.manifest import labels_digest, task_of
from blindsight.protocol.selftest import SelfTest
from blindsight.trainer import convert, convert_cli
from blindsight.trainer.told import Told
from tests.holder import models
from tests.operator import bundles
from tests.protocol import worlds
from tests.trainer import foreign_models
from tests.trainer.foreign_models import CLASSES, SHAPE, alike, answers, built, images, own, params

FILES = {bundle.MODEL, bundle.WEIGHTS, bundle.CONFIG, bundle.LABELS, bundle.SELFTEST}
WRONG_USAGE = 2
GIVEN = ("--heads", "3", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225", "--size", "16x24")


@pytest.fixture(scope="module")
def small():
    return own("small", params("small"))


@pytest.fixture(scope="module")
def theirs():
    return foreign_models.transformer(eps=1e-6)


@pytest.fixture
def ours(tmp_path, small):
    return foreign_models.write_own(tmp_path / "ours", "small", params("small"), small)


@pytest.fixture
def run(capsys):
    """Type the verb: exit status, facts or error, stderr."""

    def typed(*words):
        capsys.readouterr()
        try:
            status = main(["trainer", "convert", *map(str, words), "--json"])
        except SystemExit as stop:
            status = int(stop.code or 0)
        said = capsys.readouterr()
        return status, json.loads(said.out) if said.out else {}, said.err

    return typed


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def engine(files: dict[str, bytes]) -> Engine:
    return Engine(files[bundle.MODEL], SHAPE, len(CLASSES))


def refused(run, folder: Path, *words):
    """Code and sentence of a refusal that left nothing behind."""
    before = set(folder.iterdir())
    status, said, err = run(*words, "--out", folder / "out")
    assert (status, "Traceback" in err) == (1, False)
    assert set(folder.iterdir()) == before
    return said["error"]["code"], f"{said['error']['message']} / {said['error']['hint']}"


def test_the_example_uses_options_that_exist(capsys, monkeypatch):
    with pytest.raises(SystemExit):
        main(["trainer", "convert", "--help"])
    (example,) = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("  blindsight ")]
    monkeypatch.setattr(Verbs, "main", lambda self, words: self._parser.parse_args(words) and 0)
    assert main(shlex.split(example)[1:]) == 0


def test_a_network_of_ours_becomes_the_files_of_a_bundle(run, ours, small, tmp_path):
    status, facts, err = run(ours, "--out", tmp_path / "out", "--unit", "nibble")
    assert (status, err) == (0, "")
    assert facts == {
        "folder": str(tmp_path / "out"),
        "source": "network small of blindsight",
        "network": "small",
        "input": "16x24x3 uint8",
        "unit": "nibble",
        "block": 4,
        "classes": 5,
    }
    files = contents(tmp_path / "out")
    assert set(files) == FILES
    stated = params("small", "nibble")
    assert bundle.read_config(files[bundle.CONFIG]) == {"id": "small", "params": stated}
    assert bundle.read_labels(files[bundle.LABELS]) == CLASSES
    assert alike(engine(files).infer(images(300)), answers(small, images(300)))
    engine(files).demand_answers(SelfTest.from_bytes(files[bundle.SELFTEST]))
    layout = tensorfile.parse_layout(files[bundle.WEIGHTS], len(files[bundle.WEIGHTS]), "weights")
    assert json.loads(layout.metadata) == {"v": 1, "kind": "weights"}
    assert set(layout.tensors) == {name for name, t in small.state_dict().items() if t.is_floating_point()}


def test_a_hugging_face_folder_becomes_the_files_of_a_bundle(run, tmp_path):
    made = foreign_models.transformer(eps=foreign_models.CONFIG["layer_norm_eps"])
    folder = foreign_models.write_hugging_face(tmp_path / "theirs", made)
    status, facts, _ = run(folder, "--out", tmp_path / "out")
    assert (status, facts["network"], facts["unit"], facts["classes"]) == (0, "vit", "byte", 5)
    files = contents(tmp_path / "out")
    assert set(files) == FILES
    assert alike(engine(files).infer(images(300)), made.logits(images(300)))
    engine(files).demand_answers(SelfTest.from_bytes(files[bundle.SELFTEST]))


def test_a_file_in_timms_layout_is_read_with_what_is_typed(tmp_path, theirs):
    file = foreign_models.write_timm(tmp_path / "vit.safetensors", theirs)
    told = Told(heads=3, size=SHAPE[:2], classes=CLASSES, mean=foreign_models.MEAN, std=foreign_models.STD)
    plain = convert.read(file, told, None)
    assert (plain.arch["unit"], plain.arch["shape"], plain.classes) == ("byte", SHAPE, CLASSES)
    (tmp_path / "folder").mkdir()
    file.rename(tmp_path / "folder" / "model.safetensors")
    (tmp_path / "folder" / "config.json").write_text('{"num_attention_heads": 4}')
    assert convert.read(tmp_path / "folder", told, None).arch == plain.arch


def test_what_is_typed_goes_before_what_the_folder_says(tmp_path, theirs):
    folder = foreign_models.write_hugging_face(tmp_path / "theirs", theirs)
    other = convert.read(folder, Told(eps="0.5", classes=tuple("abcde")), "bit")
    assert (other.arch["options"]["eps"], other.classes, other.arch["unit"]) == ("0.5", tuple("abcde"), "bit")
    assert convert.read(folder, Told(), None).arch["options"]["eps"] == "0.001"


@pytest.mark.parametrize("content", ["cat\ndog\nowl\nnewt\nwasp\n", '["cat","dog","owl","newt","wasp"]', None])
def test_class_names_may_be_typed_or_lie_in_a_file(run, tmp_path, theirs, monkeypatch, content):
    file = foreign_models.write_timm(tmp_path / "vit.safetensors", theirs)
    (tmp_path / "names").write_text(content or "")
    found = []
    monkeypatch.setattr(convert, "files_of", lambda plain: found.append(plain) or {"nothing": b""})
    names = tmp_path / "names" if content else " cat, dog,owl,newt,wasp"
    assert run(file, "--out", tmp_path / "out", "--classes", names, *GIVEN)[0] == 0
    assert found[0].classes == CLASSES


# Refusals.


def test_what_no_file_says_is_asked_for(run, tmp_path, theirs):
    file = foreign_models.write_timm(tmp_path / "vit.safetensors", theirs)
    code, sentence = refused(run, tmp_path, file)
    assert (code, "how it normalises pixels" in sentence, "--mean" in sentence) == ("E_DATA", True, True)
    code, sentence = refused(run, tmp_path, file, *GIVEN)
    assert (code, "--classes" in sentence) == ("E_DATA", True)


@pytest.mark.parametrize(
    "words",
    [
        ("--mean", "0.5,0.5"),
        ("--mean", "grey"),
        ("--std", "nan"),
        ("--eps", "0"),
        ("--eps", "small"),
        ("--size", "224"),
        ("--size", "0x224"),
        ("--heads", "0"),
        ("--unit", "word"),
    ],
)
def test_options_that_mean_nothing_are_wrong_usage(run, tmp_path, words):
    assert run(tmp_path, "--out", tmp_path / "out", *words)[0] == WRONG_USAGE


def test_a_network_of_ours_says_itself_how_it_is_built(run, ours, tmp_path):
    for words in (("--heads", "3"), ("--mean", "0.5"), ("--size", "16x24"), ("--eps", "1e-6")):
        assert "says itself how it is built" in refused(run, tmp_path, ours, *words)[1]


def test_without_labels_a_network_of_ours_needs_class_names(ours):
    (ours / bundle.LABELS).unlink()
    with pytest.raises(DataError, match="what its classes are called"):
        convert.read(ours, Told(), None)
    assert convert.read(ours, Told(classes=CLASSES), None).classes == CLASSES


def test_a_coarser_unit_is_refused(run, tmp_path):
    stated = params("small", "nibble")
    folder = foreign_models.write_own(tmp_path / "ours", "small", stated, own("small", stated))
    assert refused(run, tmp_path, folder, "--unit", "byte")[0] == "E_SCHEME"


def test_a_bundle_for_encrypted_images_is_refused(tmp_path):
    folder = bundles.write(tmp_path / "le", worlds.world())
    with pytest.raises(SchemeError, match="is for images under scheme le") as caught:
        convert.read(folder, Told(), None)
    assert "rekey" in caught.value.hint


def test_a_bundle_for_plain_images_is_taken_and_its_statement_left_unverified(run, ours, small, tmp_path, monkeypatch):
    content = {name: (ours / name).read_bytes() for name in (bundle.WEIGHTS, bundle.CONFIG, bundle.LABELS)}
    arch = {"id": "small", "params": params("small")}
    stated = models.predicate(models.scheme("plain", SHAPE), "byte", arch=arch, task=task_of(CLASSES))
    stated["labels_digest"] = labels_digest(CLASSES)
    bundle.make(tmp_path / "signed", models.TRAINER, stated, {**content, bundle.MODEL: b"not read"})
    found = []
    monkeypatch.setattr(convert, "files_of", lambda plain: found.append(plain) or {"nothing": b""})
    status, _, err = run(tmp_path / "signed", "--out", tmp_path / "out")
    assert (status, "statement in" in err, "is not verified" in err) == (0, True, True)
    assert alike(answers(built(found[0]), images(20)), answers(small, images(20)))


def test_pickles_are_refused_in_one_sentence(run, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    assert refused(run, tmp_path, tmp_path / "theirs")[0] == "E_FORMAT"
    assert "runs programs" in refused(run, tmp_path, tmp_path / "theirs" / "pytorch_model.bin")[1]


def test_a_folder_or_file_of_something_else_is_refused(run, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "got neither" in refused(run, tmp_path, tmp_path / "empty")[1]
    assert refused(run, tmp_path, tmp_path / "none")[0] == "E_IO"
    (tmp_path / "text").write_text("A poem of some length, and no tensor in it.")
    assert refused(run, tmp_path, tmp_path / "text")[0] == "E_SHARD"


def test_what_stands_at_the_target_is_never_overwritten(run, ours, tmp_path):
    (tmp_path / "out").mkdir()
    status, said, _ = run(ours, "--out", tmp_path / "out")
    assert (status, said["error"]["code"], list((tmp_path / "out").iterdir())) == (1, "E_EXISTS", [])


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_disk_that_is_full_leaves_nothing(run, ours, tmp_path, monkeypatch, count):
    written, write = [], convert_cli.write_whole

    def full(path, data):
        if len(written) == count:
            raise OSError(28, "No space left on device")
        written.append(path)
        write(path, data)

    monkeypatch.setattr(convert_cli, "write_whole", full)
    monkeypatch.setattr(convert, "files_of", lambda plain: dict.fromkeys(FILES, b"x"))
    code, sentence = refused(run, tmp_path, ours)
    assert (code, "No space left" in sentence) == ("E_IO", True)


def test_what_a_killed_run_left_is_cleared(run, ours, tmp_path, monkeypatch):
    (tmp_path / ".out.part").mkdir()
    (tmp_path / ".out.part" / "half").write_bytes(b"x")
    monkeypatch.setattr(convert, "files_of", lambda plain: dict.fromkeys(FILES, b"x"))
    assert run(ours, "--out", tmp_path / "out")[0] == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert not (tmp_path / ".out.part").exists()


def test_a_model_whose_json_is_damaged_is_refused(tmp_path, theirs):
    folder = foreign_models.write_hugging_face(
        tmp_path / "theirs", theirs, foreign_models.CONFIG | {"hidden_act": "relu"}
    )
    with pytest.raises(FormatError, match="hidden_act"):
        convert.read(folder, Told(), None)
