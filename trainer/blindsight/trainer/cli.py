"""``blindsight trainer``: check manifests, train, export."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from blindsight.cli import key, log_verbs, override, passphrase, recipient, state
from blindsight.cli.arguments import Verbs, add_keystore, add_log, at_least
from blindsight.cli.output import emit, emit_facts, emit_json, say
from blindsight.protocol.admission import Fault, verify_federation
from blindsight.protocol.clock import now, to_text
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.errors import DataError
from blindsight.protocol.logfile import read_log
from blindsight.protocol.manifest import offers_in, offers_in_box, shard_faults
from blindsight.trainer import convert_cli
from blindsight.trainer.experiments import cli as experiments_cli

if TYPE_CHECKING:
    from blindsight.trainer.config import RunConfig

SPINNING = "GOMP_SPINCOUNT"
ENGINES = ("inprocess", "ray", "pooled")


def main(words: Sequence[str]) -> int:
    """Run one verb of the trainer."""
    os.environ.setdefault(SPINNING, "0")  # before torch loads: idle threads must not burn the other holder's core
    verbs = Verbs(
        "trainer", "check manifests, train on encrypted shards, export a bundle", "blindsight trainer key init --name T"
    )
    key.add_verbs(verbs, "trainer")
    recipient.add_verbs(verbs, "trainer")
    log_verbs.add_verbs(verbs, "trainer")
    _add_check(verbs)
    _add_fit(verbs)
    _add_export(verbs)
    experiments_cli.add_verb(verbs)
    convert_cli.add_verb(verbs)
    return verbs.main(words)


def _add_check(verbs: Verbs) -> None:
    parser = verbs.add(
        "check",
        _check,
        "verify manifests, alone and against each other, and the shards beside them; exit 1 if there is any fault",
        "blindsight trainer check box/*/data/*/digits-train --log box",
    )
    parser.add_argument("manifests", type=Path, nargs="*", metavar="MANIFEST", help="file, or folder that holds one")
    parser.add_argument("--dropbox", metavar="PLACE", help="check all manifests that lie there")
    add_log(parser)
    override.add_override(parser)


def _check(options: argparse.Namespace) -> int:
    log = read_log(options.log, options.federation)
    offers = offers_in(options.manifests)
    offers |= offers_in_box(DropBox(options.dropbox), log.fed) if options.dropbox else {}
    if not offers:
        raise DataError("there is no manifest to check", hint="name files or folders, or --dropbox PLACE")
    despite_notice = override.decided(options, "trainer check")
    serials = state.serials(log.fed)
    manifests, faults = verify_federation(log, offers, now(), serials, despite_notice=despite_notice)
    places = {manifest.envelope.to_bytes(): manifest for manifest in manifests}
    elsewhere = 0
    for file, written in offers.items():
        manifest, folder = places.get(written), Path(file).parent
        if manifest is not None and (folder / "shards").is_dir():
            faults += [Fault(manifest.holder, e.code, e.message) for e in shard_faults(manifest, folder)]
        else:
            elsewhere += 1
    if elsewhere:
        say(f"the shards of {elsewhere} manifest(s) are not here; their node verifies them before training")
    if not faults:
        state.remember(log.fed, manifests)
    _report(len(offers), log.code, faults, as_json=options.json)
    return 1 if faults else 0


def _report(count: int, code: str, faults: Sequence[Fault], *, as_json: bool) -> None:
    if as_json:
        listed = [{"holder": f.holder, "code": f.code, "message": f.sentence} for f in faults]
        emit_json({"manifests": count, "federation": code, "faults": listed})
        return
    for fault in faults:
        emit(str(fault))
    emit(f"{count} manifest(s) of federation {code}: {f'{len(faults)} fault(s)' if faults else 'no fault'}")


def _add_fit(verbs: Verbs) -> None:
    parser = verbs.add(
        "fit",
        _fit,
        "train over the holders' shards; the same command resumes a run that was interrupted",
        "blindsight trainer fit A/datasets/* B/datasets/* --log box --out run --rounds 5",
    )
    parser.add_argument("datasets", type=Path, nargs="+", metavar="DATASET", help="folders with manifest and shards")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run's folder")
    add_run_options(parser)
    add_log(parser)
    override.add_override(parser)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that decide how a run trains."""
    parser.add_argument("--rounds", type=int, default=5, help="exchanges of weights (default: 5)")
    parser.add_argument("--network", default="small", help="network behind the stem (default: small)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and batch order (default: 0)")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help=f"default: {ENGINES[0]}")
    parser.add_argument(
        "--workers", type=at_least(1), default=os.cpu_count() or 1, help="holders at a time; with pooled, threads"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="another key of the run configuration"
    )


