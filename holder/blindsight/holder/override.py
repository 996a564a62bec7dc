"""Using an epoch that a member has warned of: a person decides, and it is written down beside the keystore."""

from __future__ import annotations

import argparse

from blindsight.cli.override import write_down
from blindsight.holder.edition import MAX_REASON
from blindsight.protocol import fields
from blindsight.protocol.clock import now
from blindsight.protocol.errors import PolicyError
from blindsight.protocol.keystore import Keystore
from blindsight.protocol.log import Log

HINT = "blindsight holder epoch propose"
HINT_NOTICE = f'{HINT}; to go on all the same: --despite-notice "why"'


def demand_usable(options: argparse.Namespace, log: Log, number: int) -> str:
    """Refuse an epoch there is an objection to, unless it is a warning and a person goes on in spite of it.

    Args:
        options: of a verb with ``add_override``.
        log: the membership log.
        number: of an agreed epoch.

    Returns:
        Why the person goes on; empty when nobody warns of the epoch.

    Raises:
        PolicyError: E_RETIRED, E_NOTICE, E_EXPIRED; E_NOTICE, the reason is empty.
        FormatError: E_FORMAT, the reason is too long or not printable.
    """
    reason = (options.despite_notice or "").strip()
    if options.despite_notice is not None and not reason:
        raise PolicyError("--despite-notice needs a reason", code="E_NOTICE", hint='--despite-notice "why"')
    fields.demand(fields.text(MAX_REASON), reason, "the reason of --despite-notice")
    try:
        log.demand_usable(number, now(), despite_notice=bool(reason))
    except PolicyError as error:
        hint = HINT_NOTICE if error.code == "E_NOTICE" else HINT
        raise PolicyError(error.message, code=error.code, hint=hint) from error
    return reason if log.warnings(number) else ""


def note(store: Keystore, verb: str, number: int, reason: str) -> None:
    """Write a decision down before it takes effect, and say it; nothing for an empty reason.

    Args:
        store: the keystore; the file ``overrides.jsonl`` (mode 0600) lies beside it.
        verb: what the person does.
        number: of the epoch.
        reason: why.
    """
    if reason:
        write_down(store.path.parent, verb, reason, epoch=number)
