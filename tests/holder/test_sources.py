"""Opening a source by word or path, the digits that ship with the package, and what every split promises."""

import numpy as np
import pytest

from blindsight.holder.geometry import Fit
from blindsight.holder.sources import Source, Split, open_source
from blindsight.protocol.errors import DataError


class Numbers:
    """A reader whose image ``k`` is all ``k``."""

    def read(self, indices):
        return np.stack([np.full((4, 4, 1), index, np.uint8) for index in indices])


def split(count=10):
    return Split(count, np.arange(count) % 2, (4, 4, 1), Numbers())


def test_digits_are_colour_images_in_two_splits():
    digits = open_source("digits")
    assert {name: (len(part), part.shape) for name, part in digits.splits.items()} == {
        "train": (1438, (32, 32, 3)),
        "test": (359, (32, 32, 3)),
    }
    assert digits.classes == tuple("0123456789")
    assert not digits.mirror


def test_digits_use_the_full_scale():
    part = open_source("digits").splits["train"]
    images = part.read(np.arange(200))
    assert images.dtype == np.uint8
    assert images.min() == 0
    assert images.max() > 240


def test_every_digit_is_in_every_split():
    for part in open_source("digits").splits.values():
        assert np.bincount(part.labels, minlength=10).min() > 20


def test_digits_are_the_ones_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets")
    original = datasets.load_digits()
    digits = open_source("digits").splits["test"]
    assert np.array_equal(digits.labels, original.target[4::5])
    centres = digits.read(np.arange(5))[:, 2::4, 2::4, 0] / 255 * 16
    assert np.corrcoef(centres.ravel(), original.images[4:25:5].ravel())[0, 1] > 0.95


def test_images_come_in_the_order_asked():
    assert split().read(np.array([7, 2, 2, 9]))[:, 0, 0, 0].tolist() == [7, 2, 2, 9]


def test_a_part_renumbers_images_and_labels():
    part = split().part(np.array([9, 3, 4]))
    assert part.labels.tolist() == [1, 1, 0]
    assert part.read(np.array([2, 0]))[:, 0, 0, 0].tolist() == [4, 9]


@pytest.mark.parametrize("indices", [np.array([10]), np.array([-1]), np.array([0.5]), np.array([[1]])])
def test_indices_that_name_no_image_are_a_callers_bug(indices):
    with pytest.raises(ValueError, match="indices must be"):
        split().read(indices)


def test_a_split_with_too_few_labels_cannot_exist():
    with pytest.raises(ValueError, match="expected 3 int64 labels"):
        Split(3, np.zeros(2, np.int64), None, Numbers())


def test_a_label_without_a_class_is_refused():
    with pytest.raises(DataError, match="split train: labels must be from 0 to 0, got 0 to 1"):
        Source("set", ("only",), {"train": split()}, mirror=False, fit=Fit())


def test_a_split_of_an_unknown_name_is_refused():
    with pytest.raises(DataError, match="must have splits named train, val, test, got validation"):
        Source("set", ("a", "b"), {"validation": split()}, mirror=False, fit=Fit())


@pytest.mark.parametrize("spec", ["", "nowhere", "npz:nowhere.npz", "video:clip.mp4"])
def test_a_path_where_nothing_is_gets_the_list_of_what_is_accepted(spec):
    with pytest.raises(DataError, match="there is no") as refusal:
        open_source(spec)
    for word in ("digits", "class folders", ".npz", "CIFAR-10", "IDX"):
        assert word in refusal.value.hint


def test_a_file_of_another_kind_gets_the_list_of_what_is_accepted(tmp_path):
    file = tmp_path / "images.tar"
    file.write_bytes(b"")
    with pytest.raises(DataError, match="is no source of images") as refusal:
        open_source(str(file))
    assert "class folders" in refusal.value.hint
