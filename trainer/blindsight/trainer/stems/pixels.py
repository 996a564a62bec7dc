"""First layers that look at pixels: for image-wide key streams, and for plain images as the reference."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from blindsight.trainer.stems.units import Units

PATCH: Final = 2
"""Edge of the overlapping patches in pixels."""


class Positions(nn.Module):
    """A linear map of the units of each pixel, learned for each position of the image by itself.

    A key stream that covers the whole image reverses or reorders the units of a pixel differently at each position; no
    layer that is shared between positions can undo that, this one can.

    Args:
        units: units of a pixel.
        h: image height in pixels.
        w: image width in pixels.
    """

    def __init__(self, units: int, h: int, w: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(units, units, h, w))
        self.bias = nn.Parameter(torch.empty(units, h, w))

    def initialise(self, generator: torch.Generator) -> None:
        """Start as the identity, slightly disturbed.

        Args:
            generator: draws the disturbance.
        """
        u = self.weight.shape[0]
        nn.init.normal_(self.weight, std=0.1 / u**0.5, generator=generator)
        with torch.no_grad():
            self.weight.add_(torch.eye(u)[:, :, None, None])
            self.bias.zero_()

    def forward(self, units: Tensor) -> Tensor:
        """Map.

        Args:
            units: (b, u, h, w) float32.

        Returns:
            (b, u, h, w) float32.
        """
        mapped: Tensor = torch.einsum("buhw,vuhw->bvhw", units, self.weight) + self.bias  # (b, u, h, w)
        return mapped


class PositionStem(nn.Module):
    """A linear map for each position, then a convolution over the neighbourhood.

    Source: the 1 x 1 layers before the network of Sirichotedumrong et al. (arXiv 1905.01827), which are shared between
    positions; that ours are not is our reading of what a common key needs.

    Args:
        unit: ``byte``, ``nibble`` or ``bit``.
        shape: (h, w, c) of one image.
        width: channels that leave the stem.
        stride: pixels from one feature position to the next.
    """

    def __init__(self, unit: str, shape: tuple[int, int, int], *, width: int, stride: int) -> None:
        super().__init__()
        h, w, c = shape
        self.units = Units(unit)
        self.positions = Positions(c * self.units.digits, h, w)
        self.sight = Sight(c * self.units.digits, width=width, stride=stride)

    def forward(self, image: Tensor) -> Tensor:
        """See the pixels.

        Args:
            image: (b, h, w, c) uint8.

        Returns:
            (b, width, h / stride, w / stride) float32.
        """
        seen: Tensor = self.sight(self.positions(self.units(image)))
        return seen


class PixelStem(nn.Module):
    """What networks on plain images begin with: overlapping patches. It absorbs no key and is the reference.

    Like ``lean`` it has room for every principal component and its negative, of 2 x 2 patches here, and GELU behind.

    Args:
        unit: ``byte``, ``nibble`` or ``bit``.
        channels: colour channels of the image.
        width: channels that leave the stem.
        stride: pixels from one feature position to the next.

    Source: the first layers of Jordan (arXiv 2404.00498), section 3.
    """

    def __init__(self, unit: str, channels: int, *, width: int, stride: int) -> None:
        super().__init__()
        self.units = Units(unit)
        inputs = channels * self.units.digits
        hidden = 2 * inputs * PATCH**2
        self.same = nn.ZeroPad2d((0, PATCH - 1, 0, PATCH - 1))
        self.blocks = nn.Conv2d(inputs, hidden, kernel_size=PATCH)
        self.mix = nn.Conv2d(hidden, width, kernel_size=3, padding=1, bias=False)
        self.halve = nn.MaxPool2d(stride)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, image: Tensor) -> Tensor:
        """See the pixels.

        Args:
            image: (b, h, w, c) uint8.

        Returns:
            (b, width, h / stride, w / stride) float32.
        """
        seen = functional.gelu(self.blocks(self.same(self.units(image))))  # (b, hidden, h, w)
        return functional.gelu(self.norm(self.halve(self.mix(seen))))  # (b, width, h / stride, w / stride)


class Sight(nn.Sequential):
    """Two overlapping convolutions from units to features.

    Args:
        units: channels in.
        width: channels out.
        stride: pixels from one feature position to the next, at least 1.
    """

    def __init__(self, units: int, *, width: int, stride: int) -> None:
        edge, padding = max(3, stride), 1 if stride < 4 else 0
        super().__init__(
            nn.Conv2d(units, width, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel_size=edge, padding=padding, stride=stride, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
