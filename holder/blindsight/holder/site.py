"""What most verbs of the holder need: an opened keystore, the drop-box, the log."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blindsight.cli import passphrase
from blindsight.cli.output import say
from blindsight.holder import federation
from blindsight.holder.evidence import write_evidence
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.errors import ConflictError, DataError
from blindsight.protocol.keystore import Keystore
from blindsight.protocol.log import Log


@dataclass(frozen=True, slots=True)
class Site:
    """A holder's site at work.

    Args:
        store: the opened keystore.
        box: the drop-box.
        log: the membership log of the federation meant.
    """

    store: Keystore
    box: DropBox
    log: Log


@contextlib.contextmanager
def opened(options: argparse.Namespace) -> Iterator[Site]:
    """Open the keystore and follow the log of the federation that the options mean.

    Args:
        options: parsed options of ``add_keystore`` and ``add_federation``.

    Raises:
        BlindsightError: the keystore does not open, or the federation is not complete.
    """
    with passphrase.opened(options) as store:
        box = box_of(options)
        fed = federation.choose(store, options.federation)
        try:
            log = federation.follow(store, box, fed, say)
        except ConflictError as error:
            error.kept = tuple(str(path) for path in write_evidence(store, [error]))
            raise
        yield Site(store, box, log)


def box_of(options: argparse.Namespace) -> DropBox:
    """The drop-box that the options name; a mistyped folder must not become an empty box.

    Raises:
        DataError: E_IO, there is no such folder.
    """
    if "://" not in options.dropbox and not Path(options.dropbox).is_dir():
        raise DataError(
            f"there is no drop-box at {options.dropbox}",
            code="E_IO",
            hint="a new one is made by: blindsight holder key init --dropbox DIR",
        )
    return DropBox(options.dropbox)
