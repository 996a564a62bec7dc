"""The first layers of a network on encrypted images, chosen from what the scheme is.

A scheme whose key acts on every block as one signed permutation of its *centred units* (bytes, or nibbles for
learnable encryption) is absorbed by a convolution that spans exactly one block and is linear on those units. So
nothing may come between the centring and that convolution: no normalisation per colour, no non-linearity, no sharing
of weights between the positions of a block. The convolution's weight, ``blocks.weight``, is then the only tensor of a
stem that depends on the key. Schemes whose key is not the same for all blocks may get the same first layer, which does
not absorb it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import nn

from blindsight.trainer.stems.block import BlockStem
from blindsight.trainer.stems.lean import LeanStem
from blindsight.trainer.stems.mixture import MixtureStem
from blindsight.trainer.stems.paper import PaperStem
from blindsight.trainer.stems.patch import PatchStem
from blindsight.trainer.stems.pixels import PixelStem, PositionStem
from blindsight.trainer.stems.units import UNIT_CENTRE, UNITS_PER_BYTE, Units

STEMS: Final = ("block", "paper", "lean", "patch", "mixture", "position", "pixels")
OF_PIXELS: Final = ("position", "pixels")
UPSAMPLE: Final = (1, 2, 4)

__all__ = ["OF_PIXELS", "STEMS", "UNITS_PER_BYTE", "UNIT_CENTRE", "UPSAMPLE", "Units", "grid_of", "stem_for"]


def grid_of(block: int, shape: tuple[int, int, int], upsample: int) -> tuple[int, int]:
    """Feature positions (rows, columns) that leave a stem."""
    return shape[0] // block * upsample, shape[1] // block * upsample


def stem_for(stem: str, unit: str, block: int, shape: tuple[int, int, int], *, width: int, upsample: int) -> nn.Module:
    """Build a first layer.

    Args:
        stem: one of ``STEMS``.
        unit: what the scheme moves or changes, ``byte``, ``nibble`` or ``bit``.
        block: block edge in pixels.
        shape: (h, w, c) of one image; h and w are multiples of ``block``.
        width: channels that leave the stem.
        upsample: feature positions per block edge, 1, 2 or 4; 1 for ``patch``.

    Returns:
        A module from (b, h, w, c) uint8 to (b, width, *grid_of(...)) float32. Of ``block``, ``paper``, ``lean`` and
        ``patch`` the tensor ``blocks.weight`` carries all that depends on the key, if one key serves all blocks.

    Raises:
        ValueError: an unknown stem, unit or up-sampling, or an image that is not made of whole blocks.
    """
    h, w, c = shape
    if block < 1 or h % block or w % block:
        raise ValueError(f"an image of {h}x{w} is not made of whole blocks of {block}x{block}")
    if upsample not in UPSAMPLE:
        raise ValueError(f"upsample must be 1, 2 or 4, got {upsample}")
    if stem == "patch" and upsample != 1:
        raise ValueError(f"a patch stem does not up-sample, got {upsample}")
    if stem in OF_PIXELS and block % upsample:
        raise ValueError(f"upsample must divide the block of {block} pixels, got {upsample}")
    stride = block // upsample
    made: dict[str, Callable[[], nn.Module]] = {
        "block": lambda: BlockStem(unit, block, c, width=width, upsample=upsample),
        "paper": lambda: PaperStem(unit, block, c, width=width, upsample=upsample),
        "lean": lambda: LeanStem(unit, block, c, width=width, upsample=upsample),
        "patch": lambda: PatchStem(unit, block, c, width=width),
        "mixture": lambda: MixtureStem(unit, block, c, width=width, upsample=upsample),
        "position": lambda: PositionStem(unit, shape, width=width, stride=stride),
        "pixels": lambda: PixelStem(unit, c, width=width, stride=stride),
    }
    if stem not in made:
        raise ValueError(f"stem must be one of {', '.join(STEMS)}, got {stem!r}")
    return made[stem]()
