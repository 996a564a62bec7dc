"""The table of encryption schemes: what is publicly known of each, whatever its key. FORMAT.md section F.

Holders and trainers read this one table, so both mean the same by a descriptor. Ciphers stand in
``holder/blindsight/holder/ciphers``, first layers in ``trainer/blindsight/trainer/stems``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from blindsight.protocol import fields

Shape = tuple[int, int, int]
Params = Mapping[str, Any]
Demand = Callable[[Shape, Params], str]

DEFAULT_BLOCK = 4
MAX_BLOCK = 256
MIN_BLOCK = 3  # smaller blocks leave almost the whole layout of a picture in view
MIN_VORTEX_SIDE, MIN_RING_SIDE = 6, 5  # on a smaller side no vortex does anything, or has a ring
MAX_VORTICES = 100
LOSSLESS = frozenset({"block", "embedding", "position", "orderless"})


@dataclass(frozen=True, slots=True)
class Param:
    """One public parameter.

    Args:
        check: which values it takes.
        default: its value for images of a shape, given the parameters before it.
        words: for people.
    """

    check: fields.Check
    default: Callable[[Shape, Params], int | str]
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What is publicly known of a scheme.

    Args:
        title: the scheme in a few words.
        source: paper and section.
        unit: what the key moves or changes: ``byte``, ``nibble`` or ``bit``.
        scope: ``common`` (one key for all images), ``block`` (each place has a key of its own, the same in
            all images), ``image`` (one for each image) or ``none``.
        invertible: whether the key's owner can get the image back.
        stem: the first layer that absorbs the key: ``block`` (linear on the units of a block), ``embedding`` (the same,
            and positions that are learned), ``position`` (linear on the units of a pixel, with weights of its own at
            each place), ``orderless`` (patches without positions) or ``none``.
        falls: one sentence on how it is broken.
        params: name → parameter, in the order in which defaults are found.
        demand: says in one sentence why a shape and parameters do not go together; empty if they do.
        aligned: whether an image moved by whole blocks encrypts to the encrypted image moved by whole blocks.
        shrink: by how much each side of an image shrinks.
        multiple: what sides must be a multiple of, for a scheme without blocks.
        control: what it serves to compare with, if it is no scheme to use; one sentence.
    """

    title: str
    source: str
    unit: str
    scope: str
    invertible: bool
    stem: str
    falls: str
    params: Mapping[str, Param]
    demand: Demand
    aligned: bool = False
    shrink: int = 1
    multiple: int = 1
    control: str = ""

    @property
    def lossless_stem(self) -> bool:
        """Whether some first layer absorbs the key, so that nothing is lost but augmentation."""
        return self.stem in LOSSLESS


def _block(words: str = "side of a block in pixels") -> Mapping[str, Param]:
    return {"block": Param(fields.integer(1, MAX_BLOCK), lambda shape, given: DEFAULT_BLOCK, words)}


def _blocks_of(least: int, multiple: int = 1) -> Demand:
    def demand(shape: Shape, params: Params) -> str:
        block = params["block"]
        if block < least:
            return f"blocks must be at least {least} pixels wide, got {block}"
        if block % multiple:
            return f"blocks must be an even number of pixels wide, got {block}"
        if shape[0] % block or shape[1] % block:
            return f"{shape[0]}x{shape[1]} images do not divide into blocks of {block}x{block}"
        return ""

    return demand


def _square(shape: Shape, params: Params) -> str:
    if shape[0] == shape[1] and shape[0] % 2 == 0:
        return ""
    return f"images must be square with an even side, got {shape[0]}x{shape[1]}"


def _sides_of(least: int) -> Demand:
    def demand(shape: Shape, params: Params) -> str:
        if min(shape[:2]) >= least:
            return ""
        return f"images must be at least {least} pixels wide and high, got {shape[0]}x{shape[1]}"

    return demand


def _restricted(shape: Shape, params: Params) -> str:
    if refusal := _blocks_of(MIN_BLOCK)(shape, params):
        return refusal
    for name, most in (("fixed_blocks", _count(shape, params)), ("fixed_pixels", _size(shape, params))):
        if params[name] > most:
            return f"{name} must be at most {most}, got {params[name]}"
    return ""


