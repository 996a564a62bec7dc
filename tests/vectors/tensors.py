"""Vectors of files of tensors: the tensor file and the shard. FORMAT.md section I."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from blindsight.protocol import tensorfile
from blindsight.protocol.shard import ShardHead
from tests.protocol.worlds import LE
from tests.vectors.vector import MISSING, Vector, changed, refusals

CONTENT = {"a": np.arange(6, dtype=np.uint8), "b": np.arange(12, dtype=np.uint8).reshape(3, 4), "n": np.array([-1, 2])}
WHOLE = tensorfile.to_bytes(CONTENT, {"v": 1})
LENGTH = int.from_bytes(WHOLE[:8], "little")
HEADER: dict[str, Any] = json.loads(WHOLE[8 : 8 + LENGTH])
DATA = WHOLE[8 + LENGTH :]
A, B, N = (HEADER[name]["data_offsets"] for name in ("a", "b", "n"))


def _file(header: Any, data: bytes = DATA) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def _with(**changes: Mapping[str, Any]) -> bytes:
    """The file with other fields of some tensors."""
    return _file({name: changed(entry, changes.get(name, {})) for name, entry in HEADER.items()})


def _at(**offsets: list[int]) -> bytes:
    return _with(**{name: {"data_offsets": place} for name, place in offsets.items()})


def tensor_file() -> list[Vector]:
    """I.1."""
    text = WHOLE[8 : 8 + LENGTH]
    many = {f"t{place}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for place in range(65)}
    crowd = json.dumps({"__metadata__": HEADER["__metadata__"], **many}, separators=(",", ":")).encode()
    twins = _header(tensorfile.to_bytes({"a": np.zeros(4, np.uint8), "b": np.zeros(4, np.uint8)}, {}))
    cases = {
        "cut within the length": WHOLE[:7],
        "cut within the header": WHOLE[: 8 + LENGTH - 1],
        "cut within the data": WHOLE[:-1],
        "no data": WHOLE[: 8 + LENGTH],
        "extended by a byte": WHOLE + b"\0",
        "extended by 64 bytes": WHOLE + bytes(64),
        "an empty file": b"",
        "a header of one byte": _file(b"{"),
        "a header that claims 1 MiB and a byte": (2**20 + 1).to_bytes(8, "little") + WHOLE[8:],
        "a header that claims 2^64 - 1 bytes": b"\xff" * 8 + WHOLE[8:],
        "a length written most significant byte first": LENGTH.to_bytes(8, "big") + WHOLE[8:],
        "tensors of different sizes have changed places": _at(a=B, b=A),
        "tensors overlap": _at(a=[B[0], B[0] + 6]),
        "two tensors of one size in one place": _file({**twins, "b": twins["a"]}, bytes(8)),
        "a gap between tensors": _at(b=[B[0] + 1, B[1] + 1]),
        "data that begin after a gap": _at(n=[1, 17]),
        "a negative offset": _at(n=[-16, 0]),
        "an end before its beginning": _at(b=[B[1], B[0]]),
        "a tensor past the end": _at(b=[B[0], B[1] + 100]),
        "three offsets": _at(b=[*B, B[1]]),
        "offsets of 2^52": _at(b=[2**52, 2**52 + 12]),
        "a shape of another size": _with(b={"shape": [3, 5]}),
        "a shape whose size exceeds 64 bits": _with(b={"shape": [2**52, 2**52, 2**52]}),
        "a negative shape": _with(b={"shape": [-3, -4]}),
        "nine dimensions": _with(b={"shape": [12, *[1] * 8]}),
        "a dtype of another item size": _with(b={"dtype": "I64"}),
        "an unknown dtype": _with(b={"dtype": "BF16"}),
        "a dtype in lower case": _with(b={"dtype": "u8"}),
        "an unknown field": _with(b={"stride": [4, 1]}),
        "a missing field": _with(b={"data_offsets": MISSING}),
        "data that no tensor claims": _file({name: entry for name, entry in HEADER.items() if name != "b"}),
        "no metadata": _file({name: entry for name, entry in HEADER.items() if name != "__metadata__"}),
        "metadata of another program": _file(HEADER | {"__metadata__": {"format": "pt"}}),
        "metadata of another program beside ours": _file(
            HEADER | {"__metadata__": {"blindsight": "{}", "format": "pt"}}
        ),
        "metadata that is no text": _file(HEADER | {"__metadata__": {"blindsight": {"v": 1}}}),
        "a header that is a list": _file([]),
        "a header that is no JSON": _file(b"{" + b" " * 62 + b"}x"),
        "a header with a tensor twice": _file(text.rstrip()[:-1] + b',"a":' + json.dumps(HEADER["a"]).encode() + b"}"),
        "a header with a fraction": _file(text.replace(b"[3,4]", b"[3.0,4]")),
        "a header that is not UTF-8": _file(text.replace(b'"a"', b'"\xff"')),
    }
    places = {name: tensor.offset for name, tensor in tensorfile.parse_layout(WHOLE, len(WHOLE), "x").tensors.items()}
    spaced = _file(dict(reversed(HEADER.items())))
    shift = len(spaced) - len(WHOLE)
    empty = tensorfile.to_bytes({"e": np.zeros((0, 3), dtype=np.float32)}, {})
    return [
        *refusals("tensor-file", "E_SHARD", cases),
        Vector("tensor-file", "bytes and integers", WHOLE, {"offsets": places}),
        Vector(
            "tensor-file",
            "a header in another order without padding",
            spaced,
            {"offsets": {name: place + shift for name, place in places.items()}},
        ),
        Vector("tensor-file", "a tensor without elements", empty, {"offsets": {"e": len(empty)}}),
        Vector(
            "tensor-file",
            "65 tensors without elements",
            _file(crowd, b""),
            {"offsets": dict.fromkeys(many, 8 + len(crowd))},
        ),
    ]


HEAD = ShardHead("ab" * 16, "cd" * 32, 1, LE.digest, 16, 2)
IMAGES = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, *LE.shape)
LABELS = np.array([0, 2])


def shard() -> list[Vector]:
    """I.2: a file as it lies on disk."""
    arrays: dict[str, Any] = {"image": IMAGES, "label": LABELS}

    def made(arrays: Mapping[str, Any] = arrays, **changes: Any) -> bytes:
        return tensorfile.to_bytes(arrays, changed(HEAD.to_json(), changes))

    cases = {
        "another version": made(v=2),
        "no rows": made({"image": IMAGES[:0], "label": LABELS[:0]}, rows=0),
        "more rows than images": made(rows=3),
        "a negative first row": made(first_row=-1),
        "epoch 0": made(epoch=0),
        "a short data set id": made(dataset="ab"),
        "an unknown field": made(camera="door"),
        "a missing scheme digest": made(scheme_digest=MISSING),
        "no image": made({"label": LABELS}),
        "images as floats": made({"image": IMAGES.astype(np.float32)}),
        "flat images": made({"image": IMAGES.reshape(2, -1)}),
        "fewer labels than images": made({"image": IMAGES, "label": LABELS[:1]}),
        "labels as bytes": made({"image": IMAGES, "label": LABELS.astype(np.uint8)}),
        "labels in two columns": made({"image": IMAGES, "label": LABELS.reshape(2, 1)}),
        "a further tensor": made({**arrays, "name": LABELS}),
        "a file extended by a byte": made() + b"\0",
        "a file cut by a byte": made()[:-1],
        "metadata that is not canonical": _file(
            {**_header(made()), "__metadata__": {"blindsight": json.dumps(HEAD.to_json())}}, _data(made())
        ),
    }
    facts = {"rows": 2, "first_row": 16, "shape": [2, 8, 8, 3], "sum": int(IMAGES.sum()), "labels": [0, 2]}
    return [
        *refusals("shard", "E_SHARD", cases),
        Vector("shard", "two labelled images", made(), facts),
        Vector("shard", "two images without labels", made({"image": IMAGES}), {**facts, "labels": None}),
    ]


def _header(file: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file[8 : 8 + int.from_bytes(file[:8], "little")])
    return found


def _data(file: bytes) -> bytes:
    return file[8 + int.from_bytes(file[:8], "little") :]
