"""What lies in the drop-box for a ceremony: messages by session, and which proposals can still be accepted.

Names are hints: a message counts for the session it names, wherever it lies. What lies in an open session's folder and
does not belong there is reported; what lies elsewhere and belongs to another session is no business of this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from blindsight.protocol import agreement, fields
from blindsight.protocol.clock import is_past
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import MembershipError, PolicyError, ProtocolError
from blindsight.protocol.identity import Entry
from blindsight.protocol.log import Log
from blindsight.protocol.messages import ABORT, COMPLAINT, KINDS, PROPOSE, SHAPES, demand_author

Terms = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document that was not taken in, or a ceremony that has ended badly.

    Args:
        file: its name in the drop-box, or the session's.
        error: why, with code and evidence.
    """

    file: str
    error: ProtocolError


@dataclass(frozen=True, slots=True)
class Letter:
    """A readable ceremony document.

    Args:
        file: folder and file, for people.
        folder: the folder it lies in: the start of a session id.
        envelope: its content.
    """

    file: str
    folder: str
    envelope: Envelope

    @property
    def sid(self) -> str:
        """The session it names; empty when that cannot be read."""
        if self.envelope.type == PROPOSE:
            return self.envelope.mid
        try:
            body = self.envelope.body()
        except ProtocolError:
            return ""
        return str(body.get("sid", "")) if isinstance(body, dict) else ""


@dataclass(frozen=True, slots=True)
class Letters:
    """All ceremony documents of a federation that are not history.

    Args:
        every: all that can be read, in name order, history included.
        readable: what is not history.
        refused: what cannot be read.
    """

    every: tuple[Letter, ...]
    readable: tuple[Letter, ...]
    refused: tuple[Refusal, ...]

    @classmethod
    def of(cls, box: DropBox, fed: str, history: set[str]) -> Letters:
        """Read the box.

        Args:
            box: the drop-box.
            fed: the federation.
            history: session ids.
        """
        old = {sid[:12] for sid in history}
        found = box.messages(fed)
        refused = [Refusal(d.short, d.fault) for d in found if d.fault and d.folder not in old]
        letters = [Letter(d.short, d.folder, d.envelope) for d in found if d.envelope]
        fresh = [letter for letter in letters if letter.folder not in old and letter.sid not in history]
        return cls(tuple(letters), tuple(fresh), tuple(refused))

    def of_session(self, sid: str) -> list[Letter]:
        """What belongs to a session, or lies in its folder and is to be refused."""
        return [letter for letter in self.every if letter.sid == sid or letter.folder == sid[:12]]

    def proposals(self, log: Log, terms: Terms, moment: datetime) -> tuple[list[Envelope], list[Refusal]]:
        """The proposals that can be accepted, the one that takes precedence first; and those that cannot.

        Args:
            log: the membership log.
            terms: ``promised`` and ``known`` sequences, see ``agreement.read_proposal``.
            moment: the present time.
        """
        valid, refused = {}, []
        for letter in self.readable:
            if letter.envelope.type != PROPOSE:
                continue
            try:
                body = agreement.read_proposal(log, letter.envelope, **terms)
                _demand_future(body, moment)
            except ProtocolError as error:
                refused += [] if _expired(letter.envelope, moment) else [Refusal(letter.file, error)]
                continue
            if not is_past(body["deadline"], moment) and not self.given_up(log.roster.members, letter.sid):
                valid[letter.sid] = letter.envelope
        return [valid[sid] for sid in sorted(valid)], refused

    def given_up(self, members: tuple[Entry, ...], sid: str) -> bool:
        """Whether a member has aborted a session or complained in it: nobody need join it any more."""
        return any(
            letter.sid == sid and is_genuine(letter.envelope, members)
            for letter in self.readable
            if letter.envelope.type in (ABORT, COMPLAINT)
        )


def is_genuine(envelope: Envelope, members: tuple[Entry, ...]) -> bool:
    """Whether a ceremony message is well-formed and signed by the member in whose name it speaks."""
    kind = KINDS[envelope.type]
    try:
        body: dict[str, Any] = envelope.body(kind)
        fields.demand(SHAPES[envelope.type], body, kind)
        demand_author(members, envelope, body["from"], kind)
    except ProtocolError:
        return False
    return True


def _demand_future(body: Mapping[str, Any], moment: datetime) -> None:
    if is_past(body["not_after"], moment):
        raise PolicyError(f"the proposal is for an epoch that ended on {body['not_after']}", code="E_EXPIRED")


def _expired(proposal: Envelope, moment: datetime) -> bool:
    try:
        body = proposal.body()
        fields.demand(SHAPES[PROPOSE], body, "proposal")
    except ProtocolError:
        return False
    return is_past(body["deadline"], moment)


def demand_mine(letter: Letter, sid: str) -> None:
    """Refuse a second proposal in a session's folder.

    Raises:
        MembershipError: E_SID.
    """
    if letter.envelope.type == PROPOSE and letter.envelope.mid != sid:
        raise MembershipError("this proposal is not the one this member has accepted", code="E_SID")
