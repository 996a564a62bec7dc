"""Bytes to centred units: what a key moves or flips, as numbers whose sign a reversal changes.

Nothing may come between the centring and the first linear layer that a scheme's key is to be absorbed by.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

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
            image: (b, h, w, c) uint8, 0 to 255; or what this returned, which comes back as it is, so that a training
                loop can mix images as units.

        Returns:
            (b, u, h, w) float32 in memory order channels-last; u is c, 2c or 8c.
        """
        if image.is_floating_point():
            return image
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
