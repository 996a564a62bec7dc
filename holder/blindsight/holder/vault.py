"""What a keystore remembers of a federation (``data["feds"][fed]``), and the rules that outlive a ceremony.

    records, notices   the log as far as it is known
    promised_seq       greatest sequence it has signed a record of; it never signs another of that or a smaller one
    known_seq          greatest sequence of any proposal it has accepted
    signed             roster and retire records it has signed, until the log has passed them
    verified           whether the code was compared: none, code, fingerprints
    secrets            record id → epoch, sequence, session, secret, and whether it is pending, active or erased
    session            the open ceremony
    ended              session id → how it ended, and the own messages, which are sent again as long as they may matter
    aborts             fingerprint → ceremonies in a row that this member gave up or kept waiting past the deadline
    join               a request for secrets of one's own, until it is answered
    decided            record whose chain a person has decided for
    delegated          tag digest → a scheme's key that was lent to this device

A secret is *pending* from the member's confirm until the record stands in the log. A confirm cannot be taken back, so a
pending secret outlives its session; it is erased when the log passes the record by.
"""

from __future__ import annotations

import copy
from typing import Any

from blindsight.protocol.encoding import from_b64, to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ConflictError, MembershipError
from blindsight.protocol.log import Epoch, Log
from blindsight.protocol.records import read_epoch
from blindsight.protocol.session import Phase, Session, from_json

State = dict[str, Any]
MAX_ABORTS = 3
MOST_OUTBOXES = 64
_SETTLED = ("secrets", "signed", "ended", "aborts")


def new_state(records: list[Envelope]) -> State:
    """What is remembered of a federation at first."""
    return {
        "records": [record.to_bytes().decode() for record in records],
        "notices": [],
        "promised_seq": 0,
        "known_seq": 0,
        "signed": [],
        "verified": "none",
        "secrets": {},
        "session": None,
        "ended": {},
        "aborts": {},
        "join": None,
        "delegated": {},
        "decided": [],
    }


def promise(state: State, record: Envelope) -> None:
    """Promise never to sign another record of this or a smaller sequence; to be saved before the signature leaves.

    Raises:
        ConflictError: E_SEQ, that would break an earlier promise.
    """
    seq = record.body()["seq"]
    if seq <= state["promised_seq"] and record.mid not in {promised.mid for promised in signed(state)}:
        raise ConflictError(
            f"this member has already promised a record of sequence {state['promised_seq']}, this one has {seq}",
            code="E_SEQ",
            hint="whoever made the record makes it again on the present head",
        )
    state["promised_seq"] = max(state["promised_seq"], seq)


def signed(state: State) -> list[Envelope]:
    """The roster and retire records this member has signed and the log has not passed yet."""
    return [Envelope.from_bytes(text.encode()) for text in state["signed"]]


def hold(state: State, session: Session) -> None:
    """Keep the secret of a confirmed session, with the promise that goes with the confirm.

    Raises:
        ConflictError: E_SEQ.
    """
    record = session.record
    body = read_epoch(record)
    if record.mid not in state["secrets"]:
        promise(state, record)
    status = "active" if session.phase is Phase.ACTIVE else "pending"
    held = {"epoch": body["epoch"], "seq": body["seq"], "sid": session.sid, "status": status}
    commits = {fpr: commit.mid for fpr, commit in session.commits.items()}
    state["secrets"][record.mid] = held | {"commits": commits, "secret": to_b64(session.secret)}


def commits_of(state: State, sid: str) -> dict[str, str]:
    """The commits on which a ceremony's secret rests, if this member took part: fingerprint → message id."""
    found: list[dict[str, str]] = [held.get("commits", {}) for held in state["secrets"].values() if held["sid"] == sid]
    return found[0] if found else {}


def receive(state: State, epoch: Epoch, secret: bytes, seq: int) -> None:
    """Keep a secret that another member has granted and whose check value fits."""
    held = {"epoch": epoch.number, "seq": seq, "sid": epoch.sid, "status": "active"}
    state["secrets"][epoch.record] = held | {"secret": to_b64(secret)}


