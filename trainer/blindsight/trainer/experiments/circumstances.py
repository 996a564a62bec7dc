"""What a result was computed with: machine, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

import torch

from blindsight.trainer.device import device_for
from blindsight.trainer.experiments.plan import Value

SOFTWARE: Final = ("blindsight", "torch", "numpy", "flwr")
CPU_FILE: Final = Path("/proc/cpuinfo")
SECONDS: Final = 20


def machine(threads: int, precision: str) -> dict[str, Value]:
    """The machine, as far as it decides how long a run takes.

    Args:
        threads: that computed.
        precision: number format of the forward pass.
    """
    device = device_for()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"processor": processor(), "cores": cores, "threads": threads, "device": name, "precision": precision}


def processor() -> str:
    """The processor's name."""
    if CPU_FILE.exists():
        for line in CPU_FILE.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """The software."""
    return {"python": platform.python_version(), **{name: version(name) for name in SOFTWARE}}


def commit(file: Path = Path(__file__)) -> str:
    """The commit that a file of the software is of, with ``-changed`` if tracked files differ; empty where none is.

    Args:
        file: a tracked file, if the software runs from a checkout.
    """
    if not _git(file.parent, "ls-files", "--error-unmatch", file.name):
        return ""
    changed = _git(file.parent, "status", "--porcelain", "--untracked-files=no")
    return _git(file.parent, "rev-parse", "HEAD") + ("-changed" if changed else "")


def _git(folder: Path, *words: str) -> str:
    try:
        command = ["git", "--no-optional-locks", "-C", str(folder), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
