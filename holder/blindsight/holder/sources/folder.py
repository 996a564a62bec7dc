"""A folder of class folders of image files, with or without ``train``, ``val`` and ``test`` above the classes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blindsight.holder.sources import pictures
from blindsight.holder.sources.settings import Settings
from blindsight.holder.sources.source import SPLITS, Indices, Picture, Source, Split
from blindsight.protocol.errors import DataError

ACCEPTED = ", ".join(pictures.SUFFIXES)
IGNORED_SUFFIXES = (".csv", ".db", ".ini", ".json", ".md", ".txt", ".yaml", ".yml")
LAYOUT_HINT = "put the images in class folders: FOLDER/train/cat/1.png, or FOLDER/cat/1.png"


def open_folder(path: Path, settings: Settings) -> Source:
    """Open a folder of class folders; only the heads of the image files are read.

    Args:
        path: holds class folders, or ``train``, ``val`` and ``test`` with class folders in each. Without any class
            folders the images have no labels.
        settings: may name the classes and the folders of the splits.

    Raises:
        DataError: no images, a file that is no image, mixed layouts, or a ``dataset.yaml`` that does not fit.
    """
    folders = _split_folders(path, settings)
    classes = settings.classes or _class_names(folders)
    splits = {name: _split(folder, classes) for name, folder in folders.items()}
    labelled = any(split.labels is not None for split in splits.values())
    return Source(path.resolve().name, classes if labelled else (), splits, mirror=True, fit=settings.fitted(3))


def _split_folders(path: Path, settings: Settings) -> Mapping[str, Path]:
    if settings.folders is not None:
        return {name: _existing(path / folder) for name, folder in settings.folders.items()}
    names = {folder.name for folder in _folders_in(path)}
    splits = names & set(SPLITS)
    if splits and splits == names:
        return {name: path / name for name in SPLITS if name in names}
    if any(_folders_in(path / name) for name in splits):
        others = ", ".join(sorted(names - splits)[:3])
        raise DataError(
            f"{path} holds splits ({', '.join(sorted(splits))}) beside other folders ({others})",
            hint="say in dataset.yaml which folders to use: split: {train: train, test: test}",
        )
    return {"train": path}


def _class_names(folders: Mapping[str, Path]) -> tuple[str, ...]:
    return tuple(sorted({folder.name for split in folders.values() for folder in _folders_in(split)}))


def _split(folder: Path, classes: tuple[str, ...]) -> Split:
    found, loose = [child.name for child in _folders_in(folder)], _images_in(folder)
    if found and loose:
        raise DataError(f"{folder} holds both images and class folders: {loose[0].name}, {found[0]}", hint=LAYOUT_HINT)
    unknown = sorted(set(found) - set(classes))
    if unknown:
        raise DataError(f"{folder} holds the class {unknown[0]}, which dataset.yaml does not name")
    by_class = [_images_in(folder / name) if name in found else [] for name in classes]
    files = loose or list(itertools.chain.from_iterable(by_class))
    if not files:
        raise DataError(f"{folder} holds no images ({ACCEPTED})", hint=LAYOUT_HINT)
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(here) for here in by_class]) if found else None
    return Split(len(files), labels, _shape(files), _Files(files))


def _folders_in(folder: Path) -> list[Path]:
    return sorted(child for child in _existing(folder).iterdir() if child.is_dir() and child.name[0] != ".")


def _images_in(folder: Path) -> list[Path]:
    files = sorted(child for child in folder.iterdir() if child.is_file() and child.name[0] != ".")
    images = [file for file in files if file.suffix.lower() not in IGNORED_SUFFIXES]
    for file in images:
        if file.suffix.lower() not in pictures.SUFFIXES:
            raise DataError(f"{file} is no image of a known kind, expected {ACCEPTED}", hint="convert or remove it")
    return images


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder")
    return folder


def _shape(files: Sequence[Path]) -> tuple[int, int, int] | None:
    shapes = {pictures.measure(file) for file in files}
    return shapes.pop() if len(shapes) == 1 else None


@dataclass(frozen=True, slots=True, eq=False)
class _Files:
    files: Sequence[Path]

    def read(self, indices: Indices) -> list[Picture]:
        return [pictures.decode(self.files[index]) for index in indices.tolist()]
