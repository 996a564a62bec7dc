"""Tensors as other programs save them: safetensors files.

They are read as strictly as our own (FORMAT.md section I), but for what only ours have: any metadata will do, and half
precision is widened, which is exact. Pickles run programs when they are read; none is.

Source: the format as the README of safetensors states it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blindsight.protocol import fields
from blindsight.protocol.bundle import MAX_FILE_BYTES
from blindsight.protocol.encoding import parse_json
from blindsight.protocol.errors import FormatError
from blindsight.protocol.files import read_bounded
from blindsight.protocol.tensorfile import MAX_DIMENSIONS, MAX_HEADER_BYTES, MAX_SPAN

Floats = NDArray[np.float32]
Read = Callable[[bytes], Floats]
PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
MAX_TENSORS: Final = 4096

_ITEM_BYTES: Final = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_WIDENED: Final[Mapping[str, Read]] = {
    "F32": lambda data: np.frombuffer(data, "<f4"),
    "F16": lambda data: np.frombuffer(data, "<f2").astype(np.float32),
    "BF16": lambda data: (np.frombuffer(data, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32),
}
_TENSOR = fields.mapping(
    {
        "dtype": fields.one_of(list(_ITEM_BYTES)),
        "shape": fields.listing(fields.integer(), most=MAX_DIMENSIONS),
        "data_offsets": fields.listing(fields.integer(), least=2, most=2),
    }
)


def read_tensors(path: Path) -> dict[str, Floats]:
    """Read the weights in a safetensors file.

    Args:
        path: the file.

    Returns:
        Name to array, all of F32, F16 and BF16; counters and indices, which are whole numbers, are left out.

    Raises:
        FormatError: E_FORMAT, a pickle, or too large; E_SHARD, no safetensors file, a damaged one, or another type of
            numbers; E_IO.
    """
    data = read_bytes(path, MAX_FILE_BYTES)
    if path.suffix.lower() in PICKLES or data.startswith(b"PK\x03\x04") or (data[:1] == b"\x80" and data[8:9] != b"{"):
        raise refused_pickle(path)
    entries, start = _header(data, path.name)
    found: dict[str, Floats] = {}
    for name, entry in entries.items():
        if entry["dtype"] in _WIDENED:
            begin, end = (start + offset for offset in entry["data_offsets"])
            found[name] = _WIDENED[entry["dtype"]](data[begin:end]).reshape(entry["shape"])
    return found


def refused_pickle(path: Path) -> FormatError:
    """The refusal of a file that would run as a program."""
    return FormatError(
        f"{path.name} is a pickle, which runs programs when it is read; expected a safetensors file",
        hint="where it was made: safetensors.torch.save_file(model.state_dict(), 'model.safetensors')",
    )


def _header(data: bytes, what: str) -> tuple[dict[str, Any], int]:
    """What the tensors are, in the order of their bytes, and where these begin."""
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(MAX_HEADER_BYTES, len(data) - 8):
        raise _broken(what, "its header is cut short or too long")
    try:
        header = parse_json(data[8 : 8 + length], what, limit=MAX_HEADER_BYTES)
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        fields.demand(fields.dictionary(_TENSOR, most=MAX_TENSORS), entries, what)
    except (AttributeError, FormatError) as error:
        raise _broken(what, getattr(error, "message", "its header is no object")) from error
    ordered = dict(sorted(entries.items(), key=lambda item: item[1]["data_offsets"]))
    _demand_contiguous(ordered, len(data) - 8 - length, what)
    return ordered, 8 + length


def _demand_contiguous(entries: Mapping[str, Any], size: int, what: str) -> None:
    position = 0
    for name, entry in entries.items():
        (start, end), sides = entry["data_offsets"], entry["shape"]
        spanned = math.prod(side or 1 for side in sides) <= MAX_SPAN  # an empty one may still have long sides
        if not spanned or (start, end - start) != (position, math.prod(sides) * _ITEM_BYTES[entry["dtype"]]):
            raise _broken(what, f"tensor {name[:40]} does not fill its place")
        position = end
    if position != size:
        raise _broken(what, f"it holds {size} bytes of data where its header states {position}")


def _broken(what: str, why: str) -> FormatError:
    return FormatError(f"{what} is no safetensors file that can be read here: {why}", code="E_SHARD")


def read_bytes(path: Path, most: int) -> bytes:
    """Read a file of at most so many bytes.

    Raises:
        FormatError: E_FORMAT, it has more; E_IO.
    """
    try:
        with path.open("rb") as file:
            data = read_bounded(file, most)
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}", code="E_IO") from error
    if len(data) > most:
        raise FormatError(f"{path.name} has more than the {most} bytes accepted")
    return data
