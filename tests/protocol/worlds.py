"""Small real worlds for tests: keys, federations, agreed epochs, manifests with shards. Nothing here is a stand-in.

Use as ``from tests.protocol import worlds``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from blindsight.protocol import agreement, keystore, manifest, shard, tensorfile
from blindsight.protocol.clock import to_text
from blindsight.protocol.encoding import canonical
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.identity import Entry, SigningKey
from blindsight.protocol.keystore import Argon2Cost, Keystore
from blindsight.protocol.log import Log
from blindsight.protocol.records import make_genesis, make_notice, people
from blindsight.protocol.scheme import Descriptor, check_value, scheme_key
from blindsight.protocol.session import Session

CHEAP = Argon2Cost(m=8_192, t=1, p=1)
PASSPHRASE = b"correct horse battery staple"
NOW = datetime(2026, 11, 20, 13, 0, tzinfo=UTC)
CREATED = to_text(NOW)
DEADLINE = to_text(NOW + timedelta(days=7))
NOT_AFTER = to_text(NOW + timedelta(days=365))
LE = Descriptor("le", 1, (8, 8, 3), {"block": 4})
CLASSES = ("cat", "dog", "owl")
SCHEMES = ({"id": "le", "v": 1},)


def identity(name: str, role: str = "holder") -> SigningKey:
    """A signing key that follows from its name."""
    return SigningKey(role, name, hashlib.sha256(f"{role}/{name}".encode()).digest())


def holders(count: int) -> list[SigningKey]:
    """Signing keys of holders in roster order (ascending fingerprint)."""
    return sorted((identity(f"site-{place}") for place in range(count)), key=lambda key: key.entry.fpr)


def draft(keys: Sequence[SigningKey], trainers: Sequence[Entry] = (), *, name: str = "ward") -> Envelope:
    """An unsigned genesis."""
    entries = [key.entry for key in keys]
    return make_genesis(name, entries, trainers, policy="all", nonce=bytes(32), created=CREATED)


def genesis(keys: Sequence[SigningKey], trainers: Sequence[Entry] = (), *, name: str = "ward") -> Envelope:
    """A genesis with every member's signature."""
    envelope = draft(keys, trainers, name=name)
    for key in keys:
        envelope = envelope.signed(key)
    return envelope


def founded(keys: Sequence[SigningKey], trainers: Sequence[Entry] = (), *, name: str = "ward") -> Log:
    """The log of a federation that has no epoch yet."""
    return Log.build([genesis(keys, trainers, name=name)])


def proposal(key: SigningKey, log: Log, *, nonce: int = 1, schemes: Sequence[Any] = SCHEMES, **times: str) -> Envelope:
    """A signed proposal of the next epoch."""
    times = {"created": CREATED, "deadline": DEADLINE, "not_after": NOT_AFTER} | times
    return agreement.make_proposal(key, log, schemes=schemes, nonce=bytes([nonce]) * 32, **times)


def accepted(key: SigningKey, log: Log, offer: Envelope, salt: str = "") -> Session:
    """A member's session with contributions that follow from its name."""
    seed, contribution = (
        hashlib.sha256(f"{what}/{key.entry.name}/{offer.mid}/{salt}".encode()).digest() for what in ("kem", "s")
    )
    return agreement.accept(key, log, offer, kem_seed=seed, contribution=contribution)


def sessions(keys: Sequence[SigningKey], log: Log, offer: Envelope | None = None) -> dict[str, Session]:
    """Every member's session, committed, nothing delivered: fingerprint → session."""
    offer = offer or proposal(keys[0], log)
    return {key.entry.fpr: accepted(key, log, offer) for key in keys}


def exchange(open_ones: dict[str, Session], keys: Sequence[SigningKey]) -> None:
    """Deliver every message sent so far to everybody, then let everybody advance."""
    messages = [message for session in open_ones.values() for message in session.outbox]
    for key in keys:
        session = open_ones[key.entry.fpr]
        for message in messages:
            session = agreement.receive(session, message)
        open_ones[key.entry.fpr] = agreement.advance(session, key)


