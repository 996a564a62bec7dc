"""Vectors of the ceremony: proposal, commit, reveal, complaint, abort. FORMAT.md section D."""

from __future__ import annotations

import hashlib
from typing import Any

from blindsight.protocol import verdict
from blindsight.protocol.encoding import from_b64, to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.messages import REASONS
from blindsight.protocol.session import Phase, Session, commit_set
from tests.protocol import worlds
from tests.vectors.boxes import box
from tests.vectors.federation import AGREED, FIRST, GENESIS, KEYS, LAB, LOG, RECORD, SECOND, STRANGER
from tests.vectors.vector import MISSING, SEALED, Vector, changed, forged, misspelt, refusals, signed, table

BOX = hashlib.shake_256(b"a box that nobody opens").digest(1168)
OFFER = worlds.proposal(FIRST, LOG)


def propose() -> list[Vector]:
    """D, step 1: a proposal against the receiver's log."""

    def given(found: Envelope, *records: Envelope) -> dict[str, Any]:
        return {"log": [GENESIS, *records], "message": found}

    def made(**changes: Any) -> Envelope:
        return signed("propose", changed(OFFER.body(), changes), [FIRST])

    from_stranger = signed("propose", {**OFFER.body(), "from": STRANGER.entry.fpr}, [STRANGER])
    from_trainer = signed("propose", {**OFFER.body(), "from": LAB.entry.fpr}, [LAB])
    codes = {
        "E_FORMAT": {
            "a missing deadline": made(deadline=MISSING),
            "an unknown field": made(urgent=True),
            "another version": made(v=2),
            "a deadline that is no time": made(deadline="tomorrow"),
            "no schemes": made(schemes=[]),
            "a scheme version that is true": made(schemes=[{"id": "le", "v": True}]),
            "a sequence as text": made(seq="1"),
            "the payload type of a commit": signed("commit", OFFER.payload, [FIRST]),
        },
        "E_ROSTER": {"from a stranger": from_stranger, "from a trainer": from_trainer},
        "E_QUORUM": {
            "no signature": Envelope(OFFER.type, OFFER.payload, {}),
            "two signatures": OFFER.signed(SECOND),
            "the signature of another member": signed("propose", OFFER.body(), [SECOND]),
        },
        "E_SIG": {
            "the signature of another member under the keyid of the author": forged(OFFER, FIRST, SECOND),
            "changed after it was signed": Envelope(OFFER.type, made(nonce="00" * 32).payload, OFFER.signatures),
        },
        "E_SUITE": {"another suite": made(suite="BLINDSIGHT2")},
        "E_FED": {"for another federation": made(fed="00" * 32)},
        "E_PREV": {"on another record": made(prev="00" * 32), "on another roster": made(roster="00" * 32)},
        "E_EPOCH": {"not for the next epoch": made(epoch=2)},
        "E_CANON": {"the payload is not canonical": misspelt(OFFER, [FIRST])},
    }
    later = worlds.proposal(SECOND, AGREED).body()
    stale = signed("propose", {**later, "seq": 1}, [SECOND])
    repeated = signed("propose", {**later, "epoch": 1}, [SECOND])
    ahead = signed("propose", {**later, "seq": 9}, [SECOND])
    return [
        *(
            vector
            for code, cases in codes.items()
            for vector in refusals("propose", code, {name: given(found) for name, found in cases.items()})
        ),
        Vector("propose", "a sequence not above that of the log", given(stale, RECORD), "E_SEQ"),
        Vector("propose", "for an epoch that is agreed", given(repeated, RECORD), "E_EPOCH"),
        Vector("propose", "the first epoch", given(OFFER), {"sid": OFFER.mid, "epoch": 1, "seq": 1}),
        Vector("propose", "a gap in the sequence", given(ahead, RECORD), {"sid": ahead.mid, "epoch": 2, "seq": 9}),
    ]


COMMITS = {key.entry.fpr: worlds.accepted(key, LOG, OFFER).outbox[0] for key in KEYS}
MINE, THEIRS = COMMITS[FIRST.entry.fpr], COMMITS[SECOND.entry.fpr]


def _session(message: Envelope, *before: Envelope) -> dict[str, Any]:
    """What a member knows when a message comes: its log, the proposal, the messages taken in before."""
    return {"log": [GENESIS], "proposal": OFFER, "before": list(before), "message": message}


