"""``dataset.yaml``: what a holder says about a set of images, beside the images.

    classes: [cat, dog]                    # names, in the order of the labels
    split: {train: left, test: right}      # folders, or a number: the part of train that becomes test
    fit: {policy: resize, size: [224, 224]}
    channels: 3                            # 1, 3 or keep
    views: {mirror: true}                  # whether a mirrored image keeps its label

Every key may be left out; a key that is not listed here is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from blindsight.holder.geometry import Channels, Fit
from blindsight.holder.sources.source import SPLITS
from blindsight.protocol.errors import DataError

FILE_NAME = "dataset.yaml"
MAX_BYTES = 1024 * 1024
KEYS = ("classes", "split", "fit", "channels", "views")


@dataclass(frozen=True, slots=True)
class Settings:
    """The content of a ``dataset.yaml``; what it leaves out is None.

    Args:
        classes: names of the classes.
        folders: folder of each split.
        held_out: part of ``train`` that becomes ``test``, between 0 and 1.
        fit: policy and size.
        channels: 1, 3 or ``keep``.
        mirror: whether a mirrored image keeps its label.
    """

    classes: tuple[str, ...] | None = None
    folders: Mapping[str, str] | None = None
    held_out: float | None = None
    fit: Fit | None = None
    channels: Channels | None = None
    mirror: bool | None = None

    def fitted(self, default: Channels) -> Fit:
        """Policy, size and channels together.

        Args:
            default: channels when the file does not say.
        """
        chosen = self.fit or Fit()
        return Fit(chosen.policy, chosen.size, default if self.channels is None else self.channels)


def settings_beside(*places: Path) -> Settings:
    """Read the first ``dataset.yaml`` that lies in one of these folders.

    Args:
        places: folders, the most specific first.

    Returns:
        What the file says; nothing when there is no file.

    Raises:
        DataError: the file cannot be read, or says something that is not understood.
    """
    for place in places:
        path = place / FILE_NAME
        if path.is_file():
            return read_settings(path)
    return Settings()


def read_settings(path: Path) -> Settings:
    """Read a ``dataset.yaml``.

    Raises:
        DataError: the file cannot be read, or says something that is not understood.
    """
    document = _mapping(_loaded(path), KEYS, str(path))
    fit = _mapping(document.get("fit"), ("policy", "size"), f"{path}: fit")
    split = document.get("split")
    try:
        return Settings(
            classes=_names(document.get("classes"), path),
            folders=None if isinstance(split, int | float) else _folders(split, path),
            held_out=_fraction(split, path) if isinstance(split, int | float) else None,
            fit=Fit(fit.get("policy", "refuse"), _size(fit.get("size"), path)) if fit else None,
            channels=Fit(channels=document["channels"]).channels if "channels" in document else None,
            mirror=_mirror(document.get("views"), path),
        )
    except DataError as error:
        message = error.message if error.message.startswith(str(path)) else f"{path}: {error.message}"
        raise DataError(message, hint=error.hint) from None


def _loaded(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} must be at most {MAX_BYTES} bytes, got {path.stat().st_size}")
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{path} is not readable as YAML: {' '.join(str(error).split())}") from None


def _mapping(value: Any, keys: tuple[str, ...], what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DataError(f"{what} must be a mapping with keys {', '.join(keys)}, got {type(value).__name__}")
    unknown = ", ".join(sorted(str(key) for key in value if key not in keys))
    if unknown:
        raise DataError(f"{what} has unknown keys: {unknown}", hint=f"accepted are {', '.join(keys)}")
    return value


def _names(value: Any, path: Path) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(name, str) and name for name in value):
        raise DataError(f"{path}: classes must be a list of names", hint='put numbers in quotes: classes: ["0", "1"]')
    if len(set(value)) != len(value):
        raise DataError(f"{path}: classes names a class twice")
    return tuple(value)


def _folders(value: Any, path: Path) -> Mapping[str, str] | None:
    folders = _mapping(value, SPLITS, f"{path}: split")
    if not all(isinstance(folder, str) and folder for folder in folders.values()):
        raise DataError(f"{path}: split must name a folder for each split", hint="split: {train: left, test: right}")
    return folders or None


def _fraction(value: float, path: Path) -> float:
    if isinstance(value, bool) or not 0 < value < 1:
        raise DataError(f"{path}: split must be folders or a number between 0 and 1, got {value}", hint="split: 0.2")
    return float(value)


def _size(value: Any, path: Path) -> tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2 or not all(type(side) is int for side in value):
        raise DataError(f"{path}: size must be [height, width] in pixels", hint="size: [224, 224]")
    return value[0], value[1]


def _mirror(value: Any, path: Path) -> bool | None:
    mirror = _mapping(value, ("mirror",), f"{path}: views").get("mirror")
    if mirror is not None and not isinstance(mirror, bool):
        raise DataError(f"{path}: mirror must be true or false, got {mirror!r}")
    return mirror