def agreed(keys: Sequence[SigningKey], log: Log, offer: Envelope | None = None) -> tuple[Log, bytes]:
    """The log with one more epoch, and its secret."""
    open_ones = sessions(keys, log, offer)
    for _ in range(3):
        exchange(open_ones, keys)
    session = open_ones[keys[0].entry.fpr]
    return Log.build([*log.records, session.record]), session.secret


def resigned(envelope: Envelope, keys: Iterable[SigningKey], **changes: Any) -> Envelope:
    """The same document with other fields, signed anew."""
    changed = Envelope(envelope.type, canonical({**envelope.body(), **changes}), {})
    for key in keys:
        changed = changed.signed(key)
    return changed


def record(log: Log, keys: Sequence[SigningKey], *, seq: int, epoch: int, **changes: Any) -> Envelope:
    """An epoch record on the log's head, as if it had been agreed, signed by the given members."""
    body = {
        "v": 1,
        "type": "epoch",
        "fed": log.fed,
        "seq": seq,
        "prev": log.records[-1].mid,
        "roster": log.roster.id,
        "epoch": epoch,
        "sid": "11" * 32,
        "transcript": "22" * 32,
        "kcv": "33" * 32,
        "suite": "BLINDSIGHT1-XWING-ED25519-SHA256",
        "schemes": list(SCHEMES),
        "not_after": NOT_AFTER,
    }
    envelope = Envelope.of("epoch", body | changes)
    for key in keys:
        envelope = envelope.signed(key)
    return envelope


def signed_by(envelope: Envelope, keys: Iterable[SigningKey]) -> Envelope:
    """The same document with the signatures of these people and of nobody else."""
    envelope = replace(envelope, signatures={})
    for key in keys:
        envelope = envelope.signed(key)
    return envelope


def single(envelope: Envelope) -> list[Envelope]:
    """The same document as copies with one signature each."""
    return [replace(envelope, signatures={fpr: signature}) for fpr, signature in envelope.signatures.items()]


def spoilt(envelope: Envelope) -> Envelope:
    """The same document with signatures of zeros in the same names."""
    return replace(envelope, signatures=dict.fromkeys(envelope.signatures, bytes(64)))


def constituted(
    keys: Sequence[SigningKey],
    policy: str = "all",
    *,
    trainers: Sequence[SigningKey] = (),
    operators: Sequence[SigningKey] = (),
) -> Log:
    """The log of a federation under a policy, without an epoch."""
    entries = [[key.entry for key in group] for group in (keys, trainers, operators)]
    document = make_genesis("ward", *entries, policy=policy, nonce=bytes(32), created=CREATED)
    return Log.build([signed_by(document, keys)])


def grown(log: Log, *envelopes: Envelope) -> Log:
    """The log that these envelopes make together with a log's records."""
    return Log.build([*log.records, *envelopes], log.fed)


def roster_record(
    log: Log,
    members: Iterable[Entry],
    signers: Iterable[SigningKey],
    *,
    trainers: Iterable[Entry] | None = None,
    operators: Iterable[Entry] | None = None,
    seq: int | None = None,
    **changes: Any,
) -> Envelope:
    """A roster record on the log's head, whatever it says, with these signatures."""
    lists = (
        list(members),
        list(log.roster.trainers if trainers is None else trainers),
        list(log.roster.operators if operators is None else operators),
    )
    place = {"v": 1, "type": "roster", "fed": log.fed, "seq": seq or log.seq + 1, "prev": log.records[-1].mid}
    return signed_by(Envelope.of("roster", place | people(*lists) | changes), signers)


def retire_record(
    log: Log, epochs: Sequence[int], signers: Iterable[SigningKey], *, seq: int | None = None, **changes: Any
) -> Envelope:
    """A retire record on the log's head, whatever it says, with these signatures."""
    place = {"v": 1, "type": "retire", "fed": log.fed, "seq": seq or log.seq + 1, "prev": log.records[-1].mid}
    return signed_by(Envelope.of("retire", place | {"epochs": list(epochs), "reason": "spent"} | changes), signers)


def notice_of(log: Log, author: SigningKey, epoch: int = 1, *, text: str = "laptop stolen", **changes: Any) -> Envelope:
    """A signed notice about an agreed epoch."""
    record = log.epoch(epoch).record
    document = make_notice(log.fed, epoch, record, author=author.entry.fpr, text=text, created=CREATED)
    return resigned(document, [author], **changes)


