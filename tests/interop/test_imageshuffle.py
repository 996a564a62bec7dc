"""Tanaka's own package ``imageshuffle`` gives the same bytes: combined cat map, block shuffle, nibbles.

It draws from a logistic map seeded with 32 bits, we from a stream under 256; so its draws are replayed with its own
generator and handed to our ciphers as explicit parameters. Not compared: the flag ``Arnold``, which is inverted there
and not what the paper's figures were made with, and images that are no square or do not divide into blocks, whose
remainder it leaves as it is. It is not in a registry: take the folder ``imageshuffle`` out of its repository
(github.com/mastnk/imageshuffle, whose folder ``tests`` would hide ours) into a place on ``PYTHONPATH``.
"""

import numpy as np
import pytest

from blindsight.holder.ciphers import BlockShuffleParameters, CatMapParameters, Cipher, LeParameters
from blindsight.protocol.scheme import Descriptor

theirs = pytest.importorskip("imageshuffle.imageshuffle", reason="the package imageshuffle is not installed")
scramble = pytest.importorskip("imageshuffle.imagescramble", reason="the package imageshuffle is not installed")
util = pytest.importorskip("imageshuffle.util", reason="the package imageshuffle is not installed")

KEYS = [1, 1234, 99_999, 2**31 + 5, 2**32 - 1]


def pixels(*shape):
    return np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)


def cat_map(key, side, channels):
    """What ``CatMapComb(key)`` draws for a square: four quadrants, then the whole."""
    comb, rolls, turns = theirs.CatMapComb(key), [], []
    comb.rand_init()
    for square in [side // 2] * 4 + [side]:
        one = theirs.CatMap(comb.rand() * util.MAX_UINT32)
        one.rand_init()
        rolls.append(np.array([[int(one.rand() * channels) for _ in range(square)] for _ in range(square)]))
        turns.append(np.array([2 + int(one.rand() * 8) for _ in range(channels)]))
    return CatMapParameters(tuple(rolls), tuple(turns))


def block_order(key, block, channels):
    """What ``Rand(key)`` draws for one block."""
    one = theirs.Rand(key)
    one.setOrd((block, block, channels))
    return one.ord


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(("side", "channels"), [(8, 3), (10, 1), (32, 3)])
def test_the_combined_cat_map_gives_the_same_bytes(key, side, channels):
    images = pixels(2, side, side, channels)
    cipher = Cipher(Descriptor.of("cat-map", images.shape[1:]), cat_map(key, side, channels))
    encrypted = cipher.encrypt(images)
    for image, result in zip(images, encrypted, strict=True):
        assert np.array_equal(theirs.CatMapComb(key).enc(image), result)
        assert np.array_equal(theirs.CatMapComb(key).dec(result), image)
    assert np.array_equal(cipher.decrypt(encrypted), images)
    assert not np.array_equal(encrypted, images)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(("shape", "block"), [((16, 24, 3), 4), ((12, 12, 1), 3), ((16, 16, 3), 8)])
def test_the_block_shuffle_gives_the_same_bytes(key, shape, block):
    images, order = pixels(2, *shape), block_order(key, block, shape[2])
    parameters = BlockShuffleParameters(block, shape[2], order)
    cipher = Cipher(Descriptor.of("block-shuffle", shape, {"block": block}), parameters)
    for image, result in zip(images, cipher.encrypt(images), strict=True):
        assert np.array_equal(theirs.RandBlock(key, (block, block)).enc(image), result)
        assert np.array_equal(theirs.RandBlock(key, (block, block)).dec(result), image)


def nibble_places(block, channels):
    """Where each nibble stands with us: there all high ones of a pixel come first, with us all low ones of a block."""
    bytes_ = np.arange(block * block * channels).reshape(block, block, channels)
    return np.concatenate([bytes_ + bytes_.size, bytes_], axis=2).ravel()


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("mode", ["REV_ORD", "REV_NONE"])
@pytest.mark.parametrize(("shape", "block"), [((16, 24, 3), 4), ((12, 12, 1), 3)])
def test_nibbles_permuted_and_reversed_before_and_after_give_the_same_bytes(key, mode, shape, block):
    places, size = nibble_places(block, shape[2]), 2 * block * block * shape[2]
    order = block_order(key, block, 2 * shape[2])
    reversed_ = (order > size / 2) & (mode == "REV_ORD")
    permutation, mask = np.empty(size, int), np.empty(size, bool)
    permutation[places], mask[places] = places[order], reversed_ ^ reversed_[order]
    images = pixels(2, *shape)
    parameters = LeParameters(block, shape[2], permutation, mask)
    cipher = Cipher(Descriptor.of("le", shape, {"block": block}), parameters)
    for image, result in zip(images, cipher.encrypt(images), strict=True):
        peer = scramble.RandBlock(key, (block, block), nb_bits=4, rev_mode=getattr(scramble, mode))
        assert np.array_equal(peer.enc(image), result)
        assert np.array_equal(peer.dec(result), image)
