"""Descriptors: what was done to the images is said exactly, and anything else is another scheme with another key."""

import dataclasses

import pytest

from blindsight.protocol.errors import FormatError, SchemeError
from blindsight.protocol.log import Epoch
from blindsight.protocol.scheme import SCHEMES, Descriptor, check_value, multiple_of, scheme_key, traits_of
from tests.protocol.worlds import LE

FED = "ab" * 32


def epoch_allowing(*schemes):
    return Epoch(1, "11" * 32, "22" * 32, "33" * 32, schemes, "2027-01-01T00:00:00Z")


NAMES = [name for name, _ in SCHEMES]
WITH_BLOCKS = [name for (name, _), traits in SCHEMES.items() if "block" in traits.params]
WITHOUT_TWO = ["block-shuffle", "le", "vit-block", "ele", "restricted"]
SCOPED = ["pixel", "logistic-xor"]
SWIRLS = ["vortex", "vortex-ring"]

PARAMETERS = {
    "plain": {"block": 4},
    "block-shuffle": {"block": 4},
    "cat-map": {},
    "le": {"block": 4},
    "patch-shuffle": {"block": 4},
    "patch-mix": {"block": 4},
    "pixel": {"scope": "common"},
    "logistic-xor": {"scope": "common"},
    "vortex": {"vortices": 5, "strength": 100},
    "vortex-ring": {"vortices": 5},
    "vit-block": {"block": 4},
    "ele": {"block": 4},
    "etc": {"block": 4},
    "restricted": {"block": 4, "fixed_blocks": 48, "fixed_pixels": 36},
}

TRAITS = {  # unit, scope, invertible, stem, aligned
    "plain": ("byte", "none", True, "block", True),
    "block-shuffle": ("byte", "common", True, "block", True),
    "cat-map": ("byte", "common", True, "none", False),
    "le": ("nibble", "common", True, "block", True),
    "patch-shuffle": ("byte", "image", True, "orderless", False),
    "patch-mix": ("byte", "none", False, "none", True),
    "pixel": ("byte", "common", True, "position", False),
    "logistic-xor": ("bit", "common", True, "position", False),
    "vortex": ("byte", "common", False, "none", False),
    "vortex-ring": ("byte", "common", True, "none", False),
    "vit-block": ("byte", "common", True, "embedding", False),
    "ele": ("nibble", "block", True, "none", False),
    "etc": ("byte", "block", True, "none", False),
    "restricted": ("byte", "image", True, "none", False),
}


def test_the_schemes_are_these_fourteen():
    assert set(NAMES) == set(PARAMETERS) == set(TRAITS)
    assert len(NAMES) == 14


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_filled_in_and_pass_the_check(name):
    descriptor = Descriptor.of(name, (32, 32, 3))
    assert descriptor.params == PARAMETERS[name]
    assert descriptor == Descriptor(name, 1, (32, 32, 3), PARAMETERS[name])
    descriptor.check()


@pytest.mark.parametrize("name", NAMES)
def test_traits_are_the_table_s(name):
    traits = Descriptor.of(name, (32, 32, 3)).traits
    assert (traits.unit, traits.scope, traits.invertible, traits.stem, traits.aligned) == TRAITS[name]
    assert traits.lossless_stem == (traits.stem != "none")
    assert traits == traits_of(name, 1)


@pytest.mark.parametrize("name", NAMES)
def test_every_scheme_says_in_sentences_what_it_is_and_how_it_falls(name):
    traits = traits_of(name, 1)
    assert traits.falls.endswith(".")
    assert traits.title
    assert traits.source
    assert all(param.words for param in traits.params.values())
    assert not traits.control or traits.control.endswith(".")


@pytest.mark.parametrize("name", SCOPED)
def test_a_key_for_each_image_is_a_scope_that_no_stem_absorbs(name):
    descriptor = Descriptor.of(name, (32, 32, 3), {"scope": "image"})
    assert descriptor.params == {"scope": "image"}
    assert (descriptor.traits.scope, descriptor.traits.stem) == ("image", "none")
    assert not descriptor.traits.lossless_stem
    assert descriptor.digest != Descriptor.of(name, (32, 32, 3)).digest


