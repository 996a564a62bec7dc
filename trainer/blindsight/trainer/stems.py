"""The first layers of a network on encrypted images: bytes to centred units, units to feature maps.

A scheme whose key acts on every block as one signed permutation of its *centred units* (bytes, or nibbles for
learnable encryption) is absorbed by a convolution that spans exactly one block and is linear on those units. So
nothing may come between the centring and that convolution: no normalisation per colour, no non-linearity, no sharing
of weights between the positions of a block. The convolution's weight, ``blocks.weight``, is then the only tensor of a
network that depends on the key. Schemes whose key is not the same for all blocks get the same first layer, which does
not absorb it.

Source: Tanaka, "Learnable Image Encryption" (arXiv 1804.00490), section III: an M x M convolution of stride M, layers
of network in network, sub-pixel convolution, then any network.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

HIDDEN: Final = 256
"""Channels of the block convolution and of the first 1 x 1 layer."""

UNIT_CENTRE: Final = {"byte": (127.5, 73.6), "nibble": (7.5, 4.6), "bit": (0.5, 0.5)}
"""Unit to (centre, scale): the mean and about the standard deviation of uniform bytes, nibbles and bits."""

UNITS_PER_BYTE: Final = {"byte": 1, "nibble": 2, "bit": 8}
"""Unit to channels that one colour channel gives."""


class Units(nn.Module):
    """Turn an image of bytes into centred units, channels first.

    Args:
        unit: ``byte`` (c channels), ``nibble`` (2c channels: the c high halves, then the c low halves) or ``bit`` (8c
            channels: the c highest bits, then the c next ones).

    Raises:
        ValueError: the unit is none of them.
    """

    def __init__(self, unit: str) -> None:
        super().__init__()
        if unit not in UNIT_CENTRE:
            raise ValueError(f"unit must be one of {', '.join(UNIT_CENTRE)}, got {unit!r}")
        self.digits = UNITS_PER_BYTE[unit]
        self.centre, self.scale = UNIT_CENTRE[unit]

    def forward(self, image: Tensor) -> Tensor:  # (b, h, w, c) uint8
        """Unpack and centre.

        Args:
            image: (b, h, w, c) uint8, 0 to 255.

        Returns:
            (b, u, h, w) float32 in memory order channels-last; u is c, 2c or 8c.
        """
        units = image.to(torch.float32)  # (b, h, w, c)
        if self.digits > 1:
            units = _digits(units, self.digits)  # (b, h, w, u)
        return ((units - self.centre) / self.scale).permute(0, 3, 1, 2)  # (b, u, h, w)


def _digits(values: Tensor, count: int) -> Tensor:  # (b, h, w, c), whole numbers from 0 to 255
    """Write bytes as digits of 8 / count bits, the highest first; exact in float32, in torch and in ONNX alike."""
    base, digits = 2.0 ** (8 // count), []
    for place in range(count - 1, 0, -1):
        digit = torch.floor(values / base**place)  # (b, h, w, c)
        values = values - base**place * digit
        digits.append(digit)
    return torch.cat((*digits, values), dim=3)  # (b, h, w, count * c)


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


def stem_for(unit: str, block: int, shape: tuple[int, int, int], *, width: int, upsample: int) -> nn.Module:
    """The stem that fits a scheme's traits.

    Args:
        unit: what the scheme moves or changes, ``byte``, ``nibble`` or ``bit``.
        block: block edge in pixels.
        shape: (h, w, c) of one image; h and w are multiples of ``block``.
        width: channels that leave the stem.
        upsample: feature positions per block edge, 1, 2 or 4.

    Returns:
        A module from (b, h, w, c) uint8 to (b, width, h / block * upsample, w / block * upsample) float32, whose
        tensor ``blocks.weight`` carries all that depends on the key, if one key serves all blocks.

    Raises:
        ValueError: an unknown unit or up-sampling, or an image that is not made of whole blocks.
    """
    h, w, c = shape
    if block < 1 or h % block or w % block:
        raise ValueError(f"an image of {h}x{w} is not made of whole blocks of {block}x{block}")
    if upsample not in (1, 2, 4):
        raise ValueError(f"upsample must be 1, 2 or 4, got {upsample}")
    return BlockStem(unit, block, c, width=width, upsample=upsample)
