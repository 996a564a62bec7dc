"""What a key does to the units that a network's first layer sees: the part of a key that the layer absorbs.

A first layer is linear on the *units* of a block of M x M pixels: bytes, nibbles or bits, centred. A pixel has u of
them: the c bytes; the c high halves, then the c low ones; or the c highest bits, then the c next ones (FORMAT.md,
section J). Those of a block are numbered in C order through (u, M, M). A key is absorbed if it acts on these units as
one signed permutation, alike in all blocks, and else only moves whole blocks:

    encrypted[b, i] = sign[i] * plain[blocks[b], places[i]]            units centred, b counts blocks row by row

The key is not read from the cipher's own parameters but found by encrypting images made for it, and the result is
compared with the cipher: so it holds whatever conventions a cipher has, and however its unit differs from the layer's.

Source: Kiya et al. 2022, arXiv:2207.05366, section on transforming models by a key; the sign needs centred units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.ciphers import Cipher
from blindsight.protocol.errors import SchemeError
from blindsight.protocol.scheme import Descriptor, Images, Traits

Units = NDArray[np.uint8]
Numbers = NDArray[np.int64]
Bits = NDArray[np.bool_]
Signs = NDArray[np.int8]
DIGITS: Final = {"byte": 1, "nibble": 2, "bit": 8}
STEMS: Final = ("block", "paper", "lean", "patch")
"""First layers that are linear on whole blocks."""
TRIALS: Final = 4
_HINT = "train it again on images of the new epoch: blindsight trainer fit"


def absorbs(traits: Traits, arch: Mapping[str, Any]) -> bool:
    """Whether a network absorbs the keys of a scheme, as far as its bundle's statement shows.

    Args:
        traits: of the scheme.
        arch: the bundle's ``arch``: networks whose ``id`` begins with ``vit`` know the order of blocks by learned
            positions or not at all; ``params`` name the first layer and its unit, else they are those that fit the
            scheme.
    """
    params = arch["params"]
    finest = DIGITS.get(str(params.get("unit", traits.unit)), 0)
    if params.get("stem", STEMS[0]) not in STEMS or DIGITS[traits.unit] > finest:
        return False
    return (traits.stem == "block" and traits.aligned) or (traits.stem == "embedding" and arch["id"].startswith("vit"))


@dataclass(frozen=True, slots=True)
class Layout:
    """What a first layer sees of an image.

    Args:
        unit: ``byte``, ``nibble`` or ``bit``.
        block: edge M of its blocks in pixels.
        shape: ``(h, w, c)`` of an image; h and w are multiples of M.

    Raises:
        SchemeError: E_SCHEME, an unknown unit, or an image that is not made of whole blocks.
    """

    unit: str
    block: int
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        height, width, _ = self.shape
        if self.unit not in DIGITS or self.block < 1 or height % self.block or width % self.block:
            raise SchemeError(
                f"no first layer sees {self.unit[:20]}s in blocks of {self.block}x{self.block} "
                f"in images of {height}x{width}"
            )

    @classmethod
    def of(cls, arch: Mapping[str, Any], descriptor: Descriptor) -> Self:
        """The layout that a bundle's ``arch.params`` state.

        Args:
            arch: the parameters.
            descriptor: scheme and shape of the images.

        Raises:
            SchemeError: E_SCHEME, they state none, one for other images than the scheme's, or a first layer that is not
                linear on whole blocks.
        """
        if (stem := arch.get("stem", STEMS[0])) not in STEMS:
            raise SchemeError(f"a first layer of kind {str(stem)[:20]} does not absorb the key of a scheme", hint=_HINT)
        unit, block, shape = (arch.get(name) for name in ("unit", "block", "shape"))
        if not isinstance(unit, str) or type(block) is not int or shape != list(descriptor.encrypted_shape):
            raise SchemeError("the bundle does not say which units of which images its first layer sees")
        return cls(unit, block, descriptor.encrypted_shape)

    @property
    def size(self) -> int:
        """Units of a block."""
        return DIGITS[self.unit] * self.shape[2] * self.block**2

    @property
    def channels(self) -> int:
        """Units of a pixel."""
        return DIGITS[self.unit] * self.shape[2]

    @property
    def grid(self) -> tuple[int, int]:
        """Blocks in a column and in a row."""
        return self.shape[0] // self.block, self.shape[1] // self.block

    @property
    def count(self) -> int:
        """Blocks of an image."""
        return self.grid[0] * self.grid[1]

    @property
    def most(self) -> int:
        """The greatest value of a unit."""
        return int(2 ** (8 // DIGITS[self.unit]) - 1)

    def units(self, images: Images) -> Units:
        """Cut images into units: ``(n, h, w, c)`` to ``(n, blocks, units of a block)``, values 0 to ``most``."""
        digits, bits = DIGITS[self.unit], 8 // DIGITS[self.unit]
        parts = [(images >> (bits * place)) & np.uint8(self.most) for place in reversed(range(digits))]
        (rows, columns), edge = self.grid, self.block
        cut = np.concatenate(parts, axis=3).reshape(-1, rows, edge, columns, edge, self.channels)
        return cut.transpose(0, 1, 3, 5, 2, 4).reshape(len(images), self.count, self.size)

    def images(self, units: Units) -> Images:
        """Put images together: the inverse of ``units``."""
        (rows, columns), edge, bits = self.grid, self.block, 8 // DIGITS[self.unit]
        cut = units.reshape(-1, rows, columns, self.channels, edge, edge).transpose(0, 1, 4, 2, 5, 3)
        digits = cut.reshape(len(units), *self.shape[:2], DIGITS[self.unit], self.shape[2])
        whole = np.zeros((len(units), *self.shape), np.uint8)
        for digit in np.moveaxis(digits, 3, 0):
            whole = (whole << np.uint8(bits % 8)) | digit  # of one digit, nothing moves
        return whole


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A signed permutation of the units of a block, alike in all blocks, and a permutation of the blocks.

    What a key does to plain images is one; what leads from images under one key to the same under another is one, too.

    Args:
        layout: which units.
        places: ``(units of a block,)``: unit i is taken from unit ``places[i]``.
        signs: ``(units of a block,)`` int8, 1 or -1: whether centred unit i changes its sign.
        blocks: ``(blocks,)``: block b is made of block ``blocks[b]``.
    """

    layout: Layout
    places: Numbers = field(repr=False)
    signs: Signs = field(repr=False)
    blocks: Numbers = field(repr=False)

    @classmethod
    def identity(cls, layout: Layout) -> Self:
        """Nothing moves: the key of images that are not encrypted."""
        return cls(layout, np.arange(layout.size), np.ones(layout.size, np.int8), np.arange(layout.count))

    def to(self, other: Turn) -> Turn:
        """What leads from images under this key to the same images under another.

        Raises:
            ValueError: the two are for different units.
        """
        if self.layout != other.layout:
            raise ValueError(f"expected two keys of one layout, got {self.layout} and {other.layout}")
        places, blocks = np.argsort(self.places)[other.places], np.argsort(self.blocks)[other.blocks]
        return Turn(self.layout, places, self.signs[places] * other.signs, blocks)

    @property
    def moves_blocks(self) -> bool:
        """Whether any block leaves its place."""
        return bool((self.blocks != np.arange(self.layout.count)).any())

    def images(self, images: Images) -> Images:
        """Turn images: ``(n, h, w, c)`` uint8."""
        units = self.layout.units(images)[:, self.blocks][:, :, self.places]
        return self.layout.images(np.where(self.signs < 0, self.layout.most - units, units).astype(np.uint8))

    def weights(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn a first layer's weights ``(o, u, M, M)``, so that it answers turned blocks as it did the blocks."""
        turned = weights.reshape(len(weights), -1)[:, self.places] * self.signs.astype(np.float32)
        return np.ascontiguousarray(turned.reshape(weights.shape))

    def positions(self, positions: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn learned positions ``(blocks, dim)``: each goes with its block."""
        return np.ascontiguousarray(positions[self.blocks])

    def correlations(self, correlations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn correlations of the units of a block, ``(units, units)``."""
        signs = self.signs.astype(np.float32)
        return correlations[np.ix_(self.places, self.places)] * np.outer(signs, signs) + np.float32(0)  # no -0


def key_of(cipher: Cipher, layout: Layout) -> Turn:
    """Find what a key does to the units of a first layer.

    Args:
        cipher: scheme and key.
        layout: the units.

    Returns:
        What it does to plain images; its ``images`` are those of the cipher, bit for bit.

    Raises:
        SchemeError: E_SCHEME, the key is not one signed permutation of these units for all blocks and images.
    """
    _demand_common(cipher.descriptor, layout)
    probe = _Probe(cipher, layout)
    signs = probe.signs()
    found = Turn(layout, probe.places(signs), signs, probe.blocks(signs))
    for images in _trials(layout.shape):
        if not np.array_equal(found.images(images), cipher.encrypt(images)):
            raise _not_absorbed(cipher.descriptor, layout)
    return found


def _demand_common(descriptor: Descriptor, layout: Layout) -> None:
    traits = descriptor.traits
    if traits.stem not in ("block", "embedding") or traits.scope not in ("common", "none"):
        raise SchemeError(
            f"scheme {descriptor.id} does not treat all blocks of all images alike, so that no first layer on blocks "
            "absorbs its key",
            hint=_HINT,
        )
    if DIGITS[traits.unit] > DIGITS[layout.unit]:
        raise SchemeError(
            f"scheme {descriptor.id} moves {traits.unit}s, the network's first layer sees whole {layout.unit}s only",
            hint=_HINT,
        )


def _not_absorbed(descriptor: Descriptor, layout: Layout) -> SchemeError:
    return SchemeError(
        f"the key of scheme {descriptor.id} is not one signed permutation of the {layout.unit}s of all blocks of "
        f"{layout.block}x{layout.block} pixels, so that the network's first layer does not absorb it",
        hint=_HINT,
    )


@dataclass(frozen=True, slots=True)
class _Probe:
    """A cipher asked with images made for it."""

    cipher: Cipher
    layout: Layout

    def signs(self) -> Signs:
        """Of units that are all 0 those become the greatest that change their sign."""
        flipped = self._bits(np.zeros((self.layout.count, self.layout.size), np.bool_))
        return np.where(self._common(flipped), -1, 1).astype(np.int8)

    def places(self, signs: Signs) -> Numbers:
        """Image k shows bit k of each unit's number."""
        numbers = np.arange(self.layout.size)
        return self._read(signs, numbers.size, lambda k: np.broadcast_to((numbers >> k) & 1, self._all), self._common)

    def blocks(self, signs: Signs) -> Numbers:
        """Image k shows bit k of each block's number in all its units."""
        numbers = np.arange(self.layout.count)
        shown = numbers[:, np.newaxis]
        return self._read(signs, numbers.size, lambda k: np.broadcast_to((shown >> k) & 1, self._all), self._uniform)

    def _read(
        self,
        signs: Signs,
        count: int,
        shown: Callable[[int], NDArray[np.int64]],
        seen: Callable[[Bits], Bits],
    ) -> Numbers:
        """Numbers below ``count``, bit by bit; what is no permutation of them is refused."""
        found = np.zeros(count, np.int64)
        for k in range((count - 1).bit_length()):
            bits = self._bits(shown(k).astype(np.bool_)) ^ (signs < 0)
            found |= seen(bits).astype(np.int64) << k
        if not np.array_equal(np.sort(found), np.arange(count)):
            raise _not_absorbed(self.cipher.descriptor, self.layout)
        return found

    @property
    def _all(self) -> tuple[int, int]:
        return self.layout.count, self.layout.size

    def _bits(self, bits: Bits) -> Bits:
        """Encrypt one image whose units are 0 or the greatest, ``(blocks, units)``: the same of the result."""
        units = np.where(bits, self.layout.most, 0).astype(np.uint8)
        image = self.layout.images(units[np.newaxis])
        (result,) = self.layout.units(self.cipher.encrypt(image))
        if not np.isin(result, (0, self.layout.most)).all():
            raise _not_absorbed(self.cipher.descriptor, self.layout)
        greatest: Bits = result > 0
        return greatest

    def _common(self, bits: Bits) -> Bits:
        """What all blocks show alike."""
        first: Bits = bits[0]
        self._demand_alike(bits, first)
        return first

    def _uniform(self, bits: Bits) -> Bits:
        """What all units of a block show alike."""
        first: Bits = bits[:, 0]
        self._demand_alike(bits, first[:, np.newaxis])
        return first

    def _demand_alike(self, bits: Bits, shown: Bits) -> None:
        if (bits != shown).any():
            raise _not_absorbed(self.cipher.descriptor, self.layout)


def _trials(shape: tuple[int, int, int]) -> Iterator[Images]:
    """Images of noise, one at a time."""
    rng = np.random.default_rng(0)
    for _ in range(TRIALS):
        yield rng.integers(0, 256, (1, *shape), dtype=np.uint8)
