"""A small residual network on block features, made to learn on two processor cores."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from blindsight.trainer.stems import stem_for

WIDTHS: Final = (64, 128, 256)
"""Channels after the stem and after each group."""


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)


class Unit(nn.Module):
    """Two 3 x 3 convolutions, added to what came in.

    Args:
        width: channels in and out.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(width, width),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            _convolution(width, width),
            nn.BatchNorm2d(width),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Refine.

        Args:
            features: (b, width, h, w) float32.

        Returns:
            The same shape.
        """
        return torch.relu(features + self.body(features))  # (b, width, h, w)


def _group(inputs: int, outputs: int) -> nn.Sequential:
    """Widen, halve the edges (rounding up), refine."""
    return nn.Sequential(
        _convolution(inputs, outputs),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        Unit(outputs),
    )


class Small(nn.Module):
    """Block stem, two groups of a residual unit each, global mean, linear head.

    Args:
        unit: ``byte`` or ``nibble``.
        block: block edge in pixels.
        shape: (h, w, c) of one image.
        classes: number of classes.
        upsample: feature positions per block edge.
    """

    def __init__(self, *, unit: str, block: int, shape: tuple[int, int, int], classes: int, upsample: int) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.stem = stem_for(unit, block, shape, width=first, upsample=upsample)
        self.groups = nn.Sequential(_group(first, second), _group(second, third))
        self.head = nn.Linear(third, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Classify.

        Args:
            image: (b, h, w, c) uint8.

        Returns:
            (b, classes) logits, float32.
        """
        features = self.groups(self.stem(image))  # (b, 256, h', w')
        logits: Tensor = self.head(features.mean(dim=(2, 3)))  # (b, classes)
        return logits
