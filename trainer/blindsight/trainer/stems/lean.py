"""A first layer made to begin as principal components of blocks: plus and minus each, GELU, sub-pixel convolution."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn
from torch.nn import functional

from blindsight.trainer.stems.units import Units

MOST: Final = 512
"""Greatest number of channels of the block convolution."""


class LeanStem(nn.Module):
    """One linear view per block with room for every component and its negative, GELU, one 1 x 1 layer.

    There is no normalisation between the block convolution and GELU: whitened, its outputs have unit variance already.
    In a trial loop (CIFAR-10 under ``le``, 45,000 images, 12 views, 4 epochs, Muon, one seed, 5,000 held-out images) it
    gave 0.862 where ``block``, whitened alike, gave 0.856 and took 4 % longer.

    Args:
        unit: ``byte``, ``nibble`` or ``bit``.
        block: block edge in pixels.
        channels: colour channels of the image.
        width: channels that leave the stem.
        upsample: feature positions per block edge that leave the stem, 1, 2 or 4.

    Source: the whitening layer of Jordan (arXiv 2404.00498), section 3.2, on the blocks of Tanaka (arXiv 1804.00490).
    """

    def __init__(self, unit: str, block: int, channels: int, *, width: int, upsample: int) -> None:
        super().__init__()
        self.units = Units(unit)
        inputs = channels * self.units.digits
        hidden = min(2 * inputs * block**2, MOST)
        self.blocks = nn.Conv2d(inputs, hidden, kernel_size=block, stride=block)
        self.mix = nn.Conv2d(hidden, width * upsample**2, kernel_size=1, bias=False)
        self.spread = nn.PixelShuffle(upsample)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, image: Tensor) -> Tensor:
        """See the blocks.

        Args:
            image: (b, h, w, c) uint8.

        Returns:
            (b, width, h / block * upsample, w / block * upsample) float32.
        """
        seen = functional.gelu(self.blocks(self.units(image)))  # (b, hidden, h / block, w / block)
        spread = self.norm(self.spread(self.mix(seen)))  # (b, width, h / block * upsample, w / block * upsample)
        return functional.gelu(spread)
