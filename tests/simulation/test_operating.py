"""Which controls are measured, and on what: only those that can say something about a scheme."""

from __future__ import annotations

import numpy as np
import pytest

from blindsight.protocol.scheme import SCHEMES, Descriptor
from blindsight.simulation.operating import (
    OTHER_KEY,
    PLAIN,
    Answers,
    Measured,
    at_models_size,
    controls_of,
    ids_of,
    under_other_key,
)
from blindsight.simulation.settings import Settings

SHAPE = (16, 16, 3)
IMAGES = np.random.default_rng(1).integers(0, 256, (5, *SHAPE), dtype=np.uint8)
KEYED = sorted(name for (name, _), traits in SCHEMES.items() if traits.scope != "none")
PER_IMAGE = sorted(name for (name, _), traits in SCHEMES.items() if "scope" in traits.params)


@pytest.mark.parametrize("name", KEYED)
def test_a_scheme_with_a_key_has_both_controls(name):
    assert controls_of(Descriptor.of(name, SHAPE)) == (OTHER_KEY, PLAIN)


def test_a_scheme_without_a_key_has_no_control_under_another_key():
    assert controls_of(Descriptor.of("patch-mix", SHAPE)) == (PLAIN,)


def test_without_encryption_there_is_no_control():
    assert controls_of(Descriptor.of("plain", SHAPE)) == ()


@pytest.mark.parametrize("name", KEYED)
def test_images_under_another_key_are_as_large_as_encrypted_ones_and_follow_from_the_seed(name):
    strong = {"strength": 10_000} if name == "vortex" else {}  # by default some keys move nothing in so small an image
    descriptor = Descriptor.of(name, SHAPE, strong)
    first, again, other = (under_other_key(Settings(seed=seed), descriptor, IMAGES) for seed in (1, 1, 2))
    assert first.shape == (5, *descriptor.encrypted_shape)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", PER_IMAGE)
def test_what_is_decrypted_under_another_key_has_the_ids_it_was_encrypted_with(name):
    descriptor = Descriptor.of(name, SHAPE, {"scope": "image"})
    encrypted = under_other_key(Settings(), descriptor, IMAGES)
    assert len(set(ids_of(IMAGES))) == len(IMAGES)
    assert np.array_equal(under_other_key(Settings(), descriptor, encrypted, undo=True), IMAGES)


def test_plain_images_are_scaled_where_the_scheme_shrinks_images():
    small = at_models_size(Descriptor.of("patch-mix", SHAPE), IMAGES)
    assert (small.shape, small.dtype) == ((5, 8, 8, 3), np.uint8)
    even = np.full((1, *SHAPE), 77, np.uint8)
    assert (at_models_size(Descriptor.of("patch-mix", SHAPE), even) == 77).all()


def test_plain_images_stay_as_they_are_elsewhere():
    assert at_models_size(Descriptor.of("le", SHAPE), IMAGES) is IMAGES


def test_the_number_of_controls_is_that_of_the_controls_there_are():
    result = Answers(9, 8)
    assert Measured(result, Answers(5, 1), Answers(5, 2)).controls == 5
    assert Measured(result, None, Answers(5, 2)).controls == 5
    assert Measured(result, None, None).controls == 0
