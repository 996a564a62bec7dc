"""A federation with two trainers and an operator, recipient keys, and data sets of several shards that are real.

Use as ``from tests.protocol import sealings``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from blindsight.protocol import manifest, sealing, shard, tensorfile
from blindsight.protocol.clock import to_text
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.log import Log
from blindsight.protocol.manifest import Manifest
from blindsight.protocol.recipient import Recipient, make_recipient, read_recipient
from blindsight.protocol.records import make_genesis
from blindsight.protocol.sealedfile import Stamp, seal_file
from blindsight.protocol.sealing import Sealing
from tests.protocol import worlds
from tests.protocol.worlds import CREATED, LE, NOW, World

EXPIRES = to_text(NOW + timedelta(days=30))
LAB, RIVAL = worlds.identity("lab", "trainer"), worlds.identity("rival", "trainer")
WARD = worlds.identity("ward", "operator")
NAME = "5e" * 16
DATA_KEY = bytes(range(32))


def federation(
    trainers: tuple[SigningKey, ...] = (LAB, RIVAL),
    operators: tuple[SigningKey, ...] = (WARD,),
    *,
    name: str = "clinic",
) -> World:
    """Two holders with one agreed epoch, and those who may be sealed to."""
    keys = worlds.holders(2)
    people = [[key.entry for key in some] for some in (keys, trainers, operators)]
    genesis = make_genesis(name, *people, policy="all", nonce=bytes(32), created=CREATED)
    for key in keys:
        genesis = genesis.signed(key)
    log, secret = worlds.agreed(keys, Log.build([genesis]))
    return World(keys, log, secret)


def seed_of(key: SigningKey, salt: str = "") -> bytes:
    """The secret of a recipient key, which follows from a name."""
    return hashlib.sha256(f"recipient/{key.entry.name}/{salt}".encode()).digest()


def offered(key: SigningKey, log: Log, salt: str = "", **changes: Any) -> Envelope:
    """A signed recipient document."""
    stated: dict[str, Any] = {
        "kem_seed": seed_of(key, salt),
        "nonce": bytes(32),
        "created": CREATED,
        "expires": EXPIRES,
    }
    return make_recipient(key, log.fed, **(stated | changes))


def recipient(key: SigningKey, log: Log, salt: str = "") -> Recipient:
    """A verified recipient document."""
    return read_recipient(offered(key, log, salt), log, NOW)


def publish(folder: Path, world: World, key: SigningKey, shards: int = 2, rows: int = 90) -> Manifest:
    """A data set of several real shards (more than one chunk each), and its verified manifest."""
    (folder / "shards").mkdir(parents=True)
    listed = []
    for number in range(shards):
        head = shard.ShardHead(world.predicate(key)["dataset"]["id"], world.log.fed, 1, LE.digest, number * rows, rows)
        pictures = np.random.default_rng(number).integers(0, 256, (rows, *LE.shape), dtype=np.uint8)
        data = tensorfile.to_bytes({"image": pictures, "label": np.arange(rows) % 3}, head.to_json())
        path = f"shards/{number:05d}.safetensors"
        (folder / path).write_bytes(data)
        listed.append({"path": path, "rows": rows, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    envelope = world.manifest(key, rows=rows * shards, shards=listed)
    (folder / manifest.FILE_NAME).write_bytes(envelope.to_bytes())
    return manifest.read(envelope, world.log)


@dataclass(frozen=True)
class Sealed:
    """A data set and its sealing to lab and ward, the sealed shards beside it."""

    world: World
    folder: Path
    manifest: Manifest
    stamps: tuple[Stamp, ...]

    @property
    def log(self) -> Log:
        return self.world.log

    def envelope(self, **changes: Any) -> Envelope:
        """The signed sealing, with whatever changes in how it is made."""
        stated: dict[str, Any] = {
            "key": self.world.keys[0],
            "manifest": self.manifest,
            "head": self.log.head,
            "recipients": [recipient(key, self.log) for key in (LAB, WARD)],
            "name": NAME,
            "data_key": DATA_KEY,
            "files": self.stamps,
            "created": CREATED,
        }
        return sealing.make_sealing(**(stated | changes))

    def read(self, envelope: Envelope) -> Sealing:
        return sealing.read_sealing(envelope, self.log, self.manifest)


def sealed(folder: Path, world: World | None = None) -> Sealed:
    """Publish and seal below a folder."""
    world = world or federation()
    offer = publish(folder, world, world.keys[0])
    stamps = []
    for number, listed in enumerate(offer.predicate["shards"]):
        target = folder / sealing.sealed_path(NAME, number)
        target.parent.mkdir(parents=True, exist_ok=True)
        key, bound = sealing.file_key(DATA_KEY, offer, listed), sealing.context(offer, listed)
        stamps.append(seal_file(folder / listed["path"], target, key, bound, sealing.plain_stamp(listed)))
    return Sealed(world, folder, offer, tuple(stamps))
