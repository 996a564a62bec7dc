"""What holds for every cipher: shapes, inverses, keys, company, and images that are awkward in memory."""

import numpy as np
import pytest

from blindsight.holder.ciphers import CIPHERS, PatchMixParameters, PlainParameters, VortexParameters, cipher_for
from blindsight.protocol.errors import SchemeError
from blindsight.protocol.scheme import SCHEMES, Descriptor, check_value
from tests.holder.scheme_variants import (
    ALIGNED,
    ALL,
    FOR_AN_IMAGE,
    INVERTIBLE,
    KEYLESS,
    described,
    fits,
    names,
    pixels,
)

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
LE = Descriptor.of("le", (32, 32, 3))
SHAPES = [
    (0, 32, 32, 3),
    (1, 32, 32, 3),
    (5, 28, 28, 1),
    (2, 8, 8, 3),
    (1, 4, 4, 3),  # one block
    (3, 112, 92, 3),
    (2, 4, 400, 1),
]
LARGE = [name for name in INVERTIBLE if name not in ("cat-map", "ele")]  # those want a square, and seconds


def cipher_of(variant, images, key=KEY, workers=1, **params):
    return cipher_for(described(variant, images.shape[1:], **params), key, workers)


def encrypt(variant, images, key=KEY, workers=1):
    return cipher_of(variant, images, key, workers).encrypt(images, names(len(images)))


def test_every_scheme_of_the_protocol_has_a_cipher():
    assert set(CIPHERS) == set(SCHEMES)


# What comes out.


@pytest.mark.parametrize(
    ("variant", "shape"), [(name, shape) for name in INVERTIBLE for shape in SHAPES if fits(name, shape[1:])]
)
def test_decryption_undoes_encryption(variant, shape):
    images = pixels(*shape)
    cipher = cipher_of(variant, images)
    encrypted = cipher.encrypt(images, names(len(images)))
    assert encrypted.shape == shape
    assert encrypted.dtype == np.uint8
    assert np.array_equal(cipher.decrypt(encrypted, names(len(images))), images)


@pytest.mark.parametrize("variant", ["plain", "patch-shuffle", "etc"])
@pytest.mark.parametrize("shape", [(2, 5, 7, 3), (2, 1, 1, 1), (3, 1, 9, 3)])
def test_a_block_may_be_a_single_pixel(variant, shape):
    images = pixels(*shape)
    cipher = cipher_of(variant, images, block=1)
    assert np.array_equal(cipher.decrypt(cipher.encrypt(images, names(shape[0])), names(shape[0])), images)


@pytest.mark.parametrize("variant", ["pixel", "pixel an image", "logistic-xor", "logistic-xor an image"])
def test_an_image_may_be_a_single_pixel(variant):
    images = pixels(2, 1, 1, 3)
    cipher = cipher_of(variant, images)
    assert np.array_equal(cipher.decrypt(cipher.encrypt(images, names(2)), names(2)), images)


@pytest.mark.parametrize("variant", ["block-shuffle", "le", "vit-block", "ele", "etc", "restricted"])
@pytest.mark.parametrize("block", [3, 5, 16])
def test_blocks_of_other_sizes_are_undone_too(variant, block):
    images = pixels(2, 2 * block, 3 * block, 3)
    cipher = cipher_of(variant, images, block=block)
    assert np.array_equal(cipher.decrypt(cipher.encrypt(images, names(2)), names(2)), images)


