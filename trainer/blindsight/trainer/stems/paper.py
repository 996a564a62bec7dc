"""The block adaptation as its author's program has it, the first layers of the paper's own network."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from blindsight.trainer.stems.units import Units

HIDDEN: Final = 48
"""Channels of the block convolution and of the first 1 x 1 layer: the bytes of a 4 x 4 block in colour."""


class PaperStem(nn.Module):
    """A block convolution of 48 channels, two 1 x 1 layers, sub-pixel convolution.

    The author normalises the three colours before the block convolution; this does not: a key that moves units between
    colours would then move them between means and variances, and the convolution could not absorb it. Units are centred
    by constants instead.

    Args:
        unit: ``byte`` (the paper's), ``nibble`` or ``bit``.
        block: block edge in pixels.
        channels: colour channels of the image.
        width: channels that leave the stem; the paper has 32.
        upsample: feature positions per block edge that leave the stem (1, 2 or 4; the paper has 4).

    Source: Tanaka, "Learnable Image Encryption" (arXiv 1804.00490), section III, with the sizes of the program that the
    author published for it.
    """

    def __init__(self, unit: str, block: int, channels: int, *, width: int, upsample: int) -> None:
        super().__init__()
        self.units = Units(unit)
        self.blocks = nn.Conv2d(channels * self.units.digits, HIDDEN, kernel_size=block, stride=block)
        self.nin = nn.Sequential(
            nn.ReLU(),
            nn.BatchNorm2d(HIDDEN),
            nn.Conv2d(HIDDEN, HIDDEN, kernel_size=1),
            nn.ReLU(),
            nn.BatchNorm2d(HIDDEN),
            nn.Conv2d(HIDDEN, width * upsample**2, kernel_size=1),
        )
        self.spread = nn.PixelShuffle(upsample)

    def forward(self, image: Tensor) -> Tensor:
        """See the blocks.

        Args:
            image: (b, h, w, c) uint8.

        Returns:
            (b, width, h / block * upsample, w / block * upsample) float32.
        """
        seen = self.blocks(self.units(image))  # (b, HIDDEN, h / block, w / block)
        spread: Tensor = self.spread(self.nin(seen))  # (b, width, h / block * upsample, w / block * upsample)
        return spread
