"""Shards: encrypted images and their plain labels in one tensor file. FORMAT.md section I."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsight.protocol import fields, tensorfile
from blindsight.protocol.encoding import parse_canonical
from blindsight.protocol.errors import FormatError
from blindsight.protocol.tensorfile import Layout

TARGET_BYTES = 64 * 2**20
_SHAPE = fields.mapping(
    {
        "v": fields.constant(1),
        "dataset": fields.hex16,
        "fed": fields.hex32,
        "epoch": fields.integer(1),
        "scheme_digest": fields.hex32,
        "first_row": fields.integer(),
        "rows": fields.integer(1),
    }
)


@dataclass(frozen=True, slots=True)
class ShardHead:
    """What a shard says of itself.

    Args:
        dataset: id of the data set, 32 hex characters.
        fed: federation id, hex.
        epoch: number of the epoch whose key was used.
        scheme_digest: digest of the scheme descriptor, hex.
        first_row: number of its first row within the data set.
        rows: number of images.
    """

    dataset: str
    fed: str
    epoch: int
    scheme_digest: str
    first_row: int
    rows: int

    def to_json(self) -> dict[str, Any]:
        """The head as it stands in the file."""
        return {"v": 1, **{name: getattr(self, name) for name in self.__slots__}}


@dataclass(frozen=True, slots=True)
class Shard:
    """An opened shard; arrays are memory maps.

    Args:
        head: what it says of itself.
        images: ``(rows, H, W, C)`` uint8, encrypted.
        labels: ``(rows,)`` int64, or None.
    """

    head: ShardHead
    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None


def layout(head: ShardHead, shape: tuple[int, int, int], *, labelled: bool) -> Layout:
    """Plan a shard file.

    Args:
        head: what it says of itself.
        shape: ``(H, W, C)`` of every encrypted image.
        labelled: whether a label stands for each image.
    """
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {"image": ("U8", (head.rows, *shape))}
    if labelled:
        shapes["label"] = ("I64", (head.rows,))
    return tensorfile.plan(shapes, head.to_json())


def read_head(path: Path) -> tuple[ShardHead, Layout]:
    """Read and check what a shard says of itself; its content is not hashed here.

    Raises:
        FormatError: E_SHARD.
    """
    plan = tensorfile.read_layout(path)
    try:
        document = parse_canonical(plan.metadata.encode(), path.name)
        fields.demand(_SHAPE, document, path.name)
    except FormatError as error:
        raise FormatError(f"shard {path.name} is damaged: {error.message}", code="E_SHARD") from error
    head = ShardHead(**{name: document[name] for name in ShardHead.__slots__})
    _demand_tensors(path, plan, head.rows)
    return head, plan


def _demand_tensors(path: Path, plan: Layout, rows: int) -> None:
    image, label = plan.tensors.get("image"), plan.tensors.get("label")
    sound = image is not None and image.dtype == "U8" and len(image.shape) == 4 and image.shape[0] == rows
    sound = sound and (label is None or (label.dtype, label.shape) == ("I64", (rows,)))
    if not sound or set(plan.tensors) - {"image", "label"}:
        raise FormatError(f"shard {path.name} is damaged: its tensors are not those of {rows} images", code="E_SHARD")


def opened(path: Path) -> Shard:
    """Map a shard into memory.

    Raises:
        FormatError: E_SHARD.
    """
    head, plan = read_head(path)
    labels = tensorfile.memory_map(path, plan, "label") if "label" in plan.tensors else None
    return Shard(head, tensorfile.memory_map(path, plan, "image"), labels)


def tensors_of(shape: tuple[int, int, int], *, labelled: bool) -> Mapping[str, dict[str, Any]]:
    """The tensors of a data set as a manifest states them; the shape is that of its encrypted images."""
    tensors: dict[str, dict[str, Any]] = {"image": {"dtype": "U8", "shape": ["N", *shape]}}
    return tensors | ({"label": {"dtype": "I64", "shape": ["N"]}} if labelled else {})