def commit() -> list[Vector]:
    """D, step 2: the second member's commit as the first one takes it in."""
    public = from_b64(THEIRS.body()["kem"])

    def made(key: SigningKey = SECOND, **changes: Any) -> Envelope:
        return signed("commit", changed({**THEIRS.body(), "from": key.entry.fpr}, changes), [key])

    def with_x25519(half: bytes) -> Envelope:
        return made(kem=to_b64(public[:-32] + half))

    codes = {
        "E_FORMAT": {
            "a missing commitment": made(com=MISSING),
            "an unknown field": made(note=""),
            "a commitment in upper case": made(com=THEIRS.body()["com"].upper()),
            "a key one byte short": made(kem=to_b64(public[:-1])),
            "a key in padded base64": made(kem=THEIRS.body()["kem"] + "="),
            "a payload type that is no message": signed("vote", THEIRS.body(), [SECOND]),
            "the payload type of a reveal": signed("reveal", THEIRS.body(), [SECOND]),
        },
        "E_KEM": {
            "an X25519 half of zeros": with_x25519(bytes(32)),
            "an X25519 half of one": with_x25519((1).to_bytes(32, "little")),
            "an ML-KEM half that is not reduced": made(kem=to_b64(b"\xff" * 1152 + public[1152:])),
            "the key of another member": made(kem=MINE.body()["kem"]),
        },
        "E_SID": {"of another session": made(sid="00" * 32)},
        "E_ROSTER": {"from a stranger": made(STRANGER), "from a trainer": made(LAB)},
        "E_QUORUM": {
            "no signature": Envelope(THEIRS.type, THEIRS.payload, {}),
            "two signatures": THEIRS.signed(FIRST),
        },
        "E_SIG": {"signed by another member under the keyid of its author": forged(THEIRS, SECOND, FIRST)},
        "E_CANON": {"the payload is not canonical": misspelt(THEIRS, [SECOND])},
    }
    facts = {"author": SECOND.entry.fpr, "mid": THEIRS.mid}
    other = made(com="00" * 32)
    return [
        *(
            vector
            for code, cases in codes.items()
            for vector in refusals("commit", code, {name: _session(found, MINE) for name, found in cases.items()})
        ),
        Vector("commit", "a second, different one", _session(other, THEIRS), "E_EQUIVOCATION"),
        Vector("commit", "the commit of the other member", _session(THEIRS, MINE), facts),
        Vector("commit", "the same commit a second time", _session(THEIRS, THEIRS), facts),
    ]


def reveal() -> list[Vector]:
    """D, step 3: a reveal as it is taken in. Boxes are opened later; these have only the right length."""
    digest = hashlib.sha256(b"the commits").hexdigest()
    sound = {"v": 1, "type": "reveal", "sid": OFFER.mid, "from": SECOND.entry.fpr}
    sound |= {"commits": digest, "boxes": {FIRST.entry.fpr: to_b64(BOX)}}

    def made(**changes: Any) -> Envelope:
        return signed("reveal", changed(sound, changes), [SECOND])

    def boxes(fprs: list[str], box: bytes = BOX) -> dict[str, str]:
        return {fpr: to_b64(box) for fpr in fprs}

    mine, theirs = FIRST.entry.fpr, SECOND.entry.fpr
    codes = {
        "E_FORMAT": {
            "missing commits": made(commits=MISSING),
            "boxes that are a list": made(boxes=[to_b64(BOX)]),
            "a box one byte short": made(boxes=boxes([mine], BOX[:-1])),
            "a box one byte long": made(boxes=boxes([mine], BOX + b"\0")),
        },
        "E_ROSTER": {
            "no box": made(boxes={}),
            "a box for its author": made(boxes=boxes([mine, theirs])),
            "a box for a stranger": made(boxes=boxes([mine, STRANGER.entry.fpr])),
        },
        "E_SID": {"of another session": made(sid="00" * 32)},
        "E_QUORUM": {"two signatures": made().signed(FIRST)},
    }
    facts = {"author": theirs, "mid": made().mid}
    return [
        *(
            vector
            for code, cases in codes.items()
            for vector in refusals("reveal", code, {name: _session(found) for name, found in cases.items()})
        ),
        Vector("reveal", "a second, different one", _session(made(commits="00" * 32), made()), "E_EQUIVOCATION"),
        Vector("reveal", "a box for the other member", _session(made()), facts),
    ]


