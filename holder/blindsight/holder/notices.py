"""Warning the others that an epoch's secret is known to somebody who should not have it. FORMAT.md section E."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from blindsight.holder import vault
from blindsight.holder.letterbox import Letter, is_genuine
from blindsight.protocol import verdict
from blindsight.protocol.clock import to_text
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import PolicyError
from blindsight.protocol.keystore import Keystore
from blindsight.protocol.log import Log
from blindsight.protocol.logfile import NOTICES
from blindsight.protocol.messages import COMMIT, COMPLAINT
from blindsight.protocol.records import make_notice

SHOWN_KEY = "a complaint has shown a key of the ceremony, so that anybody can read its contributions"


def warn(store: Keystore, box: DropBox, log: Log, number: int, text: str, moment: datetime) -> Envelope:
    """Publish a notice of compromise. Nothing takes it back but a retirement, or a roster without its author.

    Args:
        store: the member's opened keystore.
        box: the drop-box.
        log: the membership log.
        number: of the epoch.
        text: what happened, for people.
        moment: the present time.

    Raises:
        MembershipError: E_EPOCH, E_ROSTER.
        PolicyError: E_EXISTS, this member has warned of it already.
    """
    author = log.roster.member(store.key.entry.fpr)
    epoch = log.epoch(number)
    if any(body["from"] == author.fpr for body in log.warnings(number)):
        raise PolicyError(f"you have warned of epoch {number} already", code="E_EXISTS")
    notice = make_notice(log.fed, number, epoch.record, author=author.fpr, text=text, created=to_text(moment)).signed(
        store.key
    )
    store.data["feds"][log.fed]["notices"].append(notice.to_bytes().decode())
    store.save()
    box.put_signed(notice, log.fed, NOTICES, author.fpr)
    return notice


def heed_complaints(
    store: Keystore, box: DropBox, log: Log, letters: tuple[Letter, ...], moment: datetime
) -> list[int]:
    """Warn of agreed epochs whose ceremony a valid complaint has made readable: their numbers.

    Who is no member (yet, or any more) warns nobody.
    """
    if store.key.entry.fpr not in {member.fpr for member in log.roster.members}:
        return []
    warned = []
    for number, epoch in log.epochs.items():
        mine = any(body["from"] == store.key.entry.fpr for body in log.warnings(number))
        rests_on = vault.commits_of(store.data["feds"][log.fed], epoch.sid)
        if not mine and number not in log.retired and is_exposed(epoch.sid, log, letters, rests_on):
            warn(store, box, log, number, SHOWN_KEY, moment)
            warned.append(number)
    return warned


def is_exposed(sid: str, log: Log, letters: tuple[Letter, ...], commits_by: Mapping[str, str]) -> bool:
    """Whether a complaint shows a key with which a ceremony's contributions were sealed.

    Args:
        sid: the session.
        log: the membership log.
        letters: what lies in the box.
        commits_by: fingerprint → id of the commit that counted. A second commit that somebody makes afterwards, for
            a complaint to fit, shows nothing.
    """
    genuine = [
        letter.envelope
        for letter in letters
        if letter.envelope.type in (COMMIT, COMPLAINT)
        and letter.sid == sid
        and is_genuine(letter.envelope, log.roster.members)
    ]
    counted = set(commits_by.values())
    commits = {one.body()["from"]: one for one in genuine if one.type == COMMIT and one.mid in counted}
    complaints = [envelope.body() for envelope in genuine if envelope.type == COMPLAINT]
    return any(body["from"] in commits and verdict.shows_key(commits[body["from"]], body) for body in complaints)
