"""ONNX files without the ``onnx`` package: walk a protocol buffer, read a weight, put another in its place.

A model under a new key differs from the old one in the values of one or two weights and in nothing else. So the file
is not parsed and written anew: the bytes that hold the values are found and replaced, all others stay as they are.

Source: onnx/onnx.proto (IR version 13); https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blindsight.protocol.errors import FormatError

Weights = NDArray[np.float32]
MAX_DIMENSIONS: Final = 8
FLOAT: Final = 1
_MAX_VARINT_BYTES = 10
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_GRAPH, _INITIALIZER = 7, 5
_DIMS, _DATA_TYPE, _FLOAT_DATA, _NAME, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 4, 8, 9, 13, 14


def walk(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Walk the fields of one message: number, and a value (varint) or its bytes (all other kinds).

    Args:
        message: the bytes of one message; those that come out are views of it.

    Raises:
        FormatError: E_FORMAT, it is no protocol buffer, or cut short.
    """
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        length, place = _length(message, place, wire)
        if place + length > len(message):
            raise FormatError("the model is cut short")
        yield number, message[place : place + length]
        place += length


def weight(model: bytes, name: str) -> Weights:
    """The values of a named weight (an *initializer* of the main graph).

    Args:
        model: an ONNX file.
        name: of the weight.

    Returns:
        Its values in its shape, float32, a copy.

    Raises:
        FormatError: E_FORMAT, the file is no ONNX; no weight has that name, or two have it; it is not float32, or its
            values are in another file or do not fill its shape.
    """
    tensor = _tensor(memoryview(model), name)
    shape, values = tuple(_numbers(tensor, _DIMS)), np.frombuffer(b"".join(_pieces(tensor, name)), dtype="<f4")
    if len(shape) > MAX_DIMENSIONS or not 0 < math.prod(shape) == values.size:
        raise FormatError(f"the {values.size} values of weight {name} do not fill its shape {shape[:MAX_DIMENSIONS]}")
    return values.reshape(shape).astype(np.float32)


def with_weight(model: bytes, name: str, values: Weights) -> bytes:
    """The same file with other values of one weight; every other byte stays as it is.

    Args:
        model: an ONNX file.
        name: of the weight.
        values: float32, in the weight's shape.

    Raises:
        FormatError: E_FORMAT, as for ``weight``; or the values are of another type or shape than the weight.
    """
    found = weight(model, name)
    if values.dtype != np.float32 or values.shape != found.shape:
        raise FormatError(f"weight {name} is float32 {found.shape}, got {values.dtype} {values.shape}")
    written = bytearray(model)
    rest = memoryview(values.astype("<f4").tobytes())
    for piece in _pieces(_tensor(memoryview(written), name), name):
        piece[:] = rest[: len(piece)]
        rest = rest[len(piece) :]
    return bytes(written)


def _tensor(model: memoryview, name: str) -> memoryview:
    """The one initializer of that name."""
    graphs = _messages(model, _GRAPH)
    found = [
        tensor
        for graph in graphs
        for tensor in _messages(graph, _INITIALIZER)
        if [value.tobytes() for value in _messages(tensor, _NAME)] == [name.encode()]
    ]
    if len(found) != 1:
        count = f"{len(found)} weights" if found else "no weight"
        raise FormatError(f"the model has {count} of the name {name}, expected one")
    return found[0]


def _messages(message: memoryview, wanted: int) -> list[memoryview]:
    return [value for number, value in walk(message) if number == wanted and isinstance(value, memoryview)]


def _numbers(message: memoryview, wanted: int) -> list[int]:
    """Values of a field of whole numbers, written one by one or packed."""
    values: list[int] = []
    for number, value in walk(message):
        if number == wanted:
            values += [value] if isinstance(value, int) else _packed(value)
    return values


def _packed(numbers: memoryview) -> Iterator[int]:
    place = 0
    while place < len(numbers):
        value, place = _varint(numbers, place)
        yield value


def _pieces(tensor: memoryview, name: str) -> Sequence[memoryview]:
    """The bytes that hold the values, in order: one piece, or one a value if they are not packed."""
    if _messages(tensor, _EXTERNAL_DATA) or any(_numbers(tensor, _DATA_LOCATION)):
        raise FormatError(f"the model keeps weight {name} in another file, expected all in one")
    raw, floats = _messages(tensor, _RAW_DATA), _messages(tensor, _FLOAT_DATA)
    if _numbers(tensor, _DATA_TYPE) != [FLOAT]:
        raise FormatError(f"weight {name} of the model is not of type float32")
    if len(raw) > 1 or (raw and floats):
        raise FormatError(f"weight {name} of the model has its values twice")
    pieces = raw or floats
    if any(len(piece) % 4 for piece in pieces):
        raise FormatError(f"weight {name} of the model is cut inside a value")
    return pieces


def _length(message: memoryview, place: int, wire: int) -> tuple[int, int]:
    if wire == _BYTES:
        return _varint(message, place)
    if wire not in _FIXED:
        raise FormatError("the model is not readable as ONNX")
    return _FIXED[wire], place


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for count, byte in enumerate(message[place : place + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, place + count + 1
    raise FormatError("the model is not readable as ONNX")
