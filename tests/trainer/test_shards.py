"""Rows of encrypted shards come as asked, over shard borders, and are read from memory maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from blindsight.protocol import manifest, shard
from blindsight.protocol.errors import FormatError
from blindsight.trainer.shards import EncryptedShards, in_order, share_of, shuffled
from tests.trainer import sites

ROWS = 16


def paths_of(folder):
    return sorted((folder / "shards").iterdir())


@pytest.fixture(scope="module")
def rows(folders):
    return EncryptedShards(paths_of(folders[0]))


def test_all_rows_of_all_shards_are_there(rows, folders):
    assert len(paths_of(folders[0])) == 4
    assert len(rows) == ROWS


def test_rows_stand_as_the_shards_hold_them(rows, folders):
    opened = [shard.opened(path) for path in paths_of(folders[0])]
    images, labels = rows.__getitems__(range(ROWS))
    assert np.array_equal(images.numpy(), np.concatenate([one.images for one in opened]))
    assert np.array_equal(labels.numpy(), np.concatenate([one.labels for one in opened]))


@given(st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=40))
def test_a_batch_equals_its_rows_one_by_one(rows, chosen):
    images, labels = rows.__getitems__(chosen)
    for place, number in enumerate(chosen):
        image, label = rows[number]
        assert torch.equal(images[place], image)
        assert labels[place] == label


def test_a_row_is_an_image_and_a_number(rows):
    image, label = rows[3]
    assert (image.shape, image.dtype, label.shape, label.dtype) == ((8, 8, 3), torch.uint8, (), torch.int64)


def test_no_rows_are_an_empty_batch(rows):
    images, labels = rows.__getitems__([])
    assert (images.shape, labels.shape) == ((0, 8, 8, 3), (0,))


def test_a_batch_is_a_copy_that_may_be_written_to(rows):
    images, _ = rows.__getitems__([0])
    images.zero_()
    assert rows[0][0].any()


def test_shards_without_labels_are_refused(world, tmp_path):
    head = shard.ShardHead("00" * 16, world.log.fed, 1, "11" * 32, 0, 2)
    plan = shard.layout(head, (8, 8, 3), labelled=False)
    path = tmp_path / "bare.safetensors"
    path.write_bytes(plan.head + bytes(2 * 192))
    with pytest.raises(FormatError, match="labelled") as caught:
        EncryptedShards([path])
    assert caught.value.code == "E_TASK"


def test_a_file_that_is_no_shard_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"nothing")
    with pytest.raises(FormatError) as caught:
        EncryptedShards([tmp_path / "x"])
    assert caught.value.code == "E_SHARD"


def test_in_order_every_row_comes_once(rows):
    batches = in_order(rows, 5)
    sizes = [len(labels) for _, labels in batches]
    assert (sizes, len(batches)) == ([5, 5, 5, 1], 4)
    assert torch.equal(torch.cat([images for images, _ in batches]), rows.__getitems__(range(ROWS))[0])


def test_shuffled_every_row_comes_once_an_epoch(rows):
    batches = shuffled(rows, ROWS, 3, np.random.default_rng(0))
    every = sorted(image.numpy().tobytes() for image in rows.__getitems__(range(ROWS))[0])
    for images, _ in batches:
        assert sorted(image.numpy().tobytes() for image in images) == every


def test_every_epoch_has_an_order_of_its_own_that_follows_from_the_generator(rows):
    first, second = [list(shuffled(rows, ROWS, 2, np.random.default_rng(7))) for _ in range(2)]
    assert not torch.equal(first[0][0], first[1][0])
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, second, strict=True))


def test_a_last_batch_of_one_row_is_left_out(rows):
    assert [len(labels) for _, labels in shuffled(rows, 5, 1, np.random.default_rng(0))] == [5, 5, 5]


def test_successive_rounds_use_every_row_once_before_any_row_again():
    def orders(turn):
        return np.random.default_rng(turn)

    rounds = [share_of(10, 0.3, number, orders) for number in range(1, 11)]
    assert [len(one) for one in rounds] == [3] * 10
    used = np.concatenate(rounds)
    assert all(sorted(used[10 * turn : 10 * turn + 10]) == list(range(10)) for turn in range(3))
    assert list(share_of(10, 1.0, 2, orders)) == list(orders(1).permutation(10))
    assert len(share_of(10, 0.001, 1, orders)) == 1


def test_a_round_trains_on_the_rows_it_is_given_and_no_others(rows):
    chosen = np.array([1, 4, 9])
    ((images, _),) = shuffled(rows, 8, 1, np.random.default_rng(0), chosen)
    every = {image.numpy().tobytes() for image in rows.__getitems__(chosen)[0]}
    assert {image.numpy().tobytes() for image in images} == every


def test_batches_can_be_walked_twice(rows):
    batches = shuffled(rows, 8, 1, np.random.default_rng(0))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(batches, batches, strict=True))


def test_what_a_plan_published_is_what_is_read(world, tmp_path):
    folder = sites.published(world, 0, tmp_path / "out", rows=11)
    stated = manifest.load(folder, world.log)
    rows = EncryptedShards([folder / entry["path"] for entry in stated.predicate["shards"]])
    assert sorted(rows.__getitems__(range(11))[1].tolist()) == sorted(np.arange(11) % 3)
