"""``blindsight simulate --until publish`` leaves every holder's encrypted images, says where, and can go on."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest

from blindsight.cli import main
from blindsight.protocol import manifest, shard
from blindsight.protocol.dropbox import DropBox
from blindsight.simulation.settings import FILE_NAME

VIEWS = ("--views", "2", "--crop", "2", "--jitter", "0.3", "--cutout", "3")
GAME = ("--holders", "2", "--limit", "60", "--val", "7", *VIEWS)
HOLDERS, SPLITS = ("holder-1", "holder-2"), ("train", "val", "test")


def simulate(out: Path, *words: str) -> str:
    """What the command prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["simulate", *GAME, "--out", str(out), "--until", "publish", *words]) == 0
    return printed.getvalue()


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("until") / "published"


@pytest.fixture(scope="module")
def result(out):
    return json.loads(simulate(out, "--json"))


def stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}


def test_every_split_of_every_holder_is_named_with_its_folder(result, out):
    places = [(one["holder"], one["split"], one["folder"]) for one in result["datasets"]]
    assert places == [(name, split, str(out / name / "datasets" / split)) for name in HOLDERS for split in SPLITS]


def test_the_shards_lie_there_whole_and_unsealed(result, out):
    log = DropBox(out / "dropbox").log()
    assert result["federation"] == log.code
    for one in result["datasets"]:
        stated = manifest.load(Path(one["folder"]), log)
        assert manifest.shard_faults(stated, Path(one["folder"])) == []
        opened = [shard.opened(Path(one["folder"]) / entry["path"]) for entry in stated.predicate["shards"]]
        assert one["rows"] == sum(len(part.images) for part in opened)
        assert all(part.labels is not None for part in opened)


def test_so_many_images_are_held_out_as_were_asked_for(result):
    rows = {(one["holder"], one["split"]): one["rows"] for one in result["datasets"]}
    assert [rows[name, "val"] for name in HOLDERS] == [7, 7]
    assert [rows[name, "train"] for name in HOLDERS] == [2 * 23, 2 * 23]


def test_only_training_images_have_views(result, out):
    log = DropBox(out / "dropbox").log()
    texts = [manifest.load(Path(one["folder"]), log).predicate["dataset"]["description"] for one in result["datasets"]]
    for text, one in zip(texts, result["datasets"], strict=True):
        assert text.startswith("2 views an image" if one["split"] == "train" else "1 view an image")
    assert "up to 2 pixels, colour jitter of strength 0.3, a square of 3 pixels" in texts[0]


def test_nothing_is_trained(result, out):
    assert set(result["seconds"]) == {"deal", "agree", "publish", "check"}
    assert not (out / "trainer" / "run").exists()
    assert not list((out / "dropbox").glob("*/models"))


def test_where_it_stops_is_no_setting_of_the_simulation(result, out):
    assert "until" not in json.loads((out / FILE_NAME).read_bytes())


def test_stopping_there_again_changes_no_shard_and_says_the_same(result, out):
    before = stamps(out)
    again = json.loads(simulate(out, "--json", "--resume"))
    assert {**again, "seconds": None} == {**result, "seconds": None}
    assert stamps(out) == before


def test_people_get_a_small_table(result, out):
    lines = simulate(out, "--resume").splitlines()
    assert lines[0].split() == [
        "holder-1,",
        "train",
        "46",
        "images",
        "in",
        str(out / "holder-1" / "datasets" / "train"),
    ]
    assert lines[-2].split() == ["federation", result["federation"]]
    assert len(lines) == len(HOLDERS) * len(SPLITS) + 2


def test_a_folder_with_published_images_asks_for_resume(result, out, capsys):
    assert main(["simulate", *GAME, "--out", str(out), "--until", "publish"]) == 1
    assert "add --resume to go on" in capsys.readouterr().err
