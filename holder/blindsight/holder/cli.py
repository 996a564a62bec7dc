"""``blindsight holder``: keys, federation, epoch, publishing."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from blindsight.cli import key, passphrase
from blindsight.cli.arguments import Verbs, add_federation, add_keystore
from blindsight.cli.output import emit, emit_facts, say
from blindsight.holder import ceremony, federation, publish_cli, site
from blindsight.protocol.clock import now, to_text
from blindsight.protocol.copies import missing_signers
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import people_code
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import DataError
from blindsight.protocol.scheme import SCHEMES

WAITING = 75
DEFAULT_DEADLINE_DAYS = 7
DEFAULT_LIFETIME_DAYS = 365
MOST_DAYS = 36_500


def main(words: Sequence[str]) -> int:
    """Run one verb of the holder."""
    verbs = Verbs(
        "holder", "keys, federation, epoch, publishing: for those who own images", "blindsight holder key init --name A"
    )
    key.add_verbs(verbs, "holder")
    _add_federation_verbs(verbs)
    _add_epoch_verbs(verbs)
    publish_cli.add_verbs(verbs)
    return verbs.main(words)


def _add_federation_verbs(verbs: Verbs) -> None:
    verbs.group("federation", "found, sign, show and verify a federation")
    create = verbs.add(
        "federation create",
        _create,
        "write a genesis over all identity cards in the drop-box and sign it",
        "blindsight holder federation create --name eye-clinics --dropbox box",
    )
    create.add_argument("--name", required=True, help="the federation's name, at most 80 characters")
    create.add_argument("--policy", choices=("all", "majority"), default="all", help="who approves a change of members")
    sign = verbs.add(
        "federation sign", _sign, "sign the genesis that names you", "blindsight holder federation sign --dropbox box"
    )
    show = verbs.add(
        "federation show", _show, "say who belongs to the federation", "blindsight holder federation show --dropbox box"
    )
    verify = verbs.add(
        "federation verify",
        _verify,
        "compare the federation code that another member read to you, and remember that it fits",
        'blindsight holder federation verify "$CODE" --dropbox box',
    )
    verify.add_argument("code", help="all ten groups, as read aloud")
    for parser in (create, sign, show, verify):
        add_keystore(parser)
        add_federation(parser)


def _create(options: argparse.Namespace) -> int:
    with passphrase.opened(options) as store:
        box = DropBox(options.dropbox)
        genesis = federation.create(
            store,
            box,
            name=options.name,
            cards=box.cards(),
            policy=options.policy,
            nonce=os.urandom(32),
            created=to_text(now()),
        )
        say("signed; the others now type: blindsight holder federation sign")
        return _describe(genesis, options)


def _sign(options: argparse.Namespace) -> int:
    with passphrase.opened(options) as store:
        genesis = federation.sign(store, DropBox(options.dropbox), options.federation)
        say("signed; read the federation code aloud with the other members, then: blindsight holder federation verify")
        return _describe(genesis, options)


def _show(options: argparse.Namespace) -> int:
    with passphrase.opened(options) as store:
        box = DropBox(options.dropbox)
        if not store.data["feds"]:
            genesis = federation.offered(store, box, options.federation)
            return _describe(genesis, options, {"compared": "none", "signed by you": "no"})
        fed = federation.choose(store, options.federation)
        known = Envelope.from_bytes(store.data["feds"][fed]["records"][0].encode())
        copies = [known, *(e for e in box.records(fed) if e.mid == fed)]
        facts: dict[str, Any] = {"signatures missing": [member.label for member in missing_signers(copies)]}
        epochs = {held["epoch"]: held["status"] for held in store.data["feds"][fed]["secrets"].values()}
        facts |= {"compared": store.data["feds"][fed]["verified"], "epochs": epochs}
        return _describe(known, options, facts)


def _describe(genesis: Envelope, options: argparse.Namespace, more: dict[str, Any] | None = None) -> int:
    body = genesis.body()
    facts: dict[str, Any] = {"federation": body["name"], "code": people_code(genesis.id)}
    for place in ("members", "trainers"):
        facts[place] = [f"{e['name']} ({people_code(bytes.fromhex(e['fpr']))[:9]})" for e in body[place]]
    emit_facts(facts | (more or {}), as_json=options.json)
    return 0


def _verify(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        federation.verify(here.store, here.log, options.code)
        names = ", ".join(member.name for member in here.log.roster.members)
        say(f"the code fits. Check by yourself that you know all {len(here.log.roster.members)} members: {names}")
    return 0


def _add_epoch_verbs(verbs: Verbs) -> None:
    verbs.group("epoch", "agree on the secret of an epoch")
    propose = verbs.add(
        "epoch propose",
        _propose,
        "propose the next epoch to the other members",
        "blindsight holder epoch propose --scheme le --dropbox box",
    )
    names = sorted({name for name, _ in SCHEMES})
    propose.add_argument(
        "--scheme", action="append", choices=names, help="a scheme to allow; may be repeated (default: le)"
    )
    propose.add_argument("--deadline-days", type=_days, default=DEFAULT_DEADLINE_DAYS, help="how long members wait")
    propose.add_argument(
        "--lifetime-days", type=_days, default=DEFAULT_LIFETIME_DAYS, help="how long the epoch may be used"
    )
    step = verbs.add(
        "epoch step",
        _step,
        "do everything that is possible now; exit status 75 if others must act",
        "blindsight holder epoch step --dropbox box",
    )
    status = verbs.add(
        "epoch status", _status, "say which epochs are agreed", "blindsight holder epoch status --dropbox box"
    )
    for parser in (propose, step, status):
        add_keystore(parser)
        add_federation(parser)
    for parser in (propose, step):
        parser.add_argument(
            "--i-accept-unverified-peers", action="store_true", help="go on without a compared code (terminal only)"
        )


def _days(text: str) -> float:
    days = float(text)
    if not 0 < days <= MOST_DAYS:
        raise argparse.ArgumentTypeError(f"expected more than 0 and at most {MOST_DAYS} days, got {text[:20]!r}")
    return days


def _demand_verified(here: site.Site, options: argparse.Namespace) -> None:
    insisted = options.i_accept_unverified_peers
    if insisted and not os.isatty(0):
        raise DataError("--i-accept-unverified-peers needs a person at a terminal")
    federation.demand_verified(here.store, here.log, accept_unverified=insisted)


def _propose(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        _demand_verified(here, options)
        moment = now()
        proposal = ceremony.propose(
            here.store,
            here.box,
            here.log,
            schemes=[{"id": name, "v": 1} for name in sorted(set(options.scheme or ["le"]))],
            moment=moment,
            deadline=moment + timedelta(days=options.deadline_days),
            not_after=moment + timedelta(days=options.lifetime_days),
        )
        say("proposed; every member now types, until it is done: blindsight holder epoch step")
        emit_facts({"epoch": proposal.body()["epoch"], "session": proposal.mid[:12]}, as_json=options.json)
    return 0


def _step(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        _demand_verified(here, options)
        progress = ceremony.step(here.store, here.box, here.log, now())
    _report_step(progress, options)
    if progress.refused:
        return 1
    return WAITING if progress.waiting_for else 0


def _report_step(progress: ceremony.Progress, options: argparse.Namespace) -> None:
    for refusal in progress.refused:
        say(f"refused: {refusal.file}: {refusal.error.message} [{refusal.error.code}]")
    for path in progress.evidence:
        say(f"evidence kept in {path}")
    facts: dict[str, Any] = {"phase": progress.phase, "epoch": progress.epoch, "kcv": progress.kcv}
    if progress.waiting_for:
        facts |= {"waiting for": f"{progress.waiting_kind} of {', '.join(progress.waiting_for)}"}
    if options.json:
        facts["refused"] = [
            {"file": r.file, "code": r.error.code, "message": r.error.message} for r in progress.refused
        ]
    emit_facts(facts, as_json=options.json)


def _status(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        state = here.store.data["feds"][here.log.fed]
        if not here.log.epochs and not options.json:
            emit("no epoch is agreed yet")
        for number, epoch in sorted(here.log.epochs.items()):
            held = state["secrets"].get(epoch.record, {}).get("status", "not held here")
            schemes = [scheme["id"] for scheme in epoch.schemes]
            facts = {"epoch": number, "kcv": epoch.kcv, "schemes": schemes, "ends": epoch.not_after, "secret": held}
            emit_facts(facts, as_json=options.json)
    return 0
