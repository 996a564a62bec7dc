"""Vectors of data sets that travel: recipient document, sealing, sealed file. FORMAT.md sections H.3 to H.5."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from blindsight.protocol import recipient as recipients
from blindsight.protocol.encoding import canonical, expand, from_b64, tagged_hash, to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.sealedfile import seal, sealed_bytes, unseal
from tests.protocol import worlds
from tests.vectors.boxes import box, once
from tests.vectors.federation import AGREED, FIRST, LAB, OPERATOR, SECOND
from tests.vectors.lending import MINUTES, unusable_keys
from tests.vectors.statements import CHAIN, WORLD
from tests.vectors.texts import ORDER_EIGHT, entry_of
from tests.vectors.vector import MISSING, SEALED, Vector, changed, forged, misspelt, signed, table

ZEROS = "00" * 32
SEED = hashlib.sha256(b"the seed of a recipient").digest()
DATA_KEY = bytes(range(32, 64))
ID = "0f" * 16
SERVED = worlds.constituted([FIRST, SECOND], operators=[OPERATOR])


def _offer(key: SigningKey = LAB, fed: str = AGREED.fed, seed: bytes = SEED) -> Envelope:
    times = {"created": worlds.CREATED, "expires": worlds.DEADLINE}
    return recipients.make_recipient(key, fed, kem_seed=seed, nonce=bytes(32), **times)


def recipient() -> list[Vector]:
    """H.3."""
    sound = _offer()
    key, entry = sound.body()["kem"], LAB.entry.to_json()

    def made(**changes: Any) -> Envelope:
        return signed("recipient", changed(sound.body(), changes), [LAB])

    def given(found: Envelope, at: str = worlds.CREATED, log: Sequence[Envelope] = CHAIN) -> dict[str, Any]:
        return {"log": list(log), "message": found, "at": at}

    codes: dict[str, dict[str, Envelope]] = {
        "E_FORMAT": {
            "a missing nonce": made(nonce=MISSING),
            "an unknown field": made(seq=1),
            "a key one byte short": made(kem=to_b64(from_b64(key)[:-1])),
            "a key in padded base64": made(kem=key + "="),
            "an end that the calendar lacks": made(expires="2026-11-31T00:00:00Z"),
            "another version": made(v=2),
            "the payload type of a request": signed("join", sound.payload, [LAB]),
        },
        "E_CANON": {"the payload is not canonical": misspelt(sound, [LAB])},
        "E_FPR": {"the fingerprint of another role": made(identity={**entry, "role": "operator"})},
        "E_KEY": {"an identity of small order": made(identity=entry_of(bytes.fromhex(ORDER_EIGHT[1])))},
        "E_ROSTER": {"of a holder": _offer(FIRST), "of an operator who is not listed": _offer(OPERATOR)},
        "E_QUORUM": {
            "no signature": Envelope(sound.type, sound.payload, {}),
            "two signatures": sound.signed(FIRST),
            "the signature of a holder": signed("recipient", sound.body(), [FIRST]),
        },
        "E_SIG": {
            "signed by a holder under the keyid of its author": forged(sound, LAB, FIRST),
            "changed after it was signed": Envelope(sound.type, made(kem=key[:-1] + "A").payload, sound.signatures),
        },
        "E_FED": {"for another federation": made(fed=ZEROS)},
        "E_KEM": {name: made(kem=text) for name, text in unusable_keys(from_b64(key)).items()},
    }
    of_operator = _offer(OPERATOR, SERVED.fed)
    facts = {"mid": sound.mid, "fpr": LAB.entry.fpr}
    return [
        *table("recipient", codes, given),
        Vector("recipient", "ten minutes and a second after its end", given(sound, MINUTES[1]), "E_EXPIRED"),
        Vector("recipient", "of a trainer", given(sound), facts),
        Vector("recipient", "nine minutes after its end", given(sound, MINUTES[0]), facts),
        Vector(
            "recipient",
            "of an operator",
            given(of_operator, log=SERVED.records),
            {"mid": of_operator.mid, "fpr": OPERATOR.entry.fpr},
        ),
    ]


def _shard(size: int, place: int = 0, content: bytes = b"") -> dict[str, Any]:
    digest = hashlib.sha256(content or bytes([place])).hexdigest()
    return {"path": f"shards/{place:05d}.safetensors", "rows": 8, "bytes": size, "sha256": digest}


def _manifest(*shards: dict[str, Any], key: SigningKey = FIRST) -> Envelope:
    return WORLD.manifest(key, shards=list(shards), rows=8 * len(shards))


def _sealing(manifest: Envelope, key: SigningKey = FIRST, **changes: Any) -> Envelope:
    """A sealing for one key of the trainer, its box bound to what it says before the changes."""
    body: dict[str, Any] = {"v": 1, "type": "sealing", "id": ID, "fed": AGREED.fed, "head": AGREED.head}
    body |= {"from": key.entry.fpr, "manifest": manifest.mid, "created": worlds.CREATED}
    body["files"] = [
        {"path": f"sealed/{ID}/{place:05d}.cobblestone", "bytes": sealed_bytes(shard["bytes"]), "sha256": "cd" * 32}
        for place, shard in enumerate(manifest.body()["predicate"]["shards"])
    ]
    body["to"] = [_addressed(body, _offer().mid)]
    return signed("sealing", changed(body, changes), [key])


def _addressed(body: dict[str, Any], recipient: str) -> dict[str, str]:
    ids = (body["fed"], body["head"]["id"], body["id"], body["manifest"], recipient, body["from"], LAB.entry.fpr)
    info = tagged_hash("seal", *(bytes.fromhex(one) for one in ids))
    sealed = box(f"sealing: {body['manifest'][:12]} {body['from'][:12]}", SEED, DATA_KEY, info)
    return {"fpr": LAB.entry.fpr, "recipient": recipient, "box": to_b64(sealed)}


def _opened(manifest: Envelope, found: Envelope, recipient: str = "") -> dict[str, Any]:
    """A sealing as the trainer reads it."""
    mine = {"fpr": LAB.entry.fpr, "recipient": recipient or _offer().mid, "kem_seed": SEED.hex()}
    return {"log": CHAIN, "manifest": manifest, "message": found, "open": mine}


def sealing() -> list[Vector]:
    """H.4; nothing here depends on what the files hold."""
    about = _manifest(_shard(4096))
    pair = _manifest(_shard(4096), _shard(100, 1))
    sound = _sealing(about)
    (file,), (to,) = sound.body()["files"], sound.body()["to"]
    other = {**to, "recipient": _offer(seed=DATA_KEY).mid}
    sealed = from_b64(to["box"])
    first, second = sorted([to, other], key=lambda one: one["recipient"])

    def made(**changes: Any) -> Envelope:
        return _sealing(about, **changes)

    def lies(path: str) -> Envelope:
        return made(files=[{**file, "path": path}])

    codes: dict[str, dict[str, Any]] = {
        "E_FORMAT": {
            "recipients in falling order": made(to=[second, first]),
            "one recipient key twice": made(to=[to, to]),
            "no recipients": made(to=[]),
            "no files": made(files=[]),
            "a file in the folder of another sealing": lies(f"sealed/{'00' * 16}/00000.cobblestone"),
            "a file that is counted from 1": lies(f"sealed/{ID}/00001.cobblestone"),
            "a file whose number has four digits": lies(f"sealed/{ID}/0000.cobblestone"),
            "a file above the folder": lies(f"sealed/../{ID}/00000.cobblestone"),
            "files in another order": _sealing(pair, files=_sealing(pair).body()["files"][::-1]),
            "a box one byte short": made(to=[{**to, "box": to_b64(sealed[:-1])}]),
            "an id of 15 bytes": made(id=ID[2:]),
            "a missing head": made(head=MISSING),
            "an unknown field": made(serial=1),
            "the payload type of a recipient document": signed("recipient", sound.payload, [FIRST]),
        },
        "E_CANON": {"the payload is not canonical": misspelt(sound, [FIRST])},
        "E_ROSTER": {
            "from a trainer": _sealing(about, LAB),
            "from another holder than the manifest's": _sealing(about, SECOND),
        },
        "E_QUORUM": {
            "no signature": Envelope(sound.type, sound.payload, {}),
            "two signatures": sound.signed(SECOND),
            "the signature of another holder": signed("sealing", sound.body(), [SECOND]),
        },
        "E_SIG": {
            "signed by another holder under the keyid of its author": forged(sound, FIRST, SECOND),
            "changed after it was signed": Envelope(
                sound.type, made(created=worlds.DEADLINE).payload, sound.signatures
            ),
        },
        "E_FED": {"of another federation": made(fed=ZEROS)},
        "E_HEAD": {"a head that the log never had": made(head={"seq": 1, "id": ZEROS})},
        "E_SHA": {"about another manifest": _sealing(pair)},
        "E_SHARD": {
            "a sealed file one byte longer than follows": made(files=[{**file, "bytes": file["bytes"] + 1}]),
            "a sealed file of the size of the plain one": made(files=[{**file, "bytes": 4096}]),
            "more files than shards": made(files=[file, {**file, "path": f"sealed/{ID}/00001.cobblestone"}]),
        },
        "E_BOX": {
            "a box that was changed": made(to=[{**to, "box": to_b64(bytes([sealed[0] ^ 1]) + sealed[1:])}]),
            "a box from another sealing": made(to=_sealing(pair).body()["to"]),
            "a box bound to another head": made(head=worlds.founded([FIRST, SECOND], [LAB.entry]).head),
            "it is not sealed to this key": made(to=[other]),
        },
    }
    sized = {size: _manifest(_shard(size)) for size in (16_383, 16_384, 16_385, 32_768)}
    accepted = {
        "one recipient": (about, sound),
        "two keys of one recipient": (about, made(to=[first, second])),
        "a recipient who is not on the roster beside": (about, made(to=_sorted(to, {**other, "fpr": ZEROS}))),
        "two shards": (pair, _sealing(pair)),
        **{f"a shard of {size} bytes": (manifest, _sealing(manifest)) for size, manifest in sized.items()},
    }
    return [
        *table("sealing", codes, lambda found: _opened(about, found), SEALED),
        *(
            Vector("sealing", name, _opened(manifest, found), _sealing_facts(found), SEALED)
            for name, (manifest, found) in accepted.items()
        ),
    ]


def _sorted(*to: dict[str, str]) -> list[dict[str, str]]:
    return sorted(to, key=lambda one: (one["fpr"], one["recipient"]))


def _sealing_facts(found: Envelope) -> dict[str, Any]:
    sizes = [file["bytes"] for file in found.body()["files"]]
    return {"mid": found.mid, "holder": FIRST.entry.fpr, "sizes": sizes, "data_key": DATA_KEY.hex()}


CONTENT = bytes(7 * place % 251 for place in range(40))


def _bound(manifest: Envelope) -> tuple[bytes, bytes]:
    """File key and context of a manifest's one shard."""
    predicate = manifest.body()["predicate"]
    (shard,) = predicate["shards"]
    key = expand(DATA_KEY, "sealed-shard", manifest.id, bytes.fromhex(shard["sha256"]))
    place = {"v": 1, "fed": predicate["fed"], "manifest": manifest.mid}
    return key, canonical(place | {name: shard[name] for name in ("path", "bytes", "sha256")})


