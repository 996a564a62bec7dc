"""A finished run becomes a bundle that the operator accepts and runs, and that fits its own key and scheme only."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from blindsight.cli import main
from blindsight.protocol import bundle, tensorfile
from blindsight.protocol.clock import now
from blindsight.protocol.errors import BlindsightError, FederationError, MembershipError
from blindsight.protocol.interval import wilson
from blindsight.trainer import checkpoint, fingerprint, weights
from blindsight.trainer import export as exports
from blindsight.trainer.checkpoint import BEST, LAST
from blindsight.trainer.export import export
from blindsight.trainer.fit import NODES_FILE
from blindsight.trainer.job import Job
from blindsight.trainer.metrics import metrics_of
from blindsight.trainer.model import arch_of, model_for
from blindsight.trainer.networks import build
from blindsight.trainer.node import load
from blindsight.trainer.onnx_export import to_onnx
from blindsight.trainer.shards import EncryptedShards
from tests.protocol import worlds
from tests.protocol.worlds import CREATED
from tests.trainer import sites
from tests.trainer.sites import CONFIG, TRAINER


@pytest.fixture(scope="module")
def manifests(box, folders):
    return sites.verified(box, folders).manifests


@pytest.fixture(scope="module")
def exported(world, finished, manifests, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "pets"
    export(finished, manifests, world.log, TRAINER, out, name="pets", created=CREATED)
    return out


@pytest.fixture
def operator(capsys, box):
    """Run a verb of the operator: exit status, lines of stdout, stderr."""

    def run(verb, *words, log=box):
        capsys.readouterr()
        status = main(["operator", verb, *map(str, words), "--log", str(log), "--json"])
        said = capsys.readouterr()
        return status, [json.loads(line) for line in said.out.splitlines()], said.err

    return run


def test_the_operator_accepts_the_bundle(operator, exported, world):
    status, (facts,), _ = operator("check", exported)
    assert (status, facts["trainer"], facts["epoch"]) == (0, TRAINER.entry.label, 1)
    assert facts["classes"] == list(worlds.CLASSES)


def test_the_operator_answers_every_row_of_a_data_set_as_the_network_does(operator, exported, finished, folders):
    status, lines, _ = operator("predict", exported, folders[1])
    assert status == 0
    rows = EncryptedShards(sorted((folders[1] / "shards").iterdir()))
    images, labels = rows.__getitems__(range(len(rows)))
    best = checkpoint.load(finished / BEST, Job.load(finished).digest)
    network = model_for(load(tuple(folders[:2])).descriptor, 3, CONFIG).eval()
    weights.unpack(best.weights, network)
    expected = network(images).argmax(dim=1).tolist()
    assert [line["index"] for line in lines if "index" in line] == expected
    assert lines[-1]["summary"]["hits"] == int((np.array(expected) == labels.numpy()).sum())


def test_the_bundle_states_run_metrics_and_manifests(world, exported, finished, manifests):
    predicate = bundle.load(exported, world.log, now()).predicate
    best = checkpoint.load(finished / BEST, Job.load(finished).digest)
    assert predicate["training"]["manifests"] == sorted(manifest.envelope.mid for manifest in manifests)
    assert (predicate["training"]["rounds"], predicate["training"]["clients"]) == (best.number, 2)
    assert predicate["metrics"]["val-accuracy"] == f"{best.history[-1].accuracy:.6f}"


def test_the_bundle_states_how_many_rows_are_behind_its_figures(world, exported, finished):
    predicate = bundle.load(exported, world.log, now()).predicate
    best = checkpoint.load(finished / BEST, Job.load(finished).digest).history[-1]
    low, high = wilson(round(best.accuracy * 14), 14)
    assert predicate["metrics"] == metrics_of(best)
    assert predicate["metrics"]["val-n"] == "14"
    assert (predicate["metrics"]["val-accuracy-low"], predicate["metrics"]["val-accuracy-high"]) == (
        f"{low:.6f}",
        f"{high:.6f}",
    )
    assert {predicate["metrics"][f"holder/{key.entry.fpr}/val-n"] for key in world.keys} == {"7"}


def test_the_bundle_carries_self_test_fingerprint_and_card(world, exported, folders):
    files = bundle.load(exported, world.log, now()).files
    assert set(files) == {*bundle.REQUIRED, bundle.SELFTEST, bundle.FINGERPRINT, bundle.CARD}
    trained_on = [sorted((folder / "shards").iterdir()) for folder in (folders[2], folders[0])]
    arch = arch_of(load(tuple(folders[:2])).descriptor, 3, CONFIG)
    wanted = fingerprint.fingerprint_of([path for paths in trained_on for path in paths], arch)
    assert files[bundle.FINGERPRINT] == fingerprint.to_bytes(wanted)
    assert b"fingerprint.safetensors" in files[bundle.CARD]


def test_the_commands_on_the_card_work(exported, box, capsys):
    lines = (exported / bundle.CARD).read_text().splitlines()
    commands = [line for line in lines if line.startswith("blindsight ")]
    assert len(commands) == 2
    for command in commands:
        words = [{"BUNDLE": str(exported), "PLACE": str(box)}.get(word, word) for word in command.split()[1:]]
        assert main(words) == 0
    assert "self-test" in capsys.readouterr().out


def test_no_image_of_the_training_data_is_in_the_bundle(world, exported, folders):
    content = b"\0".join(bundle.load(exported, world.log, now()).files.values())
    seen = 0
    for place, folder in enumerate(folders):
        plain, _ = sites.pictures(17, 10 * (place // 2) + place % 2)
        rows = EncryptedShards(sorted((folder / "shards").iterdir()))
        for image in (*plain, *rows.__getitems__(range(len(rows)))[0].numpy()):
            assert image.tobytes() not in content
            assert image[3].tobytes() not in content  # not even one row of pixels
            seen += 1
    assert seen > 100


def test_a_model_with_other_weights_is_refused_by_the_self_test_though_its_trainer_signed_it(
    operator, world, exported, tmp_path
):
    loaded = bundle.load(exported, world.log, now())
    other = build("small", seed=77, **loaded.predicate["arch"]["params"])
    files = {**loaded.files, bundle.MODEL: to_onnx(other, loaded.shape)}
    bundle.make(tmp_path / "out", TRAINER, loaded.predicate, files)
    status, (error,), _ = operator("check", tmp_path / "out")
    assert (status, error["error"]["code"]) == (1, "E_SERVING")
    assert "self-test" in error["error"]["message"]


@pytest.fixture
def told():
    return []


def without_shards(finished, run, folders):
    """The run's folder at a trainer who has these data sets only."""
    shutil.copytree(finished, run)
    (run / NODES_FILE).write_text(json.dumps([[str(folder) for folder in folders]]))
    return run


