"""``blindsight trainer experiment``: make the runs of an experiment, write its table and its plots."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from blindsight.cli.arguments import Verbs, at_least
from blindsight.cli.output import emit, emit_facts, emit_json, say
from blindsight.protocol.errors import BlindsightError, DataError, FederationError

if TYPE_CHECKING:
    from blindsight.trainer.experiments.plan import Experiment
    from blindsight.trainer.experiments.publishing import Places
    from blindsight.trainer.experiments.rows import Cell, Row
    from blindsight.trainer.experiments.runner import Runner


def add_verb(verbs: Verbs) -> None:
    """Add ``experiment``."""
    parser = verbs.add(
        "experiment",
        _experiment,
        "make the runs of an experiment and write its table; the same command goes on where it was interrupted",
        "blindsight trainer experiment digits --out runs/digits",
    )
    parser.add_argument("file", metavar="FILE", help="a YAML file, or the name of one that ships with blindsight")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: runs/experiment-FILE")
    parser.add_argument(
        "--data", action="append", default=[], type=_place, metavar="NAME=PLACE", help="where the images of a name lie"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only the runs ROW/NETWORK/VARIANT/SEED that match, such as 'le/*/unit'; may be repeated",
    )
    parser.add_argument("--list", action="store_true", help="list the runs, and which of them are finished")
    parser.add_argument("--threads", type=at_least(1), default=os.cpu_count() or 1, metavar="N", help="default: all")
    parser.add_argument("--keep", action="store_true", help="keep published images and checkpoints of finished runs")


def _place(text: str) -> tuple[str, str]:
    name, equals, place = text.partition("=")
    if not (name and equals and place):
        raise argparse.ArgumentTypeError(f"expected NAME=PLACE like cifar10=data/cifar10, got {text[:40]!r}")
    return name, place


def _experiment(options: argparse.Namespace) -> int:
    from blindsight.trainer.experiments import document, rows

    file = document.find(options.file)
    experiment = document.read(file)
    every = rows.rows_of(experiment)
    cells = [one for one in rows.cells_of(every) if not options.only or one.matches(options.only)]
    if not cells:
        hint = f"blindsight trainer experiment {options.file} --list"
        raise DataError(f"no run matches {' or '.join(options.only)}", hint=hint)
    out: Path = options.out or Path("runs") / f"experiment-{file.stem}"
    if options.list:
        return _list(cells, experiment, out, as_json=options.json)
    return _run(cells, every, experiment, out, options)


def _list(cells: Sequence[Cell], experiment: Experiment, out: Path, *, as_json: bool) -> int:
    from blindsight.trainer.experiments.results import Results
    from blindsight.trainer.experiments.run import digest_of

    results = Results(out, digest_of(experiment.base()))
    for cell in cells:
        found = results.of(cell.run)
        if as_json:
            accuracy = None if found is None else found.accuracy
            emit_json({"run": cell.run.digest, "cells": cell.names, "accuracy": accuracy})
        else:
            emit(f"{'to do ' if found is None else f'{found.accuracy:.4f}'}  {', '.join(cell.names)}")
    return 0


def _run(
    cells: Sequence[Cell], rows: Sequence[Row], experiment: Experiment, out: Path, options: argparse.Namespace
) -> int:
    from blindsight.trainer.alone import alone
    from blindsight.trainer.experiments import plot, report
    from blindsight.trainer.experiments.publishing import Places
    from blindsight.trainer.experiments.runner import Runner

    places = Places(dict(options.data))
    contents = {name: places.contents(name) for name in {cell.run.publication.data.source for cell in cells}}
    with alone(out, "wait for it to end; of one that was killed, a part may still run") as lock:
        runner = Runner(experiment, out, lock, threads=options.threads, keep=options.keep, command=_command(options))
        runner.demand_same(contents)
        table = partial(report.write_table, out, experiment, rows, runner.results)
        refused = _make_all(runner, cells, places, table)
        plots = report.write_plots(out, experiment, rows, runner.results)
        facts = {"runs": len(cells) - len(refused), "table": str(table()), "results": str(runner.results.file)}
    if not plot.available():
        say(report.NO_PLOTS)
    emit_facts(facts | {"plots": [str(file) for file in plots]}, as_json=options.json)
    if refused:
        hint = "the same command tries them again"
        raise FederationError(f"{len(refused)} of {len(cells)} runs were not made: {', '.join(refused)}", hint=hint)
    return 0


def _make_all(runner: Runner, cells: Sequence[Cell], places: Places, after: Callable[[], object]) -> list[str]:
    """Make the runs that are not finished; names of those that could not be made."""
    from blindsight.trainer.experiments.progress import Progress

    progress = Progress(cells, runner.results, say)
    refused: list[Cell] = []
    waiting = [cell for cell in cells if runner.results.of(cell.run) is None]
    while waiting:
        cell, *waiting = waiting
        progress.begin(cell)
        try:
            place = places.of(cell.run.publication.data.source)
            progress.finished(cell, runner.make(cell, place, partial(progress.measured, cell)))
            runner.forget(cell.run, [*waiting, *refused])
        except BlindsightError as error:
            say(f"{cell.name} was not made: {error.message} [{error.code}]")
            refused.append(cell)
        after()
    return [cell.name for cell in refused]


def _command(options: argparse.Namespace) -> str:
    """What somebody else types to repeat the runs; where this machine keeps its images is nobody's business."""
    words = ["blindsight", "trainer", "experiment", options.file, "--threads", str(options.threads)]
    words += [word for name, _ in options.data for word in ("--data", f"{name}=PLACE")]
    return shlex.join(words)
