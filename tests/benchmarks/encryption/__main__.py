"""How fast the ciphers are, beside memory, AES and other programs: ``python -m tests.benchmarks.encryption``.

From the project's root. All contestants of a workload are measured in turn, several times over, in one process; what
the figures mean, and how other programs are found, stands in README.md, one folder up.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.benchmarks import peers
from tests.benchmarks.encryption import contestants, tables, workloads
from tests.benchmarks.encryption.contestants import Contestant
from tests.benchmarks.encryption.rounds import TURNS, play
from tests.benchmarks.encryption.workloads import NAMES, Workload

DISTRIBUTIONS = ("blindsight", "numpy", "cryptography", "scramblekit", "imageshuffle")


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Args:
        seconds: to spend on each measurement.
        schemes: names of schemes.
        workers: numbers of threads, 1 first.
    """

    seconds: float
    schemes: tuple[str, ...]
    workers: tuple[int, ...]

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.schemes) - set(NAMES)):
            raise ValueError(f"unknown schemes: {', '.join(unknown)}; known: {', '.join(NAMES)}")
        if self.workers[0] != 1 or min(self.workers) < 1:
            raise ValueError(f"the first number of workers must be 1, got {self.workers}")


def main(words: Sequence[str], given: Sequence[Workload] | None = None) -> int:
    """Measure, write, print.

    Args:
        words: of the command line.
        given: other workloads than the published ones.
    """
    options = parser().parse_args(words)
    try:
        settings = Settings(options.seconds, listed(options.schemes), tuple(map(int, listed(options.workers))))
    except ValueError as error:
        parser().error(str(error))
    document = measured(workloads.full() if given is None else given, settings)
    if options.json:
        Path(options.json).write_text(json.dumps(document, indent=1) + "\n")
    sys.stdout.write((tables.markdown if options.markdown else tables.table)(document) + "\n")
    return 0


def parser() -> ArgumentParser:
    """The command line."""
    options = ArgumentParser("python -m tests.benchmarks.encryption", description="How fast the ciphers are.")
    options.add_argument("--json", metavar="FILE", help="write all figures")
    options.add_argument("--markdown", action="store_true", help="print the README's table instead of the full ones")
    options.add_argument("--seconds", type=float, default=0.5, help="to spend on each measurement (default 0.5)")
    options.add_argument("--schemes", default=",".join(NAMES), metavar="A,B", help="only these")
    options.add_argument("--workers", default="1,2", metavar="1,2", help="numbers of threads, 1 first")
    return options


def listed(text: str) -> tuple[str, ...]:
    """What stands between commas."""
    return tuple(text.split(","))


def measured(given: Sequence[Workload], settings: Settings) -> dict[str, Any]:
    """All figures, as they stand in the JSON."""
    before, rows = load(), []
    given = [workload for workload in given if set(workload.blocks) & set(settings.schemes)]
    for workload in given:
        said(f"{workload.title}: getting ready")
        field = list(taking_part(workload, settings))
        said(f"{workload.title}: {len(field)} contestants")
        play([job for one in field for jobs in one.jobs.values() for job in jobs.values()], settings.seconds)
        rows += [one.to_json() for one in field]
    return {
        "benchmark": "encryption",
        "machine": machine(),
        "versions": versions(),
        "settings": {"seconds": settings.seconds, "turns": TURNS, "workers": list(settings.workers)},
        "load": [before, load()],
        "workloads": [workload.to_json() for workload in given],
        "contestants": rows,
    }


def taking_part(workload: Workload, settings: Settings) -> Iterator[Contestant]:
    """Our schemes, references, other programs."""
    for descriptor in contestants.descriptors(workload, settings.schemes):
        yield contestants.ours(workload, descriptor, settings.workers, settings.seconds)
    yield from contestants.references(workload)
    blocks = {name: side for name, side in workload.blocks.items() if name in settings.schemes}
    others = {contestants.called(workload, other): other for other in peers.peers(workload.shape, blocks)}
    for other in others.values():
        yield contestants.peer(workload, other, settings.seconds)


def machine() -> dict[str, Any]:
    """What it was measured on."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def processor() -> str:
    """Its name, if the system tells."""
    facts = Path("/proc/cpuinfo")
    named = [line for line in facts.read_text().splitlines() if line.startswith("model name")] if facts.exists() else []
    return named[0].partition(":")[2].strip() if named else platform.processor() or "unknown"


def load() -> float:
    """How many programs wanted to run in the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def versions() -> dict[str, str]:
    """Of Python and of what was measured, where it says so."""
    found = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found | {name: getattr(module, "__version__", "unknown") for name, module in peers.found().items()}


def said(words: str) -> None:
    """Talk."""
    sys.stderr.write(f"{words}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
