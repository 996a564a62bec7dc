"""What a key leaves as it was: figures worked out by hand, and figures measured on images."""

from math import log2

import numpy as np
import pytest

from blindsight.holder.ciphers import (
    KEYSPACE_NOTE,
    BlockShuffleParameters,
    CatMapParameters,
    EleParameters,
    EtcParameters,
    LeParameters,
    LogisticXorParameters,
    PatchMixParameters,
    PatchShuffleParameters,
    PixelParameters,
    PlainParameters,
    Quality,
    RestrictedParameters,
    Rings,
    VitBlockParameters,
    Vortex,
    VortexParameters,
    VortexRingParameters,
    cipher_for,
    for_images,
)
from tests.holder.scheme_variants import ALL, FOR_AN_IMAGE, described, names, pixels

SHAPE = (8, 8, 3)  # four blocks of 4x4; 48 bytes, 96 nibbles each
BLOCKS, BYTES, NIBBLES = np.arange(4), np.arange(48), np.arange(96)
NONE_OF_FOUR, ONE_OF_FOUR = np.zeros(4, bool), np.arange(4) == 2
SWAPPED = np.array([1, 0, 2, 3])
ZEROS = np.zeros(4, int)
MASK, ORDER = np.zeros(SHAPE, bool), np.zeros((8, 8), int)
KEY = bytes(range(32))


def first_two_swapped(values):
    return np.concatenate((values[1::-1], values[2:]))


def masked(shape, *places):
    mask = np.zeros(shape, bool)
    for place in places:
        mask[place] = True
    return mask


def cat_map(turns=3, roll=0):
    """On 2x2 pixels, where three turns of the map are none."""
    rolls = [np.zeros((1, 1), int)] * 4 + [np.array([[roll, 0], [0, 0]])]
    return CatMapParameters(tuple(rolls), tuple([np.full(3, 2)] * 4 + [np.full(3, turns)]))


def ele(blocks=BLOCKS, masks=None):
    permutations = np.tile(NIBBLES, (4, 1))
    return EleParameters(SHAPE, 4, blocks, permutations, np.zeros((4, 96), bool) if masks is None else masks)


def moved(*rows):
    return lambda ids: np.tile(np.array(rows, int), (len(ids), 1))


