"""Command lines: argparse with this command's manners, and the options that several roles share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from blindsight.cli import passphrase

MOST_DAYS = 36_500
MOST_DIGITS = 15
Verb = Callable[[argparse.Namespace], int]


class Verbs:
    """The verbs of one role, possibly in groups (``key init``).

    Args:
        role: the role's name.
        summary: one sentence.
        example: a command line that works when pasted.
    """

    def __init__(self, role: str, summary: str, example: str) -> None:
        self._parser = _parser(f"blindsight {role}", summary, example)
        self._root = self._parser.add_subparsers(dest="verb", metavar="VERB", required=True)
        self._groups: dict[str, Any] = {}

    def group(self, name: str, summary: str) -> None:
        """Announce a group of verbs."""
        parser = self._root.add_parser(name, help=summary, description=summary)
        self._groups[name] = parser.add_subparsers(dest="subverb", metavar="VERB", required=True)

    def add(self, name: str, run: Verb, summary: str, example: str) -> argparse.ArgumentParser:
        """Add a verb, ``"check"`` or ``"key init"``.

        Args:
            name: one word, or a group and a word.
            run: takes the parsed options, returns the exit status.
            summary: one sentence.
            example: a command line that works when pasted.

        Returns:
            The parser, to add options to.
        """
        group, _, word = name.rpartition(" ")
        place = self._groups[group] if group else self._root
        parser: argparse.ArgumentParser = place.add_parser(
            word,
            help=summary,
            description=summary,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("--json", action="store_true", help="print JSON, one object a line")
        parser.set_defaults(run=run)
        return parser

    def main(self, words: Sequence[str]) -> int:
        """Parse and run; wrong usage ends the process with status 2."""
        options = self._parser.parse_args(words)
        status: int = options.run(options)
        return status


def _parser(program: str, summary: str, example: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=program,
        description=summary,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def at_least(least: int) -> Callable[[str], int]:
    """The type of an option that is a whole number from ``least``."""

    def number(text: str) -> int:
        if not text.isdecimal() or len(text) > MOST_DIGITS or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least}, got {text[:20]!r}")
        return int(text)

    return number


def days(text: str) -> float:
    """The type of an option that is a number of days.

    Raises:
        ArgumentTypeError: it is none, or not between 0 and a hundred years.
    """
    number = float(text)
    if not 0 < number <= MOST_DAYS:
        raise argparse.ArgumentTypeError(f"expected more than 0 and at most {MOST_DAYS} days, got {text[:20]!r}")
    return number


def add_keystore(parser: argparse.ArgumentParser) -> None:
    """Add the options that find and open a keystore."""
    parser.add_argument(
        "--keystore",
        type=Path,
        metavar="FILE",
        help="the sealed keystore (default: $BLINDSIGHT_KEYSTORE, else ~/.config/blindsight/keystore.json)",
    )
    parser.add_argument(
        "--passphrase-file", type=Path, metavar="FILE", help="read the passphrase from a file, mode 0600"
    )
    parser.add_argument("--passphrase-fd", type=int, metavar="N", help="read the passphrase from a file descriptor")
    passphrase.add_options(parser)


def add_federation(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a drop-box and one of several federations."""
    parser.add_argument(
        "--dropbox", metavar="PLACE", required=True, help="the shared folder, fsspec URL or relay of the federation"
    )
    parser.add_argument("--federation", metavar="CODE", help="start of the federation code, if there are several")


def add_log(parser: argparse.ArgumentParser) -> None:
    """Add the options that say whom to trust."""
    parser.add_argument(
        "--log",
        metavar="PLACE",
        required=True,
        help="the membership log: the drop-box, a copy of its records, or an exported log",
    )
    parser.add_argument("--federation", metavar="CODE", help="the federation code as a member read it to you")
