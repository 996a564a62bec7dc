"""``blindsight holder epoch``: agree on secrets, end them, warn of them, recover them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from blindsight.cli.arguments import Verbs, add_federation, add_keystore, at_least, days
from blindsight.cli.output import emit, emit_facts, emit_json, say
from blindsight.holder import ceremony, federation, joining, membership, notices, rotation, site, vault
from blindsight.protocol.clock import now
from blindsight.protocol.errors import DataError, PolicyError
from blindsight.protocol.scheme import SCHEMES

WAITING = 75
DEFAULT_DEADLINE_DAYS = 7
DEFAULT_LIFETIME_DAYS = 365
DEFAULT_REQUEST_DAYS = 14
BOX = "--dropbox box"
RESYNC = "blindsight holder epoch resync"


def add_verbs(verbs: Verbs) -> None:
    """Add the group."""
    verbs.group("epoch", "agree on the secret of an epoch, end it, warn of it")
    for parser in (*_ceremony_verbs(verbs), *_life_verbs(verbs)):
        add_keystore(parser)
        add_federation(parser)


def _ceremony_verbs(verbs: Verbs) -> list[argparse.ArgumentParser]:
    propose = verbs.add(
        "epoch propose",
        _propose,
        "propose the next epoch to the other members; says what a new epoch costs",
        f"blindsight holder epoch propose --scheme le {BOX}",
    )
    names = sorted({name for name, _ in SCHEMES})
    propose.add_argument(
        "--scheme", action="append", choices=names, help="a scheme to allow; may be repeated (default: le)"
    )
    propose.add_argument("--deadline-days", type=days, default=DEFAULT_DEADLINE_DAYS, help="how long members wait")
    propose.add_argument(
        "--lifetime-days", type=days, default=DEFAULT_LIFETIME_DAYS, help="how long the epoch may be used"
    )
    step = verbs.add(
        "epoch step",
        _step,
        "do everything that is possible now; exit 75 while others must act",
        f"blindsight holder epoch step {BOX}",
    )
    for parser in (propose, step):
        parser.add_argument(
            "--i-accept-unverified-peers", action="store_true", help="go on without a compared code (terminal only)"
        )
    abort = verbs.add(
        "epoch abort", _abort, "give up the ceremony that is open here", f"blindsight holder epoch abort {BOX}"
    )
    return [propose, step, abort]


def _life_verbs(verbs: Verbs) -> list[argparse.ArgumentParser]:
    status = verbs.add("epoch status", _status, "say which epochs are agreed", f"blindsight holder epoch status {BOX}")
    cost = verbs.add("epoch cost", _cost, "say what a new epoch would cost", f"blindsight holder epoch cost {BOX}")
    retire = verbs.add(
        "epoch retire",
        _retire,
        "propose to end epochs for good",
        f'blindsight holder epoch retire 1 --reason "re-encrypted under epoch 2" {BOX}',
    )
    retire.add_argument("epochs", type=at_least(1), nargs="+", metavar="N", help="numbers of epochs")
    retire.add_argument("--reason", required=True, help="for people, at most 400 characters")
    warn = verbs.add(
        "epoch warn",
        _warn,
        "warn everybody that an epoch's secret is known to somebody who should not have it",
        f'blindsight holder epoch warn 1 --text "laptop stolen" {BOX}',
    )
    warn.add_argument("epoch", type=at_least(1), metavar="N", help="number of the epoch")
    warn.add_argument("--text", required=True, help="what happened, at most 400 characters")
    resync = verbs.add(
        "epoch resync",
        _resync,
        "ask another member for epoch secrets that this keystore has lost",
        f"{RESYNC} {BOX}",
    )
    resync.add_argument("--days", type=days, default=DEFAULT_REQUEST_DAYS, help="how long the request stands")
    forget = verbs.add(
        "epoch forget",
        _forget,
        "erase the secret of a retired epoch from this keystore",
        f"blindsight holder epoch forget 1 {BOX}",
    )
    forget.add_argument("epoch", type=at_least(1), metavar="N", help="number of the epoch")
    return [status, cost, retire, warn, resync, forget]


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
        if here.log.epochs:
            _say_cost(here)
        say("proposed; every member now types, until it is done: blindsight holder epoch step")
        body = proposal.body()
        schemes = ceremony.names_of(body["schemes"])
        _say_readable(schemes)
        emit_facts({"epoch": body["epoch"], "schemes": schemes, "session": proposal.mid[:12]}, as_json=options.json)
    return 0


def _say_readable(names: Sequence[str]) -> None:
    """Members agree on a list of names; that some of these hide nothing from anybody is said before it counts."""
    for name in names:
        if (name, 1) in SCHEMES and SCHEMES[name, 1].scope == "none":
            say(f"scheme {name} has no key: {SCHEMES[name, 1].falls}")


def _say_cost(here: site.Site) -> None:
    say("a new epoch has a new secret; older ones stay usable until they are retired. What moves to the new one:")
    for sentence in rotation.cost_of(here.box, here.log).sentences():
        say(sentence)


def _cost(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        cost = rotation.cost_of(here.box, here.log)
        if options.json:
            emit_json(cost.to_json())
        for sentence in () if options.json else cost.sentences():
            emit(sentence)
    return 0


def _step(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        _demand_verified(here, options)
        progress = _with_own_wants(ceremony.step(here.store, here.box, here.log, now()), here)
        _say_repeated_aborts(here)
    _report_step(progress, options)
    if progress.refused:
        return 1
    return WAITING if progress.waiting_for else 0


def _with_own_wants(progress: ceremony.Progress, here: site.Site) -> ceremony.Progress:
    """An agreed epoch is no use to who lacks its secret: while a request is open, its answer is waited for."""
    me, asked = here.store.key.entry, here.store.data["feds"][here.log.fed]["join"] is not None
    if me.role == "device":
        return progress
    if me.fpr not in {member.fpr for member in here.log.roster.members}:
        say(f"you are no member of {here.log.name}; members type: blindsight holder federation changes")
        return replace(progress, waiting_kind="admission", waiting_for=("the members",)) if asked else progress
    lost = ", ".join(str(number) for number in joining.lacking(here.store, here.log, now()))
    if progress.waiting_for or not lost:
        return progress
    say(f"this keystore does not hold the secret of epoch {lost}")
    say(f"a member types: blindsight holder federation grant {me.name}" if asked else f"hint: {RESYNC}")
    return replace(progress, waiting_kind="grant", waiting_for=("a member",)) if asked else progress


def _say_repeated_aborts(here: site.Site) -> None:
    for fpr, times in here.store.data["feds"][here.log.fed]["aborts"].items():
        members = [member for member in here.log.roster.members if member.fpr == fpr]
        if times > vault.MAX_ABORTS and members:
            say(f"{members[0].label} made {times} ceremonies in a row fail; it can choose among secrets that way")
            say(f"hint: blindsight holder federation remove {members[0].code[:9]}")


def _report_step(progress: ceremony.Progress, options: argparse.Namespace) -> None:
    for refusal in progress.refused:
        say(f"refused: {refusal.file}: {refusal.error.message} [{refusal.error.code}]")
    for path in progress.evidence:
        say(f"evidence kept in {path}")
    facts: dict[str, Any] = {"phase": progress.phase, "epoch": progress.epoch, "schemes": progress.schemes}
    facts["kcv"] = progress.kcv
    if progress.waiting_for:
        _say_readable(progress.schemes)
    if progress.waiting_for:
        facts |= {"waiting for": f"{progress.waiting_kind} of {', '.join(progress.waiting_for)}"}
    if options.json:
        facts["refused"] = [
            {"file": r.file, "code": r.error.code, "message": r.error.message} for r in progress.refused
        ]
        facts["evidence"] = [str(path) for path in progress.evidence]
    known = {name: value for name, value in facts.items() if value or options.json}
    emit_facts(known, as_json=options.json)


def _abort(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        sid = ceremony.abort(here.store, here.box, here.log, now())
        say("given up; its secrets are erased, and the others see it at their next step")
        emit_facts({"session": sid[:12], "phase": "aborted"}, as_json=options.json)
    return 0


def _status(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        state = here.store.data["feds"][here.log.fed]
        if not here.log.epochs and not options.json:
            emit("no epoch is agreed yet")
        for number, epoch in sorted(here.log.epochs.items()):
            held = state["secrets"].get(epoch.record, {}).get("status", "not held here")
            schemes = [scheme["id"] for scheme in epoch.schemes]
            facts = {"epoch": number, "kcv": epoch.kcv, "schemes": schemes, "ends": epoch.not_after, "secret": held}
            facts["objections"] = [error.message for error in here.log.objections(number, now())]
            emit_facts(facts, as_json=options.json)
        for proposal in ceremony.proposals(here.store, here.box, here.log, now()):
            body = proposal.body()
            names = ceremony.names_of(body["schemes"])
            _say_readable(names)
            proposed = {"proposed epoch": body["epoch"], "schemes": names, "session": proposal.mid[:12]}
            emit_facts(proposed | {"deadline": body["deadline"]}, as_json=options.json)
    return 0


def _retire(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        federation.demand_verified(here.store, here.log)
        record = membership.retire(here.store, here.box, here.log, options.epochs, options.reason)
        log = federation.follow(here.store, here.box, here.log.fed, say)
        in_force = record.mid in {known.mid for known in log.records}
        if not in_force:
            say(f"signed; others now type: blindsight holder federation approve {record.mid[:12]}")
        emit_facts({"change": record.mid[:12], "retires": options.epochs, "in force": in_force}, as_json=options.json)
    return 0


def _warn(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        notice = notices.warn(here.store, here.box, here.log, options.epoch, options.text, now())
        say("warned; holders stop encrypting under this epoch and trainers stop training on it")
        say("next: blindsight holder epoch propose, then epoch retire")
        emit_facts({"notice": notice.mid[:12], "epoch": options.epoch}, as_json=options.json)
    return 0


def _resync(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        moment = now()
        lost = joining.demand_lost(here.store, here.log, moment)
        joining.ask(here.store, here.box, here.log, moment=moment, expires=moment + timedelta(days=options.days))
        name = here.store.key.entry.name
        say(f"asked; call a member, who types: blindsight holder federation grant {name}; then: epoch step")
        emit_facts({"lost epochs": list(lost), "your fingerprint": here.store.key.entry.code}, as_json=options.json)
    return 0


def _forget(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        if options.epoch not in here.log.retired:
            raise PolicyError(
                f"epoch {options.epoch} is not retired; what is encrypted under it could not be opened any more",
                code="E_RETIRED",
                hint="blindsight holder epoch retire",
            )
        vault.forget(here.store.data["feds"][here.log.fed], here.log.epoch(options.epoch))
        here.store.save()
        say("erased; data sets of this epoch can no longer be decrypted with this keystore")
        emit_facts({"epoch": options.epoch, "secret": "erased"}, as_json=options.json)
    return 0
