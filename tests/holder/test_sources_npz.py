"""Images in ``.npz`` files: stored or compressed, whole or damaged."""

import zipfile

import numpy as np
import pytest

from blindsight.holder.sources import npz, open_source
from blindsight.protocol.errors import DataError

SAVERS = [np.savez, np.savez_compressed]


def pixels(*shape):
    return np.random.default_rng(6).integers(0, 256, shape, dtype=np.uint8)


def labels(count):
    return np.arange(count) % 3


@pytest.fixture
def saved(tmp_path):
    def save(saver=np.savez, **arrays):
        saver(tmp_path / "set.npz", **arrays)
        return str(tmp_path / "set.npz")

    return save


@pytest.mark.parametrize("saver", SAVERS)
@pytest.mark.parametrize("shape", [(20, 8, 9, 3), (20, 8, 9, 1), (20, 8, 9)])
def test_images_and_labels_are_one_split(saved, saver, shape):
    images = pixels(*shape)
    source = open_source(saved(saver, labels=labels(20), images=images))
    order = np.array([19, 0, 1, 2, 7, 7, 6])
    part = source.splits["train"]
    assert (source.name, source.classes, source.mirror) == ("set", ("0", "1", "2"), False)
    assert part.shape == (*shape, 1)[1:4]
    assert part.labels.tolist() == labels(20).tolist()
    assert np.array_equal(part.read(order), images.reshape(20, *part.shape)[order])


@pytest.mark.parametrize("saver", SAVERS)
def test_named_splits_and_classes_are_found(saved, saver):
    arrays = {f"{part}_{kind[0]}": kind[1] for part in ("train", "test") for kind in _both(6)}
    source = open_source(saved(saver, classes=np.array(["a", "b", "c"]), **arrays))
    assert source.classes == ("a", "b", "c")
    assert {name: len(part) for name, part in source.splits.items()} == {"train": 6, "test": 6}


def _both(count):
    return [("images", pixels(count, 4, 4, 3)), ("labels", labels(count))]


def test_images_without_labels_have_none(saved):
    source = open_source(saved(images=pixels(3, 4, 4, 3)))
    assert source.splits["train"].labels is None
    assert source.classes == ()


def test_no_images_are_an_empty_split(saved):
    part = open_source(saved(images=pixels(0, 4, 4, 3), labels=labels(0))).splits["train"]
    assert part.read(np.array([], int)).shape == (0, 4, 4, 3)


def test_a_dataset_yaml_in_the_same_folder_counts(saved, tmp_path):
    (tmp_path / "dataset.yaml").write_text("classes: [a, b, c]\nviews: {mirror: true}")
    source = open_source(saved(images=pixels(3, 4, 4, 3), labels=labels(3)))
    assert source.classes == ("a", "b", "c")
    assert source.mirror


def test_folders_for_splits_make_no_sense_for_arrays(saved, tmp_path):
    (tmp_path / "dataset.yaml").write_text("split: {train: left}")
    with pytest.raises(DataError, match="names folders for splits"):
        open_source(saved(images=pixels(3, 4, 4, 3)))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": pixels(3, 4, 4, 3).astype(float)}, "must be .* uint8, got .* float64"),
        ({"images": pixels(3, 4, 4, 2)}, "must be .* uint8"),
        ({"images": pixels(3, 4)}, "must be .* uint8"),
        ({"images": pixels(3, 0, 4, 3)}, "must be .* uint8"),
        ({"images": np.asfortranarray(pixels(3, 4, 4, 3))}, "column order"),
        ({"images": np.array([{}], object)}, "Python objects, which are never loaded"),
        ({"images": pixels(3, 4, 4, 3), "labels": np.array([{}] * 3, object)}, "never loaded"),
        ({"images": pixels(3, 4, 4, 3), "labels": labels(2)}, "labels must be 3 integers"),
        ({"images": pixels(3, 4, 4, 3), "labels": np.zeros(3)}, "labels must be 3 integers"),
        ({"images": pixels(3, 4, 4, 3), "labels": labels(3) - 1}, "labels must be from 0"),
        ({"images": pixels(3, 4, 4, 3), "labels": labels(3), "classes": np.array(["a", "b"])}, "labels must be from 0"),
        ({"images": pixels(3, 4, 4, 3), "classes": np.arange(3)}, "classes must be a row of text"),
        ({"x": pixels(3, 4, 4, 3)}, "must hold images and labels"),
        ({"images": pixels(3, 4, 4, 3), "weights": labels(3)}, "must hold images and labels"),
        ({"images": pixels(3, 4, 4, 3), "train_images": pixels(3, 4, 4, 3)}, "must hold images and labels"),
    ],
)
def test_other_arrays_are_refused(saved, arrays, message):
    with pytest.raises(DataError, match=message):
        open_source(saved(**arrays))


@pytest.mark.parametrize("saver", SAVERS)
def test_a_file_cut_short_is_refused(saved, saver, tmp_path):
    path = saved(saver, images=pixels(20, 8, 8, 3))
    content = (tmp_path / "set.npz").read_bytes()
    (tmp_path / "set.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"is damaged or no \.npz file"):
        open_source(path)


def test_damaged_compressed_bytes_are_refused(saved, tmp_path):
    path = saved(np.savez_compressed, images=pixels(20, 8, 8, 3))
    content = bytearray((tmp_path / "set.npz").read_bytes())
    content[1000] ^= 0xFF
    (tmp_path / "set.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"is damaged or no \.npz file"):
        open_source(path)


def test_an_array_shorter_than_its_header_is_refused(tmp_path):
    np.save(tmp_path / "images.npy", pixels(20, 8, 8, 3))
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("images.npy", (tmp_path / "images.npy").read_bytes()[:-1])
    with pytest.raises(DataError, match="is not as long as its header says"):
        open_source(str(tmp_path / "set.npz"))


def test_a_file_that_shrinks_after_opening_is_refused(saved, tmp_path):
    part = open_source(saved(images=pixels(20, 8, 8, 3))).splits["train"]
    with (tmp_path / "set.npz").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(DataError, match="ends before row 19"):
        part.read(np.array([19]))


def test_compressed_images_are_unpacked_piece_by_piece(saved, monkeypatch):
    monkeypatch.setattr(npz, "PIECE_BYTES", 100)
    images = pixels(20, 8, 8, 3)
    part = open_source(saved(np.savez_compressed, images=images)).splits["train"]
    assert np.array_equal(part.read(np.arange(20)), images)
