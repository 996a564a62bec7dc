"""``log export``, ``log import`` and ``log show``, the same for every role: how parties follow the membership log."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blindsight.cli.arguments import Verbs, add_log
from blindsight.cli.output import emit_facts, say
from blindsight.protocol.errors import DataError, PolicyError
from blindsight.protocol.files import write_whole

if TYPE_CHECKING:
    from blindsight.protocol.log import Log


def add_verbs(verbs: Verbs, role: str) -> None:
    """Give a role its ``log`` verbs."""
    verbs.group("log", "follow the membership log: who belongs to the federation, which epochs are agreed")
    show = verbs.add("log show", _show, "say what a log holds", f"blindsight {role} log show --log box")
    add_log(show)
    export = verbs.add(
        "log export",
        _export,
        "write the log as one file, to be handed to whoever does not see the drop-box",
        f"blindsight {role} log export --log box --out eye-clinics.log",
    )
    add_log(export)
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="must not exist")
    follow = verbs.add(
        "log import",
        _import,
        "take newer records into one's own copy, which never forgets: an older or another chain is noticed",
        f'blindsight {role} log import box --into followed.log --federation "$CODE"',
    )
    follow.add_argument("place", metavar="PLACE", help="drop-box, records or exported log")
    follow.add_argument("--into", type=Path, required=True, metavar="FILE", help="one's own copy; made if missing")
    follow.add_argument("--federation", metavar="CODE", help="the whole federation code, as a member read it to you")
    follow.add_argument(
        "--follow", default="", metavar="ID", help="let the chain with that last record count, changes left out or not"
    )


def facts_of(log: Log) -> dict[str, Any]:
    """A log in plain words."""
    facts: dict[str, Any] = {"federation": log.name, "code": log.code, "policy": log.policy, "sequence": log.seq}
    for place in ("members", "trainers", "operators"):
        facts[place] = [entry.label for entry in getattr(log.roster, place)]
    facts |= {"epochs": sorted(log.epochs), "retired": sorted(log.retired)}
    return facts | {"warned of": sorted({notice.body()["epoch"] for notice in log.notices})}


def _show(options: argparse.Namespace) -> int:
    from blindsight.protocol.logfile import read_log

    emit_facts(facts_of(read_log(options.log, options.federation)), as_json=options.json)
    return 0


def _export(options: argparse.Namespace) -> int:
    from blindsight.protocol.logfile import log_bytes, read_log

    if options.out.exists():
        raise DataError(f"{options.out} stands there already", code="E_EXISTS", hint="name another file with --out")
    log = read_log(options.log, options.federation)
    write_whole(options.out, log_bytes(log))
    emit_facts({"log": str(options.out)} | facts_of(log), as_json=options.json)
    return 0


def _import(options: argparse.Namespace) -> int:
    from blindsight.protocol.logfile import import_log

    if not options.into.exists() and not options.federation:
        raise PolicyError(
            f"{options.into} is new: nobody has said which federation it is to follow",
            hint="--federation CODE, all ten groups, as a member read them to you",
        )
    log, before = import_log(options.place, options.into, options.federation, follow=options.follow)
    for sentence in _news(log, before):
        say(sentence)
    emit_facts({"log": str(options.into)} | facts_of(log), as_json=options.json)
    return 0


def _news(log: Log, before: Log | None) -> list[str]:
    """What has changed since the last import."""
    if before is None:
        return ["follows the federation from now on"]
    come, go = before.roster.difference(log.roster)
    said = [f"new: {entry.role} {entry.label}" for entry in come]
    said += [f"left: {entry.role} {entry.label}" for entry in go]
    said += [f"agreed: epoch {number}" for number in sorted(set(log.epochs) - set(before.epochs))]
    said += [f"retired: epoch {number}" for number in sorted(set(log.retired) - set(before.retired))]
    known = {notice.mid for notice in before.notices}
    said += [f"warning about epoch {n.body()['epoch']}: {n.body()['text']}" for n in log.notices if n.mid not in known]
    for pair in log.doubles:
        both = set(pair[0].signatures) & set(pair[1].signatures)
        names = ", ".join(entry.label for entry in log.roster.members if entry.fpr in both) or "a former member"
        said.append(f"{names} signed two records of one sequence [E_FORK]: {pair[0].mid[:12]} and {pair[1].mid[:12]}")
    if log.outbid is not None:
        tip = log.outbid.mid[:12]
        said.append(
            f"a chain that ends with {tip} leaves out a change known here and does not count; ask the members; should "
            f"it be right: log import … --follow {tip}"
        )
    if before.records[-1].mid not in {record.mid for record in log.records}:
        said.append("the log has passed by a record known here: a chain with a greater sequence counts")
    return said or ["nothing new"]
