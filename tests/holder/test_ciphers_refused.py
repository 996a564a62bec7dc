"""What no cipher takes: images, ids, descriptors and parameters that do not go together, each in one sentence."""

import time

import numpy as np
import pytest

from blindsight.holder.ciphers import (
    BlockShuffleParameters,
    CatMapParameters,
    Cipher,
    EleParameters,
    EtcParameters,
    LeParameters,
    LogisticXorImageParameters,
    LogisticXorParameters,
    PatchMixParameters,
    PatchShuffleParameters,
    PixelImageParameters,
    PixelParameters,
    RestrictedParameters,
    Rings,
    VitBlockParameters,
    Vortex,
    VortexParameters,
    VortexRingParameters,
    cipher_for,
    for_images,
)
from blindsight.protocol.errors import DataError, FormatError, SchemeError
from blindsight.protocol.scheme import SCHEMES, Descriptor
from tests.holder.scheme_variants import ALL, FOR_AN_IMAGE, VARIANTS, described, names, pixels

KEY = bytes(range(32))
LE = Descriptor.of("le", (32, 32, 3))


@pytest.mark.parametrize("variant", ALL)
def test_images_of_another_shape_than_the_descriptors_are_refused(variant):
    cipher = cipher_for(described(variant, (32, 32, 3)), KEY)
    with pytest.raises(DataError, match="images must be 32x32x3, got 28x28x3") as refusal:
        cipher.encrypt(pixels(1, 28, 28, 3), names(1))
    assert "--fit" in refusal.value.hint
    with pytest.raises(DataError, match="images must be 32x32x3, got 32x32x1"):
        cipher.encrypt(pixels(1, 32, 32, 1), names(1))


def test_encrypted_images_of_another_shape_are_refused():
    with pytest.raises(DataError, match="images must be 32x32x3, got 16x16x3"):
        cipher_for(LE, KEY).decrypt(pixels(1, 16, 16, 3), names(1))


@pytest.mark.parametrize(
    "images",
    [
        pixels(32, 32, 3),
        pixels(1, 1, 32, 32, 3),
        pixels(1, 32, 32, 3).astype(np.float32),
        pixels(1, 32, 32, 3).astype(np.int64),
        pixels(1, 32, 32, 3).view(np.int8),
        pixels(1, 32, 32, 3).astype(bool),
    ],
    ids=lambda images: f"{images.ndim} axes of {images.dtype}",
)
@pytest.mark.parametrize("variant", ALL)
def test_what_is_no_batch_of_bytes_is_a_callers_bug(variant, images):
    cipher = cipher_for(described(variant, (32, 32, 3)), KEY)
    with pytest.raises(ValueError, match=r"^images must be \(n, h, w, c\) uint8, got"):
        cipher.encrypt(images, names(len(images)))


@pytest.mark.parametrize("variant", ALL)
@pytest.mark.parametrize("ids", [["a"], ["a", "b", "c"]], ids=["one", "three"])
def test_another_number_of_ids_than_of_images_is_a_callers_bug(variant, ids):
    images = pixels(2, 32, 32, 3)
    with pytest.raises(ValueError, match=f"^there must be one id an image, got {len(ids)} for 2$"):
        cipher_for(described(variant, images.shape[1:]), KEY).encrypt(images, ids)


@pytest.mark.parametrize("variant", FOR_AN_IMAGE)
def test_a_key_for_each_image_needs_the_ids(variant):
    images = pixels(2, 32, 32, 3)
    cipher = cipher_for(described(variant, images.shape[1:]), KEY)
    for turned in (cipher.encrypt, cipher.decrypt):
        with pytest.raises(ValueError, match=r"^there must be one id an image, got 0 for 2$"):
            turned(images)


@pytest.mark.parametrize("name", sorted({name for name, _ in VARIANTS.values() if "block" in SCHEMES[name, 1].params}))
def test_a_shape_that_is_not_whole_blocks_gets_no_cipher(name):
    with pytest.raises(SchemeError, match="30x32 images do not divide into blocks of 4x4"):
        cipher_for(Descriptor(name, 1, (30, 32, 3), Descriptor.of(name, (32, 32, 3)).params), KEY)


