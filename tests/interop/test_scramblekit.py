"""The package ``scramblekit`` (0.1.0) gives the same bytes under the same explicit parameters, where it can take them.

``LE``: the same permutation; its reversal mask follows from the permutation, as in Tanaka's program, ours is given.
``ELE``: the same, with a permutation for each plain block, and the same order of blocks.
``BlockShuffle``: ``patch-shuffle`` with one permutation for all images.
``PE``: the mode "permutation"; there 0 means reversed. The mode "original" repeats channels, by a fault of the
program that it follows; nobody can decrypt that, and ours has nothing like it.
``EtC``: the mode "permutation". It turns, then mirrors up or to the left, where the plain block stands; we mirror,
then turn, where the result stands. Its twelve pairs of codes make our eight turns. It draws masks that reverse half
of the blocks; given ones may be any.
``shuffle_pixels_in_blocks`` takes the permutation of ``block-shuffle`` as it is.

The release is withdrawn from its registry, so the tests do not ask for it.
"""

import numpy as np
import pytest

from blindsight.holder.ciphers import (
    BlockShuffleParameters,
    Cipher,
    EleParameters,
    EtcParameters,
    LeParameters,
    PatchShuffleParameters,
    PixelParameters,
    for_images,
)
from blindsight.protocol.scheme import Descriptor

peer = pytest.importorskip("scramblekit.scramble", reason="the package scramblekit is not installed")
functional = pytest.importorskip("scramblekit.scramble.functional", reason="the package scramblekit is not installed")

ORDERS = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
ETC_CODES = [0, 3, 1, 5, 4, 2]  # its code for each of our orders
SEEDS = range(6)


def pixels(rng, *shape):
    return rng.integers(0, 256, shape, dtype=np.uint8)


def demand_equal(scheme, images, parameters, theirs, **params):
    """Both ways, byte for byte."""
    cipher, ids = Cipher(Descriptor.of(scheme, images.shape[1:], params), parameters), ["a"] * len(images)
    encrypted = cipher.encrypt(images, ids)
    assert np.array_equal(theirs(images), encrypted)
    assert np.array_equal(theirs.inverse(encrypted), images)
    assert np.array_equal(cipher.decrypt(encrypted, ids), images)
    assert not np.array_equal(encrypted, images)


def net_mask(permutation):
    """The mask that follows from permutations in Tanaka's program."""
    reversed_ = permutation > permutation.shape[-1] / 2
    return reversed_ ^ np.take_along_axis(reversed_, permutation, axis=-1)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("shape", "block"), [((32, 32, 3), 4), ((9, 12, 1), 3), ((16, 32, 3), 8)])
def test_le_gives_the_same_bytes(seed, shape, block):
    rng = np.random.default_rng(seed)
    permutation = rng.permutation(2 * block * block * shape[2])
    theirs = peer.LE(permutation, block_size=block, channels=shape[2])
    ours = LeParameters(block, shape[2], permutation, net_mask(permutation))
    demand_equal("le", pixels(rng, 3, *shape), ours, theirs, block=block)


def test_le_under_the_key_of_the_published_experiments_gives_the_same_bytes():
    theirs = peer.LE("paper")
    ours = LeParameters(4, 3, theirs.key, net_mask(theirs.key))
    demand_equal("le", pixels(np.random.default_rng(0), 2, 32, 32, 3), ours, theirs)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shape", [(32, 32, 3), (8, 16, 3), (12, 8, 1)])
def test_ele_gives_the_same_bytes(seed, shape):
    rng, count, size = np.random.default_rng(seed), shape[0] * shape[1] // 16, 32 * shape[2]
    order, keys = rng.permutation(count), np.array([rng.permutation(size) for _ in range(count)])
    theirs = peer.ELE((keys, order), image_size=shape[:2], channels=shape[2])
    demand_equal("ele", pixels(rng, 3, *shape), EleParameters(shape, 4, order, keys, net_mask(keys)), theirs)