def end(state: State, session: Session, phase: str) -> None:
    """Close the open session; its messages stay to be sent again."""
    outbox = [message.to_bytes().decode() for message in session.outbox]
    seq = session.proposal.body()["seq"]
    state["ended"][session.sid] = {"phase": phase, "seq": seq, "fault": session.fault, "outbox": outbox}
    state["session"] = None
    if phase == Phase.VOID:
        void(state, session.sid)


def blame(state: State, fprs: list[str]) -> None:
    """Count a failed ceremony against members."""
    for fpr in fprs:
        state["aborts"][fpr] = state["aborts"].get(fpr, 0) + 1


def settle(state: State, log: Log) -> tuple[list[str], bool]:
    """Bring secrets, promises and old messages in line with the log.

    Returns:
        What a person should know, and whether anything has changed.
    """
    before = copy.deepcopy([state[name] for name in _SETTLED])
    on_chain = {epoch.record: epoch for epoch in log.epochs.values()}
    said = []
    for mid, held in state["secrets"].items():
        if mid in on_chain and held["status"] in ("pending", "passed"):
            held["status"] = "active"
            state["aborts"] = {}
        elif mid not in on_chain and held["seq"] < log.seq and held["status"] in _PASSED:
            said.append(_pass(state, mid))
            _close(state, held)
    state["signed"] = [record.to_bytes().decode() for record in signed(state) if record.body()["seq"] > log.seq]
    _forget_old(state, log)
    return said, [state[name] for name in _SETTLED] != before


def secret_of(state: State, epoch: Epoch) -> bytes | None:
    """The secret of an agreed epoch, if this keystore has it: 32 bytes."""
    held = state["secrets"].get(epoch.record)
    return from_b64(held["secret"], 32) if held and held["status"] == "active" else None


def forget(state: State, epoch: Epoch) -> None:
    """Erase the secret of an epoch that is not used any more.

    Raises:
        MembershipError: E_EPOCH, it is not here.
    """
    if secret_of(state, epoch) is None:
        raise MembershipError(f"this keystore does not hold the secret of epoch {epoch.number}", code="E_EPOCH")
    _erase(state, "forgotten", [epoch.record])


def _erase(state: State, status: str, mids: list[str]) -> None:
    for mid in mids:
        state["secrets"][mid] |= {"secret": "", "status": status}


_PASSED = {"pending": ("superseded", "erased"), "active": ("passed", "kept, should the record come back")}


def _pass(state: State, mid: str) -> str:
    """The log has passed a record by: a secret that nobody can have used is erased, one that may be in use is kept."""
    held = state["secrets"][mid]
    status, fate = _PASSED[held["status"]]
    held |= {"status": status, "secret": held["secret"] if status == "passed" else ""}
    return f"the log has passed by the record of epoch {held['epoch']}; its secret is {fate}"


def _close(state: State, held: dict[str, Any]) -> None:
    """A session is over when the log has passed its record by: it must not bring the secret back."""
    if state["session"] is not None and from_json(state["session"]).sid == held["sid"]:
        fault = "the log has passed the record by"
        state["ended"][held["sid"]] = {"phase": "superseded", "seq": held["seq"], "fault": fault, "outbox": []}
        state["session"] = None


def void(state: State, sid: str) -> None:
    """Erase the secret of a ceremony that a complaint has made readable."""
    _erase(state, "void", [mid for mid, held in state["secrets"].items() if held["sid"] == sid])


def _forget_old(state: State, log: Log) -> None:
    """Messages of ended sessions that can no longer matter, and the oldest where there are too many."""
    pending = {held["sid"] for held in state["secrets"].values() if held["status"] == "pending"}
    others = sorted((ended["seq"], sid) for sid, ended in state["ended"].items() if sid not in pending)
    surplus = {sid for _, sid in others[:-MOST_OUTBOXES]}
    for sid, ended in state["ended"].items():
        if ended["seq"] <= log.seq or sid in surplus:
            ended["outbox"] = []
