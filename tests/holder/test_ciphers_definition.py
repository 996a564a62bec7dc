"""Every fast cipher is the definition, read literally, on any small images: from a key and from arrays made by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.holder.ciphers import Cipher, cipher_for
from blindsight.protocol.scheme import traits_of
from tests.holder import scheme_draws, scheme_reference
from tests.holder.scheme_by_hand import by_hand
from tests.holder.scheme_variants import ALL, FOR_AN_IMAGE, VARIANTS, described, descriptors, names, pixels

BRIEFLY = settings(deadline=None, max_examples=40)
KEYS = st.binary(min_size=32, max_size=32)
SEEDS = st.integers(0, 2**32 - 1)
IDS = st.lists(st.text(max_size=10), min_size=1, max_size=3)
EXPANSION = json.loads((Path(__file__).parents[1] / "vectors" / "key_expansion.json").read_text())


def moves_pixels_together(variant):
    return VARIANTS[variant][0] in ("patch-shuffle", "vortex", "vortex-ring")


@pytest.mark.parametrize("variant", ALL)
@BRIEFLY
@given(data=st.data(), key=KEYS, ids=IDS, seed=SEEDS)
def test_under_a_key_the_cipher_is_its_definition(variant, data, key, ids, seed):
    descriptor = data.draw(descriptors(variant))
    images = pixels(len(ids), *descriptor.shape, seed=seed)
    expected = scheme_reference.from_key(descriptor.to_json(), key, images, ids)
    cipher = cipher_for(descriptor, key)
    encrypted = cipher.encrypt(images, ids)
    assert np.array_equal(encrypted, expected.reshape(len(ids), *descriptor.encrypted_shape))
    if descriptor.traits.invertible:
        assert np.array_equal(cipher.decrypt(encrypted, ids), images)


@pytest.mark.parametrize("variant", ALL)
@BRIEFLY
@given(data=st.data(), ids=st.lists(st.text(max_size=10), min_size=1, max_size=3, unique=True), seed=SEEDS)
def test_under_parameters_made_by_hand_the_cipher_is_its_definition(variant, data, ids, seed):
    descriptor = data.draw(descriptors(variant))
    parameters, explicit = by_hand(descriptor, np.random.default_rng(seed), ids)
    images = pixels(len(ids), *descriptor.shape, seed=seed)
    cipher = Cipher(descriptor, parameters)
    encrypted = cipher.encrypt(images, ids)
    for image, result, own in zip(images, encrypted, explicit, strict=True):
        slow = scheme_reference.with_parameters(descriptor.id, image[np.newaxis], descriptor.params, **own)
        assert np.array_equal(result, slow[0])
    if descriptor.traits.invertible:
        assert np.array_equal(cipher.decrypt(encrypted, ids), images)


@pytest.mark.parametrize("variant", FOR_AN_IMAGE)
@pytest.mark.parametrize("count", [15, 16, 17, 40])
def test_many_images_with_keys_of_their_own_are_the_definition(variant, count):
    descriptor, images = described(variant, (8, 12, 3)), pixels(count, 8, 12, 3)
    expected = scheme_reference.from_key(descriptor.to_json(), bytes(32), images, names(count))
    assert np.array_equal(cipher_for(descriptor, bytes(32)).encrypt(images, names(count)), expected)


@pytest.mark.parametrize("variant", [name for name in ALL if name not in ("cat-map", "logistic-xor", "vortex")])
def test_an_image_larger_than_a_band_is_the_definition_too(variant):
    descriptor, image = described(variant, (160, 192, 3)), pixels(1, 160, 192, 3)
    expected = scheme_reference.from_key(descriptor.to_json(), bytes(32), image, ["a"])
    assert np.array_equal(cipher_for(descriptor, bytes(32)).encrypt(image, ["a"]), expected)


@pytest.mark.parametrize("variant", ["cat-map", "vortex", "vortex-ring"])
def test_a_large_square_is_the_definition_too(variant):
    descriptor, image = described(variant, (112, 112, 3)), pixels(1, 112, 112, 3)
    expected = scheme_reference.from_key(descriptor.to_json(), bytes(32), image, ["a"])
    assert np.array_equal(cipher_for(descriptor, bytes(32)).encrypt(image, ["a"]), expected)


@pytest.mark.parametrize("variant", [name for name in ALL if moves_pixels_together(name)])
def test_the_channels_of_a_pixel_stay_together(variant):
    grey = pixels(1, 32, 32, 1)
    colour = np.concatenate([grey, 255 - grey, grey ^ 85], axis=-1)
    encrypted = cipher_for(described(variant, (32, 32, 3)), bytes(32)).encrypt(colour, ["a"])
    assert np.array_equal(encrypted[..., 1], 255 - encrypted[..., 0])
    assert np.array_equal(encrypted[..., 2], encrypted[..., 0] ^ 85)


@pytest.mark.parametrize("variant", ["block-shuffle", "cat-map", "patch-shuffle", "vortex-ring", "restricted"])
def test_a_scheme_that_only_moves_keeps_every_value(variant):
    assert traits_of(variant, 1).unit == "byte"
    image = pixels(1, 32, 32, 3)
    encrypted = cipher_for(described(variant, (32, 32, 3)), bytes(32)).encrypt(image, ["a"])
    assert not np.array_equal(encrypted, image)
    assert np.array_equal(np.sort(encrypted, axis=None), np.sort(image, axis=None))


def test_the_second_implementation_draws_what_is_published():
    key = bytes.fromhex(EXPANSION["scheme_key"])
    assert scheme_draws.stream(key, "perm/pixel").perm(16) == EXPANSION["perm16"]
    assert scheme_draws.stream(key, "flip").choose(48, 8) == EXPANSION["choose(flip,48,8)"]
    assert bytes(scheme_draws.stream(key, "logistic/0").logistic(16)).hex() == EXPANSION["logistic_first16"]


def test_the_second_implementation_shares_nothing_with_the_first():
    for module in (scheme_draws, scheme_reference):
        assert "blindsight." not in Path(module.__file__).read_text()