def test_without_the_training_images_there_is_no_fingerprint_and_that_is_said(
    finished, folders, manifests, tmp_path, told
):
    run = without_shards(finished, tmp_path / "run", folders[:2])
    assert exports._fingerprint(run, manifests, CONFIG, told.append) == {}
    (sentence,) = told
    assert "no fingerprint" in sentence
    assert manifests[2].holder in sentence
    (run / NODES_FILE).unlink()
    assert exports._fingerprint(run, manifests, CONFIG, told.append) == {}
    assert len(told) == 2


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_shards_that_are_not_those_that_were_signed_give_no_fingerprint(
    finished, folders, manifests, tmp_path, told, damage
):
    shutil.copytree(folders[0], tmp_path / "copy")
    shard = sorted((tmp_path / "copy" / "shards").iterdir())[0]
    if damage == "gone":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    run = without_shards(finished, tmp_path / "run", [tmp_path / "copy", *folders[1:]])
    assert exports._fingerprint(run, manifests, CONFIG, told.append) == {}
    assert shard.name in told[0]


def test_a_bundle_without_fingerprint_is_as_good(operator, world, exported, tmp_path):
    loaded = bundle.load(exported, world.log, now())
    files = {name: data for name, data in loaded.files.items() if name != bundle.FINGERPRINT}
    bundle.make(tmp_path / "out", TRAINER, loaded.predicate, files)
    assert operator("check", tmp_path / "out")[0] == 0


def test_a_scheme_that_can_have_no_fingerprint_says_nothing(world, box, finished, tmp_path, told):
    folder = sites.published(world, 0, tmp_path / "train", scheme=("logistic-xor", {}))
    manifests = sites.verified(box, [folder]).manifests
    assert exports._fingerprint(finished, manifests, CONFIG, told.append) == {}
    assert not told


def test_a_pooled_run_is_stated_as_one(box, folders, finished, tmp_path):
    sites.trained(box, folders, tmp_path / "run", engine="pooled", workers=1)
    assert exports._strategy(tmp_path / "run", CONFIG) == "pooled"
    assert exports._strategy(finished, CONFIG) == "fedavg"


def test_nobody_but_a_trainer_of_the_roster_exports(world, finished, manifests, tmp_path):
    for key in (world.keys[0], worlds.identity("mallory", "trainer")):
        with pytest.raises(MembershipError) as caught:
            export(finished, manifests, world.log, key, tmp_path / "out", name="pets", created=CREATED)
        assert caught.value.code == "E_ROSTER"
    assert not (tmp_path / "out").exists()


def test_a_bundle_is_never_replaced(world, exported, finished, manifests):
    with pytest.raises(BlindsightError) as caught:
        export(finished, manifests, world.log, TRAINER, exported, name="pets", created=CREATED)
    assert caught.value.code == "E_EXISTS"


def test_a_run_on_other_manifests_is_not_exported(world, finished, manifests, tmp_path):
    with pytest.raises(FederationError, match="of the job are offered by no node"):
        export(finished, manifests[:2], world.log, TRAINER, tmp_path / "out", name="pets", created=CREATED)


