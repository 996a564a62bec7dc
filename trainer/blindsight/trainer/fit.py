"""``trainer fit``: verify, write the job, run an engine, say how it goes."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from blindsight.protocol.admission import demand_admitted, verify_federation
from blindsight.protocol.clock import now
from blindsight.protocol.errors import FederationError
from blindsight.protocol.files import write_whole
from blindsight.protocol.logfile import read_log
from blindsight.protocol.manifest import Manifest, offers_in
from blindsight.trainer import checkpoint
from blindsight.trainer.checkpoint import LAST, Checkpoint
from blindsight.trainer.config import RunConfig
from blindsight.trainer.device import device_for
from blindsight.trainer.job import Job
from blindsight.trainer.precision import resolve

NODES_FILE = "nodes.json"
WATCH_SECONDS = 1.0
Report = Callable[[checkpoint.Round], None]


@dataclass(frozen=True, slots=True)
class Verified:
    """Manifests that may be trained together, and where their data lie.

    Args:
        manifests: one per data set.
        folders: holder's fingerprint → folders with manifest and shards, by ascending fingerprint.
        despite_notice: whether a person has decided to train in spite of a warning about the epoch.
    """

    manifests: tuple[Manifest, ...]
    folders: Mapping[str, tuple[Path, ...]]
    despite_notice: bool = False


def verify(
    log_place: Path | str,
    code: str | None,
    paths: Sequence[Path],
    serials: Mapping[str, int] | None = None,
    *,
    despite_notice: bool = False,
) -> Verified:
    """Verify manifests against the log and each other, listing all faults.

    Args:
        log_place: where the membership log lies.
        code: the federation code a person was told, if any.
        paths: folders with manifest and shards, at the nodes' sites.
        serials: series of a data set → greatest serial seen so far.
        despite_notice: whether a person has decided to train in spite of a warning about the epoch.

    Raises:
        FederationError: E_FEDERATION, naming every fault of every holder.
    """
    offers = offers_in(paths)
    log = read_log(log_place, code)
    manifests, faults = verify_federation(log, offers, now(), serials, despite_notice=despite_notice)
    demand_admitted(faults)
    folders: dict[str, tuple[Path, ...]] = {}
    for file, manifest in zip(offers, manifests, strict=True):
        holder = manifest.predicate["holder"]
        folders[holder] = (*folders.get(holder, ()), Path(file).parent.resolve())
    return Verified(tuple(manifests), dict(sorted(folders.items())), despite_notice)


def fit(
    verified: Verified,
    log_place: Path | str,
    config: RunConfig,
    out: Path,
    *,
    engine: str,
    workers: int,
    report: Report,
) -> Checkpoint:
    """Train, or go on training, and return the last checkpoint.

    Args:
        verified: what ``verify`` gave.
        log_place: where the membership log lies.
        config: the run configuration.
        out: the run's folder.
        engine: ``inprocess``, ``ray`` or ``pooled``.
        workers: how many holders compute at a time; on pooled shards, threads.
        report: called for every measured model.

    Raises:
        FederationError: E_FEDERATION, training cannot start or go on.
    """
    if config.recipe.ema and engine != "pooled":
        raise FederationError("run configuration: ema averages over steps, which a federation does not see: set ema=0")
    out.mkdir(parents=True, exist_ok=True)
    device = device_for().type if engine == "pooled" else "cpu"
    precision = resolve(config.precision, device)  # one format for the whole run, resumed or not
    config = replace(config, precision=precision)
    place = str(Path(log_place).resolve()) if Path(log_place).exists() else str(log_place)
    job = Job.of(place, verified.manifests, config, despite_notice=verified.despite_notice)
    job.save(out)
    table = [[str(folder) for folder in folders] for folders in verified.folders.values()]
    write_whole(out / NODES_FILE, json.dumps(table, indent=1).encode() + b"\n")
    with _watching(out, job.digest, report):
        _run(engine, job, table, config, out, workers)
    if not (out / LAST).exists():
        raise FederationError("the run ended before its first round", hint=f"see the logs in {out}")
    last = checkpoint.load(out / LAST, job.digest)
    if last.number < config.rounds:
        raise FederationError(f"the run ended after round {last.number} of {config.rounds}")
    return last


def _run(engine: str, job: Job, table: list[list[str]], config: RunConfig, out: Path, workers: int) -> None:
    if engine == "pooled":
        _run_pooled(job, table, config, out, workers)
        return
    if engine == "ray":
        from blindsight.trainer import ray_engine

        ray_engine.run(len(table), config, out, workers)
        return
    from blindsight.trainer import client_app, inprocess, server_app

    nodes: list[dict[str, Any]] = [{"datasets": json.dumps(folders)} for folders in table]
    inprocess.run(
        server_app.app,
        client_app.app,
        node_configs=nodes,
        run_config=config.to_flower(),
        state=out,
        workers=workers,
    )


def _run_pooled(job: Job, table: list[list[str]], config: RunConfig, out: Path, threads: int) -> None:
    import torch

    from blindsight.trainer import node, pooled

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        pooled.run(job, [node.load(tuple(map(Path, folders))) for folders in table], config, out)
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _watching(out: Path, job: str, report: Report) -> Iterator[None]:
    """Report every model that the server's checkpoint lists as measured, whichever engine runs it."""
    seen: set[int] = set()
    done = threading.Event()

    def look() -> None:
        if (out / LAST).exists():
            for one in checkpoint.load(out / LAST, job).history:
                if one.number not in seen:
                    seen.add(one.number)
                    report(one)

    def watch() -> None:
        while not done.wait(WATCH_SECONDS):
            look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    look()
