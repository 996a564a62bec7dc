"""``blindsight holder rekey``: lead a model from one epoch's key to another's, without training.

Two models that differ in nothing but the key show how the one key follows from the other. So nobody re-keys from an
epoch whose secret others may know, unless a person decides so.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from blindsight.cli import passphrase
from blindsight.cli.arguments import Verbs, add_keystore, add_log, at_least
from blindsight.cli.output import emit_facts, say
from blindsight.cli.override import add_override
from blindsight.holder import federation, override
from blindsight.holder.rekey import rekey
from blindsight.protocol import bundle
from blindsight.protocol.clock import now, to_text
from blindsight.protocol.errors import PolicyError
from blindsight.protocol.log import Log

EXAMPLE = "blindsight holder rekey box/models/digits --to-epoch 2 --out digits-2 --log box"


def add_verb(verbs: Verbs) -> None:
    """Add ``rekey``."""
    parser = verbs.add(
        "rekey", _rekey, "make a model understand images of another epoch, without training; you sign it", EXAMPLE
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument("--to-epoch", type=at_least(1), required=True, metavar="N", help="number of the other epoch")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new bundle; must not exist")
    add_log(parser)
    add_keystore(parser)
    add_override(parser)


def _rekey(options: argparse.Namespace) -> int:
    with passphrase.opened(options) as store:
        log = federation.united(store, options.log, options.federation)
        federation.demand_verified(store, log)
        found = bundle.read(options.bundle, log)
        old, number = found.predicate["epoch"], options.to_epoch
        _, secret = federation.epoch_secret(store, log, old)
        to, other = federation.epoch_secret(store, log, number)
        objected = {number: override.demand_usable(options, log, number), old: _despite(options, log, old, number)}
        predicate, files = rekey(found, log, to, (secret, other), store.key, to_text(now()))
        for objection in log.objections(old, now()):
            say(f"{objection.message}; re-keying leads the model out of it")
        say(f"whoever has both models and knows the key of epoch {old} or {number} can compute the other one's")
        for epoch, reason in objected.items():
            override.note(store, "holder rekey", epoch, reason)
        statement = bundle.make(options.out, store.key, predicate, files)
    model = predicate["model"]
    facts = {"bundle": str(options.out), "model": model if options.json else f"{model['name']} {model['version']}"}
    facts |= {"from epoch": old, "to epoch": number, "signed by": store.key.entry.label}
    emit_facts(facts | {"statement": statement.mid}, as_json=options.json)
    return 0


def _despite(options: argparse.Namespace, log: Log, old: int, new: int) -> str:
    """Why the person re-keys from an epoch that a member has warned of; empty when nobody warns of it.

    Raises:
        PolicyError: E_NOTICE, no reason is given.
    """
    reason: str = (options.despite_notice or "").strip()
    if log.warnings(old) and not reason:
        raise PolicyError(
            f"a member warns that epoch {old} is known to others; whoever knows its secret and has both models could "
            f"compute the key of epoch {new}",
            code="E_NOTICE",
            hint='train on images of the new epoch; to go on all the same: --despite-notice "why"',
        )
    return reason if log.warnings(old) else ""
