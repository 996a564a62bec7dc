"""``blindsight operator`` prints data on stdout, refuses before inference with exit 1, and never imports torch."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from onnx import numpy_helper

from blindsight.cli import main
from blindsight.operator.admission import Terms
from blindsight.operator.cli import _facts
from blindsight.operator.engine import Engine
from blindsight.protocol import bundle
from blindsight.protocol.scheme import Descriptor
from blindsight.protocol.selftest import SelfTest
from tests.operator import bundles
from tests.protocol import worlds
from tests.protocol.worlds import CLASSES


@pytest.fixture
def run(capsys, box, folder, monkeypatch):
    """Run a verb on the bundle: exit status, lines of stdout."""
    monkeypatch.setattr("blindsight.operator.cli.now", lambda: worlds.NOW)

    def command(verb, *words, model=folder):
        status = main(["operator", verb, str(model), *map(str, words), "--log", str(box)])
        return status, capsys.readouterr().out.splitlines()

    return command


@pytest.fixture
def labelled(world, tmp_path):
    """Twenty images, nineteen of them labelled as the network answers."""
    pictures = bundles.images(20)
    labels = bundles.expected(pictures).argmax(axis=1)
    labels[7] = (labels[7] + 1) % 3
    return bundles.write_shard(tmp_path / "test.safetensors", world, pictures, labels)


def test_check_prints_who_made_it_for_what_and_the_tag(run, loaded):
    status, lines = run("check", "--json")
    facts = json.loads(lines[0])
    assert (status, facts["tag"].split(".")[0], facts["classes"]) == (0, loaded.tag.digest, list(CLASSES))
    assert (facts["epoch"], facts["scheme"]["id"], facts["trainer"]) == (1, "le", loaded.trainer)


def test_check_prints_a_table_for_people(run):
    status, lines = run("check")
    assert status == 0
    assert "8x8x3 uint8" in next(line for line in lines if line.startswith("input"))


@pytest.mark.parametrize(
    ("scheme", "brief"), [("le", "le v1 (block 4)"), ("cat-map", "cat-map v1"), ("pixel", "pixel v1 (scope common)")]
)
def test_a_scheme_is_shown_with_its_parameters_if_it_has_any(loaded, world, scheme, brief):
    descriptor = Descriptor.of(scheme, (8, 8, 3))
    under = dataclasses.replace(loaded, predicate={**loaded.predicate, "scheme": descriptor.to_json()})
    assert _facts(under, world.log, as_json=False)["scheme"] == brief


def test_the_input_of_a_scheme_that_shrinks_images_is_of_encrypted_ones(loaded, world):
    descriptor = Descriptor.of("patch-mix", (8, 8, 3))
    under = dataclasses.replace(loaded, predicate={**loaded.predicate, "scheme": descriptor.to_json()})
    assert _facts(under, world.log, as_json=False)["input"] == "4x4x3 uint8"
    assert Terms.of(under, None).shape == (4, 4, 3)


def test_check_accepts_the_federation_code_that_a_member_read_out(run, world):
    assert run("check", "--federation", world.log.code)[0] == 0


def test_check_refuses_a_changed_model(run, world, tmp_path):
    copy = bundles.write(tmp_path / "copy", world)
    (copy / bundle.MODEL).write_bytes(bundles.onnx_model() + b"\0")
    assert run("check", model=copy)[0] == 1


def test_check_refuses_a_signed_model_that_does_not_run(run, world, tmp_path):
    signed = bundles.write(tmp_path / "b", world, bundles.files(**{bundle.MODEL: b"junk"}))
    assert run("check", model=signed)[0] == 1


# The self-test.


def with_self_test(world, folder, logits=None, **changes):
    """A bundle with a self-test, by default the right one."""
    pictures = bundles.images(8)
    test = SelfTest(pictures, bundles.expected(pictures) if logits is None else logits)
    return bundles.write(folder, world, bundles.files(**{bundle.SELFTEST: test.to_bytes(), **changes}))


def test_check_prints_what_the_self_test_gave(run, world, tmp_path):
    own = with_self_test(world, tmp_path / "b")
    status, lines = run("check", model=own)
    line = next(line for line in lines if line.startswith("self-test"))
    assert (status, line.split()[1:-1]) == (0, ["8", "images,", "largest", "difference"])
    found = json.loads(run("check", "--json", model=own)[1][0])["self_test"]
    assert found["images"] == 8
    assert 0 <= found["largest_difference"] < 1e-5


def test_a_bundle_without_a_self_test_is_accepted_and_check_says_so(run):
    status, lines = run("check")
    assert (status, next(line for line in lines if line.startswith("self-test")).split()) == (0, ["self-test", "none"])
    assert json.loads(run("check", "--json")[1][0])["self_test"] is None


@pytest.mark.parametrize("verb", ["check", "predict"])
def test_a_model_that_answers_otherwise_is_refused_before_any_image(run, world, tmp_path, labelled, verb):
    other = bundles.onnx_model(numpy_helper.from_array(bundles.WEIGHT * np.float32(1.01), "weight"))
    own = with_self_test(world, tmp_path / "b", **{bundle.MODEL: other})
    status, lines = run(verb, *([labelled] if verb == "predict" else []), "--json", model=own)
    error = json.loads(lines[0])["error"]
    assert (status, len(lines), error["code"]) == (1, 1, "E_SERVING")
    assert "self-test differs" in error["message"]


@pytest.mark.parametrize("logits", [np.zeros((8, 4), np.float32), np.zeros((8, 2), np.float32)])
def test_a_self_test_for_other_classes_is_refused(run, world, tmp_path, logits):
    status, lines = run("check", "--json", model=with_self_test(world, tmp_path / "b", logits))
    assert (status, json.loads(lines[0])["error"]["code"]) == (1, "E_FORMAT")


def test_a_damaged_self_test_is_refused(run, world, tmp_path):
    own = with_self_test(world, tmp_path / "b", **{bundle.SELFTEST: b"junk"})
    status, lines = run("check", "--json", model=own)
    assert (status, json.loads(lines[0])["error"]["code"]) == (1, "E_SHARD")


# Figures and where a model comes from.


def test_for_people_the_figures_of_a_holder_stand_beside_its_label(loaded, world):
    member, gone = world.keys[0].entry, "ab" * 32
    metrics = {"val-n": "9", f"holder/{member.fpr}/val-n": "5", f"holder/{gone}/val-n": "4"}
    under = dataclasses.replace(loaded, predicate={**loaded.predicate, "metrics": metrics})
    shown = _facts(under, world.log, as_json=False)
    assert shown["metrics"] == {"val-n": "9"}
    assert shown[f"metrics of {member.label}"] == {"val-n": "5"}
    assert shown[f"holder/{gone}"] == {"val-n": "4"}
    assert _facts(under, world.log, as_json=True)["metrics"] == metrics


@pytest.mark.parametrize(
    ("derived", "key", "words"),
    [
        ({"how": "rekeyed", "epochs": [1, 2]}, "rekeyed", "by ward-a; before for epoch 1, 2"),
        ({"how": "imported", "epochs": []}, "imported", "by ward-a"),
    ],
)
def test_who_re_keyed_or_imported_a_model_is_said(loaded, world, derived, key, words):
    under = dataclasses.replace(loaded, signer="ward-a", predicate={**loaded.predicate, "derived": derived})
    assert _facts(under, world.log, as_json=False)[key] == words
    as_json = _facts(under, world.log, as_json=True)
    assert (as_json["derived"], as_json["signed by"]) == (derived, "ward-a")


def test_a_model_that_nobody_here_trained_has_no_trainer(loaded, world):
    under = dataclasses.replace(loaded, trainer=None)
    assert _facts(under, world.log, as_json=True)["trainer"] is None
    assert _facts(under, world.log, as_json=False)["trainer"] == "nobody of this federation"


# Predicting.


def test_predict_prints_a_line_an_image_and_the_accuracy_last(run, labelled):
    status, lines = run("predict", labelled, "--json", "--batch", 6)
    *rows, summary = map(json.loads, lines)
    wanted = bundles.expected(bundles.images(20)).argmax(axis=1)
    assert status == 0
    assert [(row["row"], row["class"]) for row in rows] == [(n, CLASSES[k]) for n, k in enumerate(wanted)]
    low, high = summary["summary"].pop("interval")
    assert summary["summary"] == {"n": 20, "hits": 19, "accuracy": 0.95}
    assert low < 0.95 < high


def test_predict_prints_a_table_for_people(run, labelled):
    status, lines = run("predict", labelled)
    assert (status, len(lines)) == (0, 21)
    assert lines[-1].startswith("accuracy 0.9500 on 20 labelled images")


def test_without_labels_there_is_no_summary(run, world, tmp_path):
    path = bundles.write_shard(tmp_path / "s", world, bundles.images(3))
    status, lines = run("predict", path, "--json")
    assert (status, ["summary" in json.loads(line) for line in lines]) == (0, [False] * 3)


def test_the_table_goes_to_a_file_and_the_summary_to_stdout(run, labelled, tmp_path):
    status, lines = run("predict", labelled, "--json", "--out", tmp_path / "table.jsonl")
    written = (tmp_path / "table.jsonl").read_text().splitlines()
    assert (status, len(written), lines) == (0, 21, written[-1:])


def test_a_failure_leaves_no_file(run, labelled, tmp_path, monkeypatch):
    monkeypatch.setattr(Engine, "infer", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run("predict", labelled, "--out", tmp_path / "table")[0] == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == [labelled.name]


def test_an_unwritable_file_is_named(run, labelled, tmp_path):
    assert run("predict", labelled, "--out", tmp_path / "none" / "table")[0] == 1


def test_the_tag_that_check_prints_admits_untagged_images(run, tmp_path):
    np.save(tmp_path / "x.npy", bundles.images(4))
    tag = json.loads(run("check", "--json")[1][0])["tag"]
    status, lines = run("predict", tmp_path / "x.npy", "--tag", tag.upper(), "--json")
    assert (status, len(lines)) == (0, 4)


@pytest.mark.parametrize("claim", [{"epoch": 2}, {"scheme_digest": "00" * 32}])
def test_another_key_or_scheme_is_refused_before_the_model_is_even_loaded(run, world, tmp_path, monkeypatch, claim):
    monkeypatch.setattr(Engine, "__init__", lambda *_: pytest.fail("the model was loaded"))
    path = bundles.write_shard(tmp_path / "s", world, bundles.images(3), **claim)
    status, lines = run("predict", path, "--json")
    error = json.loads(lines[0])["error"]
    assert (status, error["code"]) == (1, "E_SCHEME")
    assert "expected" in error["message"]
    assert "got" in error["message"]


@pytest.mark.parametrize("size", ["0", "x", "65537"])
def test_an_impossible_batch_is_wrong_usage(run, labelled, size):
    with pytest.raises(SystemExit) as caught:
        run("predict", labelled, "--batch", size)
    assert caught.value.code == 2


def test_a_whole_prediction_imports_neither_torch_nor_flwr_nor_onnx(box, folder, labelled):
    program = f"""
import sys
import blindsight.operator.cli as cli
from datetime import datetime
cli.now = lambda: datetime.fromisoformat({worlds.NOW.isoformat()!r})
words = ["predict", {str(folder)!r}, {str(labelled)!r}, "--log", {str(box)!r}]
assert cli.main(words) == 0
heavy = {{"torch", "flwr", "onnx", "ray"}} & {{name.partition(".")[0] for name in sys.modules}}
assert not heavy, heavy
assert not [name for name in sys.modules if name.startswith(("blindsight.holder", "blindsight.trainer"))]
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("Error")) == (0, 0), done.stderr


def test_naming_the_role_imports_neither_numpy_nor_the_runtime():
    program = "import sys, blindsight.operator.cli; assert not {'numpy', 'onnxruntime', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
