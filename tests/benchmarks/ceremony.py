"""What an epoch ceremony costs as a federation grows: ``python -m tests.benchmarks.ceremony [n …]``, from the root.

Real keystores (with cheap Argon2id), a real folder as drop-box, every member opening its keystore anew for each step,
as the command does. Only the members' clock stands still. Bytes repeat to within a few; seconds are this machine's.
"""

from __future__ import annotations

import itertools
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from blindsight.protocol.session import Phase
from tests.holder import rooms

SIZES = (3, 10, 25, 50)
MOST_ROUNDS = 12


@dataclass(frozen=True)
class Cost:
    """What a federation of ``n`` members took from nothing to its first agreed epoch."""

    n: int
    founding: float  # seconds: keys, genesis, every member's signature, comparing the code
    ceremony: float  # seconds: from the proposal to the record in everybody's keystore
    steps: int  # steps of all members together
    slowest: float  # seconds of the slowest step
    genesis: int  # bytes in the drop-box before the ceremony
    box: int  # bytes in the drop-box afterwards
    files: int  # in the drop-box
    largest: int  # bytes of the largest file there
    keystore: int  # bytes of the largest keystore at any time, an open ceremony included

    @property
    def growing(self) -> dict[str, float]:
        """What is watched from one size to the next."""
        return {"ceremony": self.ceremony, "box": self.box, "box/member": self.box / self.n, "keystore": self.keystore}


def measured(root: Path, n: int, clock: Callable[[], float] = time.perf_counter) -> Cost:
    """Found a federation of ``n`` members in an empty folder and agree on its first epoch."""
    start = clock()
    rooms.found(root, [f"site-{place:03d}" for place in range(n)])
    room = rooms.Room(root)
    founded, genesis = clock(), sum(sizes(root / "box"))
    room.propose(room.names[0])
    phases, seconds, peak = dict.fromkeys(room.names, ""), [], keystore_bytes(root)
    for _ in range(MOST_ROUNDS):
        for name in room.names:
            begun = clock()
            phases[name] = room.step(name).phase
            seconds.append(clock() - begun)
            peak = max(peak, keystore_bytes(root / name))
        if set(phases.values()) == {Phase.ACTIVE.value}:
            break
    room.agreed()
    found = sizes(root / "box")
    ceremony = clock() - founded
    steps, slowest = len(seconds), max(seconds)
    return Cost(n, founded - start, ceremony, steps, slowest, genesis, sum(found), len(found), max(found), peak)


def sizes(folder: Path) -> list[int]:
    """The bytes of every file below a folder."""
    return [path.stat().st_size for path in folder.rglob("*") if path.is_file()]


def keystore_bytes(folder: Path) -> int:
    """The bytes of the largest keystore below a folder."""
    return max(path.stat().st_size for path in folder.rglob("keystore.json"))


def exponents(smaller: Cost, larger: Cost) -> dict[str, float]:
    """With which power of n each cost grew from one size to the next."""
    ratio = math.log(larger.n / smaller.n)
    return {name: math.log(value / smaller.growing[name]) / ratio for name, value in larger.growing.items()}


def table(costs: Sequence[Cost]) -> str:
    """The costs as a Markdown table, and with which power of n they grew."""
    names = [field.name for field in fields(Cost)]
    rows = [[*(cell(cost, name) for name in names), *per_member(cost)] for cost in costs]
    said = lines([*names, "ceremony/member", "box/member"], rows)
    if len(costs) > 1:
        grown = [growth(*pair) for pair in itertools.pairwise(costs)]
        said += ["", *lines(["from", "to", *costs[0].growing], grown)]
    return "\n".join(said)


def growth(smaller: Cost, larger: Cost) -> list[str]:
    powers = [f"n^{power:.2f}" for power in exponents(smaller, larger).values()]
    return [str(smaller.n), str(larger.n), *powers]


def cell(cost: Cost, name: str) -> str:
    value = getattr(cost, name)
    return f"{value:.2f} s" if isinstance(value, float) else f"{value:,}"


def per_member(cost: Cost) -> list[str]:
    return [f"{cost.ceremony / cost.n:.2f} s", f"{cost.box // cost.n:,}"]


def lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in [head, ["--:"] * len(head), *rows]]


def main(words: Sequence[str]) -> None:
    costs = []
    for n in [int(word) for word in words] or SIZES:
        with tempfile.TemporaryDirectory() as folder:
            costs.append(measured(Path(folder), n))
        sys.stderr.write(f"n = {n}: {costs[-1].ceremony:.1f} s\n")
    sys.stdout.write(table(costs) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
