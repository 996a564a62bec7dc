"""Descriptors: what was done to the images is said exactly, and anything else is another scheme with another key."""

import dataclasses

import pytest

from blindsight.protocol.errors import FormatError, SchemeError
from blindsight.protocol.log import Epoch
from blindsight.protocol.scheme import SCHEMES, Descriptor, check_value, scheme_key
from tests.protocol.worlds import LE

FED = "ab" * 32


def epoch_allowing(*schemes):
    return Epoch(1, "11" * 32, "22" * 32, "33" * 32, schemes, "2027-01-01T00:00:00Z")


@pytest.mark.parametrize("name", SCHEMES, ids=str)
def test_every_known_scheme_passes_its_own_check(name):
    Descriptor(*name, (8, 8, 3), {"block": 4}).check()


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