def test_an_unknown_scheme_gets_no_cipher():
    with pytest.raises(SchemeError, match="not known"):
        cipher_for(Descriptor("rot13", 1, (32, 32, 3), {"block": 4}), KEY)


@pytest.mark.parametrize("variant", ALL)
def test_an_unknown_parameter_gets_no_cipher(variant):
    known = described(variant, (32, 32, 3))
    with pytest.raises(FormatError, match="rounds is unknown"):
        cipher_for(Descriptor(known.id, 1, known.shape, {**known.params, "rounds": 2}), KEY)


@pytest.mark.parametrize("variant", [name for name in ALL if name != "cat-map"])
def test_a_missing_parameter_gets_no_cipher(variant):
    with pytest.raises(FormatError, match="is missing"):
        cipher_for(Descriptor(VARIANTS[variant][0], 1, (32, 32, 3), {}), KEY)


@pytest.mark.parametrize("name", ["block-shuffle", "le", "vit-block", "ele", "restricted"])
def test_blocks_of_two_pixels_get_no_cipher(name):
    params = {**Descriptor.of(name, (32, 32, 3)).params, "block": 2}
    with pytest.raises(SchemeError, match="blocks must be at least 3 pixels wide, got 2"):
        cipher_for(Descriptor(name, 1, (32, 32, 3), params), KEY)


def test_patches_without_quarters_get_no_cipher():
    with pytest.raises(SchemeError, match="even number of pixels wide, got 3"):
        cipher_for(Descriptor("patch-mix", 1, (30, 30, 3), {"block": 3}), KEY)


@pytest.mark.parametrize("shape", [(32, 28, 3), (27, 27, 1)])
def test_a_cat_map_on_what_is_no_even_square_gets_no_cipher(shape):
    with pytest.raises(SchemeError, match="square with an even side"):
        cipher_for(Descriptor("cat-map", 1, shape, {}), KEY)


@pytest.mark.parametrize("name", ["vortex", "vortex-ring"])
def test_images_without_room_for_a_vortex_get_no_cipher(name):
    with pytest.raises(SchemeError, match="pixels wide and high, got 4x32"):
        cipher_for(Descriptor(name, 1, (4, 32, 3), Descriptor.of(name, (32, 32, 3)).params), KEY)


@pytest.mark.parametrize(("what", "most"), [("fixed_blocks", 64), ("fixed_pixels", 48)])
def test_more_that_stays_than_there_is_gets_no_cipher(what, most):
    params = {**Descriptor.of("restricted", (32, 32, 3)).params, what: most + 1}
    with pytest.raises(SchemeError, match=f"{what} must be at most {most}, got {most + 1}"):
        cipher_for(Descriptor("restricted", 1, (32, 32, 3), params), KEY)


@pytest.mark.parametrize("variant", ALL)
def test_two_channels_get_no_cipher(variant):
    known = described(variant, (32, 32, 1))
    with pytest.raises(SchemeError, match="1 or 3 channels, got 2"):
        cipher_for(Descriptor(known.id, 1, (32, 32, 2), known.params), KEY)


# Parameters made by hand. Images are 8x8x3 in four blocks of 4x4: 48 bytes, 96 nibbles each.

SHAPE = (8, 8, 3)
BLOCKS, BYTES, NIBBLES = np.arange(4), np.arange(48), np.arange(96)
FALSE = np.zeros(96, bool)
MASK, ORDER = np.zeros(SHAPE, bool), np.zeros((8, 8), int)
ROLLS = tuple(np.zeros((side, side), int) for side in (4, 4, 4, 4, 8))
TURNS = tuple(np.full(3, 2) for _ in range(5))
KEYS, KEY_MASKS = np.tile(NIBBLES, (4, 1)), np.zeros((4, 96), bool)


def nothing(ids):
    return np.empty((len(ids), 0), int)