def _count(shape: Shape, params: Params) -> int:
    """Blocks of an image."""
    block = int(params["block"])
    return (shape[0] // block) * (shape[1] // block)


def _size(shape: Shape, params: Params) -> int:
    """Bytes of a block."""
    return int(params["block"] ** 2 * shape[2])


def _any(shape: Shape, params: Params) -> str:
    return ""


_SCOPE: Mapping[str, Param] = {
    "scope": Param(
        fields.one_of(["common", "image"]), lambda shape, given: "common", "one key for all images, or one for each"
    )
}
_VORTICES: Mapping[str, Param] = {
    "vortices": Param(fields.integer(1, MAX_VORTICES), lambda shape, given: 5, "number of vortices")
}
_STRENGTH: Mapping[str, Param] = {
    "strength": Param(
        fields.integer(1, 10_000), lambda shape, given: 100, "of the swirl in thousandths (the authors: 100 or 800)"
    )
}
_FIXED: Mapping[str, Param] = {
    "fixed_blocks": Param(
        fields.integer(), lambda shape, given: 3 * _count(shape, given) // 4, "blocks that stay in their places"
    ),
    "fixed_pixels": Param(
        fields.integer(),
        lambda shape, given: 3 * _size(shape, given) // 4,
        "bytes of a block that stay in their places",
    ),
}

SCHEMES: Mapping[tuple[str, int], Traits] = {
    ("plain", 1): Traits(
        title="no encryption",
        source="none",
        unit="byte",
        scope="none",
        invertible=True,
        stem="block",
        falls="Nothing is encrypted.",
        params=_block(),
        demand=_blocks_of(1),
        aligned=True,
        control="It is the control: the same network on images that are not encrypted.",
    ),
    ("block-shuffle", 1): Traits(
        title="bytes of each block permuted, one permutation for all blocks",
        source="Tanaka 2018, arXiv:1804.00490, section IV (naive block-wise pixel shuffle)",
        unit="byte",
        scope="common",
        invertible=True,
        stem="block",
        falls="The mean of each block can be read without a key, and a few known blocks give the key.",
        params=_block(),
        demand=_blocks_of(MIN_BLOCK),
        aligned=True,
    ),
    ("cat-map", 1): Traits(
        title="every pixel moved over the whole image by combined cat maps, colours rolled",
        source="Tanaka 2018, arXiv:1804.00490, section IV (combined cat map, the baseline of his program)",
        unit="byte",
        scope="common",
        invertible=True,
        stem="none",
        falls="The map is the same for all images: a few known images give it, and so do some hundred unknown ones.",
        params={},
        demand=_square,
        multiple=2,
        control=(
            "It is the control for schemes that are not learnable: neighbours do not stay neighbours, so that "
            "convolutional networks learn much less from photographs; simple pictures such as digits they still learn."
        ),
    ),
    ("le", 1): Traits(
        title="nibbles of each block permuted and some reversed, one key for all blocks",
        source="Tanaka 2018, arXiv:1804.00490, section III (learnable image encryption)",
        unit="nibble",
        scope="common",
        invertible=True,
        stem="block",
        falls="One encrypted photo is enough to compute the key, which opens all other images.",
        params=_block(),
        demand=_blocks_of(MIN_BLOCK),
        aligned=True,
    ),
    ("patch-shuffle", 1): Traits(
        title="patches permuted, by a permutation of its own for each image",
        source="Hao et al. 2023, arXiv:2306.03679 (random shuffling, RS)",
        unit="byte",
        scope="image",
        invertible=True,
        stem="orderless",
        falls="Every patch can be read as it is, and patches of photos are put back in place like a jigsaw.",
        params=_block("side of a patch in pixels"),
        demand=_blocks_of(1),
    ),
    ("patch-mix", 1): Traits(
        title="the four quarters of each patch averaged into one: no key, loses detail",
        source="Hao et al. 2023, arXiv:2306.03679 (mixing, MI)",
        unit="byte",
        scope="none",
        invertible=False,
        stem="none",
        falls="There is no key: what can be seen in the mixture, everybody sees, and lost detail can be guessed.",
        params=_block("side of a patch in pixels"),
        demand=_blocks_of(2, multiple=2),
        aligned=True,
        shrink=2,
    ),
    ("pixel", 1): Traits(
        title="components of each pixel reversed or not, its colours permuted",
        source="Sirichotedumrong et al. 2019, arXiv:1905.01827 (pixel-based encryption)",
        unit="byte",
        scope="common",
        invertible=True,
        stem="position",
        falls="The smaller of v and 255 - v shows the scene without a key; one chosen image gives a common key.",
        params=_SCOPE,
        demand=_any,
    ),
    ("logistic-xor", 1): Traits(
        title="bytes XORed with a shuffled logistic-map sequence (our reading of the paper)",
        source="Ahmad & Shin 2022, arXiv:2203.16780 (parameters of the map are ours)",
        unit="bit",
        scope="common",
        invertible=True,
        stem="position",
        falls="One known image gives the sequence it was encrypted with: under a common key, that of all images.",
        params=_SCOPE,
        demand=_any,
    ),
    ("vortex", 1): Traits(
        title="pixels swirled around some centres by a rounding gather: loses some pixels",
        source="Cao et al. 2024, arXiv:2411.16207 (random vortex transformation, as in the authors' program)",
        unit="byte",
        scope="common",
        invertible=False,
        stem="none",
        falls="Many pixels stay where they are, and one or two known images give the map for all.",
        params={**_VORTICES, **_STRENGTH},
        demand=_sides_of(MIN_VORTEX_SIDE),
    ),
    ("vortex-ring", 1): Traits(
        title="pixels of rings around some centres rotated by whole steps",
        source="our bijective variant of Cao et al. 2024, arXiv:2411.16207",
        unit="byte",
        scope="common",
        invertible=True,
        stem="none",
        falls="Many pixels may stay where they are, and one or two known images give the map for all.",
        params=_VORTICES,
        demand=_sides_of(MIN_RING_SIDE),
    ),
    ("vit-block", 1): Traits(
        title="blocks permuted; bytes of each block permuted and some reversed, one key for all blocks",
        source="Kiya et al. 2022, arXiv:2207.05366; Qi et al. 2022, arXiv:2205.12041 (with reversal of bytes)",
        unit="byte",
        scope="common",
        invertible=True,
        stem="embedding",
        falls="One known image gives the key; blocks can be put back in place like a jigsaw.",
        params=_block("side of a patch in pixels"),
        demand=_blocks_of(MIN_BLOCK),
    ),
    ("ele", 1): Traits(
        title="learnable encryption with a key of its own for each place, blocks permuted",
        source="Madono et al. 2020, arXiv:2001.07761 (extended learnable encryption)",
        unit="nibble",
        scope="block",
        invertible=True,
        stem="none",
        falls="The keys are the same for all images: some hundred encrypted images, or a few known ones, give them.",
        params=_block(),
        demand=_blocks_of(MIN_BLOCK),
    ),
    ("etc", 1): Traits(
        title="blocks permuted, turned, mirrored, negated, their colours permuted",
        source="Kurihara et al. and Chuman et al. (encryption then compression); arXiv:2204.07707 for networks",
        unit="byte",
        scope="block",
        invertible=True,
        stem="none",
        falls="Every block can be read but for its colours, and blocks are put back in place like a jigsaw.",
        params=_block(),
        demand=_blocks_of(1),
    ),
    ("restricted", 1): Traits(
        title="some blocks, and some bytes of each block, permuted, by a key of its own for each image",
        source="Horio et al. 2024, arXiv:2408.08529 (restricted permutations, disposable keys)",
        unit="byte",
        scope="image",
        invertible=True,
        stem="none",
        falls="Much stays in its place: scenes may be recognised without computing anything.",
        params={**_block("side of a patch in pixels"), **_FIXED},
        demand=_restricted,
    ),
}
