"""WideResNet-16-4: few residual units, wide ones, normalised before each convolution."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

WIDTHS: Final = (16, 64, 128, 256)
"""Channels behind the stem and behind each group: 16, then 16, 32 and 64 times the widening factor 4."""
UNITS: Final = 2
"""Units in a group: (16 layers - 4) / 6."""


class Unit(nn.Module):
    """Two 3 x 3 convolutions, each behind a normalisation, added to what came in.

    Args:
        inputs: channels in.
        outputs: channels out.
        stride: 2 to halve the edges (rounding up), else 1.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False),
        )
        self.shortcut = None
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Refine.

        Args:
            features: (b, inputs, h, w) float32.

        Returns:
            (b, outputs, h / stride, w / stride) float32.
        """
        normal = torch.relu(self.norm(features))  # (b, inputs, h, w)
        kept = features if self.shortcut is None else self.shortcut(normal)  # (b, outputs, h / stride, w / stride)
        refined: Tensor = kept + self.body(normal)  # (b, outputs, h / stride, w / stride)
        return refined


def _group(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    rest = (Unit(outputs, outputs, 1) for _ in range(UNITS - 1))
    return nn.Sequential(Unit(inputs, outputs, stride), *rest)


class WideResNet(nn.Module):
    """Three groups of two units, normalisation, global mean, linear head.

    Args:
        stem: from (b, h, w, c) uint8 to (b, 16, *grid).
        grid: feature positions (rows, columns) behind the stem.
        classes: number of classes.

    Source: Zagoruyko & Komodakis, "Wide Residual Networks" (arXiv 1605.07146), table 1, without dropout.
    """

    WIDTH: ClassVar = WIDTHS[0]
    PATCHES: ClassVar = False

    def __init__(self, stem: nn.Module, grid: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.stem = stem
        strides = (1, 2, 2)
        self.groups = nn.Sequential(
            *(_group(*widths, stride) for widths, stride in zip(pairwise(WIDTHS), strides, strict=True))
        )
        self.norm = nn.BatchNorm2d(WIDTHS[-1])
        self.head = nn.Linear(WIDTHS[-1], classes)

    def forward(self, image: Tensor) -> Tensor:
        """Classify.

        Args:
            image: (b, h, w, c) uint8.

        Returns:
            (b, classes) logits, float32.
        """
        features = torch.relu(self.norm(self.groups(self.stem(image))))  # (b, 256, h', w')
        logits: Tensor = self.head(features.mean(dim=(2, 3)))  # (b, classes)
        return logits
