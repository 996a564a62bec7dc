"""Tanaka's block adaptation, the first layer of convolutional networks on block-wise encrypted images.

Source: Tanaka, "Learnable Image Encryption" (arXiv 1804.00490), section III: an M x M convolution of stride M, layers
of network in network, sub-pixel convolution, then any network.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from blindsight.trainer.stems.units import Units

HIDDEN: Final = 256
"""Channels of the block convolution and of the first 1 x 1 layer."""


class BlockStem(nn.Module):
    """Tanaka's block adaptation: one linear view per block, 1 x 1 layers, sub-pixel convolution.

    Args:
        unit: ``byte``, ``nibble`` or ``bit``.
        block: block edge in pixels.
        channels: colour channels of the image.
        width: channels that leave the stem.
        upsample: feature positions per block edge that leave the stem (1, 2 or 4; the paper has 4).
    """

    def __init__(self, unit: str, block: int, channels: int, *, width: int, upsample: int) -> None:
        super().__init__()
        self.units = Units(unit)
        self.blocks = nn.Conv2d(channels * self.units.digits, HIDDEN, kernel_size=block, stride=block, bias=False)
        self.norm = nn.BatchNorm2d(HIDDEN)
        self.nin = nn.Sequential(
            nn.Conv2d(HIDDEN, HIDDEN, kernel_size=1, bias=False),
            nn.BatchNorm2d(HIDDEN),
            nn.ReLU(),
            nn.Conv2d(HIDDEN, width * upsample**2, kernel_size=1, bias=False),
        )
        self.spread = nn.Sequential(nn.PixelShuffle(upsample), nn.BatchNorm2d(width), nn.ReLU())

    def forward(self, image: Tensor) -> Tensor:
        """See the blocks.

        Args:
            image: (b, h, w, c) uint8.

        Returns:
            (b, width, h / block * upsample, w / block * upsample) float32.
        """
        units = self.units(image)  # (b, u, h, w)
        seen = torch.relu(self.norm(self.blocks(units)))  # (b, HIDDEN, h / block, w / block)
        spread: Tensor = self.spread(self.nin(seen))  # (b, width, h / block * upsample, w / block * upsample)
        return spread
