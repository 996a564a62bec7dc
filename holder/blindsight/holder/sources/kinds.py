"""Which kind of source a word or path on the command line means."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.sources.cifar import find_cifar, open_cifar
from blindsight.holder.sources.digits import open_digits
from blindsight.holder.sources.folder import open_folder
from blindsight.holder.sources.idx import is_idx, open_idx
from blindsight.holder.sources.npz import open_npz
from blindsight.holder.sources.settings import Settings, settings_beside
from blindsight.holder.sources.source import Source, Split
from blindsight.protocol.errors import DataError

Opener = Callable[[Path, Settings], Source]
DIGITS = "digits"
KINDS: Mapping[str, Opener] = {
    "folder": open_folder,
    "npz": open_npz,
    "cifar10": partial(open_cifar, kind="cifar10"),
    "cifar100": partial(open_cifar, kind="cifar100"),
    "idx": open_idx,
}
ACCEPTED = "digits, a folder of class folders, an .npz file, a CIFAR-10 or CIFAR-100 folder, a folder of IDX files"


def open_source(spec: str) -> Source:
    """Open a set of images without reading the images.

    Args:
        spec: ``digits``; a path, whose kind is found by looking; or ``kind:PATH`` with a kind of ``KINDS``.

    Returns:
        The source, with what a ``dataset.yaml`` beside the images says.

    Raises:
        DataError: nothing is there, the kind cannot be told, or the files are damaged or not as expected.
    """
    if spec == DIGITS:
        return open_digits()
    kind, colon, rest = spec.partition(":")
    if colon and kind in KINDS:
        return _opened(KINDS[kind], _existing(rest))
    path = _existing(spec)
    return _opened(_opener(path), path)


def _existing(name: str) -> Path:
    path = Path(name).expanduser()
    if not name or not path.exists():
        raise DataError(f"there is no {name or 'path'}", hint=f"accepted are {ACCEPTED}, or {'|'.join(KINDS)}:PATH")
    return path


def _opener(path: Path) -> Opener:
    if path.is_file() and path.suffix == ".npz":
        return open_npz
    if not path.is_dir():
        raise DataError(f"{path} is no source of images", hint=f"accepted are {ACCEPTED}")
    if find_cifar(path):
        return open_cifar
    return open_idx if is_idx(path) else open_folder


def _opened(opener: Opener, path: Path) -> Source:
    settings = settings_beside(*_places(path))
    if settings.folders is not None and opener is not open_folder:
        raise DataError(f"dataset.yaml names folders for splits, but {path} holds no image files", hint="remove split")
    source = opener(path, settings)
    mirror = source.mirror if settings.mirror is None else settings.mirror
    return dataclasses.replace(source, mirror=mirror, splits=_held_out(source, settings))


def _places(path: Path) -> tuple[Path, ...]:
    """Where a ``dataset.yaml`` may lie."""
    if not path.is_dir():
        return (path.parent,)
    found = find_cifar(path)
    return (found[0], path) if found else (path,)


def _held_out(source: Source, settings: Settings) -> Mapping[str, Split]:
    if settings.held_out is None:
        return source.splits
    if set(source.splits) != {"train"}:
        got = ", ".join(source.splits)
        raise DataError(f"dataset.yaml takes a test split from train, but {source.name} has {got}", hint="remove split")
    train = source.splits["train"]
    test = _every_class(train, settings.held_out)
    return {"train": train.part(np.flatnonzero(~test)), "test": train.part(np.flatnonzero(test))}


def _every_class(split: Split, fraction: float) -> NDArray[np.bool_]:
    """Choose a fraction of each class, evenly spread over its images."""
    labels = np.zeros(split.count, np.int64) if split.labels is None else split.labels
    chosen = np.zeros(split.count, np.bool_)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        steps = np.floor(np.arange(members.size + 1) * fraction)
        chosen[members] = np.diff(steps) > 0
    return chosen
