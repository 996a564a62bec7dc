"""The network of the paper on learnable encryption: residual units that widen at every step.

Made to be compared with the paper's table, not to be fast: use it behind the stem ``paper`` with ``upsample = 4``. No
normalisation stands before its head, so it does not bear the learning rates that the others do: use AdamW at 0.001. In
trials of 40 steps on CIFAR-10 (batches of 64, bf16, one seed) SGD at 0.003 and above drove the loss up first.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from blindsight.trainer.networks.dropout import Dropout

STAGES: Final = ((32, 48, 64), (64, 96, 128), (128, 192, 256))
"""Channels before, between and after the two units of each stage."""
HIDDEN: Final = 512
"""Channels of the head."""


def _convolution(inputs: int, outputs: int, *, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, padding_mode="replicate", bias=bias)


class Unit(nn.Module):
    """Two 3 x 3 convolutions behind normalisations; what they give is added, and what is new in width appended.

    Args:
        inputs: channels in.
        outputs: channels out, at least as many.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            _convolution(inputs, outputs, bias=False),  # a normalisation follows
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            _convolution(outputs, outputs, bias=True),
            Dropout(0.25),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Refine and widen.

        Args:
            features: (b, inputs, h, w) float32.

        Returns:
            (b, outputs, h, w) float32.
        """
        return widened(features, self.body(features))


def widened(features: Tensor, branch: Tensor) -> Tensor:
    """Add a wider branch to features, as if these had further channels of zeros.

    Args:
        features: (b, inputs, h, w) float32.
        branch: (b, outputs, h, w) float32, outputs at least inputs.

    Returns:
        (b, outputs, h, w) float32.
    """
    inputs = features.shape[1]
    return torch.cat((features + branch[:, :inputs], branch[:, inputs:]), dim=1)


class Pyramidal(nn.Module):
    """Three stages of two units, each halving the edges (rounding up), and a head of 1 x 1 convolutions.

    Args:
        stem: from (b, h, w, c) uint8 to (b, 32, *grid).
        grid: feature positions (rows, columns) behind the stem.
        classes: number of classes.

    Source: Tanaka, "Learnable Image Encryption" (arXiv 1804.00490), section IV, with the sizes of the program that the
    author published for it.
    """

    WIDTH: ClassVar = STAGES[0][0]
    PATCHES: ClassVar = False
    STEM: ClassVar = "paper"

    def __init__(self, stem: nn.Module, grid: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.Sequential(
            *(
                nn.Sequential(*(Unit(*widths) for widths in pairwise(stage)), nn.MaxPool2d(2, ceil_mode=True))
                for stage in STAGES
            )
        )
        self.head = nn.Sequential(
            Dropout(0.5),
            nn.Conv2d(STAGES[-1][-1], HIDDEN, kernel_size=1),
            nn.ReLU(),
            Dropout(0.5),
            nn.Conv2d(HIDDEN, classes, kernel_size=1),
        )

    def initialise(self, generator: torch.Generator) -> None:
        """Begin with logits near zero: what enters the head is large.

        Args:
            generator: draws the weights of the last layer.
        """
        nn.init.normal_(self.head[-1].weight, std=0.002, generator=generator)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        """Classify.

        Args:
            image: (b, h, w, c) uint8.

        Returns:
            (b, classes) logits, float32.
        """
        features = self.stages(self.stem(image))  # (b, 256, h', w')
        logits: Tensor = self.head(features).mean(dim=(2, 3))  # (b, classes)
        return logits
