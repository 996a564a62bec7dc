"""A member's side of the epoch ceremony: the pure session, the sealed keystore and the drop-box put together.

Order of every step: take in messages, advance, save the keystore, only then let messages leave. Killed between any
two of these, the next step goes on where this one was; what it sends again is byte-identical.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from blindsight.protocol import agreement
from blindsight.protocol.agreement import PROPOSE, Phase, Session
from blindsight.protocol.clock import is_past, to_text
from blindsight.protocol.dropbox import DropBox, Found
from blindsight.protocol.encoding import to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ConflictError, MembershipError, PolicyError, ProtocolError, SignatureError
from blindsight.protocol.files import write_whole
from blindsight.protocol.keystore import Keystore
from blindsight.protocol.log import EPOCH, Log, read_epoch

Entropy = Callable[[int], bytes]
KINDS = {agreement.COMMIT: "commit", agreement.REVEAL: "reveal", EPOCH: "confirm"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that was not taken in.

    Args:
        file: its name in the drop-box.
        error: why, with code and evidence.
    """

    file: str
    error: ProtocolError


@dataclass(frozen=True, slots=True)
class Progress:
    """What a step has done.

    Args:
        phase: the session's phase, or ``idle``.
        epoch: number of the epoch at stake, 0 when none is.
        kcv: key check value once the secret exists.
        waiting_kind: kind of message still needed.
        waiting_for: whose, by label.
        refused: messages that were not taken in.
        evidence: evidence files written.
    """

    phase: str
    epoch: int = 0
    kcv: str = ""
    waiting_kind: str = ""
    waiting_for: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()
    evidence: tuple[Path, ...] = ()


def propose(
    store: Keystore,
    box: DropBox,
    log: Log,
    *,
    schemes: Sequence[Mapping[str, Any]],
    moment: datetime,
    deadline: datetime,
    not_after: datetime,
    entropy: Entropy = os.urandom,
) -> Envelope:
    """Propose the next epoch and commit to it.

    Args:
        store: the member's opened keystore.
        box: the drop-box.
        log: the membership log.
        schemes: what may be used in the epoch.
        moment: the present time.
        deadline: when members give up waiting.
        not_after: last moment of use of the epoch.
        entropy: gives so many random bytes.

    Raises:
        PolicyError: E_EXISTS, a ceremony is open already.
    """
    if store.data["feds"][log.fed]["session"] is not None:
        raise PolicyError("a ceremony is open already", code="E_EXISTS", hint="blindsight holder epoch step")
    proposal = agreement.make_proposal(
        store.key,
        log,
        schemes=schemes,
        nonce=entropy(32),
        created=to_text(moment),
        deadline=to_text(deadline),
        not_after=to_text(not_after),
        promised=store.data["feds"][log.fed]["promised_seq"],
    )
    session = _accept(store, log, proposal, entropy)
    _keep(store, log, session)
    _send(store, box, log, session)
    return proposal


def step(store: Keystore, box: DropBox, log: Log, moment: datetime, *, entropy: Entropy = os.urandom) -> Progress:
    """Do everything that is possible now.

    Args:
        store: the member's opened keystore.
        box: the drop-box.
        log: the membership log.
        moment: the present time.
        entropy: gives so many random bytes.

    Raises:
        ProtocolError: the ceremony cannot go on: E_COMMITSET, E_TRANSCRIPT, E_BOX, E_COMMIT, E_EXPIRED.
    """
    session = _stored(store, log)
    documents, refused = _readable(box.messages(log.fed), _finished(store, log, session))
    if session is None:
        _publish_records(store, box, log)
        proposal, bad = _open_proposal(log, documents, store.data["feds"][log.fed]["void"], moment)
        refused += bad
        if proposal is None:
            return _report(store, Progress(phase="idle", refused=tuple(refused)), log)
        session = _accept(store, log, proposal, entropy)
    known_bad = {refusal.file for refusal in refused}
    sound = [document for document in documents if document[0] not in known_bad]
    session, bad = _take_in(session, sound + _agreed_elsewhere(log, session))
    session = _advance(store, log, session, moment)
    _keep(store, log, session)
    _send(store, box, log, session)
    return _report(store, _progress(session, refused + bad), log)


