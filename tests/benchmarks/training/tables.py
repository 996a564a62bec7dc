"""The figures for people; everything here is computed from what stands in the JSON."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from tests.benchmarks.ceremony import lines

Row = Mapping[str, Any]
EXPLAINED = (
    "Images a core-second: forward, backward and step, one thread; the median over all steps of images by processor "
    "seconds, with the best in brackets. Longer: by how much a step takes longer on encrypted images, with the stem "
    "that they need, than on plain ones, with the stem that networks on plain images have. Stem: its share of a step "
    "on encrypted images."
)


def markdown(document: Mapping[str, Any]) -> str:
    """One line a network, precisions beside one another."""
    precisions = document["settings"]["precisions"]
    head = ["network", "weights", "stems"]
    for precision in precisions:
        head += [f"{precision} plain", f"{precision} encrypted", "longer", "stem"]
    rows = [line(name, both(document, name), precisions) for name in document["settings"]["networks"]]
    return "\n\n".join([said(document), "\n".join(lines(head, rows)), EXPLAINED])


def said(document: Mapping[str, Any]) -> str:
    """What it was measured on, and with what."""
    machine, settings, (before, after) = document["machine"], document["settings"], document["load"]
    edge, batch = settings["edge"], settings["batch"]
    return (
        f"{machine['processor']}, {machine['cores']} cores, torch {document['versions']['torch']}; load {before:.1f} "
        f"before and {after:.1f} after. {batch} images of {edge}×{edge}×3 a step, blocks of {settings['block']}, "
        f"{settings['upsample']} features a block edge where networks are not of patches."
    )


def both(document: Mapping[str, Any], name: str) -> tuple[Row, Row]:
    """A network's rows: plain, encrypted."""
    rows = {row["domain"]: row for row in document["contestants"] if row["network"] == name}
    return rows["plain"], rows["encrypted"]


def line(name: str, rows: tuple[Row, Row], precisions: list[str]) -> list[str]:
    """A network's cells."""
    plain, encrypted = rows
    cells = [name, f"{encrypted['weights'] / 1e6:.2f} M", f"{plain['stem']} / {encrypted['stem']}"]
    for precision in precisions:
        cells += [*(speed(row, precision) for row in rows)]
        cells += [f"{100 * (overhead(rows, precision) - 1):+.0f} %", f"{100 * share(encrypted, precision):.0f} %"]
    return cells


def speed(row: Row, precision: str) -> str:
    """Images a core-second."""
    seconds, images = row["steps"][precision]["cpu_seconds"], row["steps"][precision]["images"]
    return f"{images / median(seconds):,.0f} ({images / min(seconds):,.0f})"


def overhead(rows: tuple[Row, Row], precision: str) -> float:
    """Processor time of a step on encrypted images over that on plain ones."""
    plain, encrypted = (median(row["steps"][precision]["cpu_seconds"]) for row in rows)
    return encrypted / plain


def share(row: Row, precision: str) -> float:
    """Processor time of the stem alone over that of a step."""
    return median(row["stem_passes"][precision]["cpu_seconds"]) / median(row["steps"][precision]["cpu_seconds"])
