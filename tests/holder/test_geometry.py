"""Bringing images to whole blocks: what fits, what is changed how, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.holder.geometry import Fit, apply, apply_all, target_shape
from blindsight.protocol.errors import DataError


def pixels(*shape):
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    ("fit", "source", "expected"),
    [
        (Fit(), (32, 32, 3), (32, 32, 3)),
        (Fit("pad"), (30, 33, 3), (32, 36, 3)),
        (Fit("pad", (40, 40)), (30, 33, 3), (40, 40, 3)),
        (Fit("crop"), (30, 33, 1), (28, 32, 1)),
        (Fit("crop", (16, 16)), None, None),
        (Fit("crop", (16, 16), 3), None, (16, 16, 3)),
        (Fit("resize", (224, 224), 1), None, (224, 224, 1)),
        (Fit(channels=3), (28, 28, 1), (28, 28, 3)),
        (Fit(channels=1), (28, 28, 1), (28, 28, 1)),
    ],
)
def test_the_target_follows_from_policy_size_and_channels(fit, source, expected):
    if expected is None:
        with pytest.raises(DataError, match="number of channels"):
            target_shape(fit, source, 4)
    else:
        assert target_shape(fit, source, 4) == expected


def test_sides_that_are_not_whole_blocks_are_refused_with_a_way_out():
    with pytest.raises(DataError, match="multiples of 4 pixels under this scheme, got 30x32") as refusal:
        target_shape(Fit(), (30, 32, 3), 4)
    assert refusal.value.hint == "use --fit pad"


def test_images_that_differ_are_refused_with_a_way_out():
    with pytest.raises(DataError, match="differ in size") as refusal:
        target_shape(Fit(), None, 4)
    assert "--fit resize" in refusal.value.hint


def test_a_size_that_is_not_whole_blocks_is_refused():
    with pytest.raises(DataError, match="multiples of 8 pixels under this scheme, got 100x100"):
        target_shape(Fit("resize", (100, 100)), (32, 32, 3), 8)


def test_cutting_an_image_smaller_than_a_block_to_nothing_is_refused():
    with pytest.raises(DataError, match="got 0x0"):
        target_shape(Fit("crop"), (3, 3, 3), 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("stretch",), "policy must be one of"),
        (("resize",), "needs a size"),
        (("refuse", (32, 32)), "takes no size"),
        (("pad", (0, 32)), "sides must be from 1"),
        (("refuse", None, 2), "channels must be 1, 3 or keep"),
        (("refuse", None, True), "channels must be 1, 3 or keep"),
    ],
)
def test_options_without_a_meaning_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        Fit(*arguments)


def test_padding_repeats_the_bottom_and_the_right_edge():
    image = pixels(6, 7, 3)
    padded = apply(Fit("pad"), image, (8, 8, 3))
    assert np.array_equal(padded[:6, :7], image)
    assert np.array_equal(padded[6:, :7], np.stack([image[5]] * 2))
    assert np.array_equal(padded[:6, 7], image[:, 6])


def test_cropping_keeps_the_centre():
    image = pixels(8, 10, 3)
    assert np.array_equal(apply(Fit("crop"), image, (4, 4, 3)), image[2:6, 3:7])


@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_a_flat_image_keeps_its_colour(channels):
    image = np.full((50, 70, channels), 77, np.uint8)
    resized = apply(Fit("resize", (32, 16)), image, (32, 16, channels))
    assert resized.shape == (32, 16, channels)
    assert (resized == 77).all()


def test_shrinking_averages_instead_of_skipping_pixels():
    stripes = np.zeros((64, 64, 1), np.uint8)
    stripes[:, ::2] = 200
    assert np.ptp(apply(Fit("resize", (8, 8)), stripes, (8, 8, 1))[:, 1:-1]) <= 12


def test_grey_becomes_three_equal_channels():
    image = pixels(4, 4, 1)
    assert np.array_equal(apply(Fit(), image, (4, 4, 3)), np.concatenate([image] * 3, axis=2))


def test_colour_becomes_luma():
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    assert (apply(Fit(), red, (4, 4, 1)) == 76).all()


@pytest.mark.parametrize(
    ("fit", "size"), [(Fit(), (8, 12)), (Fit("pad"), (16, 8)), (Fit("crop"), (8, 8)), (Fit("crop"), (32, 8))]
)
def test_an_image_that_the_policy_cannot_bring_there_is_refused(fit, size):
    with pytest.raises(DataError, match="cannot bring"):
        apply(fit, pixels(*size, 3), (12, 12, 3) if fit.policy != "refuse" else (8, 8, 3))


@settings(deadline=None, max_examples=50)
@given(
    policy=st.sampled_from(["pad", "crop"]),
    height=st.integers(8, 40),
    width=st.integers(8, 40),
    block=st.integers(3, 8),
)
def test_padding_and_cropping_always_reach_their_own_target(policy, height, width, block):
    fit, image = Fit(policy), pixels(height, width, 3)
    shape = target_shape(fit, image.shape, block)
    assert shape[0] % block == shape[1] % block == 0
    assert apply(fit, image, shape).shape == shape


def test_a_batch_that_fits_is_passed_on_as_it_is():
    images = pixels(3, 8, 8, 3)
    assert apply_all(Fit(), images, (8, 8, 3)) is images


def test_a_list_of_different_sizes_becomes_one_batch():
    images = [pixels(8, 8, 3), pixels(9, 5, 1)]
    assert apply_all(Fit("resize", (8, 8)), images, (8, 8, 3)).shape == (2, 8, 8, 3)


def test_no_images_become_an_empty_batch():
    assert apply_all(Fit(), [], (8, 8, 3)).shape == (0, 8, 8, 3)


def test_what_is_no_image_is_a_callers_bug():
    with pytest.raises(ValueError, match="1 or 3"):
        apply(Fit(), pixels(8, 8), (8, 8, 1))
