"""Vectors of secrets on their way: request, grant, delegation. FORMAT.md section E."""

from __future__ import annotations

import hashlib
from typing import Any

from blindsight.holder.ciphers import cipher_for
from blindsight.protocol import grant as grants
from blindsight.protocol.encoding import canonical, from_b64, tagged_hash, to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.scheme import Descriptor, check_value
from tests.protocol import worlds
from tests.vectors.boxes import box
from tests.vectors.federation import FIRST, KCV, KEYS, LAB, RECORD, SECOND, SECRET, STRANGER
from tests.vectors.statements import CHAIN, WORLD
from tests.vectors.texts import ORDER_EIGHT, entry_of
from tests.vectors.vector import MISSING, SEALED, Vector, changed, forged, misspelt, signed, table

ZEROS = "00" * 32
FED = RECORD.body()["fed"]
SEED = hashlib.sha256(b"the seed of a request").digest()
CAMERA = worlds.identity("camera", "device")
MINUTES = ("2026-11-27T13:09:00Z", "2026-11-27T13:10:01Z")


def request(key: SigningKey) -> Envelope:
    """A request of that identity."""
    times = {"created": worlds.CREATED, "expires": worlds.DEADLINE}
    return grants.make_join(key, FED, kem_seed=SEED, nonce=bytes(32), **times)


def unusable_keys(public: bytes) -> dict[str, str]:
    """Keys to which nothing can be sealed (A.7), as they stand in a document."""
    return {
        "an X25519 half of zeros": to_b64(public[:-32] + bytes(32)),
        "an X25519 half of one": to_b64(public[:-32] + (1).to_bytes(32, "little")),
        "an ML-KEM half that is not reduced": to_b64(b"\xff" * 1152 + public[1152:]),
    }


def join() -> list[Vector]:
    """E.1."""
    sound = request(SECOND)
    entry, key = SECOND.entry.to_json(), sound.body()["kem"]

    def made(**changes: Any) -> Envelope:
        return signed("join", changed(sound.body(), changes), [SECOND])

    def given(found: Envelope, at: str = worlds.CREATED) -> dict[str, Any]:
        return {"log": CHAIN, "message": found, "at": at}

    codes: dict[str, dict[str, Envelope]] = {
        "E_FORMAT": {
            "a missing nonce": made(nonce=MISSING),
            "a nonce of 31 bytes": made(nonce="00" * 31),
            "an unknown field": made(reason="lost"),
            "a key one byte short": made(kem=to_b64(from_b64(key)[:-1])),
            "an end that is no time": made(expires="never"),
            "an identity of an unknown role": made(identity={**entry, "role": "robot"}),
            "a fingerprint for the identity": made(identity=entry["fpr"]),
            "another version": made(v=2),
            "the payload type of a recipient document": signed("recipient", sound.payload, [SECOND]),
        },
        "E_CANON": {"the payload is not canonical": misspelt(sound, [SECOND])},
        "E_FPR": {"the fingerprint of another role": made(identity={**entry, "role": "trainer"})},
        "E_KEY": {"an identity of small order": made(identity=entry_of(bytes.fromhex(ORDER_EIGHT[0])))},
        "E_QUORUM": {
            "no signature": Envelope(sound.type, sound.payload, {}),
            "two signatures": sound.signed(FIRST),
            "the signature of somebody else": signed("join", sound.body(), [FIRST]),
        },
        "E_SIG": {
            "signed by somebody else under the keyid of its author": forged(sound, SECOND, FIRST),
            "changed after it was signed": Envelope(sound.type, made(nonce="11" * 32).payload, sound.signatures),
        },
        "E_FED": {"for another federation": made(fed=ZEROS)},
        "E_KEM": {name: made(kem=text) for name, text in unusable_keys(from_b64(key)).items()},
    }
    people = {"a member": SECOND, "a newcomer": STRANGER, "a device": CAMERA}
    return [
        *table("join", codes, given),
        Vector("join", "ten minutes and a second after its end", given(sound, MINUTES[1]), "E_EXPIRED"),
        *(Vector("join", name, given(request(who)), _asker(who)) for name, who in people.items()),
        Vector("join", "nine minutes after its end", given(sound, MINUTES[0]), _asker(SECOND)),
    ]


def _asker(key: SigningKey) -> dict[str, str]:
    return {"mid": request(key).mid, "fpr": key.entry.fpr, "role": key.entry.role, "code": key.entry.code}


def _answer(found: Envelope, asker: SigningKey = SECOND) -> dict[str, Any]:
    """A grant or delegation as whoever asked for it reads it."""
    mine = {"me": asker.entry.fpr, "join": request(asker).mid, "kem_seed": SEED.hex()}
    return {"log": CHAIN, "message": found, **mine}


