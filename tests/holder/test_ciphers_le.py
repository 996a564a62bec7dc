"""``le`` against the published program, and what is special about its blocks of nibbles."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.holder.ciphers import LeParameters
from blindsight.protocol.errors import DataError
from blindsight.protocol.scheme import Descriptor
from tests.holder import scheme_reference

VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "le.json").read_text())
KEY, CIPHER = np.array(VECTOR["permutation"]), np.array(VECTOR["cipher"], np.uint8)
PLAIN = np.array(VECTOR["plain"], np.uint8).reshape(1, 4, 4, 3)


def parameters(block=4, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    size = 2 * block * block * channels
    return LeParameters(block, channels, rng.permutation(size), rng.integers(0, 2, size).astype(bool))


def pixels(*shape, seed=1):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encrypted(le, images):
    out = np.empty_like(images)
    le.encrypt(images, (), out)
    return out


def decrypted(le, images):
    out = np.empty_like(images)
    le.decrypt(images, (), out)
    return out


def published():
    """With the mask that follows from the permutation in the published program."""
    rev = KEY > 48
    return LeParameters(4, 3, KEY, rev ^ rev[KEY])


def test_the_published_program_gives_the_same_bytes():
    assert np.array_equal(encrypted(published(), PLAIN).ravel(), CIPHER)


def test_what_the_published_program_encrypted_is_decrypted():
    assert np.array_equal(decrypted(published(), CIPHER.reshape(PLAIN.shape)), PLAIN)


def test_the_second_implementation_gives_the_published_bytes_too():
    le = published()
    slow = scheme_reference.with_parameters("le", PLAIN, {"block": 4}, p=le.permutation, m=le.mask)
    assert np.array_equal(slow.ravel(), CIPHER)


@settings(deadline=None, max_examples=40)
@given(
    block=st.integers(3, 6),
    channels=st.sampled_from([1, 3]),
    n=st.integers(0, 3),
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_encryption_is_the_definition_and_decryption_undoes_it(block, channels, n, rows, columns, seed):
    le = parameters(block, channels, seed)
    images = pixels(n, rows * block, columns * block, channels, seed=seed)
    result = encrypted(le, images)
    for before, after in zip(images, result, strict=True):
        slow = scheme_reference.with_parameters("le", before[np.newaxis], {"block": block}, p=le.permutation, m=le.mask)
        assert np.array_equal(after, slow[0])
    assert np.array_equal(decrypted(le, result), images)


def test_decryption_is_the_same_map_with_the_inverse_permutation_and_the_mask_carried_along():
    le, images = parameters(), pixels(2, 12, 8, 3)
    inverse = np.argsort(le.permutation)
    back = LeParameters(4, 3, inverse, le.mask[inverse])
    assert np.array_equal(encrypted(back, encrypted(le, images)), images)


def test_an_image_larger_than_a_band_is_the_definition_too():
    le, image = parameters(), pixels(1, 404, 408, 3)
    assert image.nbytes > 256 * 1024
    slow = scheme_reference.with_parameters("le", image, {"block": 4}, p=le.permutation, m=le.mask)
    assert np.array_equal(encrypted(le, image), slow)


def test_every_nibble_is_reversed_under_a_full_mask_and_the_identity():
    le = LeParameters(4, 1, np.arange(32), np.ones(32, bool))
    images = pixels(2, 8, 8, 1)
    assert np.array_equal(encrypted(le, images), 255 - images)


def test_low_nibbles_come_first():
    size = 2 * 9
    le = LeParameters(3, 1, np.arange(size), np.arange(size) < 9)
    assert np.array_equal(encrypted(le, np.full((1, 3, 3, 1), 0x24, np.uint8)), np.full((1, 3, 3, 1), 0x2B))


def test_the_key_gives_the_same_parameters_every_time():
    descriptor = Descriptor.of("le", (32, 32, 3))
    first, second = (LeParameters.from_key(bytes(32), descriptor) for _ in range(2))
    assert np.array_equal(first.permutation, second.permutation)
    assert np.array_equal(first.mask, second.mask)


def test_another_key_gives_another_permutation_and_another_mask():
    descriptor = Descriptor.of("le", (32, 32, 3))
    first, second = (LeParameters.from_key(key, descriptor) for key in (bytes(32), bytes([1] * 32)))
    assert not np.array_equal(first.permutation, second.permutation)
    assert not np.array_equal(first.mask, second.mask)


def test_the_representation_shows_no_key():
    assert repr(parameters()) == "LeParameters(block=4, channels=3)"


@pytest.mark.parametrize("block", [1, 2])
def test_a_key_for_blocks_too_small_to_hide_anything_is_refused(block):
    with pytest.raises(DataError, match="blocks must be at least 3 pixels wide"):
        LeParameters.from_key(bytes(32), Descriptor("le", 1, (32, 32, 3), {"block": block}))


def test_images_that_are_not_whole_blocks_are_refused():
    with pytest.raises(DataError, match="30x32 images do not divide into blocks of 4x4") as refusal:
        encrypted(parameters(), pixels(1, 30, 32, 3))
    assert "--fit pad" in refusal.value.hint


def test_images_of_another_number_of_channels_are_a_callers_bug():
    with pytest.raises(ValueError, match="48 bytes a block"):
        encrypted(parameters(), pixels(1, 8, 8, 1))


def test_images_that_are_not_bytes_are_a_callers_bug():
    with pytest.raises(ValueError, match="expected uint8 images"):
        encrypted(parameters(), pixels(1, 8, 8, 3).astype(np.int64))
