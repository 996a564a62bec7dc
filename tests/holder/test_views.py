"""Views: what they are made of, and what they do not depend on."""

import numpy as np
import pytest

from blindsight.holder.views import view_of_each
from blindsight.protocol.errors import DataError

SEED = bytes(range(32))


def pixels(*shape):
    return np.random.default_rng(4).integers(0, 256, shape, dtype=np.uint8)


def names(images):
    return [f"train/{place}" for place in range(len(images))]


def make(images, count=4, *, seed=SEED, ids=None, crop=4, mirror=True):
    """All views of each image, one image after another."""
    each = [name for name in (names(images) if ids is None else ids) for _ in range(max(count, 1))]
    wanted = np.tile(np.arange(count), len(images))
    repeated = np.repeat(images, max(count, 1), axis=0)
    repeated.flags.writeable = False
    return view_of_each(repeated, wanted, count, seed=seed, ids=each, crop=crop, mirror=mirror)


def positions(view, image, crop):
    """Every offset at which a view could have been cut."""
    h, w = image.shape[:2]
    padded = np.pad(image, ((crop, crop), (crop, crop), (0, 0)), mode="reflect")
    offsets = [(top, left) for top in range(2 * crop + 1) for left in range(2 * crop + 1)]
    return [(top, left) for top, left in offsets if np.array_equal(view, padded[top : top + h, left : left + w])]


def test_view_zero_is_the_image_itself():
    images = pixels(3, 16, 16, 3)
    assert np.array_equal(make(images)[::4], images)


def test_the_views_of_an_image_stand_together():
    images = pixels(3, 16, 16, 3)
    assert make(images).shape == (12, 16, 16, 3)
    assert np.array_equal(make(images)[4:8], make(images[1:2], ids=["train/1"]))


def test_even_views_are_shifted_and_odd_views_are_shifted_and_mirrored():
    image = pixels(1, 16, 16, 3)
    for number, view in enumerate(make(image, 8)[1:], start=1):
        straight = view[:, ::-1] if number % 2 else view
        assert len(positions(straight, image[0], 4)) == 1


def test_nothing_is_mirrored_where_that_would_change_the_label():
    image = pixels(1, 16, 16, 3)
    for view in make(image, 8, mirror=False)[1:]:
        assert len(positions(view, image[0], 4)) == 1


def test_all_offsets_occur():
    images = pixels(1, 12, 12, 1)
    seen = {positions(view, images[0], 2)[0] for view in make(images, 400, crop=2, mirror=False)[1:]}
    assert len(seen) == 25


def test_more_views_do_not_change_the_first_ones():
    images = pixels(1, 16, 16, 3)
    assert np.array_equal(make(images, 9)[:3], make(images, 3))


def test_a_view_does_not_depend_on_the_batch():
    images = pixels(5, 16, 16, 3)
    backwards = make(images[::-1], ids=names(images)[::-1]).reshape(5, 4, 16, 16, 3)
    assert np.array_equal(backwards[::-1].reshape(20, 16, 16, 3), make(images))


@pytest.mark.parametrize("change", [{"seed": bytes(32)}, {"ids": ["train/other"]}])
def test_another_seed_or_id_gives_other_views(change):
    image = pixels(1, 16, 16, 3)
    assert not np.array_equal(make(image, 8, **change), make(image, 8))


def test_without_a_shift_only_mirroring_is_left():
    image = pixels(1, 16, 16, 3)
    assert np.array_equal(make(image, 2, crop=0)[1], image[0, :, ::-1])


@pytest.mark.parametrize("count", [1, 3])
def test_no_images_give_no_views(count):
    assert make(pixels(0, 16, 16, 3), count).shape == (0, 16, 16, 3)


def test_read_only_images_stay_as_they_were():
    images = pixels(2, 16, 16, 3)
    before = images.copy()
    images.flags.writeable = False
    view_of_each(images, np.array([1, 3]), 4, seed=SEED, ids=names(images), mirror=True)
    assert np.array_equal(images, before)


def test_images_smaller_than_the_shift_are_refused():
    with pytest.raises(DataError, match="4x16 images are too small for shifts of 4 pixels") as refusal:
        make(pixels(1, 4, 16, 3))
    assert "--crop 0" in refusal.value.hint


@pytest.mark.parametrize(("count", "crop", "ids"), [(0, 4, ["a"]), (2, -1, ["a"]), (2, 4, [])])
def test_nonsense_is_a_callers_bug(count, crop, ids):
    with pytest.raises(ValueError, match="expected"):
        make(pixels(1, 16, 16, 3), count, crop=crop, ids=ids)
