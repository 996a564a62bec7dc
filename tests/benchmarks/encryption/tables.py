"""The figures for people; everything here is computed from what stands in the JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from tests.benchmarks.ceremony import lines

Row = Mapping[str, Any]
NONE = "–"
PACKAGES = {"imageshuffle": "imageshuffle", "learnable_encryption": "BlockScramble", "scramblekit": "scramblekit"}
AES = "AES-256-GCM, an image a call"
EXPLAINED = (
    "MB are 10⁶ bytes of plain pixels, a second of one thread: the median of all passes; best and per processor second "
    "beside it. Set-up: from a key to a cipher that has encrypted one image, less one encryption. Workers: how many "
    "times as fast as one, of the best passes. memcpy/x, AES/x: how many times as fast memory is copied, and "
    "AES-256-GCM seals image by image. × program: how many times as fast as the fastest way of running that program, "
    "with the same scheme on the same images."
)


def table(document: Mapping[str, Any]) -> str:
    """One table for each workload."""
    parts = [EXPLAINED, busy(document)]
    for workload in document["workloads"]:
        rows = [row for row in document["contestants"] if row["workload"] == workload["name"]]
        workers = document["settings"]["workers"][1:]
        head = ["", "block", "MB/s", "best", "MB/CPU-s", "images/s", "decrypt MB/s", "set-up ms"]
        head += [f"{count} workers" for count in workers]
        head += ["memcpy/x", "AES/x", *(f"× {name}" for name in PACKAGES.values()), "bytes"]
        body = [cells(row, rows, workers) for row in rows]
        parts.append(f"**{workload['title']}**\n\n" + "\n".join(lines(head, body)))
    return "\n\n".join(parts)


def busy(document: Mapping[str, Any]) -> str:
    """What else ran on the machine, as far as it is known."""
    machine = document["machine"]
    before, after = (f"{load:.1f}" for load in document["load"])
    return f"{machine['processor']}, {machine['cores']} cores; load {before} before and {after} after."


def cells(row: Row, rows: Sequence[Row], workers: Iterable[int]) -> list[str]:
    """One line of the table."""
    figures = row["encrypt"]["1"]
    return [
        row["name"],
        block(row),
        whole(figures["mb_s"]),
        whole(figures["mb_s_best"]),
        whole(figures["mb_cpu_s"]),
        whole(figures["images_s"]),
        whole(row["decrypt"]["1"]["mb_s"]) if "decrypt" in row else NONE,
        setup(row),
        *(speedup(row, str(count)) for count in workers),
        ratio(speed(named("memcpy", rows)), speed(row)),
        ratio(speed(named(AES, rows)), speed(row)),
        *(ratio(speed(row), fastest(package, row, rows)) if row["kind"] == "ours" else NONE for package in PACKAGES),
        row["bytes"] or NONE,
    ]


def markdown(document: Mapping[str, Any]) -> str:
    """The README's table: our schemes, small images beside frames."""
    columns = columns_of(document)
    first, second = list(columns)[:2]
    head = [
        "scheme",
        "block",
        f"{first} MB/s",
        f"{second} MB/s",
        "frames/s",
        "key set-up ms",
        "× imageshuffle",
        "× BlockScramble",
    ]
    body = []
    for name in dict.fromkeys(row["name"] for row in document["contestants"] if row["kind"] == "ours"):
        pair = [ours_in(columns[column], name) for column in (first, second)]
        body.append(
            [
                name,
                both(lambda row, rows: block(row), pair),
                *(both(lambda row, rows: whole(speed(row)), [one]) for one in pair),
                both(lambda row, rows: whole(row["encrypt"]["1"]["images_s"]), pair[1:]),
                both(lambda row, rows: setup(row), pair),
                both(lambda row, rows: ratio(speed(row), fastest("imageshuffle", row, rows)), pair),
                both(lambda row, rows: ratio(speed(row), fastest("learnable_encryption", row, rows)), pair),
                both(lambda row, rows: ratio(speed(named("memcpy", rows)), speed(row)), pair),
            ]
        )
    others = [line for column in list(columns)[2:] for rows in columns[column] for line in sentences(column, rows)]
    return "\n".join([*lines([*head, "memcpy/x"], body), "", *others]).strip()


def sentences(column: str, rows: Sequence[Row]) -> list[str]:
    """What the short table has no column for."""
    memory = speed(named("memcpy", rows))
    return [
        f"- {row['name']}, {column}, block {block(row)}: {whole(speed(row))} MB/s, memcpy/x {ratio(memory, speed(row))}"
        for row in rows
        if row["kind"] == "ours"
    ]


Found = tuple[Row, Sequence[Row]] | None


def columns_of(document: Mapping[str, Any]) -> dict[str, list[list[Row]]]:
    """Column of the short table → rows of each workload that belongs there."""
    columns: dict[str, list[list[Row]]] = {}
    for workload in document["workloads"]:
        rows = [row for row in document["contestants"] if row["workload"] == workload["name"]]
        columns.setdefault(workload["column"], []).append(rows)
    return columns


def ours_in(workloads: Iterable[Sequence[Row]], name: str) -> Found:
    """The row of a scheme and the rows beside it."""
    return next(
        ((row, rows) for rows in workloads for row in rows if (row["name"], row["kind"]) == (name, "ours")), None
    )


def both(words: Callable[[Row, Sequence[Row]], str], found: Iterable[Found]) -> str:
    """What is to be said of small images and of frames."""
    said = [words(*one) if one else NONE for one in found]
    return NONE if set(said) == {NONE} else " / ".join(said)


def block(row: Row) -> str:
    """Side of a block, if the scheme has one."""
    return str(row["params"].get("block", NONE))


def speed(row: Row | None) -> float:
    """MB/s of encryption with one worker; 0 if there is no such row."""
    return float(row["encrypt"]["1"]["mb_s"]) if row else 0.0


def named(name: str, rows: Iterable[Row]) -> Row | None:
    """The row of that name."""
    return next((row for row in rows if row["name"] == name), None)


def fastest(package: str, row: Row, rows: Iterable[Row]) -> float:
    """MB/s of another program with the same scheme; 0 if there is none."""
    wanted = ("peer", row["scheme"], row["scope"])
    same = [one for one in rows if (one["kind"], one["scheme"], one["scope"]) == wanted]
    return max((speed(one) for one in same if one["name"].startswith(f"{package} ")), default=0.0)


def setup(row: Row) -> str:
    """Milliseconds."""
    return f"{median(row['setup_ms']):,.1f}" if row["setup_ms"] else NONE


def speedup(row: Row, workers: str) -> str:
    """How many times as fast with more workers: of the best passes, in which most processors were free."""
    figures = row["encrypt"].get(workers)
    return ratio(figures["mb_s_best"], row["encrypt"]["1"]["mb_s_best"]) if figures else NONE


def whole(value: float) -> str:
    """Three digits are as many as repeat."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def ratio(above: float, below: float) -> str:
    """One number over another, if there are both."""
    if not above or not below:
        return NONE
    value = above / below
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
