"""Devices: lending one scheme's key to a camera or an encryption worker, and using a lent key. FORMAT.md section E."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import numpy as np

from blindsight.holder import federation, geometry
from blindsight.holder.ciphers import cipher_for
from blindsight.holder.letterbox import Refusal
from blindsight.holder.membership import requests
from blindsight.holder.publish import image_id
from blindsight.holder.sources import Split
from blindsight.protocol import shard
from blindsight.protocol.delegate import DELEGATE, Delegated, make_delegate, open_delegate
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import from_b64, plain_code, to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import DataError, MembershipError, ProtocolError, SchemeError
from blindsight.protocol.files import replacing
from blindsight.protocol.grant import Join
from blindsight.protocol.identity import Entry
from blindsight.protocol.keystore import Keystore
from blindsight.protocol.log import Log
from blindsight.protocol.scheme import Descriptor, check_value, scheme_key
from blindsight.protocol.shard import ShardHead
from blindsight.protocol.tag import Tag

FOLDER = "delegate"
BATCH_BYTES = 2**20


def lend(
    store: Keystore, box: DropBox, log: Log, code: str, descriptor: Descriptor, number: int | None, moment: datetime
) -> tuple[Envelope, Entry]:
    """Lend the key of one scheme and shape in one epoch to a device that asks.

    Args:
        store: the member's opened keystore.
        box: the drop-box.
        log: the membership log.
        code: the device's whole fingerprint code: anybody can ask under its name, or under half of its code.
        descriptor: scheme and shape.
        number: of the epoch; the newest if None.
        moment: the present time.

    Returns:
        What was lent, and the device.

    Raises:
        MembershipError: E_ROSTER, no such device asks; E_EPOCH.
        PolicyError: E_RETIRED, E_NOTICE, E_EXPIRED.
        SchemeError: E_SCHEME.
    """
    join = _request_of(box, log, code, moment)
    epoch, secret = federation.epoch_secret(store, log, number)
    log.demand_usable(epoch.number, moment)
    key = scheme_key(secret, log.fed, epoch.number, descriptor.digest)
    scv = check_value(descriptor, key, cipher_for(descriptor, key).encrypt)
    tag = Tag(log.fed, epoch.number, epoch.record, epoch.kcv, descriptor.digest, scv)
    document = make_delegate(store.key, log, join, descriptor, tag, key)
    box.put_signed(document, log.fed, FOLDER, store.key.entry.fpr)
    return document, join.entry


def _request_of(box: DropBox, log: Log, code: str, moment: datetime) -> Join:
    asking = [join for join in requests(box, log, moment) if join.entry.role == "device"]
    join = next((join for join in asking if plain_code(join.entry.code) == plain_code(code)), None)
    if join is None:
        known = ", ".join(join.entry.label for join in asking) or "none"
        raise MembershipError(
            f"no device with that fingerprint code asks for a key; asking are: {known}",
            code="E_ROSTER",
            hint="read all ten groups of its fingerprint code at the device: blindsight holder key show",
        )
    return join


def take(store: Keystore, box: DropBox, log: Log) -> tuple[list[Delegated], list[Refusal]]:
    """Take in what was lent to this device.

    Returns:
        What was lent, and the documents addressed to this device that were refused.
    """
    state = store.data["feds"][log.fed]
    if state["join"] is None:
        return [], []
    join, me = Envelope.from_bytes(state["join"]["document"].encode()).mid, store.key.entry.fpr
    taken, refused = [], []
    for envelope in box.signed(log.fed, FOLDER):
        try:
            if not _is_for(envelope, me, join):
                continue
            lent = open_delegate(envelope, log, me=me, join=join, kem_seed=from_b64(state["join"]["seed"], 32))
            _demand_working(lent)
        except ProtocolError as error:
            refused.append(Refusal(f"delegation {envelope.mid[:12]}", error))
            continue
        taken.append(lent)
        state["delegated"][lent.tag.digest] = _stored(lent)
    if taken:
        state["join"] = None
        store.save()
    return taken, refused


def lent(store: Keystore, log: Log) -> list[Delegated]:
    """The keys that were lent to this device, the newest epoch last."""
    state = store.data["feds"][log.fed]
    found = [
        Delegated(
            Tag(**one["tag"]),
            Descriptor.from_json(one["scheme"]),
            from_b64(one["key"], 32),
            one["sponsor"],
            one["not_after"],
        )
        for one in state["delegated"].values()
    ]
    return sorted(found, key=lambda one: (one.tag.epoch, one.tag.digest))


def only_one(store: Keystore, log: Log, digest: str) -> Delegated:
    """The lent key whose tag digest begins so.

    Raises:
        MembershipError: E_GRANT, none or several do.
    """
    fits = [one for one in lent(store, log) if one.tag.digest.startswith(digest)]
    if len(fits) != 1:
        known = ", ".join(
            f"{one.tag.digest[:12]} ({one.descriptor.id}, epoch {one.tag.epoch})" for one in lent(store, log)
        )
        raise MembershipError(
            f"there are {len(fits)} lent keys to choose from; all that are here: {known or 'none'}",
            code="E_GRANT",
            hint="--key TAG names one" if fits else "blindsight holder device ask, then device take",
        )
    return fits[0]


def encrypt(
    key: Delegated,
    log: Log,
    split: Split,
    fit: geometry.Fit,
    out: Path,
    moment: datetime,
    advance: Callable[[int], None],
    workers: int = 1,
) -> int:
    """Encrypt images for inference into one shard, in their order, without labels and without a manifest.

    Args:
        key: what was lent.
        log: the membership log.
        split: the images.
        fit: how they come to the scheme's shape.
        out: the file; must not exist.
        moment: the present time.
        advance: called with the number of images just written.
        workers: threads that encrypt.

    Returns:
        The number of images.

    Raises:
        PolicyError: E_RETIRED, E_NOTICE, E_EXPIRED.
        DataError: E_EXISTS; there are no images, or they do not come to the shape.
    """
    log.demand_usable(key.tag.epoch, moment)
    if out.exists():
        raise DataError(f"{out} stands there already", code="E_EXISTS", hint="name another file with --out")
    if not len(split):
        raise DataError("there are no images to encrypt")
    dataset, shape = os.urandom(16).hex(), key.descriptor.shape
    cipher = cipher_for(key.descriptor, key.key, workers)
    head = ShardHead(dataset, log.fed, key.tag.epoch, key.descriptor.digest, first_row=0, rows=len(split))
    batch = max(1, BATCH_BYTES // int(np.prod(shape)))
    with replacing(out, mode=0o640) as file:
        file.write(shard.layout(head, key.descriptor.encrypted_shape, labelled=False).head)
        for start in range(0, len(split), batch):
            numbers = np.arange(start, min(start + batch, len(split)), dtype=np.int64)
            read = split.read if split.shape == shape else split.each
            images = geometry.apply_all(fit, read(numbers), shape)
            file.write(cipher.encrypt(images, [image_id(dataset, int(n)) for n in numbers]).data)
            advance(len(numbers))
    return len(split)


def _is_for(envelope: Envelope, me: str, join: str) -> bool:
    if envelope.type != DELEGATE:
        return False
    body = envelope.body("delegation")
    return isinstance(body, dict) and (body.get("to"), body.get("join")) == (me, join)


def _demand_working(lent: Delegated) -> None:
    """The lent key must give, with this software, the check value that was stated.

    Raises:
        SchemeError: E_SCV.
    """
    found = check_value(lent.descriptor, lent.key, cipher_for(lent.descriptor, lent.key).encrypt)
    if found != lent.tag.scv:
        raise SchemeError(
            f"the key that {lent.sponsor} lends does not give the stated scheme check value here", code="E_SCV"
        )


def _stored(lent: Delegated) -> dict[str, object]:
    return {
        "tag": asdict(lent.tag),
        "scheme": lent.descriptor.to_json(),
        "key": to_b64(lent.key),
        "sponsor": lent.sponsor,
        "not_after": lent.not_after,
    }
