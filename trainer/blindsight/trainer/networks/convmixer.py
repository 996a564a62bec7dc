"""ConvMixer-256/8: patches, a wide filter for each channel, 1 x 1 convolutions, and nothing else.

Its filters of one channel each make it the one network here that bfloat16 slows down on processors: 321 images a
core-second in fp32 and 279 in bf16 (``python -m tests.benchmarks.training convmixer --batch 64``, on a busy AMD EPYC
Zen 5 with AVX512_BF16, torch 2.13, nibbles in blocks of 4, medians of one run).
"""

from __future__ import annotations

from typing import ClassVar, Final

from torch import Tensor, nn
from torch.nn import functional

DEPTH: Final = 8
KERNEL: Final = 5
"""Edge of the filters in patches."""


class Unit(nn.Module):
    """Mix places, add to what came in, mix channels.

    Args:
        width: channels in and out.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.places = nn.Sequential(
            nn.Conv2d(width, width, kernel_size=KERNEL, padding="same", groups=width),
            nn.GELU(),
            nn.BatchNorm2d(width),
        )
        self.channels = nn.Sequential(nn.Conv2d(width, width, kernel_size=1), nn.GELU(), nn.BatchNorm2d(width))

    def forward(self, features: Tensor) -> Tensor:
        """Mix.

        Args:
            features: (b, width, h, w) float32.

        Returns:
            The same shape.
        """
        mixed: Tensor = self.channels(features + self.places(features))  # (b, width, h, w)
        return mixed


class ConvMixer(nn.Module):
    """Patches, normalisation, eight units, global mean, linear head.

    Args:
        stem: from (b, h, w, c) uint8 to (b, 256, *grid).
        grid: feature positions (rows, columns) behind the stem.
        classes: number of classes.

    Source: Trockman & Kolter, "Patches Are All You Need?" (arXiv 2201.09792), ConvMixer-256/8 for CIFAR-10 with kernels
    of 5.
    """

    WIDTH: ClassVar = 256
    PATCHES: ClassVar = True

    def __init__(self, stem: nn.Module, grid: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.stem = stem
        self.norm = nn.BatchNorm2d(self.WIDTH)
        self.units = nn.Sequential(*(Unit(self.WIDTH) for _ in range(DEPTH)))
        self.head = nn.Linear(self.WIDTH, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Classify.

        Args:
            image: (b, h, w, c) uint8.

        Returns:
            (b, classes) logits, float32.
        """
        patches = self.norm(functional.gelu(self.stem(image)))  # (b, 256, rows, columns)
        features = self.units(patches)  # (b, 256, rows, columns)
        logits: Tensor = self.head(features.mean(dim=(2, 3)))  # (b, classes)
        return logits
