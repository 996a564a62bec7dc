"""PyramidNet-110 with a widening of 48: deep, narrow, a channel or two wider after every unit."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from blindsight.trainer.networks.pyramidal import widened

FIRST: Final = 16
"""Channels behind the stem."""
WIDENING: Final = 48
"""Channels that all units add together (the paper's alpha)."""
UNITS: Final = 18
"""Units of two convolutions in each of three groups: (110 layers - 2) / 6."""


class Unit(nn.Module):
    """Two 3 x 3 convolutions between normalisations, added to what came in, which zeros widen.

    Args:
        inputs: channels in.
        outputs: channels out, at least as many.
        stride: 2 to halve the edges (rounding up), else 1.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride == 2:
            self.shortcut = nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)

    def initialise(self, generator: torch.Generator) -> None:
        """Begin as the shortcut alone: the last normalisation starts at zero (Goyal et al., arXiv 1706.02677, 5.1).

        Args:
            generator: not needed.
        """
        nn.init.zeros_(self.body[-1].weight)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Refine and widen.

        Args:
            features: (b, inputs, h, w) float32.

        Returns:
            (b, outputs, h / stride, w / stride) float32.
        """
        return widened(self.shortcut(features), self.body(features))


def _units() -> list[Unit]:
    count = 3 * UNITS
    widths = [round(FIRST + WIDENING * done / count) for done in range(count + 1)]  # 16 to 64
    return [
        Unit(inputs, outputs, 2 if done in (UNITS, 2 * UNITS) else 1)
        for done, (inputs, outputs) in enumerate(pairwise(widths))
    ]


class PyramidNet(nn.Module):
    """Three groups of eighteen units, normalisation, global mean, linear head.

    Args:
        stem: from (b, h, w, c) uint8 to (b, 16, *grid).
        grid: feature positions (rows, columns) behind the stem.
        classes: number of classes.

    Source: Han et al., "Deep Pyramidal Residual Networks" (arXiv 1610.02915), additive, alpha 48, basic units,
    zero-padded shortcuts (figure 6d).
    """

    WIDTH: ClassVar = FIRST
    PATCHES: ClassVar = False

    def __init__(self, stem: nn.Module, grid: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.stem = stem
        self.units = nn.Sequential(*_units())
        self.norm = nn.BatchNorm2d(FIRST + WIDENING)
        self.head = nn.Linear(FIRST + WIDENING, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Classify.

        Args:
            image: (b, h, w, c) uint8.

        Returns:
            (b, classes) logits, float32.
        """
        features = torch.relu(self.norm(self.units(self.stem(image))))  # (b, 64, h', w')
        logits: Tensor = self.head(features.mean(dim=(2, 3)))  # (b, classes)
        return logits