def _grant(
    plain: bytes = canonical({"1": to_b64(SECRET)}),
    name: str = "the secret",
    key: SigningKey = FIRST,
    to: SigningKey = SECOND,
    **changes: Any,
) -> Envelope:
    """A grant of whatever content, its box bound to what it says before the changes."""
    body = {"v": 1, "type": "grant", "fed": FED, "roster": FED, "join": request(to).mid}
    body |= {"from": key.entry.fpr, "to": to.entry.fpr, "len": len(plain)}
    info = tagged_hash("grant", *(bytes.fromhex(str(body[at])) for at in ("fed", "roster", "join", "from", "to")))
    body["box"] = to_b64(box(f"grant: {name}", SEED, plain, info))
    return signed("grant", changed(body, changes), [key])


def grant() -> list[Vector]:
    """E.2: the first member answers the second one, which has lost its secrets."""
    sound = _grant()
    sealed, secret = from_b64(sound.body()["box"]), to_b64(SECRET)
    foreign = _grant(name="for a stranger", to=STRANGER)

    def holding(name: str, content: Any) -> Envelope:
        return _grant(content if isinstance(content, bytes) else canonical(content), name)

    codes: dict[str, dict[str, Any]] = {
        "E_FORMAT": {
            "a length of 1": _answer(_grant(len=1)),
            "a length above 1 MiB": _answer(_grant(len=2**20 + 1)),
            "a missing box": _answer(_grant(box=MISSING)),
            "a box in padded base64": _answer(_grant(box=sound.body()["box"] + "=")),
            "an unknown field": _answer(_grant(expires=worlds.DEADLINE)),
            "the payload type of a delegation": _answer(signed("delegate", sound.payload, [FIRST])),
            "a secret of 31 bytes": _answer(holding("31 bytes", {"1": to_b64(SECRET[:-1])})),
            "an epoch with a zero before it": _answer(holding("epoch 01", {"01": secret})),
            "an epoch that is no number": _answer(holding("epoch one", {"one": secret})),
            "content that is a list": _answer(holding("a list", [secret])),
            "content that is no JSON": _answer(holding("bytes", SECRET)),
        },
        "E_CANON": {
            "the payload is not canonical": _answer(misspelt(sound, [FIRST])),
            "content that is not canonical": _answer(holding("a blank", f'{{"1": "{secret}"}}'.encode())),
        },
        "E_ROSTER": {
            "from a trainer": _answer(_grant(name="from a trainer", key=LAB)),
            "from a stranger": _answer(_grant(name="from a stranger", key=STRANGER)),
            "for somebody who is no member": _answer(foreign, STRANGER),
        },
        "E_QUORUM": {
            "no signature": _answer(Envelope(sound.type, sound.payload, {})),
            "two signatures": _answer(sound.signed(SECOND)),
            "the signature of another member": _answer(signed("grant", sound.body(), [SECOND])),
        },
        "E_SIG": {
            "signed by another member under the keyid of the sponsor": _answer(forged(sound, FIRST, SECOND)),
            "changed after it was signed": _answer(
                Envelope(sound.type, _grant(roster=ZEROS).payload, sound.signatures)
            ),
        },
        "E_FED": {"of another federation": _answer(_grant(fed=ZEROS))},
        "E_GRANT": {
            "to another member": _answer(_grant(to=FIRST, name="to the sponsor")),
            "of another request": _answer(_grant(join=ZEROS)),
            "of a roster that the log never had": _answer(_grant(roster=ZEROS)),
        },
        "E_BOX": {
            "a box that was changed": _answer(_grant(box=to_b64(sealed[:-1] + bytes([sealed[-1] ^ 1])))),
            "a box one byte short": _answer(_grant(box=to_b64(sealed[:-1]))),
            "a length one greater than that of the content": _answer(_grant(len=sound.body()["len"] + 1)),
            "a box from another grant": _answer(_grant(box=foreign.body()["box"])),
            "a box bound to another roster": _answer(_grant(roster=RECORD.mid)),
        },
        "E_KCV": {"another secret": _answer(holding("another", {"1": to_b64(bytes(32))}))},
        "E_EPOCH": {"an epoch that is not agreed": _answer(holding("epoch 2", {"1": secret, "2": secret}))},
    }
    none = holding("nothing", {})
    return [
        *table("grant", codes, lambda given: given, SEALED),
        Vector("grant", "the secret of an epoch", _answer(sound), {"secrets": {"1": SECRET.hex()}}, SEALED),
        Vector("grant", "no secret", _answer(none), {"secrets": {}}, SEALED),
    ]


