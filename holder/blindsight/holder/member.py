"""A member at work: keystore, drop-box and log together, and the order in which it speaks.

First everything is kept in the keystore, then it leaves. Killed in between, the next step sends again, byte for byte.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from blindsight.holder import vault
from blindsight.holder.letterbox import Letters
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.keystore import Keystore
from blindsight.protocol.log import Log
from blindsight.protocol.messages import ABORT, COMMIT, COMPLAINT, REVEAL
from blindsight.protocol.records import EPOCH
from blindsight.protocol.session import Phase, Session, from_json, to_json

Entropy = Callable[[int], bytes]
KINDS = {COMMIT: "commit", REVEAL: "reveal", EPOCH: "confirm", COMPLAINT: "complaint", ABORT: "abort"}


@dataclass(slots=True)
class Member:
    """One member at work on one federation.

    Args:
        store: the opened keystore.
        box: the drop-box.
        log: the membership log.
        moment: the present time.
        entropy: gives so many random bytes.
    """

    store: Keystore
    box: DropBox
    log: Log
    moment: datetime
    entropy: Entropy = os.urandom

    @property
    def state(self) -> vault.State:
        """What the keystore remembers of the federation."""
        state: vault.State = self.store.data["feds"][self.log.fed]
        return state

    @property
    def session(self) -> Session | None:
        """The open session."""
        document = self.state["session"]
        return None if document is None else from_json(document)

    @property
    def terms(self) -> Mapping[str, int]:
        """The sequences that bound what may be proposed."""
        return {"promised": self.state["promised_seq"], "known": self.state["known_seq"]}

    def letters(self) -> Letters:
        """What lies in the box and is not history."""
        agreed = {epoch.sid for epoch in self.log.epochs.values()}
        return Letters.of(self.box, self.log.fed, agreed | set(self.state["ended"]))


def keep(me: Member, session: Session) -> None:
    """Persist the session, its secret and the promise, before anything leaves."""
    remember(me, session)
    me.store.save()


def remember(me: Member, session: Session) -> None:
    """Take a session, its secret and the promise into the keystore's data; to be saved."""
    me.state["session"] = to_json(session)
    if session.phase in (Phase.CONFIRMED, Phase.ACTIVE):
        vault.hold(me.state, session)
    if session.phase is Phase.ACTIVE:
        record = session.record.to_bytes().decode()
        me.state["records"] += [record] if record not in me.state["records"] else []
        me.state["session"], me.state["aborts"] = None, {}


def finish(me: Member, session: Session) -> None:
    """Close the session for good, then say so."""
    vault.end(me.state, session, session.phase.value)
    me.store.save()
    send(me, session)


def send(me: Member, session: Session) -> None:
    """Let the session's messages leave; only after ``keep``."""
    mine = me.store.key.entry.fpr
    me.box.put_message(session.proposal, me.log.fed, session.sid, "propose", session.proposal.body()["from"])
    _send_messages(me, session.sid, session.outbox)
    if session.phase is Phase.ACTIVE:
        record = session.record
        me.box.put_record(record, me.log.fed, record.body()["seq"], mine)


def _send_messages(me: Member, sid: str, messages: Sequence[Envelope]) -> None:
    """Confirms go among the records, too: whoever has all of them has the record."""
    mine = me.store.key.entry.fpr
    for message in messages:
        me.box.put_message(message, me.log.fed, sid, KINDS[message.type], mine)
        if message.type == EPOCH:
            me.box.put_record(message, me.log.fed, message.body()["seq"], mine)


def offer_again(me: Member) -> None:
    """Send again what others may lack: the chain, signatures under open records, messages of ended sessions."""
    mine = me.store.key.entry.fpr
    for record in (*me.log.records[1:], *vault.signed(me.state)):
        me.box.put_record(record, me.log.fed, record.body()["seq"], mine)
    for sid, ended in me.state["ended"].items():
        _send_messages(me, sid, [Envelope.from_bytes(text.encode()) for text in ended["outbox"]])