def config_of(options: argparse.Namespace) -> RunConfig:
    """The run configuration that the options ask for.

    Raises:
        FederationError: E_FEDERATION, naming the offending key.
    """
    from blindsight.trainer.config import RunConfig

    values: dict[str, object] = {"rounds": options.rounds, "network": options.network, "seed": options.seed}
    defaults = RunConfig().to_flower()
    for pair in options.set:
        name, _, text = pair.partition("=")
        values[name] = _typed(text, defaults.get(name))
    return RunConfig.from_flower(values)


def _typed(text: str, like: object) -> object:
    if isinstance(like, bool):
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return type(like)(text) if isinstance(like, (int, float)) else text
    except ValueError:
        return text


def _fit(options: argparse.Namespace) -> int:
    from blindsight.trainer import weights
    from blindsight.trainer.checkpoint import Round
    from blindsight.trainer.fit import fit, verify

    config = config_of(options)
    log = read_log(options.log, options.federation)
    verified = verify(
        options.log,
        options.federation,
        options.datasets,
        state.serials(log.fed),
        despite_notice=override.decided(options, "trainer fit"),
    )
    state.remember(log.fed, verified.manifests)

    def report(one: Round) -> None:
        say(f"model after round {one.number} of {config.rounds}: val accuracy {one.accuracy:.4f}, loss {one.loss:.4f}")

    last = fit(
        verified, options.log, config, options.out, engine=options.engine, workers=options.workers, report=report
    )
    best = max(last.history, key=lambda one: (one.accuracy, one.number))  # of equals, the longer trained, as kept
    facts = {"run": str(options.out), "rounds": last.number, "best round": best.number}
    facts |= {"best val accuracy": f"{best.accuracy:.4f}", "weights": weights.digest(last.weights)}
    emit_facts(facts, as_json=options.json)
    return 0


def _add_export(verbs: Verbs) -> None:
    parser = verbs.add(
        "export",
        _export,
        "write the best model of a run as a signed bundle",
        "blindsight trainer export run --out bundle --log box",
    )
    parser.add_argument("folder", type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the bundle's folder; must not exist")
    parser.add_argument("--name", default="model", help="the model's name (default: model)")
    add_log(parser)
    override.add_override(parser)
    add_keystore(parser)


def _export(options: argparse.Namespace) -> int:
    from blindsight.trainer.export import export
    from blindsight.trainer.fit import NODES_FILE, verify
    from blindsight.trainer.job import read_nodes

    nodes, despite_notice = read_nodes(options.folder / NODES_FILE), override.decided(options, "trainer export")
    verified = verify(options.log, options.federation, nodes, despite_notice=despite_notice)
    log = read_log(options.log, options.federation)
    with passphrase.opened(options) as store:
        envelope = export(
            options.folder, verified.manifests, log, store.key, options.out, name=options.name, created=to_text(now())
        )
    predicate = envelope.body()["predicate"]
    facts = {"bundle": str(options.out), "model": predicate["model"]["name"], "id": envelope.mid}
    metrics = {name: value for name, value in predicate["metrics"].items() if options.json or "/" not in name}
    emit_facts(facts | metrics, as_json=options.json)
    return 0