def le(permutation=NIBBLES, mask=FALSE, block=4, channels=3):
    return LeParameters(block, channels, permutation, mask)


def block_shuffle(permutation=BYTES, block=4, channels=3):
    return BlockShuffleParameters(block, channels, permutation)


def vit_block(blocks=BLOCKS, permutation=BYTES, mask=FALSE[:48], block=4, shape=SHAPE):
    return VitBlockParameters(shape, block, blocks, permutation, mask)


def ele(blocks=BLOCKS, permutations=KEYS, masks=KEY_MASKS, block=4, shape=SHAPE):
    return EleParameters(shape, block, blocks, permutations, masks)


def etc(blocks=BLOCKS, turns=BLOCKS, negatives=FALSE[:4], orders=BLOCKS, block=4, shape=SHAPE):
    return EtcParameters(shape, block, blocks, turns, negatives, orders)


def cat_map(rolls=ROLLS, turns=TURNS):
    return CatMapParameters(rolls, turns)


def vortex(row=4, column=4, swirl=(0.5, 0.25), shape=SHAPE):
    return VortexParameters(shape, (Vortex(row, column, np.asarray(swirl)),))


def rings(row=3, column=3, steps=(1, 2), shape=SHAPE):
    return VortexRingParameters(shape, (Rings(row, column, np.asarray(steps)),))


@pytest.mark.parametrize(
    "made",
    [le, block_shuffle, vit_block, ele, etc, cat_map, vortex, rings, lambda: PixelParameters(MASK, ORDER)],
    ids=lambda made: made.__name__,
)
def test_parameters_that_go_together_are_taken(made):
    made()


def without(values, place, value):
    """A copy with one other entry."""
    copy = np.array(values)
    copy[place] = value
    return copy


PERMUTATIONS = {
    "le": lambda values: le(permutation=values),
    "block-shuffle": lambda values: block_shuffle(permutation=values),
    "vit-block, blocks": lambda values: vit_block(blocks=values),
    "vit-block, bytes": lambda values: vit_block(permutation=values),
    "ele, blocks": lambda values: ele(blocks=values),
    "ele, nibbles": lambda values: ele(permutations=values),
    "etc": lambda values: etc(blocks=values),
    "logistic-xor": lambda values: LogisticXorImageParameters(SHAPE, nothing, values),
}
GOOD = {
    "le": NIBBLES,
    "block-shuffle": BYTES,
    "vit-block, blocks": BLOCKS,
    "vit-block, bytes": BYTES,
    "ele, blocks": BLOCKS,
    "ele, nibbles": KEYS,
    "etc": BLOCKS,
    "logistic-xor": np.arange(64),
}


@pytest.mark.parametrize("name", PERMUTATIONS)
def test_what_is_no_permutation_is_refused(name):
    made, good = PERMUTATIONS[name], GOOD[name]
    made(good)
    faults = {
        "must hold integers, got float64": good.astype(float),
        "must hold integers, got bool": good.astype(bool),
        "must have shape": good[..., :-1],
        r"must have shape \(": good[np.newaxis],
        "the permutation must hold each of 0 to": without(good, (..., 0), good[..., 1]),
        "must hold integers from 0 to": good + 1,
        "must hold integers from 0 to .*-1 to": good - 1,
    }
    for sentence, values in faults.items():
        with pytest.raises(ValueError, match=sentence):
            made(values)


MASKS = {
    "le": (lambda mask: le(mask=mask), FALSE),
    "vit-block": (lambda mask: vit_block(mask=mask), FALSE[:48]),
    "ele": (lambda mask: ele(masks=mask), KEY_MASKS),
    "etc": (lambda mask: etc(negatives=mask), FALSE[:4]),
}


@pytest.mark.parametrize("name", MASKS)
def test_what_is_no_mask_is_refused(name):
    made, good = MASKS[name]
    made(good)
    with pytest.raises(ValueError, match="mask must hold booleans, got uint8"):
        made(good.astype(np.uint8))
    with pytest.raises(ValueError, match=r"mask must have shape \("):
        made(good[..., :-1])


