"""How fast networks train, plain and encrypted: ``python -m tests.benchmarks.training [NETWORK…]``.

From the project's root. All networks, domains and precisions make steps in turn, several times over, in one process and
one thread; what the figures mean stands in README.md, one folder up.
"""

from __future__ import annotations

import json
import platform
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from blindsight.trainer.networks import NETWORKS
from blindsight.trainer.precision import Precision, resolve
from tests.benchmarks.encryption.__main__ import load, machine, said
from tests.benchmarks.encryption.rounds import TURNS, play
from tests.benchmarks.training import tables
from tests.benchmarks.training.contestants import DOMAINS, Workload, contestant


def main(words: Sequence[str]) -> int:
    """Measure, write, print.

    Args:
        words: of the command line.
    """
    options = parser().parse_args(words)
    names = tuple(options.networks) or tuple(NETWORKS)
    if unknown := sorted(set(names) - set(NETWORKS)):
        parser().error(f"unknown networks: {', '.join(unknown)}; known: {', '.join(NETWORKS)}")
    workload = Workload(options.batch, options.edge, options.block, options.upsample)
    document = measured(names, workload, options.seconds)
    if options.json:
        Path(options.json).write_text(json.dumps(document, indent=1) + "\n")
    sys.stdout.write(tables.markdown(document) + "\n")
    return 0


def parser() -> ArgumentParser:
    """The command line."""
    options = ArgumentParser("python -m tests.benchmarks.training", description="How fast networks train.")
    options.add_argument("networks", nargs="*", metavar="NETWORK", help="only these")
    options.add_argument("--json", metavar="FILE", help="write all figures")
    options.add_argument("--seconds", type=float, default=10.0, help="to spend on each measurement (default 10)")
    options.add_argument("--batch", type=int, default=128, help="images a step (default 128)")
    options.add_argument("--edge", type=int, default=32, help="height and width of an image (default 32)")
    options.add_argument("--block", type=int, default=4, help="edge of a block (default 4)")
    options.add_argument("--upsample", type=int, default=2, help="features a block edge: 1, 2 or 4 (default 2)")
    return options


def measured(names: Sequence[str], workload: Workload, seconds: float) -> dict[str, Any]:
    """All figures, as they stand in the JSON."""
    before, precisions = load(), fast_precisions()
    torch.set_num_threads(1)
    field = []
    for name in names:
        said(f"{name}: getting ready")
        field += [contestant(name, domain, workload, precisions) for domain in DOMAINS]
    jobs = [job for one in field for job in one.all_jobs]
    said(f"{len(jobs)} measurements of {seconds:g} s")
    play(jobs, seconds)
    settings = {"seconds": seconds, "turns": TURNS, "networks": list(names), "precisions": list(precisions)}
    return {
        "benchmark": "training",
        "machine": machine(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "settings": settings | asdict(workload),
        "load": [before, load()],
        "contestants": [one.to_json() for one in field],
    }


def fast_precisions() -> tuple[Precision, ...]:
    """Single precision, and bfloat16 where the processor computes with it."""
    return ("fp32", "bf16") if resolve("auto") == "bf16" else ("fp32",)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
