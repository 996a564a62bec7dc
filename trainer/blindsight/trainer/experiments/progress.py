"""How far an experiment is, and how long it may still take: lines of talk."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from blindsight.trainer.experiments.results import Result, Results
from blindsight.trainer.experiments.rows import Cell
from blindsight.trainer.experiments.spread import Spread

SECONDS_BETWEEN_LINES: Final = 5.0
MINUTE, HOUR = 60, 3600
Say = Callable[[str], None]


class Progress:
    """Says what is done.

    Args:
        cells: all runs that are wanted.
        results: those that are finished.
        say: takes a line.
    """

    def __init__(self, cells: Sequence[Cell], results: Results, say: Say) -> None:
        self._cells, self._results, self._say = cells, results, say
        self._last = 0.0

    def begin(self, cell: Cell) -> None:
        """A run begins or goes on."""
        number = len(self._cells) - len(self._waiting()) + 1
        also = f", which is also {', '.join(cell.names[1:])}" if len(cell.names) > 1 else ""
        self._say(f"run {number} of {len(self._cells)}: {cell.name}{also}")

    def measured(self, cell: Cell, said: Mapping[str, Any]) -> None:
        """A model of a run has been measured.

        Args:
            cell: the run.
            said: ``round``, ``accuracy`` and the ``seconds`` that the run has taken so far.
        """
        number, rounds = said["round"], cell.run.config.rounds
        if number < rounds and time.monotonic() - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = time.monotonic()
        left = self._left(cell, said["seconds"] / number, rounds - number) if 0 < number < rounds else ""
        self._say(f"{cell.name}: round {number} of {rounds}, val accuracy {said['accuracy']:.4f}{left}")

    def _left(self, cell: Cell, seconds_a_round: float, rounds: int) -> str:
        others = [one for one in self._waiting() if one is not cell]
        done = [found for one in self._cells if (found := self._results.of(one.run))]
        whole = seconds_a_round * cell.run.config.rounds
        mine = seconds_a_round * rounds
        return f"; about {duration(mine)} left, {duration(mine + expected(others, done, (cell, whole)))} in all"

    def finished(self, cell: Cell, result: Result) -> None:
        """A run is finished."""
        share = f"{result.accuracy:.4f} of {result.images} test images"
        self._say(f"{cell.name}: {share} in {duration(result.seconds)}; {len(self._waiting())} run(s) left")

    def _waiting(self) -> list[Cell]:
        return [cell for cell in self._cells if self._results.of(cell.run) is None]


def expected(waiting: Sequence[Cell], done: Sequence[Result], current: tuple[Cell, float]) -> float:
    """Seconds that runs may take: as long as those of the same network took on average, else as long as any.

    Args:
        waiting: the runs.
        done: finished runs.
        current: a run that is being made, and the seconds that it is expected to take.
    """
    taken = [(str(one.config["network"]), one.seconds) for one in done]
    taken.append((current[0].run.config.network, current[1]))
    total = 0.0
    for cell in waiting:
        alike = Spread.of([seconds for network, seconds in taken if network == cell.run.config.network])
        total += (alike or Spread(sum(s for _, s in taken) / len(taken), None, len(taken))).mean
    return total


def duration(seconds: float) -> str:
    """``40 s``, ``12 min`` or ``3 h 05 min``."""
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds // HOUR:.0f} h {seconds % HOUR // MINUTE:02.0f} min"
