"""Vectors of signed documents: envelope, card, genesis, epoch record. FORMAT.md sections A to C."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from blindsight.protocol.envelope import Envelope
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.log import Log
from tests.protocol import worlds
from tests.vectors.federation import AGREED, FIRST, GENESIS, KCV, KEYS, LOG, RECORD, SECOND, STRANGER
from tests.vectors.texts import ORDER_EIGHT, entry_of
from tests.vectors.vector import MISSING, Vector, changed, forged, misspelt, refusals, signed


def envelope() -> list[Vector]:
    """A.4: the envelope itself; what is given is the file's text."""
    card = _card(FIRST, FIRST)
    document = worlds.as_json(card)
    payload, (mine,) = document["payload"], document["signatures"]

    def text(**changes: Any) -> str:
        return json.dumps(changed(document, changes))

    def sign(**changes: Any) -> str:
        return text(signatures=[changed(mine, changes)])

    twice = {
        "two signatures under one keyid": text(signatures=[mine, mine]),
        "two signatures under one keyid, one of them false": text(signatures=[mine, {**mine, "sig": "AAAA"}]),
        "a payload whose base64 has bits that belong to no byte": text(payload=_loose(payload)),
        "a signature whose base64 has bits that belong to no byte": sign(sig=_loose(mine["sig"])),
        "a field stands twice": text()[:-1] + ', "payload": "e30="}',
    }
    malformed = {
        "a payload without padding": text(payload=payload.rstrip("=")),
        "a payload in the alphabet of base64url": text(payload="-_-_"),
        "a payload with a newline inside": text(payload=payload[:4] + "\n" + payload[4:]),
        "an unknown field": text(comment=""),
        "an unknown field in a signature": sign(cert="AAAA"),
        "a missing payload type": text(payloadType=MISSING),
        "missing signatures": text(signatures=MISSING),
        "signatures that are null": text(signatures=None),
        "a keyid in upper case": sign(keyid=mine["keyid"].upper()),
        "a keyid of 63 characters": sign(keyid=mine["keyid"][1:]),
        "a payload type with an escape character": text(payloadType="a\x1b[2Kb"),
        "bytes after the envelope": text() + "\n\n{}",
        "a zero byte after the envelope": text() + "\0",
        "two envelopes in one file": text() + text(),
        "a list of one envelope": json.dumps([document]),
    }
    spread = _signed_by_all(GENESIS, list(reversed(KEYS)))
    accepted = {
        "canonical form and a newline": card.to_bytes().decode(),
        "blanks, newlines and fields in another order": json.dumps(dict(reversed(document.items())), indent=2),
        "no signatures": text(signatures=[]),
        "signatures in another order": json.dumps(spread),
        "a payload type that nobody knows": text(payloadType="text/plain"),
        "a payload that is not JSON": text(payload="AAEC"),
    }
    return [
        *refusals("envelope", "E_CANON", twice),
        *refusals("envelope", "E_FORMAT", malformed),
        *(Vector("envelope", name, given, _envelope_facts(given)) for name, given in accepted.items()),
    ]


