"""``le`` against the published program and against a slow, obvious reading of its definition."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.holder.ciphers import LeParameters
from blindsight.protocol.errors import DataError
from blindsight.protocol.scheme import Descriptor

VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "le.json").read_text())


def parameters(block=4, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    size = 2 * block * block * channels
    return LeParameters(block, channels, rng.permutation(size), rng.integers(0, 2, size).astype(bool))


def pixels(*shape, seed=1):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def reference(image, block, permutation, mask):
    """One image, one block, one nibble at a time."""
    result = np.zeros_like(image)
    for top in range(0, image.shape[0], block):
        for left in range(0, image.shape[1], block):
            square = image[top : top + block, left : left + block]
            flat = [int(value) for value in square.flatten()]
            nibbles = [value % 16 for value in flat] + [value // 16 for value in flat]
            moved = [nibbles[source] for source in permutation]
            turned = [15 - value if flip else value for value, flip in zip(moved, mask, strict=True)]
            packed = [16 * turned[len(flat) + k] + turned[k] for k in range(len(flat))]
            result[top : top + block, left : left + block] = np.reshape(packed, square.shape)
    return result


def test_the_published_program_gives_the_same_bytes():
    permutation = np.array(VECTOR["permutation"])
    rev = permutation > permutation.size / 2
    le = LeParameters(4, 3, permutation, rev ^ rev[permutation])
    plain = np.array(VECTOR["plain"], np.uint8).reshape(1, 4, 4, 3)
    assert le.encrypt(plain).ravel().tolist() == VECTOR["cipher"]


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
    encrypted = le.encrypt(images)
    assert encrypted.shape == images.shape
    assert encrypted.dtype == np.uint8
    for before, after in zip(images, encrypted, strict=True):
        assert np.array_equal(after, reference(before, block, le.permutation, le.mask))
    assert np.array_equal(le.decrypt(encrypted), images)


def test_an_image_larger_than_a_band_is_the_definition_too():
    le, image = parameters(), pixels(1, 404, 408, 3)
    assert image.nbytes > 256 * 1024
    assert np.array_equal(le.encrypt(image)[0], reference(image[0], 4, le.permutation, le.mask))


def test_every_nibble_is_reversed_under_a_full_mask_and_the_identity():
    le = LeParameters(4, 1, np.arange(32), np.ones(32, bool))
    images = pixels(2, 8, 8, 1)
    assert np.array_equal(le.encrypt(images), 255 - images)


def test_the_key_gives_the_same_parameters_every_time():
    descriptor = Descriptor("le", 1, (32, 32, 3), {"block": 4})
    first, second = (LeParameters.from_key(bytes(32), descriptor) for _ in range(2))
    assert np.array_equal(first.permutation, second.permutation)
    assert np.array_equal(first.mask, second.mask)


def test_another_key_gives_another_permutation_and_another_mask():
    descriptor = Descriptor("le", 1, (32, 32, 3), {"block": 4})
    first, second = (LeParameters.from_key(key, descriptor) for key in (bytes(32), bytes([1] * 32)))
    assert not np.array_equal(first.permutation, second.permutation)
    assert not np.array_equal(first.mask, second.mask)


def test_parameters_are_copied_and_cannot_be_changed():
    permutation, mask = np.arange(96), np.zeros(96, bool)
    le = LeParameters(4, 3, permutation, mask)
    permutation[:2], mask[0] = (1, 0), True
    assert np.array_equal(le.permutation, np.arange(96))
    assert not le.mask.any()
    with pytest.raises(ValueError, match="read-only"):
        le.mask[0] = True


def test_the_representation_shows_no_key():
    assert repr(parameters()) == "LeParameters(block=4, channels=3)"


@pytest.mark.parametrize("block", [1, 2])
def test_blocks_too_small_to_hide_anything_are_refused(block):
    with pytest.raises(DataError, match="blocks must be at least 3 pixels wide"):
        parameters(block)
    with pytest.raises(DataError, match="blocks must be at least 3 pixels wide"):
        LeParameters.from_key(bytes(32), Descriptor("le", 1, (32, 32, 3), {"block": block}))


def test_two_channels_are_refused():
    with pytest.raises(DataError, match="1 or 3 channels, got 2"):
        parameters(4, 2)


@pytest.mark.parametrize(
    ("permutation", "message"),
    [
        (np.arange(95), r"must have shape \(96,\), got \(95,\)"),
        (np.arange(96).reshape(1, 96), r"must have shape \(96,\)"),
        (np.arange(96.0), "must hold integers, got float64"),
        (np.zeros(96, int), "must hold each of 0 to 95 once"),
        (np.arange(1, 97), "must hold each of 0 to 95 once"),
        (np.arange(96) - 1, "must hold each of 0 to 95 once"),
    ],
)
def test_what_is_no_permutation_of_the_nibbles_is_refused(permutation, message):
    with pytest.raises(ValueError, match=message):
        LeParameters(4, 3, permutation, np.zeros(96, bool))


@pytest.mark.parametrize(
    ("mask", "message"), [(np.zeros(48, bool), "must have shape"), (np.zeros(96, int), "must hold booleans, got int64")]
)
def test_what_is_no_mask_of_the_nibbles_is_refused(mask, message):
    with pytest.raises(ValueError, match=message):
        LeParameters(4, 3, np.arange(96), mask)


def test_images_that_are_not_whole_blocks_are_refused():
    with pytest.raises(DataError, match="30x32 images do not divide into blocks of 4x4") as refusal:
        parameters().encrypt(pixels(1, 30, 32, 3))
    assert "--fit pad" in refusal.value.hint


def test_images_of_another_number_of_channels_are_a_callers_bug():
    with pytest.raises(ValueError, match="48 bytes a block"):
        parameters().encrypt(pixels(1, 8, 8, 1))


def test_images_that_are_not_bytes_are_a_callers_bug():
    with pytest.raises(ValueError, match="expected uint8 images"):
        parameters().encrypt(pixels(1, 8, 8, 3).astype(np.int64))
