"""How long the stages of a long task take, on the wall."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

DECIMALS = 3


class Stopwatch:
    """Adds up the seconds of stages that may come many times, one after another.

    Args:
        stages: their names, in the order in which they are shown.
        clock: gives seconds since any fixed moment.
    """

    def __init__(self, stages: Sequence[str], clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._begun = clock, clock()
        self._seconds = dict.fromkeys(stages, 0.0)

    @contextlib.contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        """Count the time that the block takes to a stage; blocks must not lie inside one another."""
        begun = self._clock()
        try:
            yield
        finally:
            self._seconds[stage] += self._clock() - begun

    def seconds(self) -> dict[str, float]:
        """Seconds of each stage, and ``total`` since the stopwatch was made."""
        table = self._seconds | {"total": self._clock() - self._begun}
        return {stage: round(taken, DECIMALS) for stage, taken in table.items()}
