"""Tensor files: safetensors, written canonically and read strictly. FORMAT.md section I.

The official writer is not byte-reproducible with several metadata keys, so ours writes one key, sorted headers and a
fixed layout: equal content gives equal bytes. The official reader opens the result.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsight.protocol import fields
from blindsight.protocol.encoding import canonical, parse_json
from blindsight.protocol.errors import FormatError

METADATA_KEY = "blindsight"
MAX_HEADER_BYTES = 2**20
ALIGNMENT = 64
MAX_DIMENSIONS = 8
MAX_SPAN = 2**53
DTYPES: Mapping[str, np.dtype[Any]] = {
    "U8": np.dtype("u1"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
}
_TENSOR = fields.mapping(
    {
        "dtype": fields.one_of(list(DTYPES)),
        "shape": fields.listing(fields.integer(), most=MAX_DIMENSIONS),
        "data_offsets": fields.listing(fields.integer(), least=2, most=2),
    }
)
_METADATA = fields.mapping({METADATA_KEY: fields.text(MAX_HEADER_BYTES)})


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies.

    Args:
        dtype: safetensors name, a key of ``DTYPES``.
        shape: its dimensions.
        offset: first byte in the file.
    """

    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return DTYPES[self.dtype].itemsize * int(np.prod(self.shape, dtype=object))


@dataclass(frozen=True, slots=True)
class Layout:
    """The head of a tensor file and where everything lies in it.

    Args:
        head: the bytes before the data.
        metadata: our JSON text.
        tensors: name → place.
    """

    head: bytes
    metadata: str
    tensors: Mapping[str, Tensor]

    @property
    def size(self) -> int:
        """Size of the whole file in bytes."""
        return max((tensor.offset + tensor.nbytes for tensor in self.tensors.values()), default=len(self.head))


def plan(shapes: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, Any]) -> Layout:
    """Lay out a file: tensors by falling item size, then name; data from a multiple of 64 bytes.

    Args:
        shapes: name → dtype name and shape.
        metadata: our JSON object, kept under one key.
    """
    order = sorted(shapes, key=lambda name: (-DTYPES[shapes[name][0]].itemsize, name))
    relative, start = {}, 0
    for name in order:
        relative[name] = Tensor(*shapes[name], start)
        start += relative[name].nbytes
    text = canonical(metadata).decode()
    header = canonical({"__metadata__": {METADATA_KEY: text}, **{n: _entry(t) for n, t in relative.items()}})
    header += b" " * (-(len(header) + 8) % ALIGNMENT)
    head = len(header).to_bytes(8, "little") + header
    return Layout(head, text, {n: Tensor(t.dtype, t.shape, len(head) + t.offset) for n, t in relative.items()})


def _entry(tensor: Tensor) -> dict[str, Any]:
    offsets = [tensor.offset, tensor.offset + tensor.nbytes]
    return {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": offsets}


def to_bytes(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> bytes:
    """Write arrays into one tensor file in memory.

    Args:
        arrays: name → array of a dtype in ``DTYPES``.
        metadata: our JSON object.

    Raises:
        ValueError: a dtype that the format does not know.
    """
    layout = plan({name: (_dtype_name(array), array.shape) for name, array in arrays.items()}, metadata)
    order = sorted(layout.tensors, key=lambda name: layout.tensors[name].offset)
    parts = [np.ascontiguousarray(arrays[name]).astype(DTYPES[layout.tensors[name].dtype]).tobytes() for name in order]
    return layout.head + b"".join(parts)


def read_layout(path: Path) -> Layout:
    """Read and check the head of a file and its exact size.

    Raises:
        FormatError: E_SHARD.
    """
    try:
        with path.open("rb") as file:
            data = file.read(8)
            length = int.from_bytes(data, "little")
            if not 2 <= length <= MAX_HEADER_BYTES:
                raise _broken(path.name, f"its header claims {length} bytes")
            data += file.read(length)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}", code="E_IO") from error
    return parse_layout(data, size, path.name)


def parse_layout(data: bytes, size: int, what: str) -> Layout:
    """Check a file's head.

    Args:
        data: at least the head.
        size: size of the whole file in bytes.
        what: the file's name.

    Raises:
        FormatError: E_SHARD: no JSON, unknown fields, gaps or overlaps between tensors, another size than stated.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 + length or not 2 <= length <= MAX_HEADER_BYTES:
        raise _broken(what, "its header is cut short")
    try:
        header = parse_json(data[8 : 8 + length], what, limit=MAX_HEADER_BYTES)
        metadata, entries = _demand_header(header, what)
    except FormatError as error:
        raise _broken(what, error.message) from error
    tensors = {
        name: Tensor(e["dtype"], tuple(e["shape"]), 8 + length + e["data_offsets"][0]) for name, e in entries.items()
    }
    _demand_contiguous(entries, tensors, size - 8 - length, what)
    return Layout(data[: 8 + length], metadata, tensors)


def view(data: bytes, layout: Layout, name: str) -> NDArray[Any]:
    """A read-only array over a file in memory."""
    tensor = layout.tensors[name]
    count = int(np.prod(tensor.shape, dtype=object))
    flat = np.frombuffer(data, dtype=DTYPES[tensor.dtype], count=count, offset=tensor.offset)
    return flat.reshape(tensor.shape)


def memory_map(path: Path, layout: Layout, name: str) -> NDArray[Any]:
    """A read-only array over a file on disk; pages are read when touched."""
    tensor = layout.tensors[name]
    if tensor.nbytes == 0:
        return np.zeros(tensor.shape, dtype=DTYPES[tensor.dtype])
    return np.memmap(path, mode="r", dtype=DTYPES[tensor.dtype], shape=tensor.shape, offset=tensor.offset)


def _dtype_name(array: NDArray[Any]) -> str:
    for name, dtype in DTYPES.items():
        if array.dtype == dtype:
            return name
    raise ValueError(f"tensor files hold {', '.join(DTYPES)}, not {array.dtype}")


def _demand_header(header: Any, what: str) -> tuple[str, dict[str, Any]]:
    if not isinstance(header, dict) or "__metadata__" not in header:
        raise FormatError(f"{what} has no metadata of ours")
    fields.demand(_METADATA, header["__metadata__"], what)
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    fields.demand(fields.dictionary(_TENSOR, most=4096), entries, what)
    return header["__metadata__"][METADATA_KEY], entries


def _demand_contiguous(entries: Mapping[str, Any], tensors: Mapping[str, Tensor], size: int, what: str) -> None:
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
        start, end = entry["data_offsets"]
        if math.prod(side or 1 for side in tensors[name].shape) > MAX_SPAN:  # an empty one may still have long sides
            raise _broken(what, f"tensor {name[:40]} has longer sides than any array")
        if start != position or end - start != tensors[name].nbytes:
            raise _broken(what, f"tensor {name[:40]} does not fill its place")
        position = end
    if position != size:
        raise _broken(what, f"it holds {size} bytes of data where its header states {position}")


def _broken(what: str, why: str) -> FormatError:
    return FormatError(f"tensor file {what} is damaged: {why}", code="E_SHARD")
