"""A small residual network on block features, made to learn on two processor cores.

Measured in trial loops, not by a command of this version (one thread of an AMD EPYC Zen 5 with AVX512_BF16, torch
2.13, 32x32x3, nibbles, 4x4 blocks, 2.0 M weights):
training 400 images a core-second in fp32 and 695 in bf16 at batch 64; upsample=4 in bf16 185 at batch 128, against 700
with upsample=2. CIFAR-10 under learnable encryption, 5 holders of 10,000 images, one of 2 views of each a round,
defaults of ``Recipe`` in bf16, one seed, a schedule of 28 rounds that was cut off after 17: test accuracy 0.376, 0.578,
0.703, 0.775 and 0.784 after rounds 2, 5, 9, 16 and 17 (1,341 core-seconds of training). These trials read the test set;
the README has a run of this software.

Negative: GroupNorm(16) for BatchNorm costs a fifth more time and was behind after 4 rounds on 10,000 images split by
Dirichlet 0.3 (0.230 against 0.294). Without shifts by blocks, 20 rounds on 10,000 images ended at 0.536, not 0.571.
"""

from __future__ import annotations

from typing import ClassVar, Final

import torch
from torch import Tensor, nn

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
        stem: from (b, h, w, c) uint8 to (b, 64, *grid).
        grid: feature positions (rows, columns) behind the stem.
        classes: number of classes.
    """

    WIDTH: ClassVar = WIDTHS[0]
    PATCHES: ClassVar = False

    def __init__(self, stem: nn.Module, grid: tuple[int, int], classes: int) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.stem = stem
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