INTEGERS = {
    "turns of a block below 0": lambda: etc(turns=BLOCKS - 1),
    "turns of a block above 7": lambda: etc(turns=BLOCKS + 5),
    "orders above 5": lambda: etc(orders=BLOCKS + 3),
    "orders of a grey image": lambda: etc(shape=(8, 8, 1)),
    "orders that are no integers": lambda: etc(orders=BLOCKS / 2),
    "too few turns": lambda: etc(turns=BLOCKS[:3]),
    "an order of a pixel above 5": lambda: PixelParameters(MASK, ORDER + 6),
    "an order of grey pixels": lambda: PixelParameters(MASK[..., :1], ORDER + 1),
    "an order of another shape": lambda: PixelParameters(MASK, ORDER[1:]),
    "a roll as large as the channels": lambda: cat_map(rolls=(*ROLLS[:4], without(ROLLS[4], (1, 1), 3))),
    "a roll below 0": lambda: cat_map(rolls=(ROLLS[0] - 1, *ROLLS[1:])),
    "a roll of another shape": lambda: cat_map(rolls=(ROLLS[4], *ROLLS[1:])),
    "rolls that are no integers": lambda: cat_map(rolls=(ROLLS[0] * 1.0, *ROLLS[1:])),
    "one turn of a map": lambda: cat_map(turns=(*TURNS[:4], np.array([2, 1, 2]))),
    "ten turns of a map": lambda: cat_map(turns=(*TURNS[:4], np.array([2, 10, 2]))),
    "turns of two channels": lambda: cat_map(turns=(TURNS[0][:2], *TURNS[1:])),
    "four rolls": lambda: cat_map(rolls=ROLLS[:4]),
    "six turns": lambda: cat_map(turns=(*TURNS, TURNS[0])),
    "more rings than there is room": lambda: rings(steps=(1, 2, 3, 4)),
    "rings at the border": lambda: rings(row=0, steps=(1,)),
    "rings outside": lambda: rings(row=9, steps=(1,)),
    "a step as long as the ring": lambda: rings(steps=(100, 1)),
    "a step back": lambda: rings(steps=(-1, 1)),
    "steps that are no integers": lambda: rings(steps=(0.5, 1.0)),
    "steps in two rows": lambda: rings(steps=((1, 2),)),
    "more swirl than there is room": lambda: vortex(swirl=[0.1] * 4),
    "a vortex at the border": lambda: vortex(row=1, swirl=[0.1]),
    "a vortex outside": lambda: vortex(column=9, swirl=[0.1]),
    "a swirl without end": lambda: vortex(swirl=[np.inf, 0]),
    "a swirl that is no number": lambda: vortex(swirl=[np.nan, 0]),
    "a swirl in two rows": lambda: vortex(swirl=[[0.1, 0.2]]),
    "a sequence of words": lambda: LogisticXorParameters(np.zeros(SHAPE, np.uint16)),
    "a sequence without channels": lambda: LogisticXorParameters(np.zeros((8, 8), np.uint8)),
    "a mask without channels": lambda: PixelParameters(MASK[..., 0], ORDER),
    "a mask of integers": lambda: PixelParameters(MASK.astype(int), ORDER),
}


@pytest.mark.parametrize("made", INTEGERS.values(), ids=INTEGERS.keys())
def test_arrays_of_a_wrong_type_shape_or_range_are_refused_in_one_sentence(made):
    with pytest.raises(ValueError, match=r"must|leaves?") as refusal:
        made()
    assert "\n" not in str(refusal.value)


SMALL = {
    "le": lambda block: le(block=block),
    "block-shuffle": lambda block: block_shuffle(block=block),
    "vit-block": lambda block: vit_block(block=block),
    "ele": lambda block: ele(block=block),
    "restricted": lambda block: RestrictedParameters(SHAPE, block, nothing, nothing),
}