def _loose(text: str) -> str:
    """The same bytes in base64 with the unused bits set, of text that ends with padding."""
    body, padding = text.rstrip("="), "=" * text.count("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    if not padding:
        raise ValueError("text without padding has no unused bits")
    return body[:-1] + alphabet[alphabet.index(body[-1]) | 1] + padding


def _signed_by_all(document: Envelope, keys: list[SigningKey]) -> dict[str, Any]:
    found = worlds.as_json(document)
    order = [key.entry.fpr for key in keys]
    return found | {"signatures": sorted(found["signatures"], key=lambda s: order.index(s["keyid"]))}


def _envelope_facts(text: str) -> dict[str, Any]:
    found = Envelope.from_bytes(text.encode())
    return {"mid": found.mid, "signers": sorted(found.signatures)}


def _card(shown: SigningKey, signer: SigningKey, **changes: Any) -> Envelope:
    body = {"v": 1, "type": "identity", "entry": shown.entry.to_json(), "created": worlds.CREATED}
    return signed("identity", changed(body, changes), [signer])


def card() -> list[Vector]:
    """B: cards."""
    sound = _card(FIRST, FIRST)
    entry = FIRST.entry.to_json()
    small = entry_of(bytes.fromhex(ORDER_EIGHT[0]))
    return [
        Vector("card", "the payload is not canonical", misspelt(sound, [FIRST]), "E_CANON"),
        Vector("card", "an unknown field", _card(FIRST, FIRST, role="holder"), "E_FORMAT"),
        Vector("card", "another version", _card(FIRST, FIRST, v=2), "E_FORMAT"),
        Vector("card", "version true", _card(FIRST, FIRST, v=True), "E_FORMAT"),
        Vector("card", "another payload type", signed("genesis", sound.payload, [FIRST]), "E_FORMAT"),
        Vector("card", "a key of small order", _card(FIRST, FIRST, entry=small), "E_KEY"),
        Vector("card", "another fingerprint", _card(FIRST, FIRST, entry={**entry, "role": "trainer"}), "E_FPR"),
        Vector("card", "signed by somebody else", _card(FIRST, SECOND), "E_QUORUM"),
        Vector("card", "signed by somebody else under its keyid", forged(sound, FIRST, SECOND), "E_SIG"),
        Vector("card", "a card", sound, {"fpr": FIRST.entry.fpr, "code": FIRST.entry.code}),
    ]


def genesis() -> list[Vector]:
    """C.1."""
    body = GENESIS.body()
    one, two = body["members"]
    (lab,) = body["trainers"]
    small = entry_of(bytes.fromhex(ORDER_EIGHT[1]))
    again = SigningKey("trainer", "again", hashlib.sha256(f"holder/{FIRST.entry.name}".encode()).digest()).entry
    codes: dict[str, dict[str, Mapping[str, Any]]] = {
        "E_FORMAT": {
            "members do not stand by ascending fingerprint": {"members": [two, one]},
            "no members": {"members": []},
            "a missing nonce": {"nonce": MISSING},
            "a nonce in upper case": {"nonce": "AB" * 32},
            "a nonce of 31 bytes": {"nonce": "00" * 31},
            "an unknown field": {"url": "x"},
            "an unknown policy": {"policy": {"approve": "any"}},
            "another version": {"v": 2},
            "another type in the payload": {"type": "epoch"},
            "a name with an escape character": {"name": "ward\x1b]0;x"},
            "a creation time with an offset": {"created": "2026-11-20T13:00:00+01:00"},
            "operators that are no list": {"operators": {}},
        },
        "E_ROSTER": {
            "a trainer among the members": {"members": sorted([one, two, lab], key=lambda e: e["fpr"]), "trainers": []},
            "a holder among the trainers": {"trainers": [lab, STRANGER.entry.to_json()]},
            "one key as holder and trainer": {"trainers": [lab, again.to_json()]},
            "one member twice": {"members": [one, one, two]},
        },
        "E_FPR": {"a member with the fingerprint of another key": {"members": [{**one, "fpr": "00" * 32}, two]}},
        "E_KEY": {"a member with a key of small order": {"members": sorted([small, two], key=lambda e: e["fpr"])}},
        "E_SUITE": {"another suite": {"suite": "BLINDSIGHT1-P256-ECDSA-SHA256"}},
    }
    lacking = {
        "the signature of a member is missing": [signed("genesis", body, [FIRST])],
        "the signature of a member does not fit": [forged(GENESIS, SECOND, FIRST)],
        "signatures of a member and a stranger": [signed("genesis", body, [FIRST, STRANGER])],
    }
    split = [signed("genesis", body, [key]) for key in KEYS]
    facts = {"fed": LOG.fed, "code": LOG.code, "members": [key.entry.fpr for key in KEYS]}
    return [
        *(v for code, cases in codes.items() for v in refusals("genesis", code, _genesis_cases(cases))),
        *refusals("genesis", "E_QUORUM", lacking),
        Vector("genesis", "another payload type", [signed("identity", GENESIS.payload, KEYS)], "E_FORMAT"),
        Vector("genesis", "the payload is not canonical", [misspelt(GENESIS, KEYS)], "E_CANON"),
        Vector("genesis", "two holders and a trainer", [GENESIS], facts),
        Vector("genesis", "signatures spread over two copies", split, facts),
        Vector(
            "genesis",
            "a copy with a false signature beside a sound one",
            [forged(GENESIS, SECOND, FIRST), *split],
            facts,
        ),
    ]


def _genesis_cases(cases: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Envelope]]:
    return {name: [signed("genesis", changed(GENESIS.body(), change), KEYS)] for name, change in cases.items()}


