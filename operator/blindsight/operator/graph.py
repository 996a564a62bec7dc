"""What a model file may contain: operators of the ONNX standard and weights inside the file, nothing else.

ONNX Runtime follows *external data*: a model loaded from bytes may name files in and around the working directory as
its weights, and the runtime reads them (tried with 1.31: ``../x/weights.bin`` loads). It also knows operators that
read files (``com.microsoft:EPContext``). So the bytes are searched before the runtime sees them. The search needs no
``onnx`` package: the few messages that can hold a tensor or a node are listed below, all else is skipped.

Source: onnx/onnx.proto (IR version 13).
"""

from __future__ import annotations

from collections.abc import Mapping

from blindsight.protocol.errors import FormatError
from blindsight.protocol.onnxfile import walk

STANDARD = (b"", b"ai.onnx")
MAX_DEPTH = 64

_PARTS: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
    "tensor": {},
}
_NODE_DOMAIN = 7
_TENSOR_EXTERNAL_DATA = 13
_TENSOR_DATA_LOCATION = 14


def demand_self_contained(model: bytes) -> None:
    """Refuse a model that reads files or needs operators beyond the standard.

    Args:
        model: an ONNX file.

    Raises:
        FormatError: E_FORMAT, it is no protocol buffer; or it names external data or an operator of another domain.
    """
    _search(memoryview(model), "model", 0)


def _search(message: memoryview, kind: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise FormatError(f"the model is nested deeper than {MAX_DEPTH} levels")
    for number, value in walk(message):
        _demand_allowed(kind, number, value)
        if isinstance(value, memoryview) and number in _PARTS[kind]:
            _search(value, _PARTS[kind][number], depth + 1)


def _demand_allowed(kind: str, number: int, value: int | memoryview) -> None:
    external = number == _TENSOR_EXTERNAL_DATA or (number == _TENSOR_DATA_LOCATION and value != 0)
    if kind == "tensor" and external:
        raise FormatError("the model keeps weights in other files, which nobody signed: expected all in model.onnx")
    if kind == "node" and number == _NODE_DOMAIN and isinstance(value, memoryview) and value.tobytes() not in STANDARD:
        name = value[:40].tobytes().decode(errors="replace")
        raise FormatError(f"the model uses operators of {name!r}: expected those of the ONNX standard only")
