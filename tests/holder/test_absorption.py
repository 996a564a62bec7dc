"""What a key does to the units of a first layer is found from the cipher alone, bit for bit, or refused."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from blindsight.holder.absorption import Layout, Turn, absorbs, key_of
from blindsight.holder.ciphers import Cipher, cipher_for
from blindsight.protocol.errors import SchemeError
from blindsight.protocol.scheme import SCHEMES, Descriptor

KEYS = (bytes(range(32)), bytes(32))
SHAPES = ((8, 12, 3), (8, 8, 1))
ABSORBED = [
    (scheme, unit, block)
    for scheme, units in (
        ("plain", ("byte", "nibble", "bit")),
        ("block-shuffle", ("byte", "nibble", "bit")),
        ("le", ("nibble", "bit")),
        ("vit-block", ("byte", "nibble", "bit")),
    )
    for unit in units
    for block in (4,)
]
NOT_ALIKE = sorted({name for name, _ in SCHEMES} - {"plain", "block-shuffle", "le", "vit-block"})


def cipher(scheme, shape=SHAPES[0], key=KEYS[0], **given):
    return cipher_for(Descriptor.of(scheme, shape, given), key)


def noise(shape, rows=3, seed=9):
    return np.random.default_rng(seed).integers(0, 256, (rows, *shape), dtype=np.uint8)


def refused(made, layout):
    with pytest.raises(SchemeError) as caught:
        key_of(made, layout)
    assert (caught.value.code, bool(caught.value.hint)) == ("E_SCHEME", True)
    return caught.value.message


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("scheme", "unit", "block"), ABSORBED)
def test_what_is_found_encrypts_as_the_cipher_does(scheme, unit, block, shape):
    for key in KEYS:
        made = cipher(scheme, shape, key)
        found = key_of(made, Layout(unit, block, shape))
        assert np.array_equal(found.images(noise(shape)), made.encrypt(noise(shape)))


@pytest.mark.parametrize(("scheme", "unit", "block"), ABSORBED)
def test_a_centred_unit_is_the_plain_unit_that_is_named_with_its_sign(scheme, unit, block):
    layout = Layout(unit, block, SHAPES[0])
    made = cipher(scheme)
    found, images = key_of(made, layout), noise(SHAPES[0])
    plain, seen = (layout.units(x).astype(float) - layout.most / 2 for x in (images, made.encrypt(images)))
    assert np.array_equal(seen, found.signs * plain[:, found.blocks][:, :, found.places])


@pytest.mark.parametrize(("scheme", "unit", "block"), ABSORBED)
def test_what_leads_from_one_key_to_another_turns_encrypted_images(scheme, unit, block):
    layout = Layout(unit, block, SHAPES[0])
    old, new = (key_of(cipher(scheme, key=key), layout) for key in KEYS)
    under_old, under_new = (cipher(scheme, key=key).encrypt(noise(SHAPES[0])) for key in KEYS)
    assert np.array_equal(old.to(new).images(under_old), under_new)
    assert np.array_equal(Turn.identity(layout).to(new).images(noise(SHAPES[0])), under_new)
    assert np.array_equal(new.to(Turn.identity(layout)).images(under_new), noise(SHAPES[0]))


@pytest.mark.parametrize(("scheme", "unit", "block"), ABSORBED)
def test_a_linear_layer_with_turned_weights_answers_as_before(scheme, unit, block):
    layout, rng = Layout(unit, block, SHAPES[0]), np.random.default_rng(1)
    old, new = (key_of(cipher(scheme, key=key), layout) for key in KEYS)
    turn = old.to(new)
    weights = rng.integers(-9, 10, (5, layout.channels, block, block)).astype(np.float32)  # sums are exact
    positions = rng.integers(-9, 10, (layout.count, 5)).astype(np.float32)

    def answers(images, weights, positions):
        centred = layout.units(images).astype(np.float32) - np.float32(layout.most / 2)
        return sorted((centred @ weights.reshape(5, -1).T + positions)[0].tolist())

    before, after = (cipher(scheme, key=key).encrypt(noise(SHAPES[0], 1)) for key in KEYS)
    assert answers(after, turn.weights(weights), turn.positions(positions)) == answers(before, weights, positions)


def test_weights_keep_their_bits_but_for_the_sign():
    layout = Layout("nibble", 4, SHAPES[0])
    old, new = (key_of(cipher("le", key=key), layout) for key in KEYS)
    weights = np.random.default_rng(2).normal(size=(7, 6, 4, 4)).astype(np.float32)
    turned = old.to(new).weights(weights)
    assert not np.array_equal(turned, weights)
    for before, after in zip(weights.reshape(7, -1), turned.reshape(7, -1), strict=True):
        assert np.array_equal(np.sort(np.abs(before)), np.sort(np.abs(after)))
    assert new.to(old).weights(turned).tobytes() == weights.tobytes()


def test_correlations_turn_as_the_units_do():
    layout = Layout("nibble", 4, SHAPES[0])
    old, new = (key_of(cipher("le", key=key), layout) for key in KEYS)

    def correlations(key):
        units = layout.units(cipher("le", key=key).encrypt(noise(SHAPES[0], 60))).reshape(-1, layout.size)
        return np.corrcoef(units.T.astype(np.float64)).astype(np.float32)

    turned = old.to(new).correlations(correlations(KEYS[0]))
    assert np.abs(turned - correlations(KEYS[1])).max() < 1e-6


def test_a_layer_that_sees_several_blocks_at_once_absorbs_their_key_too():
    made = cipher("le", (16, 8, 3))
    found = key_of(made, Layout("nibble", 8, (16, 8, 3)))
    assert np.array_equal(found.images(noise((16, 8, 3))), made.encrypt(noise((16, 8, 3))))


def test_under_block_shuffle_both_nibbles_of_a_byte_move_together():
    layout = Layout("nibble", 4, SHAPES[0])
    places = key_of(cipher("block-shuffle"), layout).places.reshape(2, -1)
    assert np.array_equal(places[0] + layout.size // 2, places[1])


def test_blocks_move_under_one_scheme_only():
    moved = {s: key_of(cipher(s), Layout("nibble", 4, SHAPES[0])).moves_blocks for s, unit, _ in ABSORBED}
    assert moved == {"plain": False, "block-shuffle": False, "le": False, "vit-block": True}


# Refusals.


@pytest.mark.parametrize("scheme", NOT_ALIKE)
def test_schemes_whose_key_is_not_alike_in_all_blocks_are_refused(scheme):
    made = cipher(scheme, (8, 8, 3))
    assert scheme in refused(made, Layout("bit", 4, made.descriptor.encrypted_shape))


def test_a_layer_on_whole_bytes_does_not_absorb_nibbles():
    assert "moves nibbles" in refused(cipher("le"), Layout("byte", 4, SHAPES[0]))


def test_blocks_of_which_several_are_seen_at_once_must_not_move():
    assert "of all blocks of 8x8" in refused(cipher("vit-block", (16, 16, 3)), Layout("byte", 8, (16, 16, 3)))


@pytest.mark.parametrize("block", [1, 2])
def test_a_layer_that_sees_less_than_a_block_is_refused(block):
    assert f"{block}x{block}" in refused(cipher("le"), Layout("nibble", block, SHAPES[0]))


@dataclass(frozen=True)
class Bent:
    """A cipher's parameters that do something else as well."""

    parameters: object
    bend: object

    def encrypt(self, images, ids, out):
        self.parameters.encrypt(images, ids, out)
        self.bend(out)