FIGURES = {  # share of pixels that stay, units, fixed points, reversals
    "plain": (PlainParameters(), 1.0, 1, 1, 0),
    "le, identity": (LeParameters(4, 3, NIBBLES, np.zeros(96, bool)), 1.0, 96, 96, 0),
    "le, all reversed": (LeParameters(4, 3, NIBBLES, np.ones(96, bool)), 0.0, 96, 0, 96),
    "le, two nibbles of a pixel": (
        LeParameters(4, 3, first_two_swapped(NIBBLES), np.zeros(96, bool)), 15 / 16, 96, 94, 0,
    ),
    "le, a high nibble reversed": (LeParameters(4, 3, NIBBLES, masked(96, 48 + 5)), 15 / 16, 96, 95, 1),
    "le, low and high exchanged": (LeParameters(4, 3, np.roll(NIBBLES, 48), np.zeros(96, bool)), 0.0, 96, 0, 0),
    "block-shuffle, identity": (BlockShuffleParameters(4, 3, BYTES), 1.0, 48, 48, 0),
    "block-shuffle, reversed": (BlockShuffleParameters(4, 3, BYTES[::-1]), 0.0, 48, 0, 0),
    "block-shuffle, two bytes": (BlockShuffleParameters(4, 3, first_two_swapped(BYTES)), 15 / 16, 48, 46, 0),
    "vit-block, identity": (VitBlockParameters(SHAPE, 4, BLOCKS, BYTES, np.zeros(48, bool)), 1.0, 192, 192, 0),
    "vit-block, two blocks": (VitBlockParameters(SHAPE, 4, SWAPPED, BYTES, np.zeros(48, bool)), 0.5, 192, 96, 0),
    "vit-block, a byte": (VitBlockParameters(SHAPE, 4, BLOCKS, BYTES, masked(48, 7)), 15 / 16, 192, 188, 4),
    "ele, identity": (ele(), 1.0, 384, 384, 0),
    "ele, two blocks": (ele(SWAPPED), 0.5, 384, 192, 0),
    "ele, a block reversed": (ele(masks=masked((4, 96), 3)), 0.75, 384, 288, 96),
    "etc, identity": (EtcParameters(SHAPE, 4, BLOCKS, ZEROS, NONE_OF_FOUR, ZEROS), 1.0, 192, 192, 0),
    "etc, two blocks": (EtcParameters(SHAPE, 4, SWAPPED, ZEROS, NONE_OF_FOUR, ZEROS), 0.5, 192, 96, 0),
    "etc, a block upside down": (EtcParameters(SHAPE, 4, BLOCKS, [0, 2, 0, 0], NONE_OF_FOUR, ZEROS), 0.75, 192, 144, 0),
    "etc, a block negated": (EtcParameters(SHAPE, 4, BLOCKS, ZEROS, ONE_OF_FOUR, ZEROS), 0.75, 192, 144, 48),
    "etc, green and blue": (EtcParameters(SHAPE, 4, BLOCKS, ZEROS, NONE_OF_FOUR, [1, 0, 0, 0]), 0.75, 192, 160, 0),
    "etc, a block transposed": (
        EtcParameters(SHAPE, 4, BLOCKS, [5, 0, 0, 0], NONE_OF_FOUR, ZEROS), (48 + 4) / 64, 192, 144 + 12, 0,
    ),
    "cat-map, three turns of two pixels": (cat_map(), 1.0, 12, 12, 0),
    "cat-map, two turns": (cat_map(turns=2), 0.25, 12, 3, 0),
    "cat-map, a pixel rolled": (cat_map(roll=1), 0.75, 12, 9, 0),
    "patch-shuffle, identity": (PatchShuffleParameters(SHAPE, 4, for_images({"a": BLOCKS})), 1.0, 4, 4, 0),
    "patch-shuffle, on the average": (
        PatchShuffleParameters(SHAPE, 4, for_images({"a": BLOCKS, "b": SWAPPED})), 0.75, 4, 3, 0,
    ),
    "patch-mix": (PatchMixParameters(4), 0.0, 0, 0, 0),
    "pixel, identity": (PixelParameters(MASK, ORDER), 1.0, 192, 192, 0),
    "pixel, a component": (PixelParameters(masked(SHAPE, (2, 3, 1)), ORDER), 63 / 64, 192, 191, 1),
    "pixel, green and blue": (PixelParameters(MASK, masked((8, 8), (1, 1)).astype(int)), 63 / 64, 192, 190, 0),
    "pixel, everywhere": (PixelParameters(~MASK, ORDER + 3), 0.0, 192, 0, 192),
    "logistic-xor, nothing": (LogisticXorParameters(np.zeros(SHAPE, np.uint8)), 1.0, 1536, 1536, 0),
    "logistic-xor, half of the bits": (LogisticXorParameters(np.full(SHAPE, 0x0F, np.uint8)), 0.0, 1536, 768, 768),
    "logistic-xor, a bit": (LogisticXorParameters(masked(SHAPE, (0, 0, 2)) * np.uint8(4)), 63 / 64, 1536, 1535, 1),
    "vortex, none": (VortexParameters(SHAPE, ()), 1.0, 192, 192, 0),
    "vortex, of one ring": (VortexParameters(SHAPE, (Vortex(4, 4, np.array([9.0])),)), 1.0, 192, 192, 0),
    "vortex-ring, no step": (VortexRingParameters(SHAPE, (Rings(3, 3, np.zeros(2, int)),)), 1.0, 192, 192, 0),
    "vortex-ring, a ring of eight": (VortexRingParameters(SHAPE, (Rings(3, 3, np.array([1])),)), 56 / 64, 192, 168, 0),
    "vortex-ring, there and back": (
        VortexRingParameters(SHAPE, (Rings(3, 3, np.array([1])), Rings(3, 3, np.array([7])))), 1.0, 192, 192, 0,
    ),
    "restricted, nothing": (RestrictedParameters(SHAPE, 4, moved([]), moved([])), 1.0, 48, 48, 0),
    "restricted, chosen and left": (RestrictedParameters(SHAPE, 4, moved([1, 3]), moved([4, 9])), 1.0, 48, 48, 0),
    "restricted, two blocks": (RestrictedParameters(SHAPE, 4, moved([3, 1]), moved([])), 0.5, 48, 48, 0),
    "restricted, two bytes": (RestrictedParameters(SHAPE, 4, moved([]), moved([1, 0])), 15 / 16, 48, 46, 0),
    "restricted, both": (RestrictedParameters(SHAPE, 4, moved([3, 1]), moved([1, 0])), 15 / 32, 48, 46, 0),
}  # fmt: skip


@pytest.mark.parametrize(("parameters", "unchanged", "units", "fixed", "reversals"), FIGURES.values(), ids=FIGURES)
def test_figures_are_those_worked_out_by_hand(parameters, unchanged, units, fixed, reversals):
    quality = parameters.quality()
    assert quality.unchanged == pytest.approx(unchanged)
    assert (quality.units, quality.fixed_points, quality.reversals) == (units, fixed, reversals)