@pytest.mark.parametrize("block", [0, 1, 2])
@pytest.mark.parametrize("made", SMALL.values(), ids=SMALL.keys())
def test_blocks_too_small_are_refused_by_hand_too(made, block):
    with pytest.raises(DataError, match=f"blocks must be at least 3 pixels wide, got {block}"):
        made(block)


@pytest.mark.parametrize("made", [lambda: etc(block=0), lambda: PatchShuffleParameters(SHAPE, 0, for_images({}))])
def test_a_block_of_nothing_is_refused_by_hand_too(made):
    with pytest.raises(DataError, match="blocks must be at least 1 pixels wide, got 0"):
        made()


@pytest.mark.parametrize(("block", "sentence"), [(0, "at least 2"), (1, "at least 2"), (3, "an even number of")])
def test_patches_without_quarters_are_refused_by_hand_too(block, sentence):
    with pytest.raises(DataError, match=f"blocks must be {sentence} pixels wide, got {block}"):
        PatchMixParameters(block)


TWO = (8, 8, 2)
TWO_CHANNELS = {
    "le": lambda: le(channels=2),
    "block-shuffle": lambda: block_shuffle(channels=2),
    "vit-block": lambda: vit_block(shape=TWO),
    "ele": lambda: ele(shape=TWO),
    "etc": lambda: etc(shape=TWO),
    "cat-map": lambda: cat_map(turns=tuple(turns[:2] for turns in TURNS)),
    "vortex": lambda: vortex(shape=TWO),
    "vortex-ring": lambda: rings(shape=TWO),
    "patch-shuffle": lambda: PatchShuffleParameters(TWO, 4, for_images({})),
    "restricted": lambda: RestrictedParameters(TWO, 4, nothing, nothing),
    "pixel": lambda: PixelParameters(MASK[..., :2], ORDER),
    "pixel an image": lambda: PixelImageParameters(TWO, nothing, nothing),
    "logistic-xor": lambda: LogisticXorParameters(np.zeros(TWO, np.uint8)),
    "logistic-xor an image": lambda: LogisticXorImageParameters(TWO, nothing, np.arange(64)),
}


@pytest.mark.parametrize("made", TWO_CHANNELS.values(), ids=TWO_CHANNELS.keys())
def test_two_channels_are_refused_by_hand_too(made):
    with pytest.raises(DataError, match="images must have 1 or 3 channels, got 2"):
        made()


def test_a_cat_map_of_an_odd_side_is_refused_by_hand_too():
    odd = (*(np.zeros((3, 3), int) for _ in range(4)), np.zeros((7, 7), int))
    with pytest.raises(DataError, match="square with an even side, got 7x7"):
        cat_map(rolls=odd)


def test_an_image_without_a_permutation_is_refused():
    cipher = Cipher(
        Descriptor.of("patch-shuffle", SHAPE), PatchShuffleParameters(SHAPE, 4, for_images({"a": BLOCKS, "b": [0, 1]}))
    )
    assert cipher.encrypt(pixels(1, *SHAPE), ["a"]).shape == (1, *SHAPE)
    with pytest.raises(ValueError, match="there is no permutation for image 'c'"):
        cipher.encrypt(pixels(2, *SHAPE), ["a", "c"])
    with pytest.raises(ValueError, match=r"must have shape \(4,\), got \(2,\)"):
        cipher.encrypt(pixels(2, *SHAPE), ["a", "b"])


WHOLE = {
    "vit-block": lambda shape: vit_block(shape=shape),
    "ele": lambda shape: ele(shape=shape),
    "etc": lambda shape: etc(shape=shape),
    "patch-shuffle": lambda shape: PatchShuffleParameters(shape, 4, for_images({"a": BLOCKS})),
    "restricted": lambda shape: RestrictedParameters(shape, 4, nothing, nothing),
}


@pytest.mark.parametrize("made", WHOLE.values(), ids=WHOLE.keys())
@pytest.mark.parametrize("shape", [(9, 8, 3), (8, 10, 3)])
def test_images_that_are_not_whole_blocks_are_refused_by_hand_too(made, shape):
    images = pixels(1, *shape)
    with pytest.raises(DataError, match=f"{shape[0]}x{shape[1]} images do not divide into blocks of 4x4"):
        made(shape).encrypt(images, ["a"], np.empty_like(images))


