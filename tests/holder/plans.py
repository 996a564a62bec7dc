"""Small real data sets to publish: images on disk, a plan over them, repeatable chance.

Use as ``from tests.holder import plans``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from blindsight.holder.plan import Plan, Views, make_plan
from blindsight.holder.publish import publish
from blindsight.holder.sources import open_source
from blindsight.protocol.encoding import tagged_hash
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.keystream import Stream
from tests.protocol.worlds import CLASSES, CREATED, World

ROW_BYTES = 8 * 8 * 3
NAMES = {"split_name": "train", "name": "pets"}


def images(count: int, shape: tuple[int, int, int] = (8, 8, 3), seed: int = 0) -> np.ndarray:
    """``(count, *shape)`` uint8; no two alike, and the first byte tells the label."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def labels_of(pictures: np.ndarray) -> np.ndarray:
    """``(n,)`` int64: what each image is, by its own first byte."""
    return pictures[:, 0, 0, 0].astype(np.int64) % len(CLASSES)


def save(path: Path, count: int = 24, *, labelled: bool = True, shape: tuple[int, int, int] = (8, 8, 3)) -> Path:
    """An ``.npz`` of that many images."""
    pictures = images(count, shape)
    arrays: dict[str, Any] = {"train_images": pictures}
    if labelled:
        arrays |= {"train_labels": labels_of(pictures), "classes": np.array(CLASSES)}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def plan_of(world: World, file: Path, *, shard_rows: int = 10, **changes: Any) -> Plan:
    """A plan over the images in a file, ten rows a shard."""
    source = open_source(str(file))
    options: dict[str, Any] = {"fit": source.fit, "views": Views(), "scheme": ("le", {"block": 4}), **NAMES}
    options |= {"classes": source.classes, "epoch": world.log.latest} | changes
    made = make_plan(source.splits["train"], epoch_secret=world.secret, log=world.log, **options)
    return replace(made, shard_bytes=shard_rows * made.row_bytes)


def chance(purpose: str) -> Callable[[int], bytes]:
    """Bytes that follow from a word."""
    return Stream(tagged_hash("test", purpose.encode()), "test").bytes


def written(plan: Plan, world: World, out: Path, draws: str = "chance", advance: Any = None, **more: Any) -> Envelope:
    """Publish a plan as the first holder, with chance that follows from a word."""
    done = advance or (lambda rows: None)
    return publish(plan, world.keys[0], out, CREATED, done, entropy=chance(draws), **more)


def digests(folder: Path) -> dict[str, str]:
    """Name → SHA-256 of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
