"""Who belongs to a federation, and whose signatures change that. FORMAT.md section C.

A new roster keeps more than half of the old members. Under policy ``all`` every member of the new roster signs it;
under ``majority`` every newcomer and more than half of the old members, counted among those who stay. So a minority can
neither take a federation over nor split it, and nobody is a member without having said so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blindsight.protocol.encoding import people_code
from blindsight.protocol.errors import MembershipError
from blindsight.protocol.identity import Entry
from blindsight.protocol.records import ROLE_OF_PLACE, entries_of


@dataclass(frozen=True, slots=True)
class Quorum:
    """Whose signatures a record needs.

    Args:
        everyone: all of these.
        voters: and some of these,
        votes: at least so many.
    """

    everyone: tuple[Entry, ...]
    voters: tuple[Entry, ...] = ()
    votes: int = 0

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Everybody whose signature counts, each once."""
        return tuple({entry.fpr: entry for entry in (*self.everyone, *self.voters)}.values())

    def missing(self, signed: Collection[str]) -> tuple[Entry, ...]:
        """Whose signature would still help; empty when the quorum is met."""
        absent = [entry for entry in self.everyone if entry.fpr not in signed]
        if sum(voter.fpr in signed for voter in self.voters) < self.votes:
            absent += [voter for voter in self.voters if voter.fpr not in signed and voter not in absent]
        return tuple(absent)


@dataclass(frozen=True, slots=True)
class Roster:
    """Who belongs to the federation.

    Args:
        id: id of the record that set it, hex.
        members: the holders, by ascending fingerprint.
        trainers: who may sign model bundles.
        operators: who run models.
    """

    id: str
    members: tuple[Entry, ...]
    trainers: tuple[Entry, ...]
    operators: tuple[Entry, ...]

    @classmethod
    def of(cls, record: str, body: Mapping[str, Any]) -> Roster:
        """The roster that a genesis or roster record of that id sets."""
        return cls(record, *(entries_of(body, place) for place in ROLE_OF_PLACE))

    @property
    def everybody(self) -> tuple[Entry, ...]:
        """Members, trainers and operators."""
        return self.members + self.trainers + self.operators

    def member(self, fpr: str) -> Entry:
        """The member of that fingerprint.

        Raises:
            MembershipError: E_ROSTER, no member has it.
        """
        return _find(self.members, fpr, "a member")

    def trainer(self, fpr: str) -> Entry:
        """The trainer of that fingerprint.

        Raises:
            MembershipError: E_ROSTER, no trainer has it.
        """
        return _find(self.trainers, fpr, "a trainer")

    def anybody(self, fpr: str) -> Entry:
        """The member, trainer or operator of that fingerprint.

        Raises:
            MembershipError: E_ROSTER, nobody has it.
        """
        return _find(self.everybody, fpr, "anybody")

    def decision(self, policy: str) -> Quorum:
        """Who decides what changes nobody's membership."""
        if policy == "all":
            return Quorum(self.members)
        return Quorum((), self.members, len(self.members) // 2 + 1)

    def change(self, new: Roster, policy: str) -> Quorum:
        """Whose signatures make ``new`` the next roster.

        Raises:
            MembershipError: E_ROSTER, nobody's signatures do: it keeps too few members, or changes nothing.
        """
        known, named = {entry.fpr for entry in self.members}, {entry.fpr for entry in new.members}
        stay = tuple(entry for entry in self.members if entry.fpr in named)
        if 2 * len(stay) <= len(self.members):
            raise MembershipError(
                f"the new roster keeps {len(stay)} of {len(self.members)} members, which is not more than half",
                code="E_ROSTER",
                hint="found a new federation: blindsight holder federation create",
            )
        mine = {entry.fpr: entry for entry in self.everybody}
        for entry in new.everybody:
            if mine.get(entry.fpr, entry) != entry:
                raise MembershipError(f"the new roster renames {mine[entry.fpr].label}", code="E_ROSTER")
        if set(mine) == {entry.fpr for entry in new.everybody}:
            raise MembershipError("the new roster changes nothing", code="E_ROSTER")
        if policy == "all":
            return Quorum(new.members)
        newcomers = tuple(entry for entry in new.members if entry.fpr not in known)
        return Quorum(newcomers, stay, len(self.members) // 2 + 1)

    def difference(self, new: Roster) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
        """Who comes and who goes, whatever their role."""
        mine, theirs = ({entry.fpr for entry in roster.everybody} for roster in (self, new))
        come = tuple(entry for entry in new.everybody if entry.fpr not in mine)
        return come, tuple(entry for entry in self.everybody if entry.fpr not in theirs)


def _find(entries: Sequence[Entry], fpr: str, what: str) -> Entry:
    for entry in entries:
        if entry.fpr == fpr:
            return entry
    raise MembershipError(f"{people_code(bytes.fromhex(fpr))[:9]}… is not {what} of this federation", code="E_ROSTER")
