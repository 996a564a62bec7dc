"""The patch embedding of transformers and mixers: one linear view of each block, and nothing else."""

from __future__ import annotations

from torch import Tensor, nn

from blindsight.trainer.stems.units import Units


class PatchStem(nn.Module):
    """One linear layer on the centred units of a block, with a bias.

    Args:
        unit: ``byte``, ``nibble`` or ``bit``.
        block: block edge in pixels.
        channels: colour channels of the image.
        width: channels that leave the stem.

    Source: Dosovitskiy et al., "An Image is Worth 16x16 Words" (arXiv 2010.11929), section 3.1; for encrypted blocks
    Kiya et al. (arXiv 2207.05366).
    """

    def __init__(self, unit: str, block: int, channels: int, *, width: int) -> None:
        super().__init__()
        self.units = Units(unit)
        self.blocks = nn.Conv2d(channels * self.units.digits, width, kernel_size=block, stride=block)

    def forward(self, image: Tensor) -> Tensor:
        """Embed the blocks.

        Args:
            image: (b, h, w, c) uint8.

        Returns:
            (b, width, h / block, w / block) float32.
        """
        embedded: Tensor = self.blocks(self.units(image))  # (b, width, h / block, w / block)
        return embedded
