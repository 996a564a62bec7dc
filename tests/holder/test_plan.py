"""A plan is checked to go together before anything is written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blindsight.holder.geometry import Fit
from blindsight.holder.plan import Views
from blindsight.protocol.errors import BlindsightError, DataError, FormatError, SchemeError
from blindsight.protocol.scheme import SCHEMES, Descriptor, scheme_key
from tests.holder import plans
from tests.protocol import worlds


@pytest.fixture(scope="module")
def world():
    return worlds.world(2)


@pytest.fixture
def file(tmp_path):
    return plans.save(tmp_path / "pets.npz")


@pytest.mark.parametrize(("count", "crop"), [(0, 4), (-1, 4), (1, -1)])
def test_views_that_cannot_be_made_are_refused(count, crop):
    with pytest.raises(DataError, match="at least 1 view and no negative shift"):
        Views(count, crop)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"jitter": -0.1}, "--jitter must be 0 or from 0.01 to 1, got -0.1"),
        ({"jitter": 1.5}, "--jitter must be 0 or from 0.01 to 1, got 1.5"),
        ({"jitter": 0.001}, "--jitter must be 0 or from 0.01 to 1, got 0.001"),
        ({"jitter": float("nan")}, "--jitter must be 0 or from 0.01 to 1, got nan"),
        ({"cutout": -1}, "--cutout must be 0 or the side of a square in pixels, got -1"),
    ],
)
def test_changes_that_cannot_be_made_are_refused(changes, words):
    with pytest.raises(DataError, match=words):
        Views(2, **changes)


@pytest.mark.parametrize("changes", [{"jitter": 0.4}, {"cutout": 2}], ids=str)
def test_a_single_view_that_is_to_differ_is_refused(changes):
    with pytest.raises(DataError, match="all views but the first, and there is only 1") as caught:
        Views(1, **changes)
    assert caught.value.hint == "--views 2"


@pytest.mark.parametrize(
    ("views", "words"),
    [(Views(2, 8), "too small for shifts of 8 pixels"), (Views(2, 2, cutout=8), "too small for a cutout of 8 pixels")],
    ids=["crop", "cutout"],
)
def test_views_that_the_images_are_too_small_for_are_refused_by_the_plan_already(world, file, views, words):
    with pytest.raises(DataError, match=f"8x8 images are {words}"):
        plans.plan_of(world, file, views=views)


def test_the_key_follows_from_secret_federation_epoch_and_descriptor(world, file):
    made = plans.plan_of(world, file)
    assert made.key == scheme_key(world.secret, world.log.fed, 1, made.descriptor.digest)


def test_every_view_is_a_row(world, file):
    assert plans.plan_of(world, file, views=Views(3, 2)).rows == 3 * 24


def test_a_plan_shows_nothing_of_its_key(world, file):
    made = plans.plan_of(world, file)
    assert repr(made) == "Plan('pets', 'train')"


def test_the_description_says_how_many_views_there_are(world):
    assert Views().words() == "1 view an image (the image itself)"
    assert Views(3, 2, mirror=True).words().startswith("3 views an image")
    assert "mirrored" in Views(3, 2, mirror=True).words()


def test_the_description_says_how_views_differ():
    before = "3 views an image: the image itself, then shifts of up to 2 pixels"
    assert Views(3, 2).words() == before
    assert Views(3, 2, mirror=True).words() == before + ", every second one mirrored"
    assert Views(3, 2, jitter=0.4).words() == before + ", colour jitter of strength 0.4"
    assert Views(3, 2, cutout=8).words() == before + ", a square of 8 pixels covered with the mean colour"
    every = Views(3, 2, mirror=True, jitter=0.25, cutout=8).words()
    assert every.startswith(before + ", every second one mirrored, colour jitter of strength 0.25, a square of 8")


def test_a_scheme_that_the_epoch_does_not_allow_is_refused_with_what_is_allowed(world, file):
    with pytest.raises(SchemeError, match="block-shuffle is not allowed in epoch 1; allowed: le") as caught:
        plans.plan_of(world, file, scheme=("block-shuffle", {"block": 4}))
    assert caught.value.hint == "blindsight holder epoch propose --scheme le --scheme block-shuffle"


def test_images_that_do_not_come_to_whole_blocks_are_refused_with_a_hint(world, file):
    with pytest.raises(DataError, match="multiples of 5 pixels under this scheme, got 8x8") as caught:
        plans.plan_of(world, file, scheme=("le", {"block": 5}))
    assert caught.value.hint == "use --fit pad"


def test_padding_brings_them_to_whole_blocks(world, file):
    made = plans.plan_of(world, file, scheme=("le", {"block": 5}), fit=Fit("pad"))
    assert made.descriptor.shape == (10, 10, 3)


def test_equal_plans_have_equal_digests(world, file):
    assert plans.plan_of(world, file).digest == plans.plan_of(world, file).digest


@pytest.mark.parametrize(
    "change",
    [
        {"name": "cats"},
        {"split_name": "val"},
        {"views": Views(2, 1)},
        {"views": Views(2, jitter=0.1)},
        {"views": Views(2, cutout=2)},
        {"scheme": ("le", {"block": 8})},
        {"fit": Fit("pad")},
        {"classes": ("cat", "dog", "elk")},
        {"shard_rows": 9},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_digest_changes_with_whatever_decides_the_shards(world, file, change):
    before = {"views": Views(2)} if "views" in change else {}
    assert plans.plan_of(world, file, **change).digest != plans.plan_of(world, file, **before).digest


def test_the_digest_changes_with_the_labels(world, file):
    made = plans.plan_of(world, file)
    relabelled = replace(made.split, labels=made.split.labels[::-1].copy())
    assert replace(made, split=relabelled).digest != made.digest


def test_the_digest_changes_with_the_epoch(world, file):
    assert plans.plan_of(world.next_epoch(), file).digest != plans.plan_of(world, file).digest


@pytest.mark.parametrize(
    "change",
    [{"name": "n" * 121}, {"name": "a\nb"}, {"classes": ("cat", "dog", "o" * 201)}],
    ids=["name too long", "name with control characters", "class name too long"],
)
def test_what_no_manifest_could_state_is_refused_by_the_plan_already(world, file, change):
    with pytest.raises(BlindsightError):
        plans.plan_of(world, file, **change)


def test_labels_of_a_single_class_are_refused_by_the_plan_already(world, tmp_path):
    pictures = plans.images(4)
    np.savez(tmp_path / "one.npz", images=pictures, labels=np.zeros(4, np.int64), classes=np.array(["cat"]))
    with pytest.raises(BlindsightError, match="2 classes"):
        plans.plan_of(world, tmp_path / "one.npz")


ALL = tuple({"id": name, "v": 1} for name, _ in SCHEMES)


@pytest.fixture(scope="module")
def wide():
    """A world whose epoch allows every scheme."""
    keys = worlds.holders(2)
    founded = worlds.founded(keys)
    return worlds.World(keys, *worlds.agreed(keys, founded, worlds.proposal(keys[0], founded, schemes=ALL)))


@pytest.mark.parametrize("name", [name for name, _ in SCHEMES])
def test_what_is_not_given_takes_the_schemes_default(wide, file, name):
    made = plans.plan_of(wide, file, scheme=(name, {}))
    assert made.descriptor == Descriptor.of(name, (8, 8, 3))


def test_parameters_may_be_text_or_numbers(wide, file):
    typed = plans.plan_of(wide, file, scheme=("restricted", {"block": "8", "fixed_pixels": "7"}))
    assert typed.digest == plans.plan_of(wide, file, scheme=("restricted", {"block": 8, "fixed_pixels": 7})).digest
    assert typed.descriptor.params == {"block": 8, "fixed_blocks": 0, "fixed_pixels": 7}


def test_a_parameter_that_the_scheme_does_not_have_is_refused_with_those_it_has(wide, file):
    with pytest.raises(SchemeError, match="pixel has no parameter block; its parameters: scope"):
        plans.plan_of(wide, file, scheme=("pixel", {"block": 4}))


def test_a_parameter_out_of_range_is_refused(wide, file):
    with pytest.raises(FormatError, match="vortices must be an integer from 1 to 100"):
        plans.plan_of(wide, file, scheme=("vortex", {"vortices": "many"}))


def test_sides_come_to_what_the_scheme_asks_for_blocks_or_not(wide, tmp_path):
    odd = plans.save(tmp_path / "odd.npz", shape=(9, 9, 3))
    fitted = {
        name: plans.plan_of(wide, odd, scheme=(name, {}), fit=Fit("crop")).descriptor.shape
        for name in ("le", "cat-map", "pixel")
    }
    assert fitted == {"le": (8, 8, 3), "cat-map": (8, 8, 3), "pixel": (9, 9, 3)}


def test_rows_are_counted_in_bytes_of_encrypted_images(wide, file):
    sizes = [plans.plan_of(wide, file, scheme=(name, {})).row_bytes for name in ("le", "patch-mix")]
    assert sizes == [8 * 8 * 3, 4 * 4 * 3]


def test_the_digest_does_not_depend_on_how_many_threads_there_are(world, file):
    assert plans.plan_of(world, file, workers=4).digest == plans.plan_of(world, file).digest
