"""Every scheme in each of its manners, and images for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from blindsight.protocol.errors import SchemeError
from blindsight.protocol.scheme import SCHEMES, Descriptor, traits_of

Shape = tuple[int, int, int]
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    **{name: (name, {}) for name, _ in SCHEMES},
    "pixel an image": ("pixel", {"scope": "image"}),
    "logistic-xor an image": ("logistic-xor", {"scope": "image"}),
}
ALL = list(VARIANTS)
INVERTIBLE = [name for name in ALL if traits_of(VARIANTS[name][0], 1).invertible]
FOR_AN_IMAGE = ["patch-shuffle", "restricted", "pixel an image", "logistic-xor an image"]
KEYLESS = ["plain", "patch-mix"]
ALIGNED = [name for name in ALL if traits_of(VARIANTS[name][0], 1).aligned]
BLOCKS = {"plain": [1, 2, 3], "patch-shuffle": [1, 2, 3], "etc": [1, 2, 3, 4], "patch-mix": [2, 4, 6]}


def described(variant: str, shape: Shape, **params: Any) -> Descriptor:
    """The descriptor of a variant on a shape."""
    scheme, own = VARIANTS[variant]
    return Descriptor.of(scheme, shape, {**own, **params})


def fits(variant: str, shape: Shape) -> bool:
    """Whether a variant takes images of a shape with its default parameters."""
    try:
        described(variant, shape)
    except SchemeError:
        return False
    return True


def pixels(*shape: int, seed: int = 2) -> np.ndarray:
    """Noise."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def names(count: int) -> list[str]:
    """Ids as data sets have them."""
    return [f"set/{place}" for place in range(count)]


@st.composite
def descriptors(draw: st.DrawFn, variant: str) -> Descriptor:
    """Small images and any parameters that fit them."""
    scheme, own = VARIANTS[variant]
    channels, known = draw(st.sampled_from([1, 3])), traits_of(scheme, 1).params
    height, width, params = draw(st.integers(1, 9)), draw(st.integers(1, 9)), dict(own)
    if "block" in known:
        block = draw(st.sampled_from(BLOCKS.get(scheme, [3, 4, 5])))
        params["block"] = block
        height, width = block * draw(st.integers(1, 3)), block * draw(st.integers(1, 3))
        if scheme == "restricted":
            params["fixed_blocks"] = draw(st.integers(0, height * width // block**2))
            params["fixed_pixels"] = draw(st.integers(0, block**2 * channels))
    elif scheme == "cat-map":
        height = width = 2 * draw(st.integers(1, 6))
    elif scheme == "logistic-xor":
        height = draw(st.sampled_from([1, 4, 31, 32, 33]))
        width = draw(st.sampled_from([1, 7, 32, 34]))
    elif "vortices" in known:
        height, width = draw(st.integers(6, 15)), draw(st.integers(6, 15))
        params["vortices"] = draw(st.integers(1, 8))
        if scheme == "vortex":
            params["strength"] = draw(st.sampled_from([1, 100, 800, 10_000]))
    return Descriptor.of(scheme, (height, width, channels), params)
