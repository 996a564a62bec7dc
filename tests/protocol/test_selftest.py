"""A self-test survives its file, knows its tolerance, and refuses what is none."""

import numpy as np
import pytest

from blindsight.protocol import tensorfile
from blindsight.protocol.errors import FormatError
from blindsight.protocol.selftest import SelfTest

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 4, 6, 3), dtype=np.uint8)
LOGITS = np.linspace(-3, 3, 40, dtype=np.float32).reshape(8, 5)
SOUND = {"v": 1, "kind": "selftest"}


def test_it_survives_its_file_to_the_bit():
    found = SelfTest.from_bytes(SelfTest(IMAGES, LOGITS).to_bytes())
    assert (found.images.tobytes(), found.logits.tobytes()) == (IMAGES.tobytes(), LOGITS.tobytes())


def test_the_tolerance_grows_with_the_logits():
    assert SelfTest(IMAGES, LOGITS).tolerance == pytest.approx(4e-4)
    assert SelfTest(IMAGES, np.zeros_like(LOGITS)).tolerance == pytest.approx(1e-4)


def test_the_difference_is_the_largest_one():
    other = LOGITS.copy()
    other[3, 2] += 0.5
    other[5, 1] -= 0.25
    assert SelfTest(IMAGES, LOGITS).difference(other) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("images", "logits"),
    [
        (IMAGES[:7], LOGITS[:7]),
        (IMAGES, LOGITS[:7]),
        (IMAGES[..., 0], LOGITS),
        (IMAGES.astype(np.int32), LOGITS),
        (IMAGES[:, :0], LOGITS),
        (IMAGES, LOGITS.astype(np.float16)),
        (IMAGES, LOGITS[:, :0]),
        (IMAGES, LOGITS[:, 0]),
        (IMAGES, np.where(LOGITS > 2, np.nan, LOGITS).astype(np.float32)),
        (IMAGES, np.where(LOGITS > 2, np.inf, LOGITS).astype(np.float32)),
    ],
)
def test_arrays_of_another_form_are_refused_in_a_file_too(images, logits):
    with pytest.raises(FormatError, match="a self-test has"):
        SelfTest(images, logits)
    with pytest.raises(FormatError, match="a self-test has"):
        SelfTest.from_bytes(tensorfile.to_bytes({"images": images, "logits": logits}, SOUND))


@pytest.mark.parametrize(
    "metadata", [{}, {"v": 2, "kind": "selftest"}, {"v": 1, "kind": "fingerprint"}, SOUND | {"more": 1}]
)
def test_a_file_of_another_kind_is_refused(metadata):
    with pytest.raises(FormatError, match="the self-test is malformed"):
        SelfTest.from_bytes(tensorfile.to_bytes({"images": IMAGES, "logits": LOGITS}, metadata))


@pytest.mark.parametrize("tensors", [{"images": IMAGES}, {"images": IMAGES, "logits": LOGITS, "more": LOGITS}])
def test_other_tensors_are_refused(tensors):
    with pytest.raises(FormatError, match="images and logits and no other"):
        SelfTest.from_bytes(tensorfile.to_bytes(tensors, SOUND))


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_a_file_that_is_cut_short_is_refused(size):
    with pytest.raises(FormatError) as caught:
        SelfTest.from_bytes(SelfTest(IMAGES, LOGITS).to_bytes()[:size])
    assert caught.value.code == "E_SHARD"


@pytest.mark.parametrize(("shape", "classes"), [((4, 6, 1), 5), ((6, 4, 3), 5), ((4, 6, 3), 4)])
def test_one_for_other_images_or_classes_is_refused(shape, classes):
    test = SelfTest(IMAGES, LOGITS)
    test.demand_for((4, 6, 3), 5)
    with pytest.raises(FormatError, match="expected a self-test for"):
        test.demand_for(shape, classes)