def keystore_of(folder: Path, name: str, role: str = "holder") -> Keystore:
    """A new keystore on disk, cheaply sealed."""
    path = folder / name / "keystore.json"
    return keystore.create(path, role=role, name=name, passphrase=PASSPHRASE, created=CREATED, cost=CHEAP)


@dataclass(frozen=True)
class World:
    """A federation with one agreed epoch."""

    keys: list[SigningKey]
    log: Log
    secret: bytes

    def scheme_key(self, descriptor: Descriptor = LE, epoch: int = 1) -> bytes:
        """The key of a scheme."""
        return scheme_key(self.secret, self.log.fed, epoch, descriptor.digest)

    def predicate(self, key: SigningKey, descriptor: Descriptor = LE, epoch: int = 1, **changes: Any) -> dict[str, Any]:
        """What a holder states about eight rows in one shard that nobody has written."""
        agreed_epoch = self.log.epoch(epoch)
        predicate: dict[str, Any] = {
            "v": 1,
            "dataset": {
                "id": hashlib.sha256(key.entry.name.encode()).hexdigest()[:32],
                "name": "pets",
                "version": "1",
                "split": "train",
            },
            "holder": key.entry.fpr,
            "fed": self.log.fed,
            "head": self.log.head,
            "epoch": epoch,
            "record": agreed_epoch.record,
            "kcv": agreed_epoch.kcv,
            "scheme": descriptor.to_json(),
            "scheme_digest": descriptor.digest,
            # What is stated here need not be a cipher's work: equal inputs give equal values.
            "scv": check_value(descriptor, self.scheme_key(descriptor, epoch), lambda images, ids: images),
            "task": manifest.task_of(CLASSES),
            "tensors": dict(shard.tensors_of(descriptor.shape, labelled=True)),
            "rows": 8,
            "shards": [{"path": "shards/00000.safetensors", "rows": 8, "bytes": 4096, "sha256": "ab" * 32}],
            "serial": 1,
            "supersedes": None,
            "created": CREATED,
        }
        return predicate | changes

    def manifest(self, key: SigningKey, descriptor: Descriptor = LE, epoch: int = 1, **changes: Any) -> Envelope:
        """A signed manifest."""
        return manifest.make(key, self.predicate(key, descriptor, epoch, **changes))

    def publish(self, folder: Path, key: SigningKey, *, rows: int = 8, **changes: Any) -> Path:
        """A real shard and a manifest about it, with whatever changes: the manifest's path."""
        head = shard.ShardHead(self.predicate(key)["dataset"]["id"], self.log.fed, 1, LE.digest, 0, rows)
        images = np.arange(rows * 192, dtype=np.uint8).reshape(rows, *LE.shape)
        data = tensorfile.to_bytes({"image": images, "label": np.arange(rows, dtype=np.int64) % 3}, head.to_json())
        (folder / "shards").mkdir(parents=True)
        (folder / "shards" / "00000.safetensors").write_bytes(data)
        listed = {"path": "shards/00000.safetensors", "rows": rows, "bytes": len(data)}
        shards = [listed | {"sha256": hashlib.sha256(data).hexdigest()}]
        envelope = self.manifest(key, **({"rows": rows, "shards": shards} | changes))
        (folder / manifest.FILE_NAME).write_bytes(envelope.to_bytes())
        return folder / manifest.FILE_NAME

    def next_epoch(self) -> World:
        """The same federation with one more epoch; the secret is the new one."""
        log, secret = agreed(self.keys, self.log, proposal(self.keys[0], self.log, nonce=9))
        return replace(self, log=log, secret=secret)


def world(count: int = 3) -> World:
    """A federation of that many holders and one trainer with one agreed epoch."""
    keys = holders(count)
    log, secret = agreed(keys, founded(keys, [identity("lab", "trainer").entry]))
    return World(keys, log, secret)


def as_json(envelope: Envelope) -> dict[str, Any]:
    """An envelope as any JSON reader sees it."""
    document: dict[str, Any] = json.loads(envelope.to_bytes())
    return document
