"""Vectors of keystores: the file with all four types of slots, the marker beside it. FORMAT.md section G."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from blindsight.protocol import kem, sealedfile
from blindsight.protocol.encoding import canonical, from_b64, to_b64
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.keystore import document, passphrase, recovery, wrapping
from tests.protocol import worlds
from tests.vectors.boxes import box, once
from tests.vectors.vector import MISSING, SEALED, Vector, changed, table

Document = dict[str, Any]
SEED, DATA_KEY, PAPER = (hashlib.sha256(what).digest() for what in (b"identity", b"data key", b"paper"))
RING, VAULT = (hashlib.sha256(what).digest() for what in (b"ring", b"vault"))
ID, ENTRY, URI = "0a" * 16, "0b" * 16, "vault:key"
IDENTITY = {"role": "holder", "name": "site-0", "seed": to_b64(SEED), "created": worlds.CREATED}
DATA = {"v": 1, "identity": IDENTITY, "feds": {}}
CODE = recovery.write_code(PAPER)
WORDS = {"passphrase": worlds.PASSPHRASE.decode()}


def _bound(**stated: Any) -> bytes:
    return wrapping.context(ID, stated)


def _passphrase(secret: bytes = worlds.PASSPHRASE) -> Document:
    return passphrase.maker(secret, worlds.CHEAP, entropy=lambda count: bytes(range(count)))(DATA_KEY, ID)


def _recovery() -> Document:
    sealed = box("recovery slot", PAPER, DATA_KEY, _bound(type="recovery"))
    return {"type": "recovery", "public": to_b64(kem.public_key(PAPER)), "wrap": to_b64(sealed)}


def _keyring() -> Document:
    wrapped = wrapping.wrap(RING, DATA_KEY, _bound(type="keyring", entry=ENTRY))
    return {"type": "keyring", "entry": ENTRY, "wrap": to_b64(wrapped)}


def _kms() -> Document:
    nonce = bytes(range(12))
    wrapped = nonce + AESGCM(VAULT).encrypt(nonce, DATA_KEY, _bound(type="kms", uri=URI))
    return {"type": "kms", "uri": URI, "wrapped": to_b64(wrapped)}


def _sealed(name: str, *slots: Document, data: Any = DATA) -> Document:
    """A keystore; its body is kept, because it begins with a random salt."""
    head = {"format": "blindsight-keystore", "v": 1, "id": ID, "gen": 3, "slots": list(slots)}
    body = once(
        f"keystore: {name}",
        lambda: from_b64(document.seal(head, DATA_KEY, data)["body"]),
        lambda held: document.unseal({**head, "body": to_b64(held)}, DATA_KEY) == data,
    )
    return _summed({**head, "body": to_b64(body)})


def _summed(content: Mapping[str, Any]) -> Document:
    """With the checksum that fits."""
    rest = {name: value for name, value in content.items() if name != "sum"}
    return {**rest, "sum": hashlib.sha256(canonical(rest)).hexdigest()}


def _text(content: Mapping[str, Any]) -> str:
    return canonical(dict(content)).decode() + "\n"


def _given(content: Document | str, marker: str | None = None, **unlock: Any) -> dict[str, Any]:
    """A file, what lies beside it, and what somebody has to open it with."""
    text = content if isinstance(content, str) else _text(content)
    return {"file": text, "marker": marker, "unlock": unlock or WORDS}


def keystore() -> list[Vector]:
    """G.1 and G.2."""
    slot = _passphrase()
    small, full = _sealed("passphrase", slot), _sealed("four slots", slot, _recovery(), _keyring(), _kms())
    text, kdf = _text(small), slot["kdf"]
    own: dict[str, dict[str, Any]] = {
        "passphrase": WORDS,
        "recovery": {"recovery": CODE},
        "keyring": {"keyring": {ENTRY: to_b64(RING)}},
        "kms": {"vault": VAULT.hex()},
    }

    def made(**changes: Any) -> dict[str, Any]:
        return _given(_summed(changed(small, changes)))

    def slotted(**changes: Any) -> dict[str, Any]:
        return made(slots=[changed(slot, changes)])

    def cost(**changes: Any) -> dict[str, Any]:
        return slotted(kdf=changed(kdf, changes))

    def among(number: int, unlock: Mapping[str, Any] = WORDS, **changes: Any) -> dict[str, Any]:
        """The keystore with four slots, one of them changed."""
        slots = [changed(one, changes) if place == number else one for place, one in enumerate(full["slots"], 1)]
        return _given(_summed({**full, "slots": slots}), **unlock)

    def loose(number: int, field: str) -> str:
        raw = from_b64(full["slots"][number - 1][field])
        return to_b64(raw[:-1] + bytes([raw[-1] ^ 1]))

    body = from_b64(small["body"])
    doubled = text.replace('{"body"', '{"gen":3,"body"', 1)
    limits = {
        f"{name} of {value}": cost(**{name: value})
        for name, value in (("m", 8_191), ("m", 4_194_305), ("t", 0), ("t", 17), ("p", 0), ("p", 17))
    }
    codes: dict[str, dict[str, Any]] = {
        "E_CORRUPT": {
            "an empty file": _given(""),
            "a file that is cut short": _given(text[:-2]),
            "no newline at the end": _given(text[:-1]),
            "a second newline at the end": _given(text + "\n"),
            "blanks between the fields": _given(json.dumps(small, sort_keys=True) + "\n"),
            "a field stands twice": _given(doubled),
            "another sum": _given({**small, "sum": "00" * 32}),
            "a sum in upper case": _given({**small, "sum": str(small["sum"]).upper()}),
            "no sum": _given(changed(small, {"sum": MISSING})),
            "a body that was changed after it was summed": _given({**small, "body": to_b64(body[:-1] + b"\0")}),
        },
        "E_FORMAT": {
            "another format": made(format="age"),
            "a list": _given("[]\n"),
            "a version that is true": made(v=True),
            "an unknown field": made(comment=""),
            "a missing generation": made(gen=MISSING),
            "generation 0": made(gen=0),
            "an id of 15 bytes": made(id=ID[2:]),
            "no slots": made(slots=[]),
            "17 slots": made(slots=[slot] * 17),
            "a body in padded base64": made(body=str(small["body"]) + "="),
            "a slot of an unknown type": slotted(type="fido2"),
            "a slot without a type": slotted(type=MISSING),
            "an unknown field in a slot": slotted(hint="my dog"),
            "another derivation": cost(alg="argon2i"),
            "a salt of 15 bytes": cost(salt=to_b64(bytes(15))),
            "m as text": cost(m="8192"),
            "a wrap one byte short": slotted(wrap=to_b64(from_b64(slot["wrap"])[:-1])),
            "a recovery key one byte short": among(2, public=to_b64(bytes(1215))),
            "a derivation in a recovery slot": among(2, kdf=kdf),
            "an entry of a keyring in upper case": among(3, entry=ENTRY.upper()),
            "a URI of 501 characters": among(4, uri="vault:" + "a" * 495),
            "a URI with an escape character": among(4, uri="vault:\x1b[2K"),
            "8193 wrapped bytes": among(4, wrapped=to_b64(bytes(8193))),
            "content without an identity": _given(_bodied("no identity", {"v": 1, "feds": {}})),
        },
        "E_VERSION": {"version 2": made(v=2), "a version as text": made(v="1")},
        "E_KDF": {
            **limits,
            "costs outside the limits in a slot that is not tried": among(1, own["recovery"], kdf={**kdf, "m": 8_191}),
        },
        "E_PASSPHRASE": {
            "another passphrase": _given(small, passphrase="correct horse battery stapl"),
            "a passphrase with a newline": _given(small, passphrase=worlds.PASSPHRASE.decode() + "\n"),
            "another salt": cost(salt=to_b64(bytes(16))),
            "another cost": cost(t=2),
            "another wrap": slotted(wrap=loose(1, "wrap")),
            "a slot from another keystore": made(id="0c" * 16),
            "a passphrase where only a paper opens": _given(_sealed("paper", _recovery())),
            "the code of another paper": _given(full, recovery=recovery.write_code(bytes(32))),
        },
        "E_TAMPERED": {
            "a body that was changed and summed": made(body=to_b64(body[:-1] + bytes([body[-1] ^ 1]))),
            "a body that was cut and summed": made(body=to_b64(body[:-1])),
            "another generation": made(gen=4),
            "a slot was added": made(slots=[slot, _keyring()]),
            "a slot was taken away": _given(_summed({**full, "slots": full["slots"][:3]})),
            "slots in another order": _given(_summed({**full, "slots": full["slots"][::-1]})),
            "the wrap of a recovery slot was changed": among(2, own["recovery"], wrap=loose(2, "wrap")),
            "a recovery slot from another keystore": _given(_summed({**full, "id": "0c" * 16}), **own["recovery"]),
        },
        "E_LOCKED_KEY": {
            "the keyring has no such entry": _given(full, keyring={}),
            "the keyring has another key": _given(full, keyring={ENTRY: to_b64(bytes(32))}),
            "the wrap of a keyring slot was changed": among(3, own["keyring"], wrap=loose(3, "wrap")),
            "the key service has another key": _given(full, vault=bytes(32).hex()),
            "what a key service wrapped was changed": among(4, own["kms"], wrapped=loose(4, "wrapped")),
        },
    }
    fpr = SigningKey("holder", "site-0", SEED).entry.fpr
    return [
        *table("keystore", codes, lambda given: given, SEALED),
        Vector("keystore", "a passphrase slot alone", _given(small), {"fpr": fpr, "slot": 1}, SEALED),
        *(
            Vector("keystore", f"four slots and what opens {kind}", _given(full, **unlock), facts, SEALED)
            for number, (kind, unlock) in enumerate(own.items(), 1)
            for facts in [{"fpr": fpr, "slot": number}]
        ),
    ]


def _bodied(name: str, data: Any) -> Document:
    """A keystore with content that no reader takes, sealed by whoever has the data key."""
    head = {"format": "blindsight-keystore", "v": 1, "id": ID, "gen": 3, "slots": [_passphrase()]}
    context, plain = canonical(head), canonical(data)
    body = once(
        f"keystore: {name}",
        lambda: b"".join(sealedfile.seal([plain], DATA_KEY, context)),
        lambda held: b"".join(sealedfile.unseal([held], DATA_KEY, context)) == plain,
    )
    return _summed({**head, "body": to_b64(body)})


def marker() -> list[Vector]:
    """G.4: a sound keystore of generation 3 and what stands beside it."""
    small = _sealed("passphrase", _passphrase())
    level = {"format": "blindsight-keystore-marker", "v": 1, **{name: small[name] for name in ("id", "gen", "sum")}}

    def beside(**changes: Any) -> str:
        return _text(changed(level, changes))

    behind = {
        "a greater generation": beside(gen=4),
        "the same generation and another sum": beside(sum="00" * 32),
        "an empty marker": "",
        "a marker that is cut short": beside()[:-3],
        "blanks between the fields": json.dumps(level, sort_keys=True) + "\n",
        "an unknown field": beside(path="keystore.json"),
        "a missing sum": beside(sum=MISSING),
        "another format": beside(format="blindsight-keystore"),
        "another version": beside(v=2),
        "generation 0": beside(gen=0),
        "an id in upper case": beside(id=ID.upper()),
        "more than 1024 bytes": beside() + " " * 1024,
    }
    sound = {
        "the last save": beside(),
        "a marker that is behind": beside(gen=2, sum="00" * 32),
        "a marker of another keystore": beside(id="0c" * 16, gen=9),
        "no marker": None,
    }
    return [
        *table("marker", {"E_ROLLBACK": behind}, lambda text: _given(small, text), SEALED),
        *(Vector("marker", name, _given(small, text), {"after": beside()}, SEALED) for name, text in sound.items()),
    ]
