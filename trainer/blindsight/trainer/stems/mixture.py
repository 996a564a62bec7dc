"""The embedding for mixed patches: the authors' convolution and mean, which the holder has done, GELU and 1 x 1."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from blindsight.trainer.stems.units import Units


class MixtureStem(nn.Module):
    """A convolution over one mixed patch, GELU, 1 x 1 convolution, sub-pixel convolution.

    The authors' network convolves each quarter of a patch, averages the four results and goes on with GELU; convolution
    and mean commute, so that the mean can be taken of the pixels, which is what ``patch-mix`` publishes.

    Args:
        unit: ``byte``, ``nibble`` or ``bit``.
        block: edge of a mixed patch in pixels, half of the plain patch's.
        channels: colour channels of the image.
        width: channels that leave the stem.
        upsample: feature positions per patch edge that leave the stem, 1, 2 or 4; the authors have 1.

    Source: Hao et al. (arXiv 2306.03679), mixing (MI), and the program the authors published for it.
    """

    def __init__(self, unit: str, block: int, channels: int, *, width: int, upsample: int) -> None:
        super().__init__()
        self.units = Units(unit)
        self.blocks = nn.Conv2d(channels * self.units.digits, width, kernel_size=block, stride=block)
        self.embed = nn.Conv2d(width, width * upsample**2, kernel_size=1)
        self.spread = nn.PixelShuffle(upsample)

    def forward(self, image: Tensor) -> Tensor:
        """Embed the patches.

        Args:
            image: (b, h, w, c) uint8.

        Returns:
            (b, width, h / block * upsample, w / block * upsample) float32.
        """
        seen = functional.gelu(self.blocks(self.units(image)))  # (b, width, h / block, w / block)
        spread: Tensor = self.spread(self.embed(seen))  # (b, width, h / block * upsample, w / block * upsample)
        return spread