def test_a_folder_without_a_run_says_what_to_do(world, manifests, tmp_path):
    with pytest.raises(FederationError) as caught:
        export(tmp_path, manifests, world.log, TRAINER, tmp_path / "out", name="pets", created=CREATED)
    assert caught.value.hint == "blindsight trainer fit"


def test_a_run_that_has_not_ended_is_not_exported(world, box, finished, manifests, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    last = checkpoint.load(run / LAST, Job.load(run).digest)
    checkpoint.Checkpoint(last.job, 1, last.weights, last.history[:1]).save(run / LAST)
    with pytest.raises(FederationError) as caught:
        export(run, manifests, world.log, TRAINER, tmp_path / "out", name="pets", created=CREATED)
    assert caught.value.hint == "blindsight trainer fit"


@pytest.mark.parametrize("scheme", ["le", "block-shuffle"])
def test_an_untrained_model_that_is_the_best_can_be_exported_too(scheme, world, box, tmp_path):
    folder = sites.published(world, 0, tmp_path / "train", scheme=(scheme, {"block": 4}))
    run = tmp_path / "run"
    sites.trained(box, [folder], run, sites.RunConfig(rounds=1, recipe=CONFIG.recipe))
    digest = Job.load(run).digest
    last = checkpoint.load(run / LAST, digest)
    checkpoint.Checkpoint(digest, 0, last.weights, last.history[:1]).save(run / BEST)
    manifests = sites.verified(box, [folder]).manifests
    export(run, manifests, world.log, TRAINER, tmp_path / "out", name="pets", created=CREATED)
    assert bundle.load(tmp_path / "out", world.log, now()).predicate["training"]["rounds"] == 0


@pytest.mark.parametrize(
    ("scheme", "arch", "centre"),
    [
        ("patch-mix", {"stem": "mixture", "unit": "byte", "block": 2, "shape": [4, 4, 3]}, ("127.5", "73.6")),
        ("logistic-xor", {"stem": "position", "unit": "bit", "block": 4, "shape": [8, 8, 3]}, ("0.5", "0.5")),
    ],
)
def test_a_bundle_states_the_network_that_its_operator_runs(operator, world, box, tmp_path, scheme, arch, centre):
    splits = {"train": 16, "val": 7}
    folders = [
        sites.published(world, 0, tmp_path / split, split, rows, scheme=(scheme, {})) for split, rows in splits.items()
    ]
    sites.trained(box, folders, tmp_path / "run", sites.RunConfig(rounds=1, precision="fp32", recipe=CONFIG.recipe))
    manifests = sites.verified(box, folders).manifests
    export(tmp_path / "run", manifests, world.log, TRAINER, tmp_path / "out", name="pets", created=CREATED)
    loaded = bundle.load(tmp_path / "out", world.log, now())
    assert loaded.predicate["arch"]["params"] == arch | {"classes": 3, "upsample": 2}
    assert loaded.predicate["input"]["shape"] == arch["shape"] == list(loaded.shape)
    assert (*loaded.predicate["input"]["mean"], *loaded.predicate["input"]["std"]) == centre
    status, lines, _ = operator("predict", tmp_path / "out", folders[1])
    images = EncryptedShards(sorted((folders[1] / "shards").iterdir())).__getitems__(range(7))[0]
    expected = rebuilt(loaded)(images).argmax(dim=1).tolist()
    assert (status, [line["index"] for line in lines if "index" in line]) == (0, expected)


def rebuilt(loaded):
    """The network that a bundle's statement names, with the bundle's weights."""
    arch = loaded.predicate["arch"]
    network = build(arch["id"], seed=9, **arch["params"]).eval()
    data = loaded.files[bundle.WEIGHTS]
    layout = tensorfile.parse_layout(data, len(data), bundle.WEIGHTS)
    tensors = {name: torch.from_numpy(tensorfile.view(data, layout, name).copy()) for name in layout.tensors}
    network.load_state_dict(tensors, strict=False)
    return network


# Predicting on what the model was not made for.


def test_images_of_another_epoch_are_refused_before_inference(operator, world, exported, tmp_path):
    later = sites.next_epoch(world)
    box = sites.write_log(later, tmp_path / "box")
    folder = sites.published(later, 0, tmp_path / "val", "val")
    for place in (folder, next((folder / "shards").iterdir())):
        status, lines, err = operator("predict", exported, place, log=box)
        assert (status, [line for line in lines if "index" in line]) == (1, [])
        assert lines[0]["error"]["code"] == "E_SCHEME"
        assert "expected" in err
        assert "got" in err


@pytest.mark.parametrize("scheme", [("block-shuffle", {"block": 4}), ("le", {"block": 8})])
def test_images_of_another_scheme_are_refused_before_inference(operator, world, exported, tmp_path, scheme):
    folder = sites.published(world, 0, tmp_path / "val", "val", scheme=scheme)
    for place in (folder, next((folder / "shards").iterdir())):
        status, lines, err = operator("predict", exported, place)
        assert (status, [line for line in lines if "index" in line]) == (1, [])
        assert lines[0]["error"]["code"] == "E_SCHEME"
        assert "expected" in err
        assert "got" in err
