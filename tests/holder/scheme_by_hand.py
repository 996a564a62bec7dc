"""Parameters drawn at random without a key, for the fast cipher and for the slow one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from blindsight.holder.ciphers import (
    BlockShuffleParameters,
    CatMapParameters,
    EleParameters,
    EtcParameters,
    LeParameters,
    LogisticXorImageParameters,
    LogisticXorParameters,
    Parameters,
    PatchMixParameters,
    PatchShuffleParameters,
    PixelImageParameters,
    PixelParameters,
    PlainParameters,
    RestrictedParameters,
    Rings,
    VitBlockParameters,
    Vortex,
    VortexParameters,
    VortexRingParameters,
    for_images,
)
from blindsight.protocol.scheme import Descriptor
from tests.holder import scheme_draws

Explicit = dict[str, Any]
Both = tuple[Parameters, list[Explicit]]


def by_hand(descriptor: Descriptor, rng: np.random.Generator, ids: Sequence[str]) -> Both:
    """Parameters for the fast cipher, and for the slow one under the names of FORMAT.md, one mapping an image."""
    hand, own = Hand(descriptor, rng, ids), "_image" if descriptor.params.get("scope") == "image" else ""
    made = getattr(hand, descriptor.id.replace("-", "_") + own)()
    return made if isinstance(made[1], list) else (made[0], [made[1]] * len(ids))


@dataclass(frozen=True)
class Hand:
    """One method a scheme; one mapping serves all images unless each has its own."""

    descriptor: Descriptor
    rng: np.random.Generator
    ids: Sequence[str]

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.descriptor.shape

    @property
    def channels(self) -> int:
        return self.shape[2]

    @property
    def pixels(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def block(self) -> int:
        return self.descriptor.block

    @property
    def blocks(self) -> int:
        return self.pixels // self.block**2

    @property
    def size(self) -> int:
        return self.block**2 * self.channels

    def bits(self, *sides: int) -> np.ndarray:
        return self.rng.integers(0, 2, sides).astype(bool)

    def colours(self, *sides: int) -> np.ndarray:
        return self.rng.integers(0, 6 if self.channels == 3 else 1, sides)

    def each(self, draw: Any) -> dict[str, np.ndarray]:
        return {name: draw() for name in self.ids}

    def plain(self) -> tuple[Parameters, Explicit]:
        return PlainParameters(), {}

    def patch_mix(self) -> tuple[Parameters, Explicit]:
        return PatchMixParameters(self.block), {}

    def block_shuffle(self) -> tuple[Parameters, Explicit]:
        p = self.rng.permutation(self.size)
        return BlockShuffleParameters(self.block, self.channels, p), {"p": p}

    def le(self) -> tuple[Parameters, Explicit]:
        p, m = self.rng.permutation(2 * self.size), self.bits(2 * self.size)
        return LeParameters(self.block, self.channels, p, m), {"p": p, "m": m}

    def vit_block(self) -> tuple[Parameters, Explicit]:
        p, q, m = self.rng.permutation(self.blocks), self.rng.permutation(self.size), self.bits(self.size)
        return VitBlockParameters(self.shape, self.block, p, q, m), {"p": p, "q": q, "m": m}

    def cat_map(self) -> tuple[Parameters, Explicit]:
        sides = [self.shape[0] // 2] * 4 + [self.shape[0]]
        rolls = tuple(self.rng.integers(0, self.channels, (side, side)) for side in sides)
        turns = tuple(self.rng.integers(2, 10, self.channels) for _ in sides)
        return CatMapParameters(rolls, turns), {"rolls": rolls, "turns": turns}

    def ele(self) -> tuple[Parameters, Explicit]:
        p, n = self.rng.permutation(self.blocks), 2 * self.size
        ps, ms = np.array([self.rng.permutation(n) for _ in p]), self.bits(self.blocks, n)
        return EleParameters(self.shape, self.block, p, ps, ms), {"p": p, "permutations": ps, "masks": ms}

    def etc(self) -> tuple[Parameters, Explicit]:
        p, t = self.rng.permutation(self.blocks), self.rng.integers(0, 8, self.blocks)
        m, o = self.bits(self.blocks), self.colours(self.blocks)
        return EtcParameters(self.shape, self.block, p, t, m, o), {"p": p, "t": t, "m": m, "o": o}

    def logistic_xor(self) -> tuple[Parameters, Explicit]:
        s = self.rng.integers(0, 256, self.shape, dtype=np.uint8)
        flat = [s[..., channel].ravel() for channel in range(self.channels)]
        return LogisticXorParameters(s), {"s": flat, "q": np.arange(self.pixels)}

    def logistic_xor_image(self) -> Both:
        q, lanes = self.rng.permutation(self.pixels), -(-self.pixels // scheme_draws.LANE) * self.channels
        seeds = self.each(lambda: self.rng.integers(0, 2**32, 3 * lanes, dtype=np.uint32))
        explicit = [{"s": self._sequences(seeds[name].tolist()), "q": q} for name in self.ids]
        return LogisticXorImageParameters(self.shape, _rows(seeds), q), explicit

    def _sequences(self, seeds: list[int]) -> list[list[int]]:
        """From three words a lane, the low half of the first number before its high half."""
        drawn = []
        for low, high, third in zip(seeds[::3], seeds[1::3], seeds[2::3], strict=True):
            x, r = scheme_draws.logistic_start(low | high << 32, third)
            values = scheme_draws.iterated(x, r, 1000 + scheme_draws.LANE)
            drawn.append([int(256 * value) for value in values[1000:]])
        return scheme_draws.sequences(drawn, self.pixels, self.channels)

    def pixel(self) -> tuple[Parameters, Explicit]:
        m, o = self.bits(*self.shape), self.colours(*self.shape[:2])
        return PixelParameters(m, o), {"m": m.ravel(), "o": o.ravel()}

    def pixel_image(self) -> Both:
        masks = self.each(lambda: self.bits(self.pixels * self.channels))
        orders = self.each(lambda: self.colours(self.pixels))
        explicit = [{"m": masks[name], "o": orders[name]} for name in self.ids]
        return PixelImageParameters(self.shape, _rows(masks), _rows(orders)), explicit

    def patch_shuffle(self) -> Both:
        given = self.each(lambda: self.rng.permutation(self.blocks))
        explicit = [{"p": given[name]} for name in self.ids]
        return PatchShuffleParameters(self.shape, self.block, for_images(given)), explicit

    def restricted(self) -> Both:
        params = self.descriptor.params
        u = self.each(lambda: self.rng.permutation(self.blocks)[params["fixed_blocks"] :])
        v = self.each(lambda: self.rng.permutation(self.size)[params["fixed_pixels"] :])
        explicit = [{"u": u[name], "v": v[name]} for name in self.ids]
        return RestrictedParameters(self.shape, self.block, _rows(u), _rows(v)), explicit

    def vortex(self) -> tuple[Parameters, Explicit]:
        swirls = [(row, column, self.rng.normal(size=radius)) for row, column, radius in self._centres()]
        return VortexParameters(self.shape, tuple(Vortex(*swirl) for swirl in swirls)), {"vortices": swirls}

    def vortex_ring(self) -> tuple[Parameters, Explicit]:
        rings = [(a - 1, b - 1, self.rng.integers(0, 4, radius)) for a, b, radius in self._centres()]
        return VortexRingParameters(self.shape, tuple(Rings(*ring) for ring in rings)), {"vortices": rings}

    def _centres(self) -> list[tuple[int, int, int]]:
        """Counted from 1, each with a radius for which there is room all round."""
        found = []
        for _ in range(self.descriptor.params["vortices"]):
            row, column = (int(self.rng.integers(2, side - 1)) for side in self.shape[:2])
            room = min(row, column, self.shape[0] - row, self.shape[1] - column) - 1
            found.append((row, column, int(self.rng.integers(0, room + 1))))
        return found


def _rows(given: Mapping[str, np.ndarray]) -> Any:
    """What schemes with a key for each image take: from ids to rows."""
    return lambda ids: np.array([given[name] for name in ids])
