"""Augmentation that needs no key: what may be done to encrypted images so that they stay encrypted images.

An aligned scheme treats every block alike and leaves blocks in their places, so whole blocks may move or change places
between images: the result is what the scheme would have made of the moved or composed plain images. Units may be
averaged wherever the first layer is linear on them. Crops and mirrors by pixels are the holder's views; here they are
for plain images only, as the reference.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Indices = npt.NDArray[np.int64]


def shift_blocks(images: Tensor, block: int, share: float, rng: np.random.Generator) -> Tensor:
    """Move some images by one whole block, the blocks at the border repeating.

    Args:
        images: (b, h, w, c) uint8, encrypted, h and w multiples of ``block``.
        block: block edge in pixels of the encrypted image.
        share: chance of an image to be moved, 0 to 1; to each of the nine places, its own too, alike.
        rng: draws the places.

    Returns:
        (b, h, w, c) uint8, a copy.
    """
    moved = rng.random(len(images)) < share  # (b,)
    steps = rng.integers(-1, 2, (2, len(images))) * moved  # (2, b) in blocks: down, right
    _, h, w, _ = images.shape
    return _gather(images, _sources(h, block, steps[0]), _sources(w, block, steps[1]))


def _sources(edge: int, block: int, steps: Indices) -> Tensor:
    """Where each pixel of a row or column comes from."""
    position = torch.arange(edge)  # (edge,)
    start = position // block * block - block * torch.from_numpy(steps)[:, None]  # (b, edge)
    return start.clamp(0, edge - block) + position % block  # (b, edge)


def _gather(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Build each image from its own rows and columns, both (b, edge)."""
    rows, columns = rows.to(images.device), columns.to(images.device)
    every = torch.arange(len(images), device=images.device)[:, None, None]  # (b, 1, 1)
    return images[every, rows[:, :, None], columns[:, None, :]]  # (b, h, w, c)


def cut_blocks(images: Tensor, block: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, float]:
    """Replace a rectangle of blocks in every image by those of another image of the batch (CutMix on block borders).

    Args:
        images: (b, h, w, c) uint8, encrypted, h and w multiples of ``block``.
        block: block edge in pixels of the encrypted image.
        rng: draws rectangle and partners.

    Returns:
        The images (b, h, w, c) uint8, the partners' places in the batch (b,) int64, and the share of the pixels that
        an image has kept.

    Source: Yun et al., "CutMix" (arXiv 1905.04899), with the rectangle rounded to whole blocks.
    """
    partners = torch.from_numpy(rng.permutation(len(images))).to(images.device)  # (b,)
    edge = math.sqrt(1.0 - rng.random())  # of the rectangle, as a share of the image's
    rows, columns = (_span(side // block, edge, rng) for side in images.shape[1:3])
    top, bottom, left, right = (block * place for place in (*rows, *columns))
    mixed = images.clone()
    mixed[:, top:bottom, left:right] = images[partners][:, top:bottom, left:right]
    kept = 1.0 - (bottom - top) * (right - left) / (images.shape[1] * images.shape[2])
    return mixed, partners, kept


def _span(blocks: int, edge: float, rng: np.random.Generator) -> tuple[int, int]:
    """Where a rectangle begins and ends along one side, in blocks."""
    length = round(blocks * edge)
    start = int(rng.integers(0, blocks - length + 1))
    return start, start + length


def mix_units(units: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor, float]:
    """Average every image's units with those of another image of the batch (Mixup).

    Args:
        units: (b, u, h, w) float32, centred: a signed permutation of an average is the average of the permuted.
        alpha: both parameters of the Beta distribution that the weight is drawn from, above 0.
        rng: draws weight and partners.

    Returns:
        The units (b, u, h, w), the partners' places in the batch (b,) int64, and the weight of an image itself.

    Source: Zhang et al., "mixup" (arXiv 1710.09412).
    """
    partners = torch.from_numpy(rng.permutation(len(units))).to(units.device)  # (b,)
    kept = float(rng.beta(alpha, alpha))
    return kept * units + (1.0 - kept) * units[partners], partners, kept


def crop_pixels(images: Tensor, crop: int, rng: np.random.Generator) -> Tensor:
    """Move plain images by up to ``crop`` pixels in each direction, what lies at the border reflected.

    Args:
        images: (b, h, w, c) uint8, plain; ``crop`` is smaller than h and w.
        crop: largest shift in pixels.
        rng: draws the shifts.

    Returns:
        (b, h, w, c) uint8, a copy.
    """
    shifts = rng.integers(-crop, crop + 1, (2, len(images)))  # (2, b)
    _, h, w, _ = images.shape
    return _gather(images, _reflected(h, shifts[0]), _reflected(w, shifts[1]))


def _reflected(edge: int, shifts: Indices) -> Tensor:
    source = torch.arange(edge) + torch.from_numpy(shifts)[:, None]  # (b, edge)
    return (edge - 1) - ((edge - 1) - source.abs()).abs()


def mirror_pixels(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Mirror about half of the plain images left to right.

    Args:
        images: (b, h, w, c) uint8, plain.
        rng: draws which.

    Returns:
        (b, h, w, c) uint8, a copy.
    """
    mirrored = torch.from_numpy(rng.random(len(images)) < 0.5).to(images.device)  # (b,)
    return torch.where(mirrored[:, None, None, None], images.flip(2), images)