def _delegate(
    descriptor: Descriptor = worlds.LE,
    key: SigningKey = FIRST,
    to: SigningKey = CAMERA,
    lent: bytes = b"",
    name: str = "",
    **changes: Any,
) -> Envelope:
    """A delegation, its box bound to what it says before the changes."""
    owned = WORLD.scheme_key(descriptor)
    scv = check_value(descriptor, owned, cipher_for(descriptor, owned).encrypt)
    body = {"v": 1, "type": "delegate", "fed": FED, "epoch": 1, "record": RECORD.mid, "kcv": KCV, "roster": FED}
    body |= {"scheme": descriptor.to_json(), "scheme_digest": descriptor.digest, "scv": scv}
    body |= {"not_after": worlds.NOT_AFTER, "join": request(to).mid, "from": key.entry.fpr, "to": to.entry.fpr}
    bound = ("fed", "record", "scheme_digest", "scv", "join", "from", "to")
    info = tagged_hash("delegate", *(bytes.fromhex(str(body[at])) for at in bound))
    who = f"{descriptor.id} {descriptor.shape} {key.entry.name} {to.entry.name} {name}".strip()
    body["box"] = to_b64(box(f"delegate: {who}", SEED, lent or owned, info))
    return signed("delegate", changed(body, changes), [key])


def delegate() -> list[Vector]:
    """E.3: the first member lends a camera a key."""
    sound = _delegate()
    sealed, scheme = from_b64(sound.body()["box"]), sound.body()["scheme"]
    blocked = Descriptor("block-shuffle", 1, (8, 8, 3), {"block": 4})
    wide = Descriptor("le", 1, (8, 12, 3), {"block": 4})
    uneven, unknown = (Descriptor("le", v, (8, 8, 3), {"block": block}) for v, block in ((1, 5), (2, 4)))

    def stated(descriptor: Descriptor) -> Envelope:
        return _delegate(scheme=descriptor.to_json(), scheme_digest=descriptor.digest)

    codes: dict[str, dict[str, Envelope]] = {
        "E_FORMAT": {
            "a missing end": _delegate(not_after=MISSING),
            "an unknown field": _delegate(secret=ZEROS),
            "a box one byte short": _delegate(box=to_b64(sealed[:-1])),
            "a box one byte long": _delegate(box=to_b64(sealed + b"\0")),
            "epoch 0": _delegate(epoch=0),
            "a descriptor with half a shape": _delegate(scheme={**scheme, "shape": [8, 8]}),
            "a brief name for a descriptor": _delegate(scheme={"id": "le", "v": 1}),
            "the payload type of a grant": signed("grant", sound.payload, [FIRST]),
        },
        "E_CANON": {"the payload is not canonical": misspelt(sound, [FIRST])},
        "E_ROSTER": {"from a trainer": _delegate(key=LAB), "from a stranger": _delegate(key=STRANGER)},
        "E_QUORUM": {
            "no signature": Envelope(sound.type, sound.payload, {}),
            "two signatures": sound.signed(SECOND),
            "the signatures of both members": signed("delegate", sound.body(), KEYS),
        },
        "E_SIG": {
            "signed by another member under the keyid of the sponsor": forged(sound, FIRST, SECOND),
            "changed after it was signed": Envelope(sound.type, _delegate(epoch=2).payload, sound.signatures),
        },
        "E_FED": {"of another federation": _delegate(fed=ZEROS)},
        "E_GRANT": {
            "to another device": _delegate(to=worlds.identity("other", "device")),
            "of another request": _delegate(join=ZEROS),
            "of a roster that the log never had": _delegate(roster=ZEROS),
        },
        "E_EPOCH": {
            "an epoch that is not agreed": _delegate(epoch=2),
            "another record of the epoch": _delegate(record=ZEROS),
            "another key check value": _delegate(kcv=ZEROS),
            "another end than the epoch's": _delegate(not_after=worlds.DEADLINE),
        },
        "E_SCHEME": {
            "a scheme digest of another scheme": _delegate(scheme_digest=ZEROS),
            "a scheme that the epoch does not allow": _delegate(blocked),
            "a scheme that nobody knows": stated(unknown),
            "a block that does not divide the shape": stated(uneven),
        },
        "E_BOX": {
            "a box that was changed": _delegate(box=to_b64(bytes([sealed[0] ^ 1]) + sealed[1:])),
            "a box from another delegation": _delegate(box=_delegate(wide).body()["box"]),
            "a box bound to another check value": _delegate(scv=ZEROS),
        },
        "E_SCV": {"a key that does not give the check value": _delegate(lent=bytes(32), name="zeros")},
    }
    accepted = {"the key of le": worlds.LE, "the key of another shape": wide}
    return [
        *table("delegate", codes, lambda found: _answer(found, CAMERA), SEALED),
        *(
            Vector("delegate", name, _answer(_delegate(d), CAMERA), {"key": WORLD.scheme_key(d).hex()}, SEALED)
            for name, d in accepted.items()
        ),
    ]
