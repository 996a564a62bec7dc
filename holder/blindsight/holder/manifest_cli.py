"""``blindsight holder manifest``: verify a manifest, and describe its data set for catalogues."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from blindsight.cli.arguments import Verbs, add_federation, add_keystore
from blindsight.cli.output import emit, emit_facts, emit_json, say
from blindsight.holder import site
from blindsight.protocol import manifest
from blindsight.protocol.admission import Fault, verify_federation
from blindsight.protocol.clock import now
from blindsight.protocol.errors import DataError, FormatError
from blindsight.protocol.exports import croissant, datapackage, description
from blindsight.protocol.files import write_whole
from blindsight.protocol.log import Log
from blindsight.protocol.manifest import Manifest


def add_verbs(verbs: Verbs) -> None:
    """Add both verbs."""
    verbs.group("manifest", "verify a manifest, and describe its data set for catalogues")
    verify = verbs.add(
        "manifest verify",
        _verify,
        "check signature, federation and epoch of a manifest, and the shards where they lie beside it",
        "blindsight holder manifest verify site-A/datasets/digits-train --dropbox box",
    )
    export = verbs.add(
        "manifest export",
        _export,
        "describe a data set from its verified manifest, for catalogues of data sets",
        "blindsight holder manifest export site-A/datasets/digits-train --croissant --dropbox box",
    )
    kinds = export.add_mutually_exclusive_group(required=True)
    for option, describe, what in (
        ("--croissant", croissant.document, "Croissant 1.0, JSON-LD"),
        ("--datapackage", datapackage.document, "Data Package 2.0, datapackage.json"),
    ):
        kinds.add_argument(option, dest="describe", action="store_const", const=describe, help=what)
    export.add_argument("--out", type=Path, metavar="FILE", help="a new file (default: print it)")
    for parser in (verify, export):
        parser.add_argument("dataset", type=Path, metavar="FOLDER", help="folder with a manifest, or the manifest file")
        add_keystore(parser)
        add_federation(parser)


def _verify(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        log = here.log
    found = _verified(options.dataset, log)
    complete = _shards_checked(found, options.dataset)
    facts = _facts(found, log) | {"shards checked": "yes" if complete else "no, they do not lie beside the manifest"}
    emit_facts(facts | {"verifies": "yes" if complete else "as far as checked"}, as_json=options.json)
    return 0


def _facts(found: Manifest, log: Log) -> dict[str, Any]:
    predicate, scheme = found.predicate, found.descriptor
    return {
        "data set": description.title(found),
        "version": predicate["dataset"]["version"],
        "signed by": found.holder,
        "federation": f"{log.name} ({log.code[:9]})",
        "epoch": predicate["epoch"],
        "epoch ends": log.epoch(predicate["epoch"]).not_after,
        "kcv": predicate["kcv"],
        "scheme": f"{scheme.id} v{scheme.v}",
        "images": description.images(found),
        "labels": description.labels(found),
        "created": predicate["created"],
        "rows": predicate["rows"],
        "shards": len(predicate["shards"]),
    }


def _verified(path: Path, log: Log, tolerated: Sequence[str] = ()) -> Manifest:
    """The manifest, checked as a trainer checks it before training.

    Args:
        path: the manifest, or the folder that holds it.
        log: the followed log.
        tolerated: codes of faults that are only said.

    Raises:
        FormatError: with the code of the first fault and all faults in its sentence; E_IO, it cannot be read.
    """
    found, faults = verify_federation(log, manifest.offers_in([path]), now())
    for fault in faults:
        if fault.code in tolerated:
            say(f"{fault.holder}: {fault.sentence}")
    _demand_none([fault for fault in faults if fault.code not in tolerated])
    return found[0]


def _demand_none(faults: Sequence[Fault]) -> None:
    if len(faults) == 1:
        raise FormatError(f"{faults[0].holder}: {faults[0].sentence}", code=faults[0].code)
    if faults:
        raise FormatError("; ".join(str(fault) for fault in faults), code=faults[0].code)


def _shards_checked(found: Manifest, path: Path) -> bool:
    """Demand that the shards are the signed ones if any of them lies beside the manifest, and say whether one does.

    Raises:
        FormatError: with the code of the first fault: E_IO, E_SHARD, E_SHA, E_SCHEME.
    """
    folder = path if path.is_dir() else path.parent
    shards = found.predicate["shards"]
    if not any((folder / entry["path"]).exists() for entry in shards):
        return False
    say(f"checking {len(shards)} shard(s), {sum(entry['bytes'] for entry in shards):,} bytes")
    _demand_none([Fault(found.holder, error.code, error.message) for error in manifest.shard_faults(found, folder)])
    return True


def _export(options: argparse.Namespace) -> int:
    if options.out:
        _demand_free(options.out)
    with site.opened(options) as here:
        found = _verified(options.dataset, here.log, tolerated=["E_EXPIRED"])
    document = options.describe(found)
    if options.out:
        _demand_free(options.out)
        write_whole(options.out, (_text(document) + "\n").encode())
        emit_facts({"written": str(options.out), "manifest": found.envelope.mid}, as_json=options.json)
    elif options.json:
        emit_json(document)
    else:
        emit(_text(document))
    return 0


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


def _demand_free(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise DataError(f"{out} is there already", code="E_EXISTS", hint="name another file with --out, or remove it")
