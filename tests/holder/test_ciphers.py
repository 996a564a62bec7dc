"""What holds for every cipher: shapes, inverses, keys, and images that are awkward in memory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.holder.ciphers import CIPHERS, BlockShuffleParameters, cipher_for
from blindsight.protocol.errors import DataError, FormatError, SchemeError
from blindsight.protocol.scheme import SCHEMES, Descriptor, check_value

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
KEYED = ["block-shuffle", "le"]
ALL = ["plain", *KEYED]


def descriptor(scheme, shape=(32, 32, 3), block=4):
    return Descriptor(scheme, 1, shape, {"block": block})


def pixels(*shape):
    return np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)


def names(images):
    return [f"image/{place}" for place in range(len(images))]


def encrypt(scheme, images, key=KEY):
    return cipher_for(descriptor(scheme, images.shape[1:]), key).encrypt(images, names(images))


def shuffle_reference(image, block, permutation):
    result = np.zeros_like(image)
    for top in range(0, image.shape[0], block):
        for left in range(0, image.shape[1], block):
            square = image[top : top + block, left : left + block]
            moved = [square.flatten()[source] for source in permutation]
            result[top : top + block, left : left + block] = np.reshape(moved, square.shape)
    return result


def test_every_scheme_of_the_protocol_has_a_cipher():
    assert set(CIPHERS) == set(SCHEMES)


@pytest.mark.parametrize("scheme", ALL)
@pytest.mark.parametrize("shape", [(0, 32, 32, 3), (1, 32, 32, 3), (5, 28, 28, 1), (3, 112, 92, 3), (2, 4, 400, 1)])
def test_decryption_undoes_encryption(scheme, shape):
    images = pixels(*shape)
    cipher = cipher_for(descriptor(scheme, shape[1:]), KEY)
    encrypted = cipher.encrypt(images, names(images))
    assert encrypted.shape == shape
    assert encrypted.dtype == np.uint8
    assert np.array_equal(cipher.decrypt(encrypted, names(images)), images)


@settings(deadline=None, max_examples=25)
@given(
    block=st.integers(3, 6), channels=st.sampled_from([1, 3]), rows=st.integers(1, 4), seed=st.integers(0, 2**32 - 1)
)
def test_block_shuffle_is_its_definition(block, channels, rows, seed):
    permutation = np.random.default_rng(seed).permutation(block * block * channels)
    images = pixels(2, rows * block, 2 * block, channels)
    encrypted = BlockShuffleParameters(block, channels, permutation).encrypt(images)
    for before, after in zip(images, encrypted, strict=True):
        assert np.array_equal(after, shuffle_reference(before, block, permutation))


def test_plain_changes_nothing_and_shares_no_memory():
    images = pixels(2, 32, 32, 3)
    encrypted = encrypt("plain", images)
    assert np.array_equal(encrypted, images)
    assert not np.shares_memory(encrypted, images)


@pytest.mark.parametrize("scheme", KEYED)
def test_another_key_gives_another_ciphertext(scheme):
    images = pixels(1, 32, 32, 3)
    assert not np.array_equal(encrypt(scheme, images), encrypt(scheme, images, OTHER_KEY))


@pytest.mark.parametrize("scheme", KEYED)
def test_the_same_key_gives_the_same_ciphertext(scheme):
    images = pixels(1, 32, 32, 3)
    assert np.array_equal(encrypt(scheme, images), encrypt(scheme, images))


@pytest.mark.parametrize("scheme", ALL)
def test_an_image_is_encrypted_alike_alone_and_in_a_batch_of_many_bands(scheme):
    images = pixels(300, 32, 32, 3)
    together = encrypt(scheme, images)
    for place in (0, 84, 85, 86, 170, 299):
        assert np.array_equal(encrypt(scheme, images[place : place + 1])[0], together[place])


@pytest.mark.parametrize("scheme", ALL)
def test_equal_blocks_stay_equal_wherever_they_stand(scheme):
    image = np.tile(pixels(1, 4, 4, 3), (1, 8, 8, 1))
    encrypted = encrypt(scheme, image)
    assert np.array_equal(encrypted, np.tile(encrypted[:, :4, :4], (1, 8, 8, 1)))


@pytest.mark.parametrize("scheme", ALL)
def test_images_that_are_not_contiguous_are_welcome(scheme):
    images = pixels(4, 32, 64, 3)[::2, :, ::-2]
    assert np.array_equal(encrypt(scheme, images), encrypt(scheme, images.copy()))


@pytest.mark.parametrize("scheme", ALL)
def test_read_only_images_are_welcome_and_stay_as_they_were(scheme):
    images = pixels(2, 32, 32, 3)
    before = images.copy()
    images.flags.writeable = False
    assert encrypt(scheme, images).flags.writeable
    assert np.array_equal(images, before)


def test_images_of_another_shape_than_the_descriptors_are_refused():
    images = pixels(1, 28, 28, 3)
    with pytest.raises(DataError, match="images must be 32x32x3, got 28x28x3"):
        cipher_for(descriptor("le"), KEY).encrypt(images, names(images))


@pytest.mark.parametrize("images", [pixels(32, 32, 3), pixels(1, 32, 32, 3).astype(np.float32)])
def test_what_is_no_batch_of_bytes_is_a_callers_bug(images):
    with pytest.raises(ValueError, match="uint8"):
        cipher_for(descriptor("le"), KEY).decrypt(images, names(images))


def test_a_missing_id_is_a_callers_bug():
    with pytest.raises(ValueError, match="one id an image, got 1 for 2"):
        cipher_for(descriptor("plain"), KEY).encrypt(pixels(2, 32, 32, 3), ["a"])


def test_a_shape_that_is_not_whole_blocks_gets_no_cipher():
    with pytest.raises(SchemeError, match="30x32 images do not divide"):
        cipher_for(descriptor("le", (30, 32, 3)), KEY)


def test_an_unknown_scheme_gets_no_cipher():
    with pytest.raises(SchemeError, match="not known"):
        cipher_for(Descriptor("rot13", 1, (32, 32, 3), {"block": 4}), KEY)


def test_an_unknown_parameter_gets_no_cipher():
    with pytest.raises(FormatError, match="unknown"):
        cipher_for(Descriptor("le", 1, (32, 32, 3), {"block": 4, "rounds": 2}), KEY)


@pytest.mark.parametrize("scheme", KEYED)
def test_blocks_of_two_pixels_get_no_cipher(scheme):
    with pytest.raises(SchemeError, match="at least 3 pixels"):
        cipher_for(descriptor(scheme, block=2), KEY)


@pytest.mark.parametrize("scheme", KEYED)
def test_a_trainer_refuses_blocks_of_two_pixels_as_the_holder_does(scheme):
    with pytest.raises(SchemeError, match="at least 3 pixels"):
        descriptor(scheme, block=2).check()


@pytest.mark.parametrize("scheme", KEYED)
def test_no_representation_shows_a_permutation(scheme):
    assert "array" not in repr(cipher_for(descriptor(scheme), KEY))


def test_the_check_value_tells_keys_and_schemes_apart():
    cases = [(descriptor(scheme), key) for scheme in KEYED for key in (KEY, OTHER_KEY)]
    values = {check_value(public, key, cipher_for(public, key).encrypt) for public, key in cases}
    assert len(values) == 4
