"""``blindsight holder federation``: found it, compare its code, let members in and out."""

from __future__ import annotations

import argparse
import os
from datetime import timedelta
from typing import Any

from blindsight.cli import log_verbs, passphrase
from blindsight.cli.arguments import Verbs, add_federation, add_keystore, days
from blindsight.cli.output import emit, emit_facts, say
from blindsight.holder import federation, joining, membership, site
from blindsight.protocol.clock import now, to_text
from blindsight.protocol.copies import missing_signers
from blindsight.protocol.encoding import people_code
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import PolicyError
from blindsight.protocol.recipient import person
from blindsight.protocol.records import POLICIES

DEFAULT_REQUEST_DAYS = 14
BOX = "--dropbox box"


def add_verbs(verbs: Verbs) -> None:
    """Add the group."""
    verbs.group("federation", "found, sign, show and verify a federation; join, admit, remove")
    for parser in (*_founding(verbs), *_changing(verbs)):
        add_keystore(parser)
        add_federation(parser)


def _founding(verbs: Verbs) -> list[argparse.ArgumentParser]:
    create = verbs.add(
        "federation create",
        _create,
        "write a genesis over all identity cards in the drop-box and sign it",
        f"blindsight holder federation create --name eye-clinics {BOX}",
    )
    create.add_argument("--name", required=True, help="the federation's name, at most 80 characters")
    create.add_argument("--policy", choices=POLICIES, default="all", help="who approves a change of members")
    sign = verbs.add(
        "federation sign", _sign, "sign the genesis that names you", f"blindsight holder federation sign {BOX}"
    )
    show = verbs.add(
        "federation show", _show, "say who belongs to the federation", f"blindsight holder federation show {BOX}"
    )
    verify = verbs.add(
        "federation verify",
        _verify,
        "compare the federation code that another member read to you, and remember that it fits",
        f'blindsight holder federation verify "$CODE" {BOX}',
    )
    verify.add_argument("code", help="all ten groups, as read aloud")
    return [create, sign, show, verify]


def _changing(verbs: Verbs) -> list[argparse.ArgumentParser]:
    join = verbs.add(
        "federation join",
        _join,
        "ask to become a member of a federation whose code a member read to you",
        f'blindsight holder federation join "$CODE" {BOX}',
    )
    join.add_argument("code", help="the federation code, all ten groups")
    join.add_argument("--days", type=days, default=DEFAULT_REQUEST_DAYS, help="how long the request stands")
    changes = verbs.add(
        "federation changes",
        _changes,
        "say who asks to join and which changes wait for signatures",
        f"blindsight holder federation changes {BOX}",
    )
    admit = verbs.add(
        "federation admit",
        _admit,
        "propose to admit whoever read you that fingerprint code: holder, trainer or operator",
        f'blindsight holder federation admit "$CODE" {BOX}',
    )
    admit.add_argument("code", help="the newcomer's fingerprint code, all ten groups")
    remove = verbs.add(
        "federation remove",
        _remove,
        "propose to remove somebody; what it knows, it keeps knowing",
        f"blindsight holder federation remove site-C {BOX}",
    )
    remove.add_argument("who", help="name or fingerprint code")
    approve = verbs.add(
        "federation approve",
        _approve,
        "sign a change that another member has proposed",
        f"blindsight holder federation approve 3f2a9c0d1e4b {BOX}",
    )
    approve.add_argument("change", help="the start of its id, as federation changes shows it")
    grant = verbs.add(
        "federation grant",
        _grant,
        "give a member who asks the secrets of the epochs in use",
        f"blindsight holder federation grant site-D {BOX}",
    )
    grant.add_argument("who", help="name or fingerprint code")
    follow = verbs.add(
        "federation follow",
        _follow,
        "having talked to the others: let a chain count that leaves out what is known here, or one side of a fork",
        f"blindsight holder federation follow 3f2a9c0d1e4b {BOX}",
    )
    follow.add_argument("tip", help="the start of the id of its last record, as the other verbs tell it")
    return [join, changes, admit, remove, approve, grant, follow]


def _create(options: argparse.Namespace) -> int:
    with passphrase.opened(options) as store:
        box = site.box_of(options)
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
        genesis = federation.sign(store, site.box_of(options), options.federation)
        say("signed; read the federation code aloud with the other members, then: blindsight holder federation verify")
        return _describe(genesis, options)