def complaint() -> list[Vector]:
    """D, step 4: the second member complains of the first one's box, and whoever has both commits judges."""
    mine, theirs, seed = FIRST.entry.fpr, SECOND.entry.fpr, worlds.accepted(SECOND, LOG, OFFER).kem_seed
    shown = to_b64(seed)
    sound = {"v": 1, "type": "complaint", "sid": OFFER.mid, "from": theirs, "about": mine, "code": "E_BOX"}
    sound |= {"kem_seed": shown}

    def made(key: SigningKey = SECOND, **changes: Any) -> Envelope:
        return signed("complaint", changed({**sound, "from": key.entry.fpr}, changes), [key])

    whole = made()
    codes: dict[str, dict[str, Envelope]] = {
        "E_FORMAT": {
            "another code": made(code="E_KCV"),
            "a missing person": made(about=MISSING),
            "a missing seed": made(kem_seed=MISSING),
            "a seed of 31 bytes": made(kem_seed=to_b64(seed[:-1])),
            "a seed in padded base64": made(kem_seed=shown + "="),
            "an unknown field": made(text="it does not open"),
            "another version": made(v=2),
            "the payload type of an abort": signed("abort", whole.payload, [SECOND]),
        },
        "E_CANON": {"the payload is not canonical": misspelt(whole, [SECOND])},
        "E_SID": {"of another session": made(sid="00" * 32)},
        "E_ROSTER": {
            "about its author": made(about=theirs),
            "about a stranger": made(about=STRANGER.entry.fpr),
            "from a stranger": made(STRANGER),
            "from a trainer": made(LAB),
        },
        "E_QUORUM": {
            "no signature": Envelope(whole.type, whole.payload, {}),
            "two signatures": whole.signed(FIRST),
            "the signature of another member": signed("complaint", sound, [FIRST]),
        },
        "E_SIG": {
            "signed by another member under the keyid of its author": forged(whole, SECOND, FIRST),
            "changed after it was signed": Envelope(whole.type, made(code="E_COMMIT").payload, whole.signatures),
        },
        "E_COMPLAINT": {"the seed of another key": made(kem_seed=to_b64(bytes(32)))},
    }
    again = _session(made(code="E_COMMIT"), MINE, THEIRS, whole)
    facts = {"author": theirs, "mid": whole.mid, "void": True}
    ends = {
        "the box opens to what was committed": ([_revealed()], theirs),
        "the box does not open": ([_revealed(to_b64(BOX))], mine),
        "the box holds another value than was committed": ([_revealed(_sealed("another value", bytes(32)))], mine),
        "the reveal is for other commits": ([_revealed(commits="00" * 32)], None),
        "the reveal is not there": ([], None),
    }
    early = {**facts, "void": False, "at_fault": None}
    return [
        *table("complaint", codes, lambda found: _session(found, MINE, THEIRS)),
        Vector("complaint", "a second, different one", again, "E_EQUIVOCATION"),
        Vector("complaint", "the commit of its author is not there", _session(whole, MINE), early),
        *(
            Vector("complaint", name, _session(whole, MINE, THEIRS, *before), {**facts, "at_fault": fpr}, SEALED)
            for name, (before, fpr) in ends.items()
        ),
    ]


def _sealed(what: str, plain: bytes) -> str:
    """A box of the first member for the second one, bound as a reveal's is."""
    session = Session(FIRST.entry.fpr, LOG.roster.members, OFFER, Phase.COMMITTED, COMMITS)
    info = verdict.box_context(session, commit_set(session), FIRST.entry.fpr, SECOND.entry.fpr)
    return to_b64(box(f"reveal: {what}", worlds.accepted(SECOND, LOG, OFFER).kem_seed, plain, info))


def _revealed(sealed: str = "", **changes: Any) -> Envelope:
    """The first member's reveal."""
    sealed = sealed or _sealed("the contribution", worlds.accepted(FIRST, LOG, OFFER).contribution)
    session = Session(FIRST.entry.fpr, LOG.roster.members, OFFER, Phase.COMMITTED, COMMITS)
    body = {"v": 1, "type": "reveal", "sid": OFFER.mid, "from": FIRST.entry.fpr}
    body |= {"commits": commit_set(session).hex(), "boxes": {SECOND.entry.fpr: sealed}}
    return signed("reveal", changed(body, changes), [FIRST])


def abort() -> list[Vector]:
    """D: a member leaves before it has confirmed."""
    sound = {"v": 1, "type": "abort", "sid": OFFER.mid, "from": SECOND.entry.fpr, "reason": "person"}

    def made(key: SigningKey = SECOND, **changes: Any) -> Envelope:
        return signed("abort", changed({**sound, "from": key.entry.fpr}, changes), [key])

    whole = made()
    codes: dict[str, dict[str, Envelope]] = {
        "E_FORMAT": {
            "a reason that nobody knows": made(reason="tired"),
            "a missing reason": made(reason=MISSING),
            "an unknown field": made(text=""),
            "a version that is true": made(v=True),
            "another type in the payload": made(type="complaint"),
        },
        "E_CANON": {"the payload is not canonical": misspelt(whole, [SECOND])},
        "E_SID": {"of another session": made(sid="00" * 32)},
        "E_ROSTER": {"from a stranger": made(STRANGER), "from a trainer": made(LAB)},
        "E_QUORUM": {"no signature": Envelope(whole.type, whole.payload, {}), "two signatures": whole.signed(FIRST)},
        "E_SIG": {"signed by another member under the keyid of its author": forged(whole, SECOND, FIRST)},
    }
    return [
        *table("abort", codes, _session),
        Vector("abort", "a second, different one", _session(made(reason="deadline"), whole), "E_EQUIVOCATION"),
        *(
            Vector("abort", f"reason {reason}", _session(found), {"author": SECOND.entry.fpr, "mid": found.mid})
            for reason in REASONS
            for found in [made(reason=reason)]
        ),
    ]
