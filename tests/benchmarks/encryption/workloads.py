"""The images that are encrypted: smooth like photographs, with noise, made from a fixed seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from blindsight.protocol.scheme import SCHEMES

Images = NDArray[np.uint8]
MEGA = 1e6
PIXELS_A_BUMP = 12  # how far apart the grid points are that a picture is interpolated from
NOISE = 6.0
AT_ONCE = 512  # images made at once
DATA_SET = "benchmark"
NAMES = tuple(dict.fromkeys(name for name, _ in SCHEMES))


@dataclass(frozen=True)
class Workload:
    """Images and how they are given to a cipher.

    Args:
        name: in the JSON.
        title: for people.
        column: which column of the short table it belongs to.
        images: ``(n, H, W, C)`` uint8.
        images_a_call: how many are given at once.
        blocks: scheme → side of a block in pixels, 0 for a scheme without blocks; schemes not named are not run.
    """

    name: str
    title: str
    column: str
    images: Images = field(repr=False)
    images_a_call: int
    blocks: Mapping[str, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of every image."""
        _, height, width, channels = self.images.shape
        return height, width, channels

    @property
    def calls(self) -> list[slice]:
        """Which images are given together."""
        return cuts(len(self.images), self.images_a_call)

    @property
    def ids(self) -> list[str]:
        """One name an image."""
        return [f"{DATA_SET}/{row}" for row in range(len(self.images))]

    def to_json(self) -> dict[str, object]:
        """What figures refer to."""
        return {
            "name": self.name,
            "title": self.title,
            "column": self.column,
            "images": len(self.images),
            "shape": list(self.shape),
            "images_a_call": self.images_a_call,
            "plain_bytes": self.images.nbytes,
        }


def cuts(count: int, size: int) -> list[slice]:
    """Slices of ``size`` images, the last one perhaps smaller."""
    return [slice(*ends) for ends in pairwise([*range(0, count, size), count])]


def full() -> list[Workload]:
    """What figures are published for."""
    return made(small=10_000, frames=4, frame=(1080, 1920), patches=200, side=224)


def tiny() -> list[Workload]:
    """The same kinds, small enough for a test."""
    return made(small=20, frames=2, frame=(48, 64), patches=3, side=32)


def made(small: int, frames: int, frame: tuple[int, int], patches: int, side: int) -> list[Workload]:
    """Four workloads.

    Args:
        small: images of 32×32 pixels, encrypted in one call.
        frames: pictures of a camera, encrypted one by one.
        frame: their height and width; multiples of 8.
        patches: larger images, encrypted in one call.
        side: their height and width; a multiple of 16.
    """
    height, width = frame
    many, camera, square, large = (
        (small, 32, 32, 3),
        (frames, height, width, 3),
        (frames, height, height, 3),
        (patches, side, side, 3),
    )
    one_by_one = "frames, one a call"
    return [
        Workload("32", f"{small:,} images 32×32×3 in one call", "32×32", natural(1, many), small, blocks(NAMES, 4, 4)),
        Workload(
            "frames",
            f"{frames} {height}×{width}×3 {one_by_one}",
            f"{height}p",
            natural(2, camera),
            1,
            blocks([name for name in NAMES if name != "cat-map"], 4, 8),
        ),
        Workload(
            "square",
            f"{frames} {height}×{height}×3 {one_by_one}: the cat map needs squares",
            f"{height}p",
            natural(3, square),
            1,
            blocks(["cat-map"], 0, 0),
        ),
        Workload(
            "patches",
            f"{patches} images {side}×{side}×3 in one call, patches of 16",
            f"{side}×{side}",
            natural(4, large),
            patches,
            blocks(["patch-shuffle", "patch-mix"], 16, 16),
        ),
    ]


FINE = frozenset({"plain", "le", "block-shuffle", "ele"})
"""Schemes whose papers use blocks of four pixels; the others stand for patches of a vision transformer."""


def blocks(names: Sequence[str], fine: int, coarse: int) -> Mapping[str, int]:
    """The side of a block for each scheme, 0 for those without blocks."""
    sides = {name: fine if name in FINE else coarse for name in names}
    return MappingProxyType({name: side if "block" in SCHEMES[name, 1].params else 0 for name, side in sides.items()})


def natural(seed: int, shape: tuple[int, int, int, int]) -> Images:
    """Smooth images with noise, ``(n, H, W, C)`` uint8."""
    rng = np.random.default_rng(seed)
    images = np.empty(shape, np.uint8)
    for part in cuts(len(images), AT_ONCE):
        images[part] = pictures(rng, len(images[part]), *shape[1:])
    return images


def pictures(rng: np.random.Generator, n: int, height: int, width: int, channels: int) -> Images:
    """Some of them: a random grid, interpolated, and noise."""
    down, across = hats(height), hats(width)
    grid = rng.normal(128, 60, (n, down.shape[1], across.shape[1], channels)).astype(np.float32)
    smooth = np.einsum("hi,nijc,wj->nhwc", down, grid, across, optimize=True)
    noise = NOISE * rng.standard_normal(smooth.shape, np.float32)
    made: Images = np.clip(smooth + noise, 0, 255).astype(np.uint8)
    return made


def hats(side: int) -> NDArray[np.float32]:
    """Linear interpolation from grid points to pixels: ``(side, points)``."""
    points = np.linspace(0, side - 1, max(2, side // PIXELS_A_BUMP))
    distance = np.abs(np.arange(side)[:, np.newaxis] - points) / (points[1] - points[0])
    weights: NDArray[np.float32] = np.maximum(0, 1 - distance).astype(np.float32)
    return weights