@pytest.mark.parametrize("variant", LARGE)
def test_a_large_photo_is_encrypted_and_decrypted(variant):
    image = np.resize(pixels(1080 * 1920 * 3 // 7), (1, 1080, 1920, 3))
    cipher = cipher_of(variant, image, workers=2)
    assert np.array_equal(cipher.decrypt(cipher.encrypt(image, ["a"]), ["a"]), image)


def test_mixing_halves_the_sides():
    images = pixels(3, 12, 20, 3)
    encrypted = encrypt("patch-mix", images)
    assert encrypted.shape == (3, 6, 10, 3)
    assert encrypted.dtype == np.uint8


def test_a_vortex_leaves_the_shape():
    assert encrypt("vortex", pixels(3, 12, 20, 3)).shape == (3, 12, 20, 3)


@pytest.mark.parametrize("variant", ALL)
def test_no_images_give_no_images(variant):
    descriptor = described(variant, (32, 32, 3))
    encrypted = cipher_for(descriptor, KEY).encrypt(pixels(0, 32, 32, 3), [])
    assert encrypted.shape == (0, *descriptor.encrypted_shape)


def test_plain_changes_nothing_and_shares_no_memory():
    images = pixels(2, 32, 32, 3)
    encrypted = encrypt("plain", images)
    assert np.array_equal(encrypted, images)
    assert not np.shares_memory(encrypted, images)


@pytest.mark.parametrize("variant", ["vortex", "patch-mix"])
def test_what_loses_detail_is_not_decrypted(variant):
    images = pixels(1, 32, 32, 3)
    cipher = cipher_of(variant, images)
    encrypted = cipher.encrypt(images, ["a"])
    with pytest.raises(SchemeError, match=f"scheme {variant} loses .*nobody can decrypt it") as refusal:
        cipher.decrypt(encrypted, ["a"])
    assert refusal.value.code == "E_SCHEME"
    with pytest.raises(SchemeError, match="nobody can decrypt it"):
        cipher.parameters.decrypt(encrypted, ["a"], np.empty_like(images))


# What the key does.


@pytest.mark.parametrize("variant", [name for name in ALL if name not in KEYLESS])
def test_another_key_gives_another_ciphertext(variant):
    images = pixels(1, 32, 32, 3)
    assert not np.array_equal(encrypt(variant, images), encrypt(variant, images, OTHER_KEY))


@pytest.mark.parametrize("variant", KEYLESS)
def test_without_a_key_all_keys_are_one(variant):
    images = pixels(1, 32, 32, 3)
    assert np.array_equal(encrypt(variant, images), encrypt(variant, images, OTHER_KEY))


@pytest.mark.parametrize("variant", ALL)
def test_the_same_key_gives_the_same_ciphertext(variant):
    images = pixels(1, 32, 32, 3)
    assert np.array_equal(encrypt(variant, images), encrypt(variant, images))


@pytest.mark.parametrize("variant", [name for name in INVERTIBLE if name not in KEYLESS])
def test_another_key_does_not_decrypt(variant):
    images = pixels(1, 32, 32, 3)
    encrypted = encrypt(variant, images)
    assert not np.array_equal(cipher_of(variant, images, OTHER_KEY).decrypt(encrypted, names(1)), images)


@pytest.mark.parametrize("variant", FOR_AN_IMAGE)
def test_another_id_gives_another_ciphertext_and_the_same_id_the_same(variant):
    image = pixels(1, 32, 32, 3)
    first, again, other = cipher_of(variant, image).encrypt(np.repeat(image, 3, axis=0), ["a", "a", "b"])
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("variant", sorted(set(ALL) - set(FOR_AN_IMAGE)))
def test_under_a_common_key_ids_are_of_no_account_and_may_be_left_out(variant):
    images = pixels(2, 32, 32, 3)
    cipher = cipher_of(variant, images)
    assert np.array_equal(cipher.encrypt(images, ["a", "b"]), cipher.encrypt(images, ["b", "c"]))
    assert np.array_equal(cipher.encrypt(images, ["a", "b"]), cipher.encrypt(images))
    if variant in INVERTIBLE:
        assert np.array_equal(cipher.decrypt(cipher.encrypt(images)), images)


def test_the_check_value_tells_keys_and_schemes_apart():
    cases = [(described(name, (32, 32, 3)), key) for name in ALL for key in (KEY, OTHER_KEY)]
    values = {check_value(public, key, cipher_for(public, key).encrypt) for public, key in cases}
    assert len(values) == 2 * len(ALL)


@pytest.mark.parametrize("variant", ALL)
def test_no_representation_shows_a_key(variant):
    shown = repr(cipher_for(described(variant, (32, 32, 3)), KEY))
    assert "array" not in shown
    assert KEY.hex() not in shown
    assert repr(KEY) not in shown


# What an image's company does: nothing.


@pytest.mark.parametrize("variant", ALL)
def test_an_image_is_encrypted_alike_alone_and_in_a_batch_of_many_bands(variant):
    images, ids = pixels(300, 32, 32, 3), names(300)
    cipher = cipher_of(variant, images)
    together = cipher.encrypt(images, ids)
    for place in (0, 84, 85, 86, 170, 299):
        assert np.array_equal(cipher.encrypt(images[place : place + 1], ids[place : place + 1])[0], together[place])


@pytest.mark.parametrize("variant", ALL)
def test_the_order_of_a_batch_is_the_order_of_its_result(variant):
    images, ids, order = pixels(9, 16, 16, 1), names(9), [4, 0, 8, 2, 2, 7]
    cipher = cipher_of(variant, images)
    moved = cipher.encrypt(images[order], [ids[place] for place in order])
    assert np.array_equal(moved, cipher.encrypt(images, ids)[order])


@pytest.mark.parametrize("variant", ALL)
@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_result_does_not_depend_on_the_number_of_workers(variant, count):
    images, ids = pixels(count, 24, 24, 3), names(count)
    ciphers = [cipher_of(variant, images, workers=workers) for workers in (1, 2, 3, 16)]
    expected = ciphers[0].encrypt(images, ids)
    assert all(np.array_equal(cipher.encrypt(images, ids), expected) for cipher in ciphers)
    if variant in INVERTIBLE:
        assert all(np.array_equal(cipher.decrypt(expected, ids), images) for cipher in ciphers)


@pytest.mark.parametrize("variant", [name for name in ALIGNED if name != "patch-mix"])
def test_equal_blocks_stay_equal_wherever_they_stand(variant):
    image = np.tile(pixels(1, 4, 4, 3), (1, 8, 8, 1))
    encrypted = encrypt(variant, image)
    assert np.array_equal(encrypted, np.tile(encrypted[:, :4, :4], (1, 8, 8, 1)))


@pytest.mark.parametrize("variant", ALL)
def test_an_image_moved_by_whole_blocks_encrypts_to_the_moved_image_where_the_traits_say_so(variant):
    images = pixels(1, 32, 32, 3)
    cipher = cipher_of(variant, images)
    block = max(4, cipher.descriptor.block)
    small = block // cipher.descriptor.traits.shrink
    moved = cipher.encrypt(np.roll(images, (block, 3 * block), (1, 2)), ["a"])
    expected = np.roll(cipher.encrypt(images, ["a"]), (small, 3 * small), (1, 2))
    assert np.array_equal(moved, expected) == cipher.descriptor.traits.aligned


# What images are like in memory.


AWKWARD = {
    "strided": lambda: pixels(4, 24, 48, 3)[::2, :, ::2],
    "backwards": lambda: pixels(2, 24, 24, 3)[::-1, ::-1, ::-1, ::-1],
    "transposed": lambda: pixels(24, 3, 2, 24).transpose(2, 0, 3, 1),
    "channels first": lambda: pixels(2, 3, 24, 24).transpose(0, 2, 3, 1),
    "in Fortran's order": lambda: np.asfortranarray(pixels(2, 24, 24, 3)),
    "a window": lambda: pixels(2, 40, 40, 3)[:, 8:32, 8:32],
    "one image many times": lambda: np.broadcast_to(pixels(1, 24, 24, 3), (3, 24, 24, 3)),
    "not aligned": lambda: np.frombuffer(b"\0" + pixels(2, 24, 24, 3).tobytes(), np.uint8, offset=1).reshape(
        2, 24, 24, 3
    ),
}


@pytest.mark.parametrize("variant", ALL)
@pytest.mark.parametrize("awkward", AWKWARD.values(), ids=AWKWARD.keys())
def test_images_that_are_awkward_in_memory_are_welcome(variant, awkward):
    images = awkward()
    ids, cipher = names(len(images)), cipher_of(variant, images, workers=2)
    encrypted = cipher.encrypt(images, ids)
    assert np.array_equal(encrypted, cipher.encrypt(np.array(images, order="C"), ids))
    if variant in INVERTIBLE:
        strided = np.repeat(encrypted, 2, axis=2)[:, :, ::2]
        assert np.array_equal(cipher.decrypt(strided, ids), images)


@pytest.mark.parametrize("variant", ALL)
def test_read_only_images_are_welcome_and_no_images_are_written_to(variant):
    images, ids = pixels(2, 32, 32, 3), names(2)
    before = images.copy()
    images.flags.writeable = False
    cipher = cipher_of(variant, images)
    encrypted = cipher.encrypt(images, ids)
    assert encrypted.flags.writeable
    assert not np.shares_memory(encrypted, images)
    assert np.array_equal(images, before)
    if variant in INVERTIBLE:
        encrypted.flags.writeable = False
        kept = encrypted.copy()
        assert np.array_equal(cipher.decrypt(encrypted, ids), before)
        assert np.array_equal(encrypted, kept)


@pytest.mark.parametrize("variant", ALL)
@pytest.mark.parametrize("workers", [1, 2])
def test_the_result_is_written_where_one_wants_it(variant, workers):
    images, ids = pixels(3, 32, 32, 3), names(3)
    cipher = cipher_of(variant, images, workers=workers)
    expected = cipher.encrypt(images, ids)
    out = np.full_like(expected, 85)
    assert cipher.encrypt(images, ids, out=out) is out
    assert np.array_equal(out, expected)
    if variant in INVERTIBLE:
        back = np.full_like(images, 85)
        assert cipher.decrypt(expected, ids, out=back) is back
        assert np.array_equal(back, images)


def read_only(shape):
    array = np.empty(shape, np.uint8)
    array.flags.writeable = False
    return array


WRONG_OUT = {
    "fewer images": np.empty((1, 32, 32, 3), np.uint8),
    "another shape": np.empty((2, 32, 16, 6), np.uint8),
    "another type": np.empty((2, 32, 32, 3), np.int8),
    "every other row": np.empty((2, 64, 32, 3), np.uint8)[:, ::2],
    "Fortran's order": np.empty((2, 32, 32, 3), np.uint8, order="F"),
    "read-only": read_only((2, 32, 32, 3)),
}


@pytest.mark.parametrize("out", WRONG_OUT.values(), ids=WRONG_OUT.keys())
def test_a_wrong_place_for_the_result_is_a_callers_bug(out):
    images, cipher = pixels(2, 32, 32, 3), cipher_for(LE, KEY)
    for turned in (cipher.encrypt, cipher.decrypt):
        with pytest.raises(ValueError, match=r"^out must be contiguous, writeable \(2, 32, 32, 3\) uint8, got"):
            turned(images, names(2), out=out)


def test_the_result_does_not_overwrite_the_images():
    images, cipher = pixels(3, 32, 32, 3), cipher_for(LE, KEY)
    before = images.copy()
    for source, out in ((images, images), (images[:2], images[1:]), (images[1:], images[:2])):
        for turned in (cipher.encrypt, cipher.decrypt):
            with pytest.raises(ValueError, match=r"^out must not share memory with the images$"):
                turned(source, names(len(source)), out=out)
    assert np.array_equal(images, before)


def test_a_place_of_the_plain_size_is_no_place_for_mixed_images():
    images = pixels(2, 32, 32, 3)
    with pytest.raises(ValueError, match=r"writeable \(2, 16, 16, 3\) uint8"):
        cipher_of("patch-mix", images).encrypt(images, names(2), out=np.empty_like(images))


def test_the_classes_without_arrays_are_made_from_any_key():
    assert PlainParameters.from_key(KEY, described("plain", (32, 32, 3))) == PlainParameters()
    assert PatchMixParameters.from_key(KEY, described("patch-mix", (32, 32, 3))) == PatchMixParameters(4)
    assert VortexParameters.from_key(KEY, described("vortex", (32, 32, 3))).shape == (32, 32, 3)
