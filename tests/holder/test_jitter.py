"""Colour jitter: against its definition a pixel at a time, and against Pillow."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from blindsight.holder.jitter import jittered

MIDDLE = 128  # with strength 0.5 there are 257 factors, from 128 to 384


def pixels(*shape, seed=4):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def draws(count, seed=5):
    return np.random.default_rng(seed).integers(0, 2**64, (count, 3), dtype=np.uint64)


def factor(draw, strength):
    most = round(strength * 256)
    return Fraction(256 - most + int(draw) % (2 * most + 1), 256)


def rounded(value):
    """To the nearest integer, halves upwards."""
    return (value + Fraction(1, 2)).__floor__()


def blend(without, value, by):
    return min(255, max(0, rounded(without + (value - without) * by)))


def grey(pixel):
    if len(pixel) == 1:
        return pixel[0]
    return rounded(
        Fraction(sum(weight * value for weight, value in zip((19595, 38470, 7471), pixel, strict=True)), 65536)
    )


def by_hand(image, drawn, strength):
    """The definition, on lists of pixels."""
    brightness, contrast, saturation = (factor(draw, strength) for draw in drawn)
    found = [[blend(0, int(value), brightness) for value in pixel] for pixel in image.reshape(-1, image.shape[2])]
    mean = rounded(Fraction(sum(grey(pixel) for pixel in found), len(found)))
    found = [[blend(mean, value, contrast) for value in pixel] for pixel in found]
    found = [[blend(grey(pixel), value, saturation) for value in pixel] for pixel in found]
    return np.array(found, np.uint8).reshape(image.shape)


@given(
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from((1, 3))),
    st.sampled_from((0.01, 0.1, 0.4, 1.0)),
    st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_every_pixel_is_what_the_definition_says(shape, strength, seed):
    images, drawn = pixels(2, *shape, seed=seed), draws(2, seed)
    expected = [by_hand(image, row, strength) for image, row in zip(images, drawn, strict=True)]
    assert np.array_equal(jittered(images, drawn, strength), expected)


@pytest.mark.parametrize(
    ("place", "enhance"), [(0, ImageEnhance.Brightness), (1, ImageEnhance.Contrast), (2, ImageEnhance.Color)]
)
def test_each_change_is_pillows_but_for_rounding(place, enhance):
    images = pixels(8, 16, 16, 3)
    drawn = np.full((8, 3), MIDDLE, np.uint64)
    drawn[:, place] = np.arange(8) * 36
    for image, row, found in zip(images, drawn, jittered(images, drawn, 0.5), strict=True):
        theirs = enhance(Image.fromarray(image)).enhance(float(factor(row[place], 0.5)))
        assert np.abs(np.asarray(theirs).astype(int) - found).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_the_middle_factors_change_nothing(channels):
    images = pixels(4, 9, 7, channels)
    assert np.array_equal(jittered(images, np.full((4, 3), MIDDLE, np.uint64), 0.5), images)


def test_no_strength_changes_nothing():
    images = pixels(4, 9, 7, 3)
    assert np.array_equal(jittered(images, draws(4), 0.0), images)


def test_the_weakest_factors_leave_black_mean_grey_and_grey():
    images = pixels(1, 9, 7, 3)
    assert not jittered(images, np.array([[0, 256, 256]], np.uint64), 1.0).any()
    assert len(np.unique(jittered(images, np.array([[256, 0, 256]], np.uint64), 1.0))) == 1
    colourless = jittered(images, np.array([[256, 256, 0]], np.uint64), 1.0)
    assert (colourless == colourless[..., :1]).all()


def test_grey_images_have_no_saturation_to_change():
    images = pixels(2, 9, 7, 1)
    drawn = draws(2)
    other = drawn.copy()
    other[:, 2] += np.uint64(1)
    assert np.array_equal(jittered(images, drawn, 1.0), jittered(images, other, 1.0))


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (200, 20, 20, 3), (1, 1, 1, 1), (2, 200, 200, 3)])
def test_how_many_there_are_at_a_time_makes_no_difference(shape):
    images, drawn = pixels(*shape), draws(shape[0])
    apart = [jittered(images[[place]], drawn[[place]], 0.4) for place in range(len(images))]
    assert np.array_equal(jittered(images, drawn, 0.4), np.concatenate([np.empty((0, *shape[1:]), np.uint8), *apart]))


def test_all_factors_occur_and_no_others():
    images = np.full((20000, 1, 1, 1), 128, np.uint8)
    drawn = np.full((20000, 3), 26, np.uint64)
    drawn[:, 0] = draws(20000)[:, 0]
    assert set(np.unique(jittered(images, drawn, 0.1))) == {blend(0, 128, Fraction(f, 256)) for f in range(230, 283)}