@pytest.mark.parametrize(
    ("scheme", "parameters"),
    [
        ("vit-block", vit_block()),
        ("pixel", PixelParameters(MASK, ORDER)),
        ("logistic-xor", LogisticXorParameters(np.zeros(SHAPE, np.uint8))),
    ],
)
def test_parameters_for_images_of_another_shape_than_the_descriptors_are_refused(scheme, parameters):
    with pytest.raises(ValueError, match=r"are for images of \(8, 8, 3\), the descriptor for \(16, 16, 3\)"):
        Cipher(Descriptor.of(scheme, (16, 16, 3)), parameters)


COPIED = {
    "le": (le(), "permutation"),
    "le, mask": (le(), "mask"),
    "block-shuffle": (block_shuffle(), "permutation"),
    "vit-block": (vit_block(), "blocks"),
    "ele": (ele(), "masks"),
    "etc": (etc(), "negatives"),
    "pixel": (PixelParameters(MASK, ORDER), "order"),
    "logistic-xor": (LogisticXorParameters(np.zeros(SHAPE, np.uint8)), "sequence"),
    "cat-map": (cat_map().rolls, 4),
    "vortex": (vortex().vortices[0], "swirl"),
    "vortex-ring": (rings().vortices[0], "steps"),
}


@pytest.mark.parametrize(("owner", "name"), COPIED.values(), ids=COPIED.keys())
def test_parameters_cannot_be_changed(owner, name):
    values = owner[name] if isinstance(name, int) else getattr(owner, name)
    with pytest.raises(ValueError, match="read-only"):
        values[...] = 0


def test_parameters_are_copies_of_what_was_given():
    permutation, mask, sequence = NIBBLES.copy(), FALSE.copy(), np.zeros(SHAPE, np.uint8)
    le_, xor = le(permutation, mask), LogisticXorParameters(sequence)
    permutation[:2], mask[0], sequence[0] = (1, 0), True, 7
    assert np.array_equal(le_.permutation, NIBBLES)
    assert not le_.mask.any()
    assert not xor.sequence.any()


@pytest.mark.parametrize("owner", [owner for owner, _ in COPIED.values() if not isinstance(owner, tuple)])
def test_no_representation_of_parameters_shows_a_key(owner):
    assert "array" not in repr(owner)


@pytest.mark.parametrize("workers", [0, -3])
def test_no_worker_is_refused(workers):
    with pytest.raises(ValueError, match=f"at least 1 worker, got {workers}"):
        cipher_for(Descriptor.of("le", (8, 8, 3)), KEY, workers)


def test_parameters_for_other_blocks_than_the_descriptors_are_refused():
    with pytest.raises(ValueError, match="blocks of 4, the descriptor for 8"):
        Cipher(Descriptor.of("le", (8, 8, 3), {"block": 8}), le())


def test_an_image_that_no_machine_should_be_asked_to_draw_a_key_for_is_refused():
    with pytest.raises(SchemeError, match="at most 134217728 bytes, got 65536x65536x3"):
        Descriptor.of("vit-block", (65_536, 65_536, 3))


def test_nobody_writes_to_the_result_after_a_failure():
    descriptor = Descriptor.of("patch-shuffle", (64, 64, 3))
    known = np.random.default_rng(0).permutation(256)
    parameters = PatchShuffleParameters((64, 64, 3), 4, for_images({f"{place}": known for place in range(1, 600)}))
    images = np.ones((600, 64, 64, 3), np.uint8)
    out = np.zeros_like(images)
    with pytest.raises(ValueError, match="no permutation for image '0'"):
        Cipher(descriptor, parameters, workers=2).encrypt(images, [str(place) for place in range(600)], out)
    seen = out.copy()
    time.sleep(0.2)
    assert np.array_equal(out, seen)