@pytest.mark.parametrize("variant", [name for name in ALL if name != "patch-mix"])
def test_the_share_that_stays_is_what_images_show(variant):
    descriptor, size = described(variant, (32, 32, 3)), 8 if variant in FOR_AN_IMAGE else 24
    cipher, shown = cipher_for(descriptor, KEY), []
    for name in [f"quality/{place}" for place in range(8)] if variant in FOR_AN_IMAGE else ["any"]:
        images = pixels(size, 32, 32, 3)
        same = (cipher.encrypt(images, [name] * size) == images).all(axis=(0, 3))
        shown.append(same.mean())
    assert cipher.quality().unchanged == pytest.approx(np.mean(shown))


def factorial(count):
    return sum(log2(number) for number in range(2, count + 1))


KEYSPACES = {
    "plain": 0,
    "patch-mix": 0,
    "le": factorial(96) + 96,
    "block-shuffle": factorial(48),
    "vit-block": factorial(64) + factorial(48) + 48,
    "ele": factorial(64) + 64 * (factorial(96) + 96),
    "etc": factorial(64) + 64 * (3 + 1 + log2(6)),
    "cat-map": (32 * 32 + 4 * 16 * 16) * log2(3) + 5 * 3 * 3,
    "patch-shuffle": factorial(64),
    "pixel": 32 * 32 * (3 + log2(6)),
    "pixel an image": 32 * 32 * (3 + log2(6)),
    "logistic-xor": 3 * (52 + 24) + factorial(1024),
    "logistic-xor an image": 3 * (52 + 24) + factorial(1024),
    "restricted": factorial(64) - factorial(48) + factorial(48) - factorial(36),
    "vortex": 4 * (2 * log2(29) + 6 * 16),  # the fifth has a radius of 1 and does nothing
}


@pytest.mark.parametrize("variant", KEYSPACES)
def test_keyspaces_are_those_worked_out_by_hand(variant):
    quality = cipher_for(described(variant, (32, 32, 3)), KEY).quality()
    assert quality.keyspace == pytest.approx(KEYSPACES[variant])


def test_the_keyspace_of_le_on_colour_is_what_the_literature_prints():
    quality = cipher_for(described("le", (32, 32, 3)), KEY).quality()
    assert quality.keyspace == pytest.approx(594.3, abs=0.05)
    assert quality.facts()["keyspace bits"] == "256 (of 594 that the scheme tells apart)"


def test_grey_blocks_have_no_colours_to_permute():
    grey = cipher_for(described("etc", (32, 32, 1)), KEY).quality()
    assert grey.keyspace == pytest.approx(factorial(64) + 64 * 4)
    assert cipher_for(described("pixel", (32, 32, 1)), KEY).quality().keyspace == pytest.approx(32 * 32)


def test_rings_of_four_pixels_more_or_less_count_as_long_as_they_are():
    rings = Rings(3, 3, np.array([1, 0]))  # eight pixels around the centre, twelve around those
    quality = VortexRingParameters(SHAPE, (rings,)).quality()
    assert quality.keyspace == pytest.approx(2 * log2(6) + log2(8) + log2(12))


@pytest.mark.parametrize("variant", ALL)
def test_figures_under_a_key_are_within_bounds(variant):
    quality = cipher_for(described(variant, (32, 32, 3)), KEY).quality()
    assert 0 <= quality.unchanged <= 1
    assert 0 <= quality.fixed_points <= quality.units
    assert 0 <= quality.reversals <= quality.units
    assert quality.keyspace >= 0
    assert quality == cipher_for(described(variant, (32, 32, 3)), KEY).quality()


def test_at_least_as_many_bytes_stay_under_a_restricted_key_as_were_asked_for():
    descriptor = described("restricted", (32, 32, 3), fixed_blocks=16, fixed_pixels=24)
    quality = cipher_for(descriptor, KEY).quality()
    assert quality.fixed_points >= 24
    assert quality.units == 48


def test_facts_are_for_people_and_say_that_keyspace_is_not_the_point():
    facts = Quality(unchanged=0.605, units=1024, fixed_points=620, reversals=3, keyspace=60.2).facts()
    assert facts == {
        "unchanged pixels": "60.5 %",
        "fixed points": "620 of 1024",
        "reversals": 3,
        "keyspace bits": "60",
        "note": KEYSPACE_NOTE,
    }


def test_looking_at_a_key_s_figures_changes_nothing():
    for variant in ALL:
        cipher, images = cipher_for(described(variant, (32, 32, 3)), KEY), pixels(2, 32, 32, 3)
        before = cipher.encrypt(images, names(2))
        cipher.quality()
        assert np.array_equal(cipher.encrypt(images, names(2)), before)
