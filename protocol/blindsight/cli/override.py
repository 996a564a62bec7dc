"""``--despite-notice REASON``: a person goes on with an epoch that a member has warned of, and that is written down."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from blindsight.cli import state
from blindsight.cli.output import say
from blindsight.protocol.clock import now, to_text
from blindsight.protocol.errors import PolicyError
from blindsight.protocol.files import sync_folder

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
    write_down(state.folder(), verb, reason)
    return True


def write_down(folder: Path, verb: str, reason: str, **more: int) -> None:
    """Write a decision down before it takes effect, and say it.

    Args:
        folder: where the file ``overrides.jsonl`` (mode 0600) lies.
        verb: what the person does.
        reason: why.
        more: what else belongs to it: the number of the epoch.
    """
    path = folder / FILE
    line = json.dumps({"time": to_text(now()), "verb": verb, **more, "reason": reason})
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)
    which = f"epoch {more['epoch']}" if "epoch" in more else "the epoch"
    say(f"going on in spite of warnings about {which}: {reason} (written to {path})")
