"""CIFAR-10 and CIFAR-100 as published, in the binary and in the Python version.

An image is 3,072 bytes: all of red, all of green, all of blue, row by row. In the binary version one label byte stands
before it (CIFAR-10), or the coarse and then the fine label (CIFAR-100); here the fine label counts.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; the data set's web page, section
"Dataset layout".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blindsight.holder.sources.cifar_pickle import load_batch, load_names
from blindsight.holder.sources.rows import RowFile, RowImages, labels_in_column
from blindsight.holder.sources.settings import Settings
from blindsight.holder.sources.source import Labels, Source, Split
from blindsight.protocol.errors import DataError

SHAPE = (32, 32, 3)
PIXEL_BYTES = 32 * 32 * 3


@dataclass(frozen=True, slots=True)
class Layout:
    """How one published version names its files.

    Args:
        kind: ``cifar10`` or ``cifar100``.
        folder: name of the folder as published.
        train: pattern of the training files.
        test: pattern of the test file.
        names: file with the names of the classes.
        label_bytes: label bytes before an image; 0 in the Python version.
        key: in the Python version, the key of the labels.
        names_key: in the Python version, the key of the class names.
    """

    kind: str
    folder: str
    train: str
    test: str
    names: str
    label_bytes: int = 0
    key: str = ""
    names_key: str = ""


LAYOUTS = (
    Layout("cifar10", "cifar-10-batches-bin", "data_batch_*.bin", "test_batch.bin", "batches.meta.txt", 1),
    Layout("cifar100", "cifar-100-binary", "train.bin", "test.bin", "fine_label_names.txt", 2),
    Layout(
        "cifar10",
        "cifar-10-batches-py",
        "data_batch_[0-9]",
        "test_batch",
        "batches.meta",
        key="labels",
        names_key="label_names",
    ),
    Layout(
        "cifar100",
        "cifar-100-python",
        "train",
        "test",
        "meta",
        key="fine_labels",
        names_key="fine_label_names",
    ),
)


def find_cifar(path: Path, kind: str = "") -> tuple[Path, Layout] | None:
    """The version that lies in a folder, or in the folder of the published name within it.

    Args:
        path: a folder.
        kind: ``cifar10``, ``cifar100``, or empty for either.
    """
    for layout in LAYOUTS:
        for folder in (path, path / layout.folder):
            if kind in ("", layout.kind) and _files(folder, layout.train) and (folder / layout.names).is_file():
                return folder, layout
    return None


def open_cifar(path: Path, settings: Settings, kind: str = "") -> Source:
    """Open CIFAR-10 or CIFAR-100.

    Args:
        path: the folder of the published files, or the folder above it.
        settings: may rename the classes.
        kind: ``cifar10``, ``cifar100``, or empty for either.

    Raises:
        DataError: files are missing or damaged, or a pickle asks for anything but numpy arrays.
    """
    found = find_cifar(path, kind)
    if found is None:
        expected = " or ".join(layout.folder for layout in LAYOUTS if kind in ("", layout.kind))
        raise DataError(f"{path} holds no CIFAR files with their class names", hint=f"unpack {expected} into it")
    folder, layout = found
    patterns = {"train": layout.train, "test": layout.test}
    splits = {name: _split(files, layout) for name, each in patterns.items() if (files := _files(folder, each))}
    classes = settings.classes or _class_names(folder / layout.names, layout)
    return Source(layout.kind, classes, splits, mirror=True, fit=settings.fitted("keep"))


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(file for file in folder.glob(pattern) if file.is_file())


def _split(paths: Sequence[Path], layout: Layout) -> Split:
    if layout.label_bytes:
        files = tuple(_binary(path, layout.label_bytes + PIXEL_BYTES) for path in paths)
        labels = labels_in_column(files, layout.label_bytes - 1)
    else:
        files, labels = _unpickled(paths, layout.key)
    return Split(len(labels), labels, SHAPE, RowImages(files, SHAPE, skip=layout.label_bytes, planar=True))


def _binary(path: Path, row_bytes: int) -> RowFile:
    count, rest = divmod(path.stat().st_size, row_bytes)
    if rest or not count:
        raise DataError(
            f"{path} must be whole rows of {row_bytes} bytes, got {path.stat().st_size} bytes",
            hint="copy the file again",
        )
    return RowFile.open(path, offset=0, row_bytes=row_bytes, count=count)


def _unpickled(paths: Sequence[Path], key: str) -> tuple[tuple[RowFile, ...], Labels]:
    files, labels = [], []
    for path in paths:
        pixels, numbers = load_batch(path, key, PIXEL_BYTES)
        files.append(RowFile.spooled((pixels.tobytes(),), str(path), row_bytes=PIXEL_BYTES, count=len(pixels)))
        labels.append(numbers)
    return tuple(files), np.concatenate(labels)


def _class_names(path: Path, layout: Layout) -> tuple[str, ...]:
    if layout.names_key:
        return load_names(path, layout.names_key)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return tuple(line.strip() for line in lines if line.strip())
