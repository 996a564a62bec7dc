"""A small federation whose holders have published for training: 8x8 images of three classes that can be told apart.

Use as ``from tests.trainer import sites``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from blindsight.holder.plan import Views, make_plan
from blindsight.holder.publish import publish
from blindsight.holder.sources import open_source
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.identity import SigningKey
from blindsight.trainer.checkpoint import Checkpoint, Round
from blindsight.trainer.config import RunConfig
from blindsight.trainer.fit import Verified, fit, verify
from blindsight.trainer.recipe import Recipe
from tests.protocol import worlds
from tests.protocol.worlds import CLASSES, CREATED, World

SCHEMES = tuple({"id": name, "v": 1} for name in ("block-shuffle", "le", "logistic-xor", "patch-mix"))
END = "2099-12-31T00:00:00Z"  # no test may expire
TRAINER = worlds.identity("lab", "trainer")
CONFIG = RunConfig(rounds=2, precision="fp32", recipe=Recipe(batch=8, lr=0.02, least_steps=4))
COLOURS = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]], dtype=np.int16)


def federation(count: int = 2) -> World:
    """Holders, one trainer and an epoch that outlives the tests."""
    keys = worlds.holders(count)
    log = worlds.founded(keys, [TRAINER.entry])
    return _agreed(keys, worlds.World(keys, log, b""), 1)


def next_epoch(world: World) -> World:
    """The same federation with one more epoch; the secret is the new one."""
    return _agreed(world.keys, world, 2)


def _agreed(keys: list[SigningKey], world: World, nonce: int) -> World:
    offer = worlds.proposal(keys[0], world.log, nonce=nonce, schemes=SCHEMES, not_after=END)
    log, secret = worlds.agreed(keys, world.log, offer)
    return replace(world, log=log, secret=secret)


def write_log(world: World, root: Path) -> Path:
    """A drop-box with the membership log."""
    box = DropBox(root)
    for seq, record in enumerate(world.log.records):
        box.put_record(record, world.log.fed, seq, world.keys[0].entry.fpr)
    return root


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``(count, 8, 8, 3)`` uint8 in the colours of their classes, and ``(count,)`` int64 labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    noise = rng.integers(-30, 31, (count, 8, 8, 3))
    return (COLOURS[labels][:, None, None, :] + noise).clip(0, 255).astype(np.uint8), labels.astype(np.int64)


def published(world: World, place: int, folder: Path, split: str = "train", rows: int = 16, **changes: Any) -> Path:
    """One split of one holder, five rows a shard: its folder."""
    key, file = world.keys[place], folder.parent / f"{folder.name}.npz"
    folder.parent.mkdir(parents=True, exist_ok=True)
    images, labels = pictures(rows, 10 * place + (split == "val"))
    np.savez(file, images=images, labels=labels, classes=np.array(CLASSES))
    source = open_source(str(file))
    options: dict[str, Any] = {"views": Views(), "scheme": ("le", {"block": 4}), "classes": source.classes}
    made = make_plan(
        source.splits["train"], split_name=split, name="pets", fit=source.fit, epoch=world.log.latest,
        epoch_secret=world.secret, log=world.log, **(options | changes),
    )  # fmt: skip
    publish(replace(made, shard_bytes=5 * made.row_bytes), key, folder, CREATED, lambda rows: None)
    return folder


def offered(world: World, root: Path) -> list[Path]:
    """Folders of every holder's ``train`` and ``val`` splits."""
    return [
        published(world, place, root / f"site-{place}" / split, split, rows)
        for place in range(len(world.keys))
        for split, rows in (("train", 16 + place), ("val", 7))
    ]


def verified(box: Path, folders: list[Path]) -> Verified:
    """What the trainer makes of them."""
    return verify(box, None, folders)


def trained(
    box: Path,
    folders: list[Path],
    out: Path,
    config: RunConfig = CONFIG,
    *,
    engine: str = "inprocess",
    workers: int = 2,
    report: Callable[[Round], None] = lambda one: None,
) -> Checkpoint:
    """A whole run."""
    return fit(verified(box, folders), box, config, out, engine=engine, workers=workers, report=report)