def _readable(found: list[Found], finished: set[str]) -> tuple[list[tuple[str, Envelope]], list[Refusal]]:
    open_ones = [document for document in found if document.path.parent.name not in finished]
    refused = [Refusal(f"{d.path.parent.name}/{d.path.name}", d.fault) for d in open_ones if d.fault]
    return [(f"{d.path.parent.name}/{d.path.name}", d.envelope) for d in open_ones if d.envelope], refused


def _finished(store: Keystore, log: Log, session: Session | None) -> set[str]:
    """Folders of sessions that are history: agreed or void, and not this member's open one."""
    done = [epoch.sid for epoch in log.epochs.values()] + store.data["feds"][log.fed]["void"]
    return {sid[:12] for sid in done if session is None or sid != session.sid}


def _publish_records(store: Keystore, box: DropBox, log: Log) -> None:
    """Offer what this member knows of the chain, in case it was killed before it could."""
    for record in log.records[1:]:
        box.put_record(record, log.fed, read_epoch(record)["seq"], store.key.entry.fpr)


def _stored(store: Keystore, log: Log) -> Session | None:
    document = store.data["feds"][log.fed]["session"]
    return None if document is None else agreement.from_json(document)


def _open_proposal(
    log: Log, documents: list[tuple[str, Envelope]], void: Sequence[str], moment: datetime
) -> tuple[Envelope | None, list[Refusal]]:
    valid: dict[str, Envelope] = {}
    refused = []
    for name, envelope in documents:
        try:
            if envelope.type == PROPOSE:
                _demand_in_time(agreement.read_proposal(log, envelope), moment)
                _demand_not_void(envelope, void)
                valid[envelope.mid] = envelope
        except ProtocolError as error:
            refused.append(Refusal(name, error))
    if len(valid) > 1:
        hint = "agree on one; remove the files of the others"
        raise PolicyError("several proposals are open at once", code="E_SID", hint=hint)
    return next(iter(valid.values()), None), refused


def _demand_in_time(body: Mapping[str, Any], moment: datetime) -> None:
    if is_past(body["deadline"], moment):
        raise PolicyError(f"the proposal's deadline {body['deadline']} has passed", code="E_EXPIRED")


def _demand_not_void(envelope: Envelope, void: Sequence[str]) -> None:
    """A ceremony is never joined twice: two commits by one member would look like two faces."""
    if envelope.mid in void:
        raise MembershipError("this member has given this ceremony up already", code="E_SID")


def _accept(store: Keystore, log: Log, proposal: Envelope, entropy: Entropy) -> Session:
    return agreement.accept(store.key, log, proposal, kem_seed=entropy(32), contribution=entropy(32))


def _take_in(session: Session, documents: list[tuple[str, Envelope]]) -> tuple[Session, list[Refusal]]:
    refused = []
    for name, envelope in documents:
        try:
            if envelope.type != PROPOSE:
                session = agreement.receive(session, envelope)
            elif envelope.mid != session.sid:
                raise MembershipError("this proposal is not the one this member has accepted", code="E_SID")
        except ProtocolError as error:
            refused.append(Refusal(name, error))
    return session, refused


def _agreed_elsewhere(log: Log, session: Session) -> list[tuple[str, Envelope]]:
    """The complete record, if the others have it already: it carries their confirms."""
    epochs = [record for record in log.records[1:] if read_epoch(record)["sid"] == session.sid]
    return [("records", record) for record in epochs]


def _advance(store: Keystore, log: Log, session: Session, moment: datetime) -> Session:
    try:
        advanced = agreement.advance(session, store.key)
    except ConflictError as error:
        write_evidence(store, [error])
        _demand_before_deadline(store, log, session, moment)
        _keep(store, log, session)
        raise
    if advanced.phase is Phase.VOID:
        _forget(store, log, advanced)
        raise SignatureError(advanced.fault, code=advanced.fault.partition(":")[0])
    _demand_before_deadline(store, log, advanced, moment)
    return advanced