def epoch() -> list[Vector]:
    """C.2 and C.3: one record on a genesis; ``records`` come after those of ``log``, in any order."""

    def record(log: Log = LOG, seq: int = 1, number: int = 1, **changes: Any) -> Envelope:
        sound = worlds.record(log, KEYS, seq=seq, epoch=number, kcv=KCV)
        return signed("epoch", changed(sound.body(), changes), KEYS)

    def given(*records: Envelope) -> dict[str, Any]:
        return {"log": [GENESIS], "records": list(records)}

    whole = worlds.LE.to_json()
    malformed = {
        "a missing check value": record(kcv=MISSING),
        "an unknown field": record(secret="00" * 32),
        "epoch 0": record(epoch=0),
        "sequence 0": record(seq=0),
        "a sequence that is true": signed("epoch", {**RECORD.body(), "seq": True}, KEYS),
        "no schemes": record(schemes=[]),
        "a scheme without version": record(schemes=[{"id": "le"}]),
        "a descriptor with half a shape": record(schemes=[{**whole, "shape": [8, 8]}]),
        "an end that the calendar lacks": record(not_after="2027-02-30T00:00:00Z"),
        "the payload type of a proposal": signed("propose", RECORD.payload, KEYS),
        "a previous record in upper case": record(prev="AB" * 32),
    }
    unsigned = RECORD.body()
    outside = {
        "the signature of a member is missing": signed("epoch", unsigned, [FIRST]),
        "the signature of a member does not fit": forged(RECORD, SECOND, FIRST),
        "it follows another record": record(prev="00" * 32),
        "it names another roster": record(roster="00" * 32),
        "it is of another federation": record(fed="00" * 32),
        "it leaves out an epoch": record(number=2),
    }
    second = worlds.record(AGREED, KEYS, seq=7, epoch=2, kcv=KCV)
    facts = {"epoch": 1, "record": RECORD.mid, "kcv": KCV, "seq": 1}
    exact = record(schemes=[whole])
    return [
        *refusals("epoch", "E_FORMAT", {name: given(found) for name, found in malformed.items()}),
        *refusals("epoch", "E_EPOCH", {name: given(found) for name, found in outside.items()}),
        Vector("epoch", "another suite", given(record(suite="BLINDSIGHT2")), "E_SUITE"),
        Vector("epoch", "the payload is not canonical", given(misspelt(RECORD, KEYS)), "E_CANON"),
        Vector("epoch", "two records of one sequence", given(RECORD, record(kcv="44" * 32)), "E_FORK"),
        Vector("epoch", "a record of every member", given(RECORD), facts),
        Vector(
            "epoch", "signatures spread over two copies", given(*(signed("epoch", unsigned, [k]) for k in KEYS)), facts
        ),
        Vector(
            "epoch",
            "a copy with a false signature beside a sound one",
            given(forged(RECORD, SECOND, FIRST), RECORD),
            facts,
        ),
        Vector("epoch", "a whole descriptor among the schemes", given(exact), {**facts, "record": exact.mid}),
        Vector(
            "epoch",
            "records in falling order with a gap in the sequence",
            given(second, RECORD),
            {"epoch": 2, "record": second.mid, "kcv": KCV, "seq": 7},
        ),
    ]