def test_ele_under_the_keys_of_the_published_experiments_gives_the_same_bytes():
    theirs = peer.ELE("paper")
    ours = EleParameters((32, 32, 3), 4, theirs.perm, theirs.keys, net_mask(theirs.keys))
    demand_equal("ele", pixels(np.random.default_rng(0), 2, 32, 32, 3), ours, theirs)


@pytest.mark.parametrize("seed", SEEDS)
def test_blocks_are_permuted_alike(seed):
    rng = np.random.default_rng(seed)
    order = rng.permutation(24)
    ours = PatchShuffleParameters((16, 24, 3), 4, for_images({"a": order}))
    demand_equal("patch-shuffle", pixels(rng, 3, 16, 24, 3), ours, peer.BlockShuffle(order, image_size=(16, 24)))


@pytest.mark.parametrize("seed", SEEDS)
def test_bytes_of_a_block_are_permuted_alike(seed):
    rng = np.random.default_rng(seed)
    permutation, images = rng.permutation(48), pixels(rng, 2, 8, 16, 3)
    cipher = Cipher(Descriptor.of("block-shuffle", (8, 16, 3)), BlockShuffleParameters(4, 3, permutation))
    encrypted = cipher.encrypt(images)
    assert np.array_equal(functional.shuffle_pixels_in_blocks(images, permutation, 4), encrypted)
    assert np.array_equal(functional.shuffle_pixels_in_blocks(encrypted, permutation, 4, inverse=True), images)


def test_the_tables_of_colours_are_the_same_orders():
    schemes = pytest.importorskip("scramblekit.scramble.schemes")
    assert [order.tolist() for order in schemes.PE_CHANNEL_TABLES["permutation"]] == ORDERS
    assert [schemes.ETC_CHANNEL_TABLES["permutation"][code].tolist() for code in ETC_CODES] == ORDERS


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shape", [(32, 32, 3), (7, 11, 3)])
def test_pixels_are_reversed_and_their_colours_permuted_alike(seed, shape):
    rng = np.random.default_rng(seed)
    mask, order = rng.integers(0, 2, shape).astype(bool), rng.integers(0, 6, shape[:2])
    key = ((~mask).ravel().astype(int), order.ravel())
    theirs = peer.PE(key, image_size=shape[:2], channel_mode="permutation")
    demand_equal("pixel", pixels(rng, 3, *shape), PixelParameters(mask, order), theirs)


def turn_of(rotation, flip):
    """Which of our turns does what two of its codes do: found out on a block whose pixels all differ."""
    square = np.arange(9).reshape(3, 3)
    theirs = np.rot90(square, (rotation + 1) % 4)
    theirs = {0: theirs[::-1], 1: theirs[:, ::-1], 2: theirs}[flip]
    (found,) = [
        turn
        for turn in range(8)
        if np.array_equal(np.rot90(square[:, ::-1] if turn >= 4 else square, turn % 4), theirs)
    ]
    return found


PAIRS = [(rotation, flip) for rotation in range(4) for flip in range(3)]


def test_its_codes_make_all_turns_there_are():
    assert {turn_of(*pair) for pair in PAIRS} == set(range(8))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("shape", "block"), [((32, 32, 3), 4), ((12, 24, 3), 3), ((16, 16, 3), 8)])
def test_blocks_are_turned_negated_and_recoloured_alike(seed, shape, block):
    rng, count = np.random.default_rng(seed), shape[0] * shape[1] // block**2
    order, pairs = rng.permutation(count), [PAIRS[place] for place in rng.integers(0, len(PAIRS), count)]
    negative, colours = rng.integers(0, 2, count).astype(bool), rng.integers(0, 6, count)
    rotate, reverse = (list(codes) for codes in zip(*pairs, strict=True))
    key = [rotate, (~negative).astype(int), reverse, np.array(ETC_CODES)[colours], order]
    theirs = peer.EtC(key, block_size=block, image_size=shape[:2], channel_mode="permutation")
    turns = np.array([turn_of(*pair) for pair in pairs])
    ours = EtcParameters(shape, block, order, turns[order], negative[order], colours[order])
    demand_equal("etc", pixels(rng, 2, *shape), ours, theirs, block=block)
