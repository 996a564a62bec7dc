"""Read the Python version of CIFAR without letting a pickle run anything.

A pickle is a program that may call whatever it can name. Here it can name four things, which rebuild an array of bytes
or of integers and nothing else; any other name is refused before it is looked up.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.sources.source import Labels
from blindsight.protocol.errors import DataError

MAX_BYTES = 512 * 1024 * 1024
TYPE_CODES = ("u1", "i8")
_DAMAGE = (
    pickle.UnpicklingError,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    MemoryError,
    OverflowError,
    RecursionError,
)


def load_batch(path: Path, key: str, row_bytes: int) -> tuple[NDArray[np.uint8], Labels]:
    """Read one batch.

    Args:
        path: a pickled mapping with ``data`` and labels.
        key: the key of the labels.
        row_bytes: bytes an image.

    Returns:
        ``(n, row_bytes)`` uint8 pixels and ``(n,)`` int64 labels.

    Raises:
        DataError: the file is damaged, or asks for anything but numpy arrays.
    """
    batch = _load(path)
    pixels, labels = batch.get("data"), batch.get(key)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (row_bytes,):
        raise DataError(f"{path} must hold data of (n, {row_bytes}) uint8")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels) or len(labels) != len(pixels):
        raise DataError(f"{path} must hold {key}, one integer an image")
    return pixels, np.array(labels, np.int64)


def load_names(path: Path, key: str) -> tuple[str, ...]:
    """Read the names of the classes.

    Args:
        path: a pickled mapping with a list of names.
        key: the key of that list.

    Raises:
        DataError: the file is damaged, or asks for anything but numpy arrays.
    """
    names = _load(path).get(key)
    if not isinstance(names, list) or not names or not all(isinstance(name, str | bytes) for name in names):
        raise DataError(f"{path} must hold {key}, a list of names")
    return tuple(_text(name) for name in names)


def _load(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} must be at most {MAX_BYTES} bytes, got {path.stat().st_size}")
        with path.open("rb") as file:
            loaded = _Unpickler(file, encoding="latin1").load()
    except _DAMAGE:
        raise DataError(f"{path} is damaged or no CIFAR file", hint="copy the file again") from None
    if not isinstance(loaded, dict):
        raise DataError(f"{path} must hold a mapping, got {type(loaded).__name__}")
    return {_text(key): value for key, value in loaded.items() if isinstance(key, str | bytes)}


def _text(value: str | bytes) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else value


class _Unpickler(pickle.Unpickler):
    """Resolves the names of ``_NAMES`` and no others."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _NAMES[module, name]
        except KeyError:
            raise DataError(
                f"the pickle asks for {module}.{name}"[:200] + ", which is not needed for images",
                hint="do not use this file; download CIFAR again, best the binary version",
            ) from None


def _reconstruct(kind: Any, shape: Any, code: Any) -> NDArray[np.uint8]:
    """The empty array that every pickled array begins with."""
    if kind is not np.ndarray or shape != (0,):
        raise pickle.UnpicklingError("unusual array")
    return np.ndarray((0,), np.uint8)


def _dtype(code: Any, align: Any = False, copy: Any = True) -> np.dtype[Any]:
    if code not in TYPE_CODES:
        raise pickle.UnpicklingError("unusual type")
    fresh: np.dtype[Any] = np.dtype(code, align=False, copy=True)
    return fresh


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """How protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("unusual bytes")
    return text.encode("latin1")


_NAMES: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
}