def _file(name: str, plain: bytes, manifest: Envelope, key: bytes = b"", context: bytes = b"") -> bytes:
    """A sealed file, kept."""
    own, bound = _bound(manifest)
    key, context = key or own, context or bound
    return once(
        f"file: {name}",
        lambda: b"".join(seal([plain], key, context)),
        lambda held: b"".join(unseal([held], key, context)) == plain,
    )


def _with_file(manifest: Envelope, data: bytes, sealed: bytes = b"", data_key: bytes = DATA_KEY) -> dict[str, Any]:
    """A file with what the sealing states of it, which is that of the file itself unless it is said."""
    named = sealed or data
    stamp = {"bytes": len(named), "sha256": hashlib.sha256(named).hexdigest()}
    file = {"file_b64": b64encode(data).decode(), "sealed": stamp}
    return {"manifest": manifest, "data_key": data_key.hex(), **file}


def sealed_file() -> list[Vector]:
    """H.5."""
    about = _manifest(_shard(len(CONTENT), content=CONTENT))
    whole = _file("40 bytes", CONTENT, about)
    moved = _manifest({**_shard(len(CONTENT), content=CONTENT), "path": "shards/00001.safetensors"})
    longer = _manifest(_shard(len(CONTENT) + 1, content=CONTENT))
    false = _manifest(_shard(len(CONTENT), content=b"something else"))

    def flipped(place: int) -> bytes:
        return whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]

    codes: dict[str, dict[str, Any]] = {
        "E_SHARD": {
            "a file cut by a byte": _with_file(about, whole[:-1], whole),
            "a file extended by a byte": _with_file(about, whole + b"\0", whole),
            "a plain file shorter than the manifest says": _with_file(longer, _file("longer", CONTENT, longer)),
        },
        "E_TAMPERED": {
            "the first byte was changed": _with_file(about, flipped(0), whole),
            "the first byte was changed before it was signed": _with_file(about, flipped(0)),
            "the commitment was changed": _with_file(about, flipped(55)),
            "the first byte of the content was changed": _with_file(about, flipped(56)),
            "the last byte of the tag was changed": _with_file(about, flipped(len(whole) - 1)),
            "cut by a byte before it was signed": _with_file(about, whole[:-1]),
            "extended by a byte before it was signed": _with_file(about, whole + b"\0"),
            "cut to its head": _with_file(about, whole[:56]),
            "another data key": _with_file(about, whole, data_key=bytes(32)),
            "sealed for another manifest": _with_file(moved, whole),
            "sealed under the right key for another path": _with_file(
                about, _file("another path", CONTENT, about, context=_bound(moved)[1])
            ),
            "sealed under the data key itself": _with_file(about, _file("data key", CONTENT, about, DATA_KEY)),
            "sealed twice and the sealing names the other one": _with_file(
                about, whole, _file("40 bytes again", CONTENT, about)
            ),
        },
        "E_SHA": {"another plain file of the same size": _with_file(false, _file("false", CONTENT, false))},
    }
    sixteen = bytes(range(16))
    chunk = bytes(place % 251 for place in range(16_384))
    small, full = (_manifest(_shard(len(plain), content=plain)) for plain in (sixteen, chunk))
    accepted = {
        "a shard of 40 bytes": (about, CONTENT, whole),
        "a shard of 16 bytes": (small, sixteen, _file("16 bytes", sixteen, small)),
        "a shard of exactly one chunk": (full, chunk, _file("a chunk", chunk, full)),
    }
    return [
        *table("sealed-file", codes, lambda given: given, SEALED),
        *(
            Vector("sealed-file", name, _with_file(manifest, data), _file_facts(manifest, plain, data), SEALED)
            for name, (manifest, plain, data) in accepted.items()
        ),
    ]


def _file_facts(manifest: Envelope, plain: bytes, data: bytes) -> dict[str, Any]:
    key, context = _bound(manifest)
    digest = hashlib.sha256(plain).hexdigest()
    return {"file_key": key.hex(), "context": context.decode(), "size": len(data), "plain_sha256": digest}