def _demand_before_deadline(store: Keystore, log: Log, session: Session, moment: datetime) -> None:
    """A member that still cannot confirm at the deadline gives up; whoever can confirm does, for others may have."""
    confirming = session.phase in (Phase.CONFIRMED, Phase.ACTIVE)
    if not confirming and is_past(session.proposal.body()["deadline"], moment):
        _forget(store, log, session)
        raise PolicyError(
            "the ceremony's deadline has passed; its secrets are erased",
            code="E_EXPIRED",
            hint="blindsight holder epoch propose",
        )


def _forget(store: Keystore, log: Log, session: Session) -> None:
    state = store.data["feds"][log.fed]
    state["session"] = None
    state["void"].append(session.sid)
    store.save()


def _keep(store: Keystore, log: Log, session: Session) -> None:
    """Persist the session, its secret and the promise, before anything leaves."""
    state = store.data["feds"][log.fed]
    state["session"] = agreement.to_json(session)
    if session.phase in (Phase.CONFIRMED, Phase.ACTIVE):
        _keep_secret(state, session)
    if session.phase is Phase.ACTIVE:
        record = session.record.to_bytes().decode()
        state["records"] += [record] if record not in state["records"] else []
        state["session"] = None
    store.save()


def _keep_secret(state: dict[str, Any], session: Session) -> None:
    record = session.record
    body = read_epoch(record)
    held = state["epochs"].get(str(body["epoch"]), {})
    if held.get("record") != record.mid and body["seq"] <= state["promised_seq"]:
        raise ConflictError(
            f"this member has already promised a record of sequence {state['promised_seq']}", code="E_SEQ"
        )
    state["promised_seq"] = body["seq"]
    status = "active" if session.phase is Phase.ACTIVE else "pending"
    state["epochs"][str(body["epoch"])] = {"record": record.mid, "secret": to_b64(session.secret), "status": status}


def _send(store: Keystore, box: DropBox, log: Log, session: Session) -> None:
    me = store.key.entry.fpr
    proposer = session.proposal.body()["from"]
    box.put_message(session.proposal, log.fed, session.sid, "propose", proposer)
    for message in session.outbox:
        box.put_message(message, log.fed, session.sid, KINDS[message.type], me)
    if session.phase is Phase.ACTIVE:
        record = session.record
        box.put_record(record, log.fed, read_epoch(record)["seq"], me)


def _progress(session: Session, refused: list[Refusal]) -> Progress:
    kind, waiting = session.waiting_for()
    confirmed = session.phase in (Phase.CONFIRMED, Phase.ACTIVE)
    return Progress(
        phase=session.phase.value,
        epoch=session.proposal.body()["epoch"],
        kcv=session.record.body()["kcv"] if confirmed else "",
        waiting_kind=kind,
        waiting_for=tuple(member.label for member in waiting),
        refused=tuple(refused),
    )


def _report(store: Keystore, progress: Progress, log: Log) -> Progress:
    """Complete a progress with the log's view, and write evidence files."""
    evidence = write_evidence(store, [refusal.error for refusal in progress.refused])
    if progress.phase == "idle" and log.epochs:
        phase, epoch, kcv = Phase.ACTIVE.value, log.latest.number, log.latest.kcv
        progress = replace(progress, phase=phase, epoch=epoch, kcv=kcv)
    return replace(progress, evidence=evidence)


def write_evidence(store: Keystore, errors: Sequence[ProtocolError]) -> tuple[Path, ...]:
    """Keep what convinces a third party, beside the keystore: the files."""
    written = []
    for error in errors:
        for document in error.evidence:
            envelope = Envelope.from_bytes(document)
            path = store.path.parent / "evidence" / f"{error.code}-{envelope.mid[:12]}.json"
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_whole(path, document, mode=0o600)
            written.append(path)
    return tuple(written)