def _show(options: argparse.Namespace) -> int:
    with passphrase.opened(options) as store:
        box = site.box_of(options)
        if not store.data["feds"]:
            genesis = federation.offered(store, box, options.federation)
            return _describe(genesis, options, {"compared": "none", "signed by you": "no"})
        fed = federation.choose(store, options.federation)
        state = store.data["feds"][fed]
        genesis = Envelope.from_bytes(state["records"][0].encode())
        if missing := missing_signers([genesis, *(e for e in box.records(fed) if e.mid == fed)]):
            facts = {"signatures missing": [member.label for member in missing], "compared": state["verified"]}
            return _describe(genesis, options, facts)
        log = federation.follow(store, box, fed, say)
        held = {str(one["epoch"]): one["status"] for one in state["secrets"].values()}
        emit_facts(
            log_verbs.facts_of(log) | {"signatures missing": [], "compared": state["verified"], "secrets": held},
            as_json=options.json,
        )
    return 0


def _describe(genesis: Envelope, options: argparse.Namespace, more: dict[str, Any] | None = None) -> int:
    body = genesis.body()
    facts: dict[str, Any] = {"federation": body["name"], "code": people_code(genesis.id)}
    for place in ("members", "trainers", "operators"):
        facts[place] = [f"{e['name']} ({people_code(bytes.fromhex(e['fpr']))[:9]})" for e in body[place]]
    emit_facts(facts | (more or {}), as_json=options.json)
    return 0


def _verify(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        federation.verify(here.store, here.log, options.code)
        names = [member.name for member in here.log.roster.members]
        say(f"the code fits. Check by yourself that you know all {len(names)} members: {', '.join(names)}")
        if options.json:
            emit_facts({"code": here.log.code, "compared": "code", "members": names}, as_json=True)
    return 0


def _join(options: argparse.Namespace) -> int:
    with passphrase.opened(options) as store:
        if store.key.entry.role != "holder":
            raise PolicyError("only a holder joins a federation", code="E_ROSTER", hint="blindsight holder device ask")
        box, moment = site.box_of(options), now()
        log = joining.meet(store, box, options.code)
        joining.ask(store, box, log, moment=moment, expires=moment + timedelta(days=options.days))
        say("asked; read your fingerprint code to a member, who types: blindsight holder federation admit CODE")
        emit_facts({"federation": log.name, "your fingerprint": store.key.entry.code}, as_json=options.json)
    return 0


def _changes(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        waiting = membership.pending(here.store, here.box, here.log)
        asking = membership.strangers(here.box, here.log, now())
        for one in waiting:
            emit_facts(membership.described(here.log, one), as_json=options.json)
        for entry in asking:
            facts = {"asks to join": f"{entry.role} {entry.name}", "fingerprint": entry.code}
            emit_facts(facts, as_json=options.json)
        if not (waiting or asking or options.json):
            emit("no change waits for a signature, and nobody asks to join")
    return 0


def _admit(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        federation.demand_verified(here.store, here.log)
        record = membership.admit(here.store, here.box, here.log, options.code, now())
        return _proposed(here, record, options)


def _remove(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        federation.demand_verified(here.store, here.log)
        who = person(here.log.roster.everybody, options.who)
        record = membership.remove(here.store, here.box, here.log, who)
        say(f"once removed, {who.label} keeps every epoch secret it had: what was encrypted so far stays open to it")
        say("encrypt anew under a new epoch: blindsight holder epoch propose")
        return _proposed(here, record, options)


def _approve(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        federation.demand_verified(here.store, here.log)
        return _proposed(here, membership.approve(here.store, here.box, here.log, options.change), options)


def _proposed(here: site.Site, record: Envelope, options: argparse.Namespace) -> int:
    """Say how far a change is that was just signed."""
    log = federation.follow(here.store, here.box, here.log.fed, say)
    if record.mid in {known.mid for known in log.records}:
        emit_facts({"change": record.mid[:12], "in force": True, "sequence": log.seq}, as_json=options.json)
        return 0
    waiting = [one for one in membership.pending(here.store, here.box, log) if one.record.mid == record.mid]
    say(f"signed; others now type: blindsight holder federation approve {record.mid[:12]}")
    for one in waiting:
        emit_facts(membership.described(log, one) | {"in force": False}, as_json=options.json)
    return 0


def _follow(options: argparse.Namespace) -> int:
    with passphrase.opened(options) as store:  # not the site: a forked log cannot be followed before this
        fed = federation.choose(store, options.federation)
        log = federation.decide(store, site.box_of(options), fed, options.tip)
        emit_facts(log_verbs.facts_of(log), as_json=options.json)
    return 0


def _grant(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        federation.demand_verified(here.store, here.log)
        document, epochs = joining.give(here.store, here.box, here.log, options.who, now())
        to = here.log.roster.member(document.body()["to"])
        say(f"{to.label} now types: blindsight holder epoch step")
        emit_facts({"granted to": to.label, "epochs": epochs}, as_json=options.json)
    return 0
