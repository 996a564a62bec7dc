"""Views: what they are made of, and what they do not depend on."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.holder.views import demand_room, view_of_each
from blindsight.protocol.errors import DataError

SEED = bytes(range(32))


def pixels(*shape):
    return np.random.default_rng(4).integers(0, 256, shape, dtype=np.uint8)


def names(images):
    return [f"train/{place}" for place in range(len(images))]


def make(images, count=4, *, seed=SEED, ids=None, crop=4, mirror=True, **more):
    """All views of each image, one image after another."""
    each = [name for name in (names(images) if ids is None else ids) for _ in range(max(count, 1))]
    wanted = np.tile(np.arange(count), len(images))
    repeated = np.repeat(images, max(count, 1), axis=0)
    repeated.flags.writeable = False
    return view_of_each(repeated, wanted, count, seed=seed, ids=each, crop=crop, mirror=mirror, **more)


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


@pytest.mark.parametrize(
    ("count", "changes"),
    [
        (0, {}),
        (2, {"crop": -1}),
        (2, {"ids": []}),
        (2, {"cutout": -1}),
        (2, {"jitter": -0.1}),
        (2, {"jitter": 1.1}),
        (2, {"jitter": float("nan")}),
    ],
)
def test_nonsense_is_a_callers_bug(count, changes):
    with pytest.raises(ValueError, match="expected"):
        make(pixels(1, 16, 16, 3), count, **{"ids": ["a"]} | changes)


# Digests made by the first version of this module, which cut one image after another: what is published twice must be
# the same twice, whatever version publishes it.
CUT = [
    ((3, 16, 16, 3), 4, True, "4460d5db5b614f1682da82d77aa6dc9152b50ad2d3f1905438e830457eb692a2"),
    ((5, 9, 12, 1), 8, True, "f31f72914f87f0d06a527ca545cec5b91f07539e226bacfda6aa9d976636863d"),
    ((3, 8, 6, 3), 0, False, "fa540c72271986d59401393b3dd67bb5da4f96c4c1cfb8e61907a8a60ec32e45"),
]
RETOUCHED = "0f442f0ef4fe65265c3041ec8d6fbc4407cfbcb091bc4676ec00c31ca1595e8d"


def digest(views):
    return hashlib.sha256(views.tobytes()).hexdigest()


@pytest.mark.parametrize(("shape", "crop", "mirror", "expected"), CUT)
def test_views_are_what_they_have_always_been(shape, crop, mirror, expected):
    assert digest(make(pixels(*shape), 5, crop=crop, mirror=mirror)) == expected


def test_changed_colours_and_squares_are_the_same_on_every_machine():
    assert digest(make(pixels(3, 16, 16, 3), 5, jitter=0.4, cutout=6)) == RETOUCHED


OPTIONS = [{"jitter": 0.4}, {"cutout": 6}, {"jitter": 1.0, "cutout": 7}]


@st.composite
def _games(draw):
    """Images, and options that they are large enough for."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 12), st.sampled_from((1, 3))))
    most = min(shape[1:3]) - 1
    options = {"crop": draw(st.integers(0, most)), "mirror": draw(st.booleans())}
    options |= {"jitter": draw(st.sampled_from((0.0, 0.01, 0.4, 1.0))), "cutout": draw(st.integers(0, most))}
    return pixels(*shape), draw(st.integers(2, 5)), options


@given(_games())
@settings(max_examples=60, deadline=None)
def test_views_of_any_images_are_such_images_and_begin_with_the_image_itself(game):
    images, count, options = game
    views = make(images, count, **options)
    assert (views.shape, views.dtype) == ((count * len(images), *images.shape[1:]), np.uint8)
    assert np.array_equal(views[::count], images)
    assert np.array_equal(make(images, count, **options), views)


@given(_games(), st.integers(1, 4), st.randoms())
@settings(max_examples=60, deadline=None)
def test_a_view_follows_from_seed_id_and_number_alone(game, more, chance):
    images, count, options = game
    views = make(images, count + more, **options).reshape(len(images), count + more, *images.shape[1:])
    rows = [(chance.randrange(len(images)), chance.randrange(count)) for _ in range(5)]
    places, wanted = (np.array(column) for column in zip(*rows, strict=True))
    ids = [names(images)[place] for place in places]
    found = view_of_each(images[places], wanted, count, seed=SEED, ids=ids, **options)
    assert np.array_equal(found, views[places, wanted])


def places_of_squares(views, covered):
    """First and last row and column that differ, for each view that does."""
    changed = [np.argwhere((view != other).any(axis=2)) for view, other in zip(views, covered, strict=True)]
    return [(*places.min(axis=0), *places.max(axis=0)) for places in changed if len(places)]


def test_changed_colours_leave_the_squares_where_they_are():
    images = pixels(6, 16, 16, 3)
    first = places_of_squares(make(images), make(images, cutout=6))
    assert len(first) == 18
    assert places_of_squares(make(images, jitter=0.4), make(images, jitter=0.4, cutout=6)) == first


def test_a_shift_leaves_colours_as_they_are():
    images = np.tile(pixels(4, 1, 1, 3), (1, 16, 16, 1))  # of one colour each: a shift shows nothing
    still = make(images, crop=0, mirror=False, jitter=0.4)
    assert np.array_equal(make(images, jitter=0.4), still)
    assert len(np.unique(still, axis=0)) == 16


def test_a_covered_view_is_the_view_outside_the_square():
    images = pixels(6, 16, 16, 3)
    plain, covered = make(images, jitter=0.4), make(images, jitter=0.4, cutout=6)
    same = (plain == covered).all(axis=3)
    assert same[::4].all()
    for place in set(range(24)) - set(range(0, 24, 4)):
        assert 0 < (~same[place]).sum() <= 36


def test_without_jitter_and_cutout_nothing_else_changes():
    images = pixels(3, 16, 16, 3)
    assert np.array_equal(make(images, jitter=0.0, cutout=0), make(images))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_single_view_stays_the_image(options):
    images = pixels(3, 16, 16, 3)
    assert np.array_equal(make(images, 1, **options), images)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_another_seed_draws_other_colours_and_squares(options):
    images = pixels(3, 16, 16, 3)
    still = {"crop": 0, "mirror": False, **options}
    assert not np.array_equal(make(images, seed=bytes(32), **still), make(images, **still))


def test_images_no_larger_than_the_square_are_refused():
    with pytest.raises(DataError, match="16x8 images are too small for a cutout of 8 pixels") as refusal:
        make(pixels(1, 16, 8, 3), cutout=8)
    assert refusal.value.hint == "use --cutout 0, or --views 1"


def test_one_view_needs_no_room():
    demand_room((2, 2, 3), 1, 4, 8)
    with pytest.raises(DataError):
        demand_room((2, 2, 3), 2, 4, 0)
