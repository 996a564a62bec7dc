"""MNIST-style IDX files, plain and compressed."""

import gzip
import struct

import numpy as np
import pytest

from blindsight.holder.sources import open_source
from blindsight.protocol.errors import DataError


def pixels(*shape):
    return np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)


def idx(array, magic):
    return struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.astype(np.uint8).tobytes()


def save(folder, prefix, images, labels, *, packed=False):
    for name, content in (
        (f"{prefix}-images-idx3-ubyte", idx(images, 0x803)),
        (f"{prefix}-labels-idx1-ubyte", idx(labels, 0x801)),
    ):
        (folder / f"{name}{'.gz' if packed else ''}").write_bytes(gzip.compress(content) if packed else content)


@pytest.fixture(params=[False, True], ids=["plain", "gz"])
def folder(request, tmp_path):
    save(tmp_path, "train", pixels(12, 7, 5), np.arange(12) % 4, packed=request.param)
    save(tmp_path, "t10k", pixels(6, 7, 5), np.arange(6) % 4, packed=request.param)
    return tmp_path


def change(folder, name, edit):
    path = next(folder.glob(f"{name}*"))
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(edit(gzip.decompress(path.read_bytes()))))
    else:
        path.write_bytes(edit(path.read_bytes()))


@pytest.mark.parametrize("prefix", ["", "idx:"])
def test_images_are_grey_and_in_two_splits(folder, prefix):
    source = open_source(f"{prefix}{folder}")
    assert {name: (len(part), part.shape) for name, part in source.splits.items()} == {
        "train": (12, (7, 5, 1)),
        "test": (6, (7, 5, 1)),
    }
    assert source.classes == ("0", "1", "2", "3")
    assert not source.mirror


def test_images_and_labels_are_those_of_the_file(folder):
    part = open_source(str(folder)).splits["train"]
    order = np.array([11, 3, 4, 5, 0])
    assert np.array_equal(part.read(order)[..., 0], pixels(12, 7, 5)[order])
    assert part.labels.tolist() == [place % 4 for place in range(12)]


def test_dataset_yaml_names_clothes_and_allows_mirroring(folder):
    (folder / "dataset.yaml").write_text("classes: [top, trouser, dress, coat]\nviews: {mirror: true}")
    source = open_source(str(folder))
    assert source.classes == ("top", "trouser", "dress", "coat")
    assert source.mirror


def test_a_training_set_alone_is_enough(tmp_path):
    save(tmp_path, "train", pixels(2, 7, 5), np.arange(2))
    assert list(open_source(str(tmp_path)).splits) == ["train"]


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("train-images", lambda file: b"\0\0\x08\x01" + file[4:], "must begin with 0x00000803, got 0x00000801"),
        ("train-labels", lambda file: b"\0\0\x08\x03" + file[4:], "must begin with 0x00000801, got 0x00000803"),
        ("train-images", lambda file: file[:10], "ends within its header"),
        ("train-images", lambda file: file[:-1], "must hold 420 bytes"),
        ("train-images", lambda file: file + b"\0", "must hold 420 bytes"),
        ("train-labels", lambda file: file[:-1], "must hold 12 bytes after its header, got 11"),
        ("train-labels", lambda file: file + b"\0", "must hold 12 bytes after its header, got 13"),
        ("train-labels", lambda file: idx(np.zeros(11), 0x801), "one label an image, got 11 for 12"),
        ("train-images", lambda file: file[:8] + bytes(8) + file[16:], "images without pixels"),
    ],
)
def test_a_file_that_is_not_what_its_header_says_is_refused(folder, name, edit, message):
    change(folder, name, edit)
    with pytest.raises(DataError, match=message):
        open_source(str(folder))


def test_images_without_labels_are_refused(folder):
    next(folder.glob("t10k-labels*")).unlink()
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte is missing"):
        open_source(str(folder))


def test_a_damaged_gz_file_is_refused(tmp_path):
    save(tmp_path, "train", pixels(12, 7, 5), np.arange(12), packed=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="is damaged or cut short"):
        open_source(str(tmp_path))


def test_a_folder_named_idx_without_idx_files_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no IDX images"):
        open_source(f"idx:{tmp_path}")
