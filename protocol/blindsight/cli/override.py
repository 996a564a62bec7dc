"""``--despite-notice REASON``: a person goes on with an epoch that a member has warned of, and that is written down."""

from __future__ import annotations

import argparse
import json
import os

from blindsight.cli import state
from blindsight.cli.output import say
from blindsight.protocol.clock import now, to_text
from blindsight.protocol.errors import PolicyError

FILE = "overrides.jsonl"


def add_override(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--despite-notice",
        metavar="REASON",
        help="go on although a member has warned of the epoch; the reason is written to overrides.jsonl",
    )


def decided(options: argparse.Namespace, verb: str) -> bool:
    """Whether a person has decided to go on in spite of notices; written down before it takes effect.

    Args:
        options: of a verb with ``add_override``.
        verb: what the person does, for the file.

    Raises:
        PolicyError: E_NOTICE, no reason is given.
    """
    if options.despite_notice is None:
        return False
    reason = options.despite_notice.strip()
    if not reason:
        raise PolicyError("--despite-notice needs a reason", code="E_NOTICE", hint='--despite-notice "why"')
    path = state.folder() / FILE
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps({"time": to_text(now()), "verb": verb, "reason": reason}) + "\n")
    say(f"going on in spite of warnings about the epoch: {reason} (written to {path})")
    return True
