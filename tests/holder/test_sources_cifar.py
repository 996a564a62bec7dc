"""CIFAR in both published versions, and pickles that want more than arrays."""

import os
import pickle
import pickletools

import numpy as np
import pytest

from blindsight.holder.sources import open_source
from blindsight.holder.sources.cifar_pickle import load_batch
from blindsight.protocol.errors import DataError

NAMES = [f"class {number}" for number in range(10)]
FINE_NAMES = [f"fine {number}" for number in range(100)]


def pixels(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def planar(images):
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), 3072)


def labels(count, classes=10):
    return (np.arange(count) * 7) % classes


def dump(path, value):
    path.write_bytes(pickle.dumps(value, protocol=2))


def binary10(parent):
    folder = parent / "cifar-10-batches-bin"
    folder.mkdir()
    for seed, name in enumerate(["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"]):
        rows = np.hstack([labels(5)[:, np.newaxis].astype(np.uint8), planar(pixels(5, seed))])
        (folder / name).write_bytes(rows.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return folder


def python10(parent):
    folder = parent / "cifar-10-batches-py"
    folder.mkdir()
    for seed, name in enumerate(["data_batch_1", "data_batch_2", "test_batch"]):
        dump(folder / name, {b"data": planar(pixels(5, seed)), b"labels": labels(5).tolist(), b"batch_label": b"x"})
    dump(folder / "batches.meta", {"label_names": NAMES, "num_vis": 3072})
    return folder


def binary100(parent):
    folder = parent / "cifar-100-binary"
    folder.mkdir()
    for seed, name in enumerate(["train.bin", "test.bin"]):
        both = np.stack([np.full(5, 99), labels(5, 100)], axis=1).astype(np.uint8)
        (folder / name).write_bytes(np.hstack([both, planar(pixels(5, seed))]).tobytes())
    (folder / "fine_label_names.txt").write_text("\n".join(FINE_NAMES))
    return folder


def python100(parent):
    folder = parent / "cifar-100-python"
    folder.mkdir()
    for seed, name in enumerate(["train", "test"]):
        fine, coarse = labels(5, 100).tolist(), [0] * 5
        dump(folder / name, {"data": planar(pixels(5, seed)), "fine_labels": fine, "coarse_labels": coarse})
    dump(folder / "meta", {b"fine_label_names": [name.encode() for name in FINE_NAMES]})
    return folder


@pytest.mark.parametrize("make", [binary10, python10])
def test_cifar10_batches_are_one_training_split(tmp_path, make):
    source = open_source(str(make(tmp_path)))
    assert (source.name, source.classes, source.mirror) == ("cifar10", tuple(NAMES), True)
    assert source.splits["train"].labels.tolist() == [*labels(5), *labels(5)]
    whole = np.concatenate([pixels(5, 0), pixels(5, 1)])
    order = np.array([9, 0, 4, 5, 6, 4])
    assert np.array_equal(source.splits["train"].read(order), whole[order])
    assert np.array_equal(source.splits["test"].read(np.arange(5)), pixels(5, 2))


@pytest.mark.parametrize("make", [binary100, python100])
def test_cifar100_has_its_fine_labels(tmp_path, make):
    source = open_source(str(make(tmp_path)))
    assert (source.name, source.classes) == ("cifar100", tuple(FINE_NAMES))
    assert source.splits["train"].labels.tolist() == labels(5, 100).tolist()
    assert np.array_equal(source.splits["test"].read(np.arange(5)), pixels(5, 1))


@pytest.mark.parametrize(
    ("make", "kind"), [(binary10, "cifar10"), (python10, "cifar10"), (binary100, "cifar100"), (python100, "cifar100")]
)
def test_the_folder_above_will_do(tmp_path, make, kind):
    make(tmp_path)
    assert open_source(f"{kind}:{tmp_path}").name == kind
    assert open_source(str(tmp_path)).name == kind


def test_a_dataset_yaml_in_the_published_folder_counts_from_above(tmp_path):
    (binary10(tmp_path) / "dataset.yaml").write_text("views: {mirror: false}")
    assert not open_source(str(tmp_path)).mirror


def test_one_batch_alone_is_enough(tmp_path):
    folder = binary10(tmp_path)
    (folder / "data_batch_1.bin").unlink()
    (folder / "test_batch.bin").unlink()
    splits = open_source(str(folder)).splits
    assert {name: len(part) for name, part in splits.items()} == {"train": 5}


def test_the_wrong_cifar_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no CIFAR files") as refusal:
        open_source(f"cifar100:{binary10(tmp_path)}")
    assert "cifar-100-binary" in refusal.value.hint


def test_a_binary_file_cut_short_is_refused(tmp_path):
    batch = binary10(tmp_path) / "data_batch_2.bin"
    batch.write_bytes(batch.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"data_batch_2\.bin must be whole rows of 3073 bytes"):
        open_source(str(tmp_path))


def test_a_pickle_cut_short_is_refused(tmp_path):
    batch = python10(tmp_path) / "data_batch_2"
    batch.write_bytes(batch.read_bytes()[:-100])
    with pytest.raises(DataError, match="data_batch_2 is damaged or no CIFAR file"):
        open_source(str(tmp_path))


class _Evil:
    def __init__(self, call, *arguments):
        self.reduced = (call, arguments)

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize(
    ("evil", "name"),
    [
        (_Evil(os.mkdir, "harm"), r"posix\.mkdir"),
        (_Evil(eval, "1"), r"(__builtin__|builtins)\.eval"),
        (_Evil(np.load, "harm"), r"numpy\.load"),
    ],
)
def test_a_pickle_that_asks_for_more_than_arrays_is_refused_by_name(tmp_path, monkeypatch, evil, name):
    monkeypatch.chdir(tmp_path)
    dump(tmp_path / "batch", {"data": evil, "labels": []})
    with pytest.raises(DataError, match=f"the pickle asks for {name}, which is not needed"):
        load_batch(tmp_path / "batch", "labels", 3072)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("array", [np.array([{}], object), np.zeros((1, 3072)), np.zeros((1, 3072), "V1")])
def test_a_pickle_with_arrays_of_anything_but_bytes_is_refused(tmp_path, array):
    dump(tmp_path / "batch", {"data": array, "labels": [0]})
    with pytest.raises(DataError, match="batch is damaged or no CIFAR file"):
        load_batch(tmp_path / "batch", "labels", 3072)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "must hold a mapping, got list"),
        ({"data": np.zeros((2, 100), np.uint8), "labels": [0, 0]}, r"must hold data of \(n, 3072\) uint8"),
        ({"data": b"bytes", "labels": [0]}, r"must hold data of \(n, 3072\) uint8"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, "must hold labels, one integer an image"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": ["cat"]}, "must hold labels, one integer an image"),
    ],
)
def test_a_pickle_of_other_things_is_refused(tmp_path, value, message):
    dump(tmp_path / "batch", value)
    with pytest.raises(DataError, match=message):
        load_batch(tmp_path / "batch", "labels", 3072)


def test_the_array_module_may_have_its_old_or_its_new_name(tmp_path):
    content = pickle.dumps({"data": planar(pixels(1, 0)), "labels": [3]}, protocol=2)
    names = {argument for code, argument, _ in pickletools.genops(content) if code.name == "GLOBAL"}
    current = next(name.split()[0] for name in names if "_reconstruct" in name)
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        (tmp_path / "batch").write_bytes(content.replace(current.encode(), module.encode()))
        assert load_batch(tmp_path / "batch", "labels", 3072)[1].tolist() == [3]


def test_a_batch_written_by_python_2_is_read(tmp_path):
    image = planar(pixels(1, 0)).tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x01M\x00\x0c\x86"
    kind = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
    text = b"T" + len(image).to_bytes(4, "little") + image
    batch = b"\x80\x02}(U\x04data" + array + kind + text + b"tbU\x06labels]K\x03au."
    (tmp_path / "batch").write_bytes(batch)
    data, numbers = load_batch(tmp_path / "batch", "labels", 3072)
    assert data.tobytes() == image
    assert numbers.tolist() == [3]
