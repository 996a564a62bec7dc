"""How time is taken: all contestants in turn, several times over, so that a busy moment hits no single one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.benchmarks.encryption.workloads import MEGA

TURNS = 5
FEWEST = 3
SETUPS = 5
Pass = Callable[[], object]


@dataclass
class Job:
    """One thing to measure.

    Args:
        run: one pass over the workload.
        plain_bytes: of the images in a pass.
        images: in a pass.
        seconds: how long it takes, pass by pass.
        busy: processor seconds of the whole process, pass by pass.
    """

    run: Pass
    plain_bytes: int
    images: int
    seconds: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)

    def turn(self, until: float) -> None:
        """Run until so many seconds have been spent in all, at least once."""
        while True:
            wall, busy = time.perf_counter(), time.process_time()
            self.run()
            self.busy.append(time.process_time() - busy)
            self.seconds.append(time.perf_counter() - wall)
            if sum(self.seconds) >= until:
                return

    def figures(self) -> dict[str, object]:
        """MB are 10⁶ bytes of plain pixels, whatever the size of what comes out."""
        plain = self.plain_bytes / MEGA
        return {
            "mb_s": plain / median(self.seconds),
            "mb_s_best": plain / min(self.seconds),
            "mb_cpu_s": plain / max(median(self.busy), 1e-9),
            "images_s": self.images / median(self.seconds),
            "passes": len(self.seconds),
            "seconds": self.seconds,
            "cpu_seconds": self.busy,
        }


def play(jobs: Sequence[Job], seconds: float, turns: int = TURNS) -> None:
    """Measure all jobs in turn.

    Args:
        jobs: what is measured; each has run before.
        seconds: to spend on each, in all; slow ones take longer.
        turns: how often the round is made.
    """
    for turn in range(1, turns + 1):
        for job in jobs:
            if len(job.seconds) < FEWEST or sum(job.seconds) < seconds * turn / turns:
                job.turn(seconds * turn / turns)


def setup_seconds(make: Callable[[int], Pass], seconds: float) -> list[float]:
    """What comes before the second image: from a key to something that has encrypted one image, less one encryption.

    Args:
        make: from the number of a key to what encrypts one image.
        seconds: after so many no further key is tried.
    """
    found: list[float] = []
    spent = 0.0
    while not found or (len(found) < SETUPS and spent < seconds):
        start = time.perf_counter()
        run = make(len(found))
        run()
        first = time.perf_counter()
        run()
        warm = time.perf_counter()
        found.append(max(0.0, (first - start) - (warm - first)))
        spent += warm - start
    return found
