"""Vectors of the log after its genesis: roster and retire records, notices, the exported log. FORMAT.md section C."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from blindsight.protocol.envelope import Envelope
from blindsight.protocol.identity import Entry, SigningKey
from blindsight.protocol.log import Log
from tests.protocol import worlds
from tests.protocol.worlds import as_json, notice_of, retire_record, roster_record
from tests.vectors.federation import AGREED, FIRST, GENESIS, KCV, KEYS, LAB, OPERATOR, RECORD, SECOND, STRANGER
from tests.vectors.texts import ORDER_EIGHT, entry_of
from tests.vectors.vector import MISSING, Vector, changed, forged, misspelt, signed, table

ZEROS = "00" * 32
NEW = worlds.identity("site-2")
WIDER = [FIRST, SECOND, NEW]
THREE = worlds.holders(3)
FOUR = worlds.holders(4)
OF_THREE = worlds.constituted(THREE, trainers=[LAB])
MAJORITY = worlds.constituted(FOUR, "majority", trainers=[LAB])
FIFTH = worlds.identity("site-9")
JOINED = roster_record(AGREED, [key.entry for key in WIDER], WIDER)


def _given(*records: Envelope, log: Log = AGREED) -> dict[str, Any]:
    return {"log": list(log.records), "records": list(records)}


def _entries_of(keys: Iterable[SigningKey]) -> list[Entry]:
    return [key.entry for key in keys]


def roster() -> list[Vector]:
    """C.3: one roster record on a log, perhaps in copies."""
    body = JOINED.body()
    members, (lab,) = body["members"], body["trainers"]
    small = entry_of(bytes.fromhex(ORDER_EIGHT[0]))
    again = SigningKey("trainer", "again", hashlib.sha256(f"holder/{FIRST.entry.name}".encode()).digest()).entry

    def made(**changes: Any) -> Envelope:
        return signed("roster", changed(body, changes), WIDER)

    def ordered(*entries: dict[str, Any]) -> list[dict[str, Any]]:
        return sorted(entries, key=lambda entry: str(entry["fpr"]))

    def change(log: Log, keys: Sequence[SigningKey], signers: Sequence[SigningKey]) -> dict[str, Any]:
        return _given(roster_record(log, _entries_of(keys), signers), log=log)

    own = [key.entry.to_json() for key in KEYS]
    renamed = [{**members[0], "name": "else"}, *members[1:]]
    a, b, c, d = FOUR
    codes: dict[str, dict[str, Any]] = {
        "E_FORMAT": {
            "members do not stand by ascending fingerprint": made(members=members[::-1]),
            "no members": made(members=[]),
            "a missing predecessor": made(prev=MISSING),
            "an unknown field": made(policy={"approve": "majority"}),
            "sequence 0": made(seq=0),
            "a sequence that is true": made(seq=True),
            "another version": made(v=2),
            "another type in the payload": made(type="genesis"),
            "the payload type of a genesis": signed("genesis", body, WIDER),
            "trainers that are no list": made(trainers={}),
            "a predecessor in upper case": made(prev="AB" * 32),
            "a member of an unknown role": made(members=[{**members[0], "role": "robot"}]),
        },
        "E_CANON": {"the payload is not canonical": misspelt(JOINED, WIDER)},
        "E_FPR": {"a member with the fingerprint of another key": made(members=[{**members[0], "fpr": ZEROS}])},
        "E_KEY": {"a member with a key of small order": made(members=ordered(small, *members[1:]))},
        "E_ROSTER": {
            "it changes nothing": made(members=own),
            "it renames a member": made(members=renamed),
            "it renames a trainer": made(trainers=[{**lab, "name": "other lab"}]),
            "a trainer among the members": made(members=ordered(*members, lab), trainers=[]),
            "a device among the members": made(
                members=ordered(*members, worlds.identity("camera", "device").entry.to_json())
            ),
            "one key as holder and trainer": made(trainers=ordered(lab, again.to_json())),
            "one member twice": made(members=[members[0], members[0], *members[1:]]),
            "half of the members stay": made(members=ordered(own[0], NEW.entry.to_json())),
            "nobody stays": made(members=[NEW.entry.to_json()]),
        },
        "E_FED": {"it is of another federation": made(fed=ZEROS)},
        "E_PREV": {"it follows another record": made(prev=ZEROS), "it follows the genesis": made(prev=GENESIS.mid)},
        "E_SEQ": {"the sequence of the head": made(seq=1)},
        "E_QUORUM": {
            "the newcomer has not signed": signed("roster", body, KEYS),
            "a member who stays has not signed": signed("roster", body, [FIRST, NEW]),
            "the signature of a member does not fit": forged(JOINED, SECOND, FIRST),
            "the trainer signs for a member": signed("roster", body, [FIRST, NEW, LAB]),
        },
    }
    under_majority = {
        "E_ROSTER": {"half of the members stay under majority": change(MAJORITY, [a, b], FOUR)},
        "E_QUORUM": {
            "half of the members have signed under majority": change(MAJORITY, [*FOUR, FIFTH], [a, b, FIFTH]),
            "the newcomer has not signed under majority": change(MAJORITY, [*FOUR, FIFTH], [a, b, c, d]),
            "the signature of who leaves does not count": change(MAJORITY, [a, b, c], [a, b, d]),
        },
    }
    accepted = {
        "a newcomer": _given(JOINED),
        "signatures spread over copies": _given(*worlds.single(JOINED)),
        "a copy with a false signature beside a sound one": _given(forged(JOINED, SECOND, FIRST), JOINED),
        "a gap in the sequence": _given(made(seq=9)),
        "an operator comes and the trainer goes": _given(
            signed("roster", {**body, "members": own, "operators": [OPERATOR.entry.to_json()], "trainers": []}, KEYS)
        ),
        "one of three members is removed by the others": change(OF_THREE, THREE[:2], THREE[:2]),
        "a newcomer signed by three of four under majority": change(MAJORITY, [*FOUR, FIFTH], [a, c, d, FIFTH]),
        "one of four is removed by the others under majority": change(MAJORITY, [a, b, d], [a, b, d]),
    }
    return [
        *table("roster", codes, _given),
        *table("roster", under_majority, lambda given: given),
        *(Vector("roster", name, given, _roster_facts(given)) for name, given in accepted.items()),
    ]


def _roster_facts(given: dict[str, Any]) -> dict[str, Any]:
    record = given["records"][-1]
    body = record.body()
    lists = {place: [entry["fpr"] for entry in body[place]] for place in ("members", "trainers", "operators")}
    return {"record": record.mid, "seq": body["seq"], **lists}


def retire() -> list[Vector]:
    """C.3: one retire record on a log."""
    sound = retire_record(AGREED, [1], KEYS)
    ended = worlds.grown(AGREED, sound)
    second = worlds.grown(AGREED, worlds.record(AGREED, KEYS, seq=2, epoch=2, kcv=KCV))
    voted = worlds.grown(MAJORITY, worlds.record(MAJORITY, FOUR, seq=1, epoch=1))

    def made(**changes: Any) -> Envelope:
        return signed("retire", changed(sound.body(), changes), KEYS)

    codes: dict[str, dict[str, Any]] = {
        "E_FORMAT": {
            "no epochs": made(epochs=[]),
            "epochs that are no list": made(epochs=1),
            "epochs in falling order": made(epochs=[2, 1]),
            "one epoch twice": made(epochs=[1, 1]),
            "epoch 0": made(epochs=[0]),
            "an epoch that is true": made(epochs=[True]),
            "a reason with a newline": made(reason="lost\nand found"),
            "a reason of 401 characters": made(reason="a" * 401),
            "a missing reason": made(reason=MISSING),
            "an unknown field": made(created=worlds.CREATED),
            "the payload type of a notice": signed("notice", sound.payload, KEYS),
        },
        "E_CANON": {"the payload is not canonical": misspelt(sound, KEYS)},
        "E_EPOCH": {
            "an epoch that is not agreed": made(epochs=[2]),
            "an epoch that is agreed and one that is not": made(epochs=[1, 2]),
        },
        "E_FED": {"it is of another federation": made(fed=ZEROS)},
        "E_PREV": {"it follows another record": made(prev=ZEROS)},
        "E_SEQ": {"the sequence of the head": made(seq=1)},
        "E_QUORUM": {
            "the signature of a member is missing": signed("retire", sound.body(), [FIRST]),
            "the signature of a member does not fit": forged(sound, SECOND, FIRST),
        },
    }
    half = _given(retire_record(voted, [1], FOUR[:2]), log=voted)
    accepted = {
        "one epoch": (_given(sound), sound),
        "two epochs at once": (_given(two := retire_record(second, [1, 2], KEYS), log=second), two),
        "three of four have signed under majority": (
            _given(three := retire_record(voted, [1], FOUR[1:]), log=voted),
            three,
        ),
    }
    return [
        *table("retire", codes, _given),
        Vector("retire", "an epoch that is retired", _given(retire_record(ended, [1], KEYS), log=ended), "E_RETIRED"),
        Vector("retire", "half of the members have signed under majority", half, "E_QUORUM"),
        *(
            Vector("retire", n, given, {"record": r.mid, "seq": (body := r.body())["seq"], "retired": body["epochs"]})
            for n, (given, r) in accepted.items()
        ),
    ]


def notice() -> list[Vector]:
    """C.5: notices beside a log; which count, and what they say against the epochs."""
    sound = notice_of(AGREED, SECOND)

    def given(*notices: Envelope, log: Log = AGREED) -> dict[str, Any]:
        return {"log": list(log.records), "notices": list(notices), "at": worlds.CREATED}

    def made(key: SigningKey = SECOND, **changes: Any) -> Envelope:
        return signed("notice", changed({**sound.body(), "from": key.entry.fpr}, changes), [key])

    codes: dict[str, dict[str, Any]] = {
        "E_FORMAT": {
            "another kind": made(kind="lost"),
            "a missing record": made(record=MISSING),
            "an unknown field": made(seq=2),
            "epoch 0": made(epoch=0),
            "a text of 401 characters": made(text="a" * 401),
            "a text with an escape character": made(text="\x1b[2Kstolen"),
            "a creation time that is no time": made(created="today"),
            "another version": made(v=2),
            "an author in upper case": signed("notice", {**sound.body(), "from": SECOND.entry.fpr.upper()}, [SECOND]),
            "the payload type of a manifest": signed("manifest", sound.payload, [SECOND]),
        },
        "E_CANON": {"the payload is not canonical": misspelt(sound, [SECOND])},
    }
    later = made(created=worlds.DEADLINE)
    left = worlds.grown(OF_THREE, worlds.record(OF_THREE, THREE, seq=1, epoch=1))
    without = worlds.grown(left, roster_record(left, _entries_of(THREE[:2]), THREE[:2]))
    ended = worlds.grown(AGREED, retire_record(AGREED, [1], KEYS))
    warned = ["E_NOTICE"]
    accepted: dict[str, tuple[dict[str, Any], list[Envelope], list[str]]] = {
        "a member warns": (given(sound), [sound], warned),
        "two members warn": (given(sound, made(FIRST)), [sound, made(FIRST)], warned * 2),
        "the first of two by one member counts": (given(later, sound), [sound], warned),
        "the epoch is retired, which ends the matter": (given(sound, log=ended), [sound], ["E_RETIRED"]),
        "a stranger is passed over": (given(made(STRANGER)), [], []),
        "a trainer is passed over": (given(made(LAB)), [], []),
        "a member who was removed is passed over": (given(notice_of(left, THREE[2]), log=without), [], []),
        "a signature of somebody else is passed over": (given(signed("notice", sound.body(), [FIRST])), [], []),
        "a signature that does not fit is passed over": (given(forged(sound, SECOND, FIRST)), [], []),
        "another record is passed over": (given(made(record=ZEROS)), [], []),
        "an epoch that is not agreed is passed over": (given(made(epoch=2)), [], []),
        "another federation is passed over": (given(made(fed=ZEROS)), [], []),
    }
    return [
        *table("notice", codes, given),
        *(
            Vector("notice", name, document, {"counts": sorted(n.mid for n in count), "objections": objections})
            for name, (document, count, objections) in accepted.items()
        ),
    ]


def exported_log() -> list[Vector]:
    """C.4: one envelope a line."""
    warning = notice_of(AGREED, SECOND)
    one, two, three = (envelope.to_bytes().decode() for envelope in (GENESIS, RECORD, warning))
    other = worlds.genesis(KEYS, [LAB.entry], name="other ward").to_bytes().decode()
    lacking = signed("genesis", GENESIS.body(), [FIRST]).to_bytes().decode()
    twin = worlds.record(Log.build([GENESIS]), KEYS, seq=1, epoch=1, kcv="44" * 32).to_bytes().decode()
    unsigned = Envelope(JOINED.type, JOINED.payload, {}).to_bytes().decode()
    doubled = as_json(GENESIS)
    doubled = {**doubled, "signatures": [doubled["signatures"][0]] * 2}
    codes = {
        "E_FORMAT": {
            "an empty file": {"text": ""},
            "a blank line between records": {"text": f"{one}\n{two}"},
            "two newlines at the end": {"text": f"{one}{two}\n"},
            "a line that is cut short": {"text": one + two[:-10]},
            "two envelopes in one line": {"text": one.rstrip("\n") + two},
            "an envelope over two lines": {"text": one.replace(",", ",\n", 1)},
            "a byte order mark": {"text": "\ufeff" + one},
            "no genesis": {"text": two},
        },
        "E_CANON": {"two signatures under one keyid": {"text": json.dumps(doubled)}},
        "E_QUORUM": {"a genesis that lacks a signature": {"text": lacking + two}},
        "E_FED": {
            "two federations": {"text": one + other},
            "another code than a person was told": {"text": one, "code": "0000-0000"},
        },
        "E_FORK": {"two records of one sequence": {"text": one + two + twin}},
    }
    facts = {"code": AGREED.code, "seq": 1, "records": 2, "notices": 0}
    accepted = {
        "a genesis and an epoch": ({"text": one + two}, facts),
        "a notice": ({"text": one + two + three}, {**facts, "notices": 1}),
        "lines in another order": ({"text": three + two + one}, {**facts, "notices": 1}),
        "no newline at the end": ({"text": (one + two).rstrip("\n")}, facts),
        "the code that a person was told": ({"text": one + two, "code": AGREED.code}, facts),
        "the code chooses one of two federations": ({"text": one + two + other, "code": AGREED.code}, facts),
        "a record without signatures is passed over": ({"text": one + two + unsigned}, facts),
    }
    return [
        *table("log-file", codes, lambda given: given),
        *(Vector("log-file", name, *pair) for name, pair in accepted.items()),
    ]
