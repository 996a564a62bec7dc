"""What results say about the rows of a table: means, and differences between variants in percentage points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from blindsight.trainer.experiments.results import Result, Results
from blindsight.trainer.experiments.rows import Row
from blindsight.trainer.experiments.spread import Spread

COSTS: Final = {"key": ("scheme", "unit"), "stem": ("unit", "reference"), "views": ("reference", "fresh")}
"""What each difference between two variants is the cost of; negative where accuracy is lost."""

PERCENT: Final = 100.0


@dataclass(frozen=True, slots=True)
class Line:
    """A row with the results that are there.

    Args:
        row: the row.
        found: name of the variant → result of each seed, None where there is none yet.
    """

    row: Row
    found: dict[str, tuple[Result | None, ...]]

    def results(self, variant: str) -> list[Result]:
        """The results of a variant."""
        return [one for one in self.found.get(variant, ()) if one is not None]

    def accuracy(self, variant: str) -> Spread | None:
        """Test accuracy in percent; None where no run is finished."""
        return Spread.of([PERCENT * one.accuracy for one in self.results(variant)])

    def difference(self, first: str, second: str) -> Spread | None:
        """Test accuracy of one variant less that of another in points, seed by seed, where both are finished."""
        pairs = zip(self.found.get(first, ()), self.found.get(second, ()), strict=False)
        return Spread.of([PERCENT * (one.accuracy - two.accuracy) for one, two in pairs if one and two])

    def same(self, first: str, second: str) -> bool:
        """Whether two variants are the same runs."""
        digests = [[run.digest for run in self.row.variants.get(name, ())] for name in (first, second)]
        return digests[0] == digests[1] != []


def lines_of(rows: Sequence[Row], results: Results) -> list[Line]:
    """All rows with what is known of them."""
    return [Line(row, {name: tuple(map(results.of, runs)) for name, runs in row.variants.items()}) for row in rows]
