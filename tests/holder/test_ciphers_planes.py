"""Blocks are turned into planes by words where they can be, by bytes elsewhere: both give the same."""

from __future__ import annotations

import numpy as np
import pytest

from blindsight.holder.ciphers import planes
from blindsight.holder.ciphers.blocks import permute_bytes, permute_nibbles

# (n, h, w, c), block: whole and broken numbers of rows of blocks, one word and several a run, several bands
SHAPES = [
    ((1, 16, 16, 3), 4),
    ((1, 20, 12, 3), 4),
    ((3, 28, 28, 1), 4),
    ((2, 48, 16, 3), 8),
    ((5, 32, 16, 1), 16),
    ((70, 12, 20, 3), 4),
]


def by_hand(images, block, permutation):
    """The definition: every block on its own."""
    out = np.empty_like(images)
    for n, row, column in np.ndindex(len(images), images.shape[1] // block, images.shape[2] // block):
        place = (n, slice(row * block, row * block + block), slice(column * block, column * block + block))
        out[place] = images[place].reshape(-1)[permutation].reshape(images[place].shape)
    return out


@pytest.fixture(params=[1, 1 << 40], ids=["by words", "by bytes"])
def _way(request, monkeypatch):
    monkeypatch.setattr(planes, "FEWEST_BYTES", request.param)
    monkeypatch.setattr(planes, "BAND_BYTES", 8192)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize(("shape", "block"), SHAPES)
def test_the_bytes_of_every_block_are_permuted_as_defined(shape, block):
    rng = np.random.default_rng(1)
    images, permutation = rng.integers(0, 256, shape, np.uint8), rng.permutation(block * block * shape[3])
    out = np.zeros_like(images)
    permute_bytes(images, block, permutation, out)
    np.testing.assert_array_equal(out, by_hand(images, block, permutation))


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize(("shape", "block"), SHAPES)
def test_the_result_may_take_the_place_of_the_images(shape, block):
    rng = np.random.default_rng(2)
    images, size = rng.integers(0, 256, shape, np.uint8), 2 * block * block * shape[3]
    permutation, mask = rng.permutation(size), rng.integers(0, 2, size).astype(np.bool_)
    apart = np.zeros_like(images)
    permute_nibbles(images, block, permutation, mask, apart)
    permute_nibbles(images, block, permutation, mask, images)
    np.testing.assert_array_equal(images, apart)


def test_words_and_bytes_give_the_same_nibbles(monkeypatch):
    rng = np.random.default_rng(3)
    images, permutation, mask = (
        rng.integers(0, 256, (9, 20, 16, 3), np.uint8),
        rng.permutation(96),
        rng.random(96) < 0.5,
    )
    found = []
    for fewest in (1, 1 << 40):
        monkeypatch.setattr(planes, "FEWEST_BYTES", fewest)
        found.append(np.zeros_like(images))
        permute_nibbles(images, 4, permutation, mask, found[-1])
    np.testing.assert_array_equal(*found)