@pytest.mark.parametrize("name", NAMES)
def test_only_mixing_makes_images_smaller(name):
    descriptor = Descriptor.of(name, (32, 48, 3)) if name != "cat-map" else Descriptor.of(name, (48, 48, 3))
    smaller = 2 if name == "patch-mix" else 1
    height, width, channels = descriptor.shape
    assert descriptor.encrypted_shape == (height // smaller, width // smaller, channels)
    assert descriptor.encrypted_block == (4 // smaller if name in WITH_BLOCKS else 1)


@pytest.mark.parametrize("name", NAMES)
def test_what_sides_must_be_a_multiple_of_is_known_before_the_shape(name):
    expected = 4 if name in WITH_BLOCKS else 2 if name == "cat-map" else 1
    assert multiple_of(name, {}) == expected
    assert multiple_of(name, {"block": "16"}) == (16 if name in WITH_BLOCKS else expected)


@pytest.mark.parametrize("odd", ["four", "", "0", 0, -4, None, 4.5])
def test_a_block_that_is_no_number_asks_nothing_of_the_shape_yet(odd):
    assert multiple_of("le", {"block": odd}) == 1


def test_nobody_knows_what_an_unknown_scheme_asks_of_the_shape():
    with pytest.raises(SchemeError, match="rot13"):
        multiple_of("rot13", {})


def test_parameters_may_be_given_as_text():
    given = {"block": "8", "fixed_blocks": "3", "fixed_pixels": "7"}
    descriptor = Descriptor.of("restricted", (16, 16, 1), given)
    assert descriptor.params == {"block": 8, "fixed_blocks": 3, "fixed_pixels": 7}


def test_defaults_of_what_stays_follow_the_block_and_the_shape():
    descriptor = Descriptor.of("restricted", (24, 16, 1), {"block": 8})
    assert descriptor.params == {"block": 8, "fixed_blocks": 4, "fixed_pixels": 48}


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_parameter_is_refused_naming_the_known_ones(name):
    with pytest.raises(SchemeError, match=f"scheme {name} has no parameter salt; its parameters: ") as caught:
        Descriptor.of(name, (32, 32, 3), {"salt": 1})
    assert all(known in str(caught.value) for known in PARAMETERS[name])
    assert caught.value.code == "E_SCHEME"


@pytest.mark.parametrize("name", WITH_BLOCKS)
@pytest.mark.parametrize("block", [0, 257, "0", "four", "-4", "4.0", None, True])
def test_a_block_out_of_range_is_refused(name, block):
    with pytest.raises(FormatError, match="block"):
        Descriptor.of(name, (32, 32, 3), {"block": block})


@pytest.mark.parametrize("name", WITH_BLOCKS)
@pytest.mark.parametrize("shape", [(30, 32, 3), (32, 30, 3), (2, 2, 1)])
def test_blocks_that_do_not_divide_the_image_are_refused(name, shape):
    with pytest.raises(SchemeError, match=f"{shape[0]}x{shape[1]} images do not divide into blocks of 4x4"):
        Descriptor.of(name, shape)


@pytest.mark.parametrize("name", WITHOUT_TWO)
@pytest.mark.parametrize("block", [1, 2])
def test_blocks_that_leave_the_layout_in_view_are_refused(name, block):
    with pytest.raises(SchemeError, match=f"blocks must be at least 3 pixels wide, got {block}") as caught:
        Descriptor.of(name, (32, 32, 3), {"block": block})
    assert "--block" in caught.value.hint


@pytest.mark.parametrize("name", sorted(set(WITH_BLOCKS) - set(WITHOUT_TWO)))
def test_blocks_of_two_pixels_are_welcome_elsewhere(name):
    assert Descriptor.of(name, (32, 32, 3), {"block": 2}).block == 2


@pytest.mark.parametrize("block", [1, 3, 5])
def test_a_patch_without_quarters_is_refused(block):
    with pytest.raises(SchemeError, match="scheme patch-mix: blocks must be"):
        Descriptor.of("patch-mix", (30, 30, 3), {"block": block})


@pytest.mark.parametrize("shape", [(32, 28, 3), (28, 32, 1), (27, 27, 3), (1, 1, 1)])
def test_a_cat_map_needs_a_square_with_an_even_side(shape):
    with pytest.raises(SchemeError, match=f"square with an even side, got {shape[0]}x{shape[1]}"):
        Descriptor.of("cat-map", shape)


@pytest.mark.parametrize("name", SWIRLS)
@pytest.mark.parametrize("shape", [(4, 32, 3), (32, 4, 3), (1, 1, 1)])
def test_images_without_room_for_a_vortex_are_refused(name, shape):
    least = {"vortex": 6, "vortex-ring": 5}[name]
    with pytest.raises(SchemeError, match=f"at least {least} pixels wide and high, got {shape[0]}x{shape[1]}"):
        Descriptor.of(name, shape)
    assert Descriptor.of(name, (least, least, shape[2])).shape == (least, least, shape[2])


@pytest.mark.parametrize("name", SWIRLS)
@pytest.mark.parametrize("count", [0, 101])
def test_none_and_too_many_vortices_are_refused(name, count):
    with pytest.raises(FormatError, match="vortices"):
        Descriptor.of(name, (32, 32, 3), {"vortices": count})


@pytest.mark.parametrize("strength", [0, 10_001, "weak"])
def test_a_strength_out_of_range_is_refused(strength):
    with pytest.raises(FormatError, match="strength"):
        Descriptor.of("vortex", (32, 32, 3), {"strength": strength})


@pytest.mark.parametrize("name", SCOPED)
@pytest.mark.parametrize("scope", ["block", "none", "", 1])
def test_another_scope_is_refused(name, scope):
    with pytest.raises(FormatError, match="scope"):
        Descriptor.of(name, (32, 32, 3), {"scope": scope})


@pytest.mark.parametrize(("what", "most"), [("fixed_blocks", 64), ("fixed_pixels", 48)])
def test_no_more_can_stay_than_there_is(what, most):
    assert Descriptor.of("restricted", (32, 32, 3), {what: most}).params[what] == most
    with pytest.raises(SchemeError, match=f"{what} must be at most {most}, got {most + 1}"):
        Descriptor.of("restricted", (32, 32, 3), {what: most + 1})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [2, 4])
def test_no_scheme_takes_another_number_of_channels(name, channels):
    with pytest.raises(SchemeError, match=f"images must have 1 or 3 channels, got {channels}"):
        Descriptor.of(name, (32, 32, channels))


def test_a_descriptor_survives_writing_and_reading():
    assert Descriptor.from_json(LE.to_json()) == LE


OTHERS = {
    "scheme": dataclasses.replace(LE, id="block-shuffle"),
    "version": dataclasses.replace(LE, v=2),
    "shape": dataclasses.replace(LE, shape=(16, 16, 3)),
    "block": dataclasses.replace(LE, params={"block": 8}),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_another_scheme_version_shape_or_block_has_another_digest_and_key(other):
    assert other.digest != LE.digest
    assert scheme_key(bytes(32), FED, 1, other.digest) != scheme_key(bytes(32), FED, 1, LE.digest)


def test_another_epoch_federation_or_secret_has_another_key():
    keys = {
        scheme_key(bytes(32), FED, 1, LE.digest),
        scheme_key(bytes(32), FED, 2, LE.digest),
        scheme_key(bytes(32), "cd" * 32, 1, LE.digest),
        scheme_key(b"\1" * 32, FED, 1, LE.digest),
    }
    assert len(keys) == 4


def test_an_unknown_scheme_is_refused_naming_the_known_ones():
    with pytest.raises(SchemeError, match=r"scheme rot13 v1 is not known here; known are .*le v1"):
        dataclasses.replace(LE, id="rot13").check()


def test_a_version_from_the_future_is_refused():
    with pytest.raises(SchemeError, match="le v2") as caught:
        dataclasses.replace(LE, v=2).check()
    assert caught.value.code == "E_SCHEME"


@pytest.mark.parametrize("params", [{}, {"block": 0}, {"block": "4"}, {"block": True}, {"block": 4, "salt": 1}])
def test_missing_unknown_or_odd_parameters_are_refused(params):
    with pytest.raises(FormatError, match="parameters of scheme le"):
        dataclasses.replace(LE, params=params).check()


@pytest.mark.parametrize("shape", [(9, 8, 3), (8, 9, 3)])
def test_a_shape_that_does_not_divide_into_blocks_is_refused(shape):
    with pytest.raises(SchemeError, match="blocks of 4x4"):
        dataclasses.replace(LE, shape=shape).check()


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_channels_that_are_neither_grey_nor_colour_are_refused(channels):
    with pytest.raises(SchemeError, match="1 or 3 channels"):
        dataclasses.replace(LE, shape=(8, 8, channels)).check()


@pytest.mark.parametrize(
    "change", [{"id": "LE"}, {"v": 0}, {"v": True}, {"shape": [8, 8]}, {"shape": [8, 0, 3]}, {"dtype": "f4"}, {"x": 1}]
)
def test_a_malformed_descriptor_is_refused(change):
    with pytest.raises(FormatError, match="scheme descriptor is malformed"):
        Descriptor.from_json(LE.to_json() | change)


def test_an_epoch_allows_what_it_names_briefly_or_in_full():
    assert epoch_allowing({"id": "le", "v": 1}).allows(LE)
    assert epoch_allowing({"id": "plain", "v": 1}, LE.to_json()).allows(LE)


def test_an_epoch_does_not_allow_another_version_or_other_parameters():
    assert not epoch_allowing({"id": "le", "v": 2}).allows(LE)
    assert not epoch_allowing(OTHERS["block"].to_json()).allows(LE)


def test_true_is_not_one_when_an_epoch_compares_parameters():
    one = dataclasses.replace(LE, params={"block": 1})
    true = dataclasses.replace(LE, params={"block": True})
    assert one.digest != true.digest
    assert not epoch_allowing(one.to_json()).allows(true)


def test_the_check_value_depends_on_key_scheme_and_program():
    def program(images, ids):
        return images

    def other_program(images, ids):
        return 255 - images

    values = {
        check_value(LE, bytes(32), program),
        check_value(LE, b"\1" * 32, program),
        check_value(OTHERS["block"], bytes(32), program),
        check_value(LE, bytes(32), other_program),
    }
    assert len(values) == 4


def test_the_check_images_are_four_named_pieces_of_the_stream_and_unpublished():
    seen = []

    def program(images, ids):
        seen.append((images.shape, ids))
        return images

    check_value(LE, bytes(32), program)
    assert seen == [((4, 8, 8, 3), ["check/0", "check/1", "check/2", "check/3"])]
