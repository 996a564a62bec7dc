"""A node opens its own holder's data, verified, and says briefly what is wrong with it."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from blindsight.protocol.errors import BlindsightError, FederationError
from blindsight.protocol.manifest import FILE_NAME
from blindsight.trainer.node import NODES_VARIABLE, folders_of, load
from tests.trainer import sites


@pytest.fixture
def mine(folders, tmp_path):
    """The first holder's train and val splits, copied."""
    places = tuple(tmp_path / folder.name for folder in folders[:2])
    for folder, place in zip(folders, places, strict=False):
        shutil.copytree(folder, place)
    return places


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_a_node_knows_holder_rows_scheme_and_classes(world, mine):
    data = load(mine)
    assert (data.holder, len(data.train), len(data.val), data.classes) == (world.keys[0].entry.fpr, 16, 7, 3)
    assert (data.descriptor.id, data.descriptor.shape) == ("le", (8, 8, 3))


def test_the_manifests_go_to_the_server_as_they_lie(mine):
    assert load(mine).envelopes == tuple((folder / FILE_NAME).read_bytes() for folder in mine)


def test_a_val_split_may_be_absent(mine):
    assert load(mine[:1]).val is None


def test_a_train_split_must_be_there(mine):
    with pytest.raises(FederationError, match="no train split"):
        load(mine[1:])


def test_splits_of_two_holders_are_refused(folders):
    with pytest.raises(FederationError, match="several holders"):
        load((folders[0], folders[3]))


def test_one_split_twice_is_refused(folders):
    with pytest.raises(FederationError, match="train"):
        load((folders[0], folders[2]))


def test_a_damaged_shard_is_refused_in_a_short_sentence_without_paths_of_the_site(mine):
    flip(next((mine[0] / "shards").iterdir()))
    with pytest.raises(FederationError) as caught:
        load(mine)
    assert caught.value.code == "E_SHA"
    assert caught.value.message.partition(", ")[2].startswith("train split: shards/")
    assert str(mine[0]) not in caught.value.message
    assert len(caught.value.message) < 120


def test_a_shard_damaged_after_it_was_loaded_is_noticed_at_the_next_load(mine):
    load(mine)
    flip(next((mine[0] / "shards").iterdir()))
    with pytest.raises(FederationError):
        load(mine)


def test_a_missing_shard_is_refused(mine):
    next((mine[0] / "shards").iterdir()).unlink()
    with pytest.raises(FederationError) as caught:
        load(mine)
    assert caught.value.code == "E_IO"


def test_a_missing_manifest_is_refused(mine):
    (mine[1] / FILE_NAME).unlink()
    with pytest.raises(BlindsightError, match="manifest"):
        load(mine)


def test_folders_come_from_the_nodes_own_configuration(tmp_path):
    assert folders_of({"datasets": f"{tmp_path}/a{os.pathsep}{tmp_path}/b"}) == (tmp_path / "a", tmp_path / "b")


def test_simulated_nodes_find_their_folders_by_number(tmp_path, monkeypatch):
    (tmp_path / "nodes.json").write_text(json.dumps([["a"], ["b", "c"]]))
    monkeypatch.setenv(NODES_VARIABLE, str(tmp_path / "nodes.json"))
    assert [str(folder) for folder in folders_of({"partition-id": 1, "num-partitions": 2})] == ["b", "c"]


def test_a_node_that_is_not_configured_says_how_to(monkeypatch):
    monkeypatch.delenv(NODES_VARIABLE, raising=False)
    with pytest.raises(FederationError) as caught:
        folders_of({})
    assert "--node-config" in caught.value.hint


def test_a_folder_may_have_a_colon_in_its_name(world, box, tmp_path):
    folder = sites.published(world, 0, tmp_path / "10:30" / "train")
    last = sites.trained(box, [folder], tmp_path / "run", sites.RunConfig(rounds=1, recipe=sites.CONFIG.recipe))
    assert last.number == 1
