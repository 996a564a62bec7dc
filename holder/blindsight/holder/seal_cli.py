"""``blindsight holder seal``, and sealing as ``publish`` does it: how shards leave a holder's site."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from blindsight.cli.arguments import Verbs, add_federation, add_keystore
from blindsight.cli.output import emit_facts, progress
from blindsight.cli.override import add_override
from blindsight.holder import override, site
from blindsight.holder.sealing import recipients_in, seal_dataset
from blindsight.protocol import manifest, sealing
from blindsight.protocol.clock import now, to_text
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import DataError
from blindsight.protocol.recipient import Recipient
from blindsight.protocol.transport.names import is_safe

SEAL_TO: dict[str, Any] = {
    "action": "append",
    "metavar": "WHO",
    "help": "put the shards into the drop-box, sealed to this trainer or operator: name or code; may be repeated",
}


def add_verb(verbs: Verbs) -> None:
    """Add ``seal``."""
    parser = verbs.add(
        "seal",
        _seal,
        "seal the shards of a data set that is published already to a trainer or operator, into the drop-box",
        "blindsight holder seal site-A/datasets/digits-train --seal-to lab --dropbox box",
    )
    parser.add_argument("dataset", type=Path, metavar="FOLDER", help="folder with the manifest and its shards")
    parser.add_argument("--seal-to", required=True, **SEAL_TO)
    add_override(parser)
    add_keystore(parser)
    add_federation(parser)


def _seal(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        place = place_of(here, options.dataset)
        number = int(manifest.load(options.dataset, here.log).predicate["epoch"])
        reason = override.demand_usable(options, here.log, number)
        people = recipients_in(here.box, here.log, now(), options.seal_to)
        override.note(here.store, "holder seal", number, reason)
        envelope = sealed(here, options.dataset, people)
    facts = {"sealed to": [one.entry.label for one in people], "shards": len(envelope.body()["files"])}
    facts |= {"sealing": envelope.mid, "offered": f"{here.box.transport.place}/{place}"}
    emit_facts(facts, as_json=options.json)
    return 0


def sealed(here: site.Site, folder: Path, people: Sequence[Recipient]) -> Envelope:
    """Seal a published data set's shards into the drop-box, showing how far it is.

    Args:
        here: the holder's site.
        folder: the published data set.
        people: from ``recipients_in``; at least one.

    Returns:
        The signed sealing.

    Raises:
        BlindsightError: see ``seal_dataset``.
    """
    shards = len(manifest.load(folder, here.log).predicate["shards"])
    with progress(f"sealing {folder.name}", shards) as advance:
        return seal_dataset(folder, here.box, here.log, here.store.key, people, to_text(now()), advance)


def place_of(here: site.Site, folder: Path) -> str:
    """Where a data set's folder is offered, below the drop-box.

    Raises:
        DataError: no drop-box can carry a folder of that name.
    """
    place = f"{here.box.data(here.log.fed, here.store.key.entry.fpr)}/{folder.name}"
    if not is_safe(f"{place}/{sealing.sealed_path('0' * 32, 0)}"):
        raise DataError(
            f"{folder.name[:60]!a} cannot be the name of a data set's folder in a drop-box",
            hint="letters, digits, . _ - make one; publish takes it from --name, or from the last part of --out",
        )
    return place
