"""Making the runs of an experiment one after another: publish, train, measure, write the result down.

Whatever is killed, the next start goes on: results are lines that stand or do not, publishing and training resume by
themselves, and one folder is worked in by one process at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from blindsight.protocol.clock import now, to_text
from blindsight.protocol.errors import DataError, FederationError
from blindsight.protocol.files import write_whole
from blindsight.trainer.experiments import circumstances, publishing
from blindsight.trainer.experiments.measuring import Order
from blindsight.trainer.experiments.plan import Experiment
from blindsight.trainer.experiments.results import Result, Results
from blindsight.trainer.experiments.rows import Cell
from blindsight.trainer.experiments.run import Publication, Run, digest_of

BASE: Final = "experiment.json"
PUBLISHED, RUNS = "published", "runs"
Publish = Callable[[Publication, str, Path, int], None]
Watch = Callable[[Mapping[str, Any]], None]


class Runner:
    """An experiment in a folder.

    Args:
        experiment: what is compared.
        out: the experiment's folder.
        lock: what ``alone`` gave.
        threads: that compute.
        keep: whether images and checkpoints stay when they are not needed any more.
        command: what was typed.
        publish: plays the holders.

    Raises:
        DataError: the folder holds another experiment.
    """

    def __init__(
        self,
        experiment: Experiment,
        out: Path,
        lock: int,
        *,
        threads: int,
        keep: bool = False,
        command: str = "",
        publish: Publish = publishing.publish,
    ) -> None:
        self._out, self._lock, self._threads, self._keep, self._command = out, lock, threads, keep, command
        self._publish = publish
        self._base = experiment.base()
        self.results = Results(out, digest_of(self._base))
        publishing.sweep(out / PUBLISHED)

    def demand_same(self, sources: Mapping[str, str]) -> None:
        """Claim the folder for this experiment with these images, or demand that it holds it.

        Args:
            sources: name of a source → what tells its images from others.

        Raises:
            DataError: the folder holds another experiment, or one with other images; what differs is named.
        """
        file = self._out / BASE
        found = json.loads(file.read_bytes()) if file.exists() else {"base": self._base, "sources": {}}
        if different := list(_differences(found["base"], json.loads(json.dumps(self._base)))):
            raise DataError(
                f"{self._out} holds an experiment that differs in {', '.join(different)}", hint="name another --out"
            )
        if strange := [name for name, of in sources.items() if found["sources"].get(name, of) != of]:
            raise DataError(f"{self._out} holds results on other images called {strange[0]}", hint="name another --out")
        document = {"v": 1, "base": self._base, "sources": found["sources"] | dict(sources)}
        write_whole(file, json.dumps(document, indent=1).encode() + b"\n")

    def make(self, cell: Cell, place: str, watch: Watch) -> Result:
        """Make one run and write its result down.

        Args:
            cell: the run.
            place: where its images lie.
            watch: called with what the run says of every measured model.

        Raises:
            FederationError: E_FEDERATION, the holders did not publish, or the training was refused.
        """
        images, folder = self._images(cell.run), self._folder(cell.run)
        if not images.exists():  # a training goes on with the very images that it began with
            shutil.rmtree(folder, ignore_errors=True)
        self._publish(cell.run.publication, place, images, self._lock)
        order = Order(
            dropbox=str(images / publishing.DROPBOX),
            train=publishing.folders(images, "train") + publishing.folders(images, "val"),
            test=publishing.folders(images, "test"),
            folder=str(folder),
            config=cell.run.config.to_flower(),
            training=cell.run.training,
            threads=self._threads,
        )
        result = self._result(cell, _measured(order, self._lock, watch))
        self.results.add(result)
        if not self._keep:
            shutil.rmtree(folder, ignore_errors=True)
        return result

    def forget(self, run: Run, waiting: Sequence[Cell]) -> None:
        """Remove the images of a finished run, unless runs that are waiting need them."""
        wanted = {cell.run.publication.digest for cell in waiting}
        if not self._keep and run.publication.digest not in wanted:
            publishing.forget(self._images(run))

    def _images(self, run: Run) -> Path:
        return self._out / PUBLISHED / run.publication.digest

    def _folder(self, run: Run) -> Path:
        """The run's folder; another default of the software is another run there."""
        return self._out / RUNS / digest_of({"run": run.digest, "config": run.config.to_flower()})

    def _result(self, cell: Cell, measured: dict[str, Any]) -> Result:
        precision = measured.pop("precision")
        return Result(
            v=1,
            experiment=digest_of(self._base),
            run=cell.run.digest,
            cell=cell.name,
            publication=cell.run.publication.to_json(),
            training=cell.run.training,
            config=cell.run.config.to_flower(),
            seed=cell.run.seed,
            machine=circumstances.machine(self._threads, precision),
            versions=circumstances.versions(),
            commit=circumstances.commit(),
            command=self._command,
            finished=to_text(now()),
            **measured,
        )


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Names of the values that differ."""
    for name in sorted({*found, *wanted}):
        one, other = found.get(name), wanted.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _differences(one, other, f"{at}{name}.")
        elif one != other:
            yield f"{at}{name}"


def _measured(order: Order, lock: int, watch: Watch) -> dict[str, Any]:
    """Let a child carry an order out; it ends when this process does, whatever ends it."""
    command = [sys.executable, "-P", "-m", "blindsight.trainer.experiments.measuring"]
    environment = os.environ | {"GOMP_SPINCOUNT": "0", "OMP_NUM_THREADS": str(order.threads)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment, pass_fds=[lock]) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended already, and said why
            child.stdin.write(json.dumps(asdict(order)) + "\n")
            child.stdin.flush()  # and stays open: its end tells the child that nobody waits
        said: dict[str, Any] = {}
        for line in child.stdout:
            said = json.loads(line)
            if "round" in said:
                watch(said)
    if "measured" in said:
        return dict(said["measured"])
    if "refused" in said:
        raise FederationError(said["refused"]["message"], code=said["refused"]["code"], hint=said["refused"]["hint"])
    raise FederationError(f"the run ended with status {child.returncode} and no result; see above")
