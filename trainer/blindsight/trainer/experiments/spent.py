"""What a run has cost so far, over interruptions."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path
from typing import Final

from blindsight.protocol.files import write_whole

FILE_NAME: Final = "spent.json"


class Spent:
    """Seconds spent on a run, over interruptions; those of a round that has to be made again are not counted twice.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / FILE_NAME
        found: list[float] = json.loads(self._file.read_bytes()) if self._file.exists() else [0.0, 0.0]
        self._before = found[0] - time.monotonic(), found[1] - _core_seconds()

    def until_now(self) -> tuple[float, float]:
        """Wall and processor seconds until now; they are kept."""
        spent = self._before[0] + time.monotonic(), self._before[1] + _core_seconds()
        write_whole(self._file, json.dumps(spent).encode() + b"\n")
        return spent


def _core_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
