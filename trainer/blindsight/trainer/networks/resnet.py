"""ResNet-18 for small images: no pooling at the start, and the stem in place of the first convolution."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

WIDTHS: Final = (64, 64, 128, 256, 512)
"""Channels behind the stem and behind each group of two units."""


class Unit(nn.Module):
    """Two 3 x 3 convolutions, added to what came in.

    Args:
        inputs: channels in.
        outputs: channels out.
        stride: 2 to halve the edges (rounding up), else 1.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def initialise(self, generator: torch.Generator) -> None:
        """Begin as the shortcut alone: the last normalisation starts at zero (Goyal et al., arXiv 1706.02677, 5.1).

        Args:
            generator: not needed.
        """
        nn.init.zeros_(self.body[-1].weight)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Refine.

        Args:
            features: (b, inputs, h, w) float32.

        Returns:
            (b, outputs, h / stride, w / stride) float32.
        """
        return torch.relu(self.shortcut(features) + self.body(features))


class ResNet18(nn.Module):
    """Four groups of two residual units, global mean, linear head.

    Args:
        stem: from (b, h, w, c) uint8 to (b, 64, *grid).
        grid: feature positions (rows, columns) behind the stem.
        classes: number of classes.

    Source: He et al., "Deep Residual Learning" (arXiv 1512.03385), table 1; without the first convolution of stride 2
    and its pooling, as is usual for images of 32 x 32.
    """

    WIDTH: ClassVar = WIDTHS[0]
    PATCHES: ClassVar = False

    def __init__(self, stem: nn.Module, grid: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.stem = stem
        self.groups = nn.Sequential(
            *(
                nn.Sequential(Unit(inputs, outputs, 1 if inputs == outputs else 2), Unit(outputs, outputs, 1))
                for inputs, outputs in pairwise(WIDTHS)
            )
        )
        self.head = nn.Linear(WIDTHS[-1], classes)

    def forward(self, image: Tensor) -> Tensor:
        """Classify.

        Args:
            image: (b, h, w, c) uint8.

        Returns:
            (b, classes) logits, float32.
        """
        features = self.groups(self.stem(image))  # (b, 512, h', w')
        logits: Tensor = self.head(features.mean(dim=(2, 3)))  # (b, classes)
        return logits