def bent(bend):
    sound = cipher("block-shuffle")
    return Cipher(sound.descriptor, Bent(sound.parameters, bend))


def gamma(out):
    out[:] = np.round(255 * (out / 255) ** 1.1)


def one_block_reversed(out):
    out[:, :4, :4] = 255 - out[:, :4, :4]


def one_block_turned(out):
    out[:, :4, :4] = out[:, :4, :4][:, ::-1]


def half_known(out):
    out[:, :, :, 0] &= 0xF0


def doubled(out):
    out[:, 0::4, 0::4] = out[:, 1::4, 1::4]


@pytest.mark.parametrize("bend", [gamma, one_block_reversed, one_block_turned, half_known, doubled])
@pytest.mark.parametrize("unit", ["byte", "nibble"])
def test_a_cipher_that_does_more_than_its_scheme_says_is_found_out(bend, unit):
    assert "block-shuffle" in refused(bent(bend), Layout(unit, 4, SHAPES[0]))


# Layouts.


@pytest.mark.parametrize("unit", ["byte", "nibble", "bit"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_units_of_images_are_put_together_again(unit, shape):
    layout = Layout(unit, 4, shape)
    units = layout.units(noise(shape))
    assert units.shape == (3, layout.count, layout.size)
    assert units.max() <= layout.most
    assert np.array_equal(layout.images(units), noise(shape))


def test_units_are_numbered_as_the_format_says():
    image = np.arange(4 * 8 * 3, dtype=np.uint8).reshape(1, 4, 8, 3) * np.uint8(2)
    layout = Layout("nibble", 4, (4, 8, 3))
    high, low = 0, 3
    for row, column, channel in ((0, 0, 0), (1, 2, 1), (3, 3, 2)):
        value = image[0, row, 4 + column, channel]  # of the second block
        for half, digit in ((high, value >> 4), (low, value & 15)):
            assert layout.units(image)[0, 1].reshape(6, 4, 4)[half + channel, row, column] == digit


@pytest.mark.parametrize(("unit", "block"), [("pixel", 4), ("byte", 0), ("byte", -4), ("byte", 3), ("byte", 8)])
def test_a_layout_that_cannot_be_is_refused(unit, block):
    with pytest.raises(SchemeError):
        Layout(unit, block, SHAPES[0])


SOUND = {"unit": "nibble", "block": 4, "shape": [8, 12, 3]}


def test_a_bundle_states_the_layout_of_its_first_layer():
    stated = Layout.of({**SOUND, "classes": 10}, cipher("le").descriptor)
    assert stated == Layout("nibble", 4, (8, 12, 3))


@pytest.mark.parametrize(
    "changes",
    [{"unit": 8}, {"unit": "byte "}, {"block": True}, {"block": "4"}, {"shape": [8, 12, 1]}, {"shape": 8},
     {"stem": "pixels"}, {"stem": [1]}, {"stem": "position"}],
    ids=str,
)  # fmt: skip
def test_a_bundle_that_states_no_such_layout_is_refused(changes):
    with pytest.raises(SchemeError):
        Layout.of(SOUND | changes, cipher("le").descriptor)


@pytest.mark.parametrize("name", SOUND)
def test_a_bundle_that_leaves_a_part_of_it_out_is_refused(name):
    with pytest.raises(SchemeError, match="does not say"):
        Layout.of({key: value for key, value in SOUND.items() if key != name}, cipher("le").descriptor)


def test_keys_of_different_layouts_are_not_brought_together():
    bytes_, nibbles = (key_of(cipher("plain"), Layout(unit, 4, SHAPES[0])) for unit in ("byte", "nibble"))
    with pytest.raises(ValueError, match="one layout"):
        bytes_.to(nibbles)


def test_no_part_of_a_key_is_shown():
    found = key_of(cipher("le"), Layout("nibble", 4, SHAPES[0]))
    assert repr(found) == "Turn(layout=Layout(unit='nibble', block=4, shape=(8, 12, 3)))"
    assert repr(replace(found)) == repr(found)


# What a statement shows.


@pytest.mark.parametrize(
    ("scheme", "network", "params", "possible"),
    [
        ("le", "small", {}, True),
        ("le", "small", {"unit": "nibble", "stem": "block"}, True),
        ("le", "small", {"unit": "byte"}, False),
        ("le", "small", {"unit": [1]}, False),
        ("le", "small", {"unit": "nibble", "stem": "pixels"}, False),
        ("block-shuffle", "small", {"unit": "nibble"}, True),
        ("plain", "small", {"unit": "byte"}, True),
        ("vit-block", "small", {"unit": "byte"}, False),
        ("vit-block", "vit-s", {"unit": "byte", "stem": "patch"}, True),
        ("patch-mix", "small", {"unit": "byte", "stem": "mixture"}, False),
        ("cat-map", "vit", {"unit": "byte"}, False),
    ],
)
def test_a_statement_shows_whether_a_model_can_be_re_keyed(scheme, network, params, possible):
    traits = Descriptor.of(scheme, (8, 8, 3)).traits
    assert absorbs(traits, {"id": network, "params": params}) is possible
