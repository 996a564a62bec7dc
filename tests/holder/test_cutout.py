"""Cutout: a square somewhere, of the image's mean colour, possibly reaching beyond the border."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.holder.cutout import cut_out


def pixels(*shape, seed=4):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def by_hand(image, centre, side):
    """The definition, a pixel at a time."""
    h, w, _ = image.shape
    mean = np.floor(image.reshape(h * w, -1).sum(axis=0) / (h * w) + 0.5)
    top, left = int(centre[0]) % h - side // 2, int(centre[1]) % w - side // 2
    found = image.copy()
    for row in range(max(0, top), min(h, top + side)):
        for column in range(max(0, left), min(w, left + side)):
            found[row, column] = mean
    return found


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from((1, 3))), st.integers(1, 9), st.integers(0, 2**32)
)
@settings(max_examples=80, deadline=None)
def test_every_pixel_is_what_the_definition_says(shape, side, seed):
    images = pixels(3, *shape, seed=seed)
    images.flags.writeable = False
    centres = np.random.default_rng(seed).integers(0, 2**64, (3, 2), dtype=np.uint64)
    expected = [by_hand(image, centre, side) for image, centre in zip(images, centres, strict=True)]
    assert np.array_equal(cut_out(images, centres, side), expected)


@pytest.mark.parametrize(("centre", "covered"), [((4, 4), 16), ((0, 0), 4), ((8, 8), 9), ((0, 8), 6)])
def test_a_square_at_the_border_is_cut_there(centre, covered):
    image = np.arange(81, dtype=np.uint8).reshape(1, 9, 9, 1) * 3
    changed = cut_out(image, np.array([centre], np.uint64), 4) != image
    assert changed.sum() in (covered, covered - 1)  # the pixel in the middle has the mean colour already


def test_the_mean_colour_stays_nearly_the_mean_colour():
    images = pixels(5, 32, 32, 3)
    centres = np.random.default_rng(1).integers(0, 2**64, (5, 2), dtype=np.uint64)
    moved = cut_out(images, centres, 8).mean(axis=(1, 2)) - images.mean(axis=(1, 2))
    assert np.abs(moved).max() < 255 * 64 / 1024 / 4


def test_an_image_of_one_colour_stays_as_it_is():
    images = np.full((2, 8, 8, 3), (1, 128, 255), np.uint8)
    assert np.array_equal(cut_out(images, np.zeros((2, 2), np.uint64), 5), images)


def test_no_images_give_no_images():
    assert cut_out(pixels(0, 8, 8, 3), np.empty((0, 2), np.uint64), 3).shape == (0, 8, 8, 3)
