"""A contact sheet: an image beside what schemes make of it, labelled, drawn without a picture of the screen.

Encrypted pixels are drawn one to one, or each as a square of whole pixels: scaling them otherwise would show means
that are not there.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

Picture = NDArray[np.uint8]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Text = list[tuple[str, Font, str]]  # lines, each in its font and colour
COLUMNS = 5
LEAST_TILE = 288  # pixels: smaller images are enlarged
PAPER, INK, GREY, FRAME, PLAIN_FRAME = "#ffffff", "#16181d", "#5c6470", "#c9ced6", "#b3261e"
FRAME_WIDTH = 3


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One picture of a sheet with its label.

    Args:
        name: its heading.
        lines: what stands below it.
        image: ``(h, w, 1 or 3)`` uint8.
        shrink: how many times it is smaller than the first tile's image.
    """

    name: str
    lines: tuple[str, ...]
    image: Picture = field(repr=False)
    shrink: int = 1


def drawn(title: str, lines: Sequence[str], tiles: Sequence[Tile], footer: Sequence[str]) -> Image.Image:
    """Draw a sheet.

    Args:
        title: the heading, in large letters.
        lines: what stands below it, a paragraph each.
        tiles: at least one; the first is the plain image.
        footer: what stands at the bottom, a paragraph each.
    """
    return _Layout(tiles).sheet(title, lines, footer)


class _Layout:
    """Where things stand: tiles in columns of one width, labels below them, one gap between everything."""

    def __init__(self, tiles: Sequence[Tile]) -> None:
        factor = max(1, LEAST_TILE // max(tiles[0].image.shape[:2]))
        self._pictures = [_enlarged(tile.image, factor * tile.shrink) for tile in tiles]
        self._cell = max(LEAST_TILE, *(picture.width for picture in self._pictures))
        self._columns, self._gap = min(COLUMNS, len(tiles)), self._cell // 10
        self._width = self._columns * (self._cell + self._gap) - self._gap
        sizes = _sizes(self._cell, self._columns)
        self._title, self._name, self._line = (ImageFont.load_default(size) for size in sizes)
        self._labels = [self._label(tile) for tile in tiles]

    def sheet(self, title: str, lines: Sequence[str], footer: Sequence[str]) -> Image.Image:
        head = _set([title], self._title, INK, self._width) + _set(lines, self._name, GREY, self._width)
        foot = _set(footer, self._line, GREY, self._width)
        rows = [range(len(self._labels))[first : first + self._columns] for first in self._firsts()]
        heights = [_height(head), *map(self._row_height, rows), _height(foot)]
        size = self._width + 2 * self._gap, sum(heights) + self._gap * (len(heights) + 1)
        paper, tops = Image.new("RGB", size, PAPER), list(itertools.accumulate(heights, self._below, initial=self._gap))
        _write(paper, head, self._gap, tops[0])
        for row, top in zip(rows, tops[1:], strict=False):
            self._draw_row(paper, row, top)
        _write(paper, foot, self._gap, tops[-2])
        return paper

    def _firsts(self) -> range:
        return range(0, len(self._labels), self._columns)

    def _below(self, top: int, height: int) -> int:
        return top + height + self._gap

    def _label(self, tile: Tile) -> Text:
        return [(tile.name, self._name, INK), *_set(tile.lines, self._line, GREY, self._cell)]

    def _row_height(self, row: range) -> int:
        return self._tallest(row) + self._gap // 3 + max(_height(self._labels[place]) for place in row)

    def _tallest(self, row: range) -> int:
        return max(self._pictures[place].height for place in row)

    def _draw_row(self, paper: Image.Image, row: range, top: int) -> None:
        bottom = top + self._tallest(row)
        for column, place in enumerate(row):
            left, picture = self._gap + column * (self._cell + self._gap), self._pictures[place]
            framed = ImageOps.expand(picture, FRAME_WIDTH, FRAME if place else PLAIN_FRAME)
            paper.paste(framed, (left - FRAME_WIDTH, bottom - picture.height - FRAME_WIDTH))
            _write(paper, self._labels[place], left, bottom + self._gap // 3)


def _sizes(cell: int, columns: int) -> tuple[int, int, int]:
    """Heights of title, names and lines in pixels: the wider the sheet, the larger, as it is looked at whole."""
    line = max(16, cell // 17) if columns > 2 else 16
    return round(1.9 * line), round(1.3 * line), line


def _enlarged(image: Picture, factor: int) -> Image.Image:
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).convert("RGB")
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _set(paragraphs: Sequence[str], font: Font, colour: str, width: int) -> Text:
    """Paragraphs in lines that are no wider than so many pixels, as far as words allow."""
    lines: list[str] = []
    for paragraph in paragraphs:
        lines.append("")
        for word in paragraph.split():
            longer = f"{lines[-1]} {word}".lstrip()
            if lines[-1] and font.getlength(longer) > width:
                lines.append(word)
            else:
                lines[-1] = longer
    return [(line, font, colour) for line in lines]


def _height(text: Text) -> int:
    return sum(_leading(font) for _, font, _ in text)


def _leading(font: Font) -> int:
    """From one line to the next, in pixels."""
    return round(1.35 * font.getbbox("Ag")[3])


def _write(paper: Image.Image, text: Text, left: int, top: int) -> None:
    pen = ImageDraw.Draw(paper)
    for line, font, colour in text:
        pen.text((left, top), line, font=font, fill=colour)
        top += _leading(font)
