"""Other programs for the same schemes, run as their authors wrote them, if they can be imported. See README.md.

Each adapter also translates the key that its program has drawn into our parameters, so that the bytes can be compared.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.ciphers import (
    BlockShuffleParameters,
    CatMapParameters,
    EleParameters,
    EtcParameters,
    LeParameters,
    Parameters,
    PixelParameters,
)
from blindsight.holder.ciphers.colours import ORDERS

Images = NDArray[np.uint8]
Ints = NDArray[np.int64]
Shape = tuple[int, int, int]
MODULES = ("imageshuffle", "learnable_encryption", "scramblekit")
"""Tanaka's library; the module of Madono's program that has ``BlockScramble``; a package after Madono's programs."""
FEW = 512  # images a call for programs that take batches: larger ones are slower


@dataclass(frozen=True)
class Program:
    """One object of another program, with its key.

    Args:
        encrypt: a batch of images to a new array.
        decrypt: the way back, if there is one.
        parameters: ours, for the same key; None if its key means something else.
    """

    encrypt: Callable[[Images], Images]
    decrypt: Callable[[Images], Images] | None = None
    parameters: Callable[[], Parameters] | None = None


@dataclass(frozen=True)
class Peer:
    """How another program is run on images of one shape.

    Args:
        package: what is imported.
        name: of the class.
        scheme: ours that it is held against.
        scope: of the key.
        make: from the number of a key to the program.
        images_a_call: how many images it is given at once.
        params: public parameters.
    """

    package: str
    name: str
    scheme: str
    scope: str
    make: Callable[[int], Program]
    images_a_call: int
    params: Mapping[str, Any] = field(default_factory=dict)


def found() -> dict[str, ModuleType]:
    """The programs that can be imported here."""
    modules = {}
    for name in MODULES:
        try:
            modules[name] = importlib.import_module(name)
        except ImportError:
            continue
    return modules


def peers(shape: Shape, blocks: Mapping[str, int]) -> Iterator[Peer]:
    """Everything that can be imported and takes such images.

    Args:
        shape: ``(H, W, C)`` of every image.
        blocks: scheme → side of a block in pixels, of the schemes to be compared.
    """
    makers = {"imageshuffle": tanaka, "learnable_encryption": madono, "scramblekit": scramblekit}
    for package in found():
        for peer in makers[package](shape, blocks):
            if peer.scheme in blocks:
                yield peer


def tanaka(shape: Shape, blocks: Mapping[str, int]) -> Iterator[Peer]:
    """``imageshuffle``: one image a call, keys of 32 bits."""
    scramble = importlib.import_module("imageshuffle.imagescramble")
    shuffle = importlib.import_module("imageshuffle.imageshuffle")
    side, channels = blocks.get("le", 0), shape[2]

    def of(program: Any, parameters: Callable[[], Parameters] | None) -> Program:
        return Program(one_by_one(program.enc), one_by_one(program.dec), parameters)

    def le(key: int) -> Program:
        program = scramble.RandBlock(key, [side, side])
        return of(program, lambda: le_of_tanaka(scramble.RandBlock(key, [side, side]), side, channels))

    def naive(key: int) -> Program:
        side = blocks["block-shuffle"]
        program = shuffle.RandBlock(key, [side, side])

        def parameters() -> Parameters:
            one = shuffle.RandBlock(key, [side, side])
            one.enc(np.zeros((side, side, channels), np.uint8))
            return BlockShuffleParameters(side, channels, np.argsort(one.ord))

        return of(program, parameters)

    def cat(key: int) -> Program:
        return of(shuffle.CatMapComb(key), lambda: cat_of_tanaka(shuffle, key, shape))

    package = "imageshuffle"
    yield Peer(package, "imagescramble.RandBlock", "le", "common", le, 1, {"block": side})
    yield Peer(package, "imageshuffle.RandBlock", "block-shuffle", "common", naive, 1, {"block": side})
    yield Peer(package, "imageshuffle.CatMapComb", "cat-map", "common", cat, 1)


def le_of_tanaka(program: Any, side: int, channels: int) -> Parameters:
    """His nibbles stand pixel by pixel, the high ones of a pixel before its low ones."""
    program.enc(np.zeros((side, side, channels), np.uint8))
    gather, reverse = np.argsort(program.ord), program.rev
    pixel, place = np.divmod(np.arange(gather.size), 2 * channels)
    high = place < channels
    ours = pixel * channels + place % channels + np.where(high, side * side * channels, 0)
    permutation, mask = np.empty_like(gather), np.empty_like(reverse)
    permutation[ours] = ours[gather]
    mask[ours] = reverse ^ reverse[gather]
    return LeParameters(side, channels, permutation, mask)


def cat_of_tanaka(shuffle: ModuleType, key: int, shape: Shape) -> Parameters:
    """Draw the rolls and turns of each square as his program does."""
    side, channels = shape[0], shape[2]
    draws = shuffle.Rand(key)
    rolls, turns = [], []
    for edge in [side // 2] * 4 + [side]:
        one = shuffle.CatMap(draws.rand() * shuffle.MAX_UINT32)
        rolls.append(np.array([int(one.rand() * channels) for _ in range(edge * edge)]).reshape(edge, edge))
        turns.append(np.array([2 + int(one.rand() * 8) for _ in range(channels)]))
    return CatMapParameters(tuple(rolls), tuple(turns))


def one_by_one(turn: Callable[[Images], Images]) -> Callable[[Images], Images]:
    """A program for single images, called for each of a batch; the new array is part of its work."""
    return lambda images: (
        np.stack([turn(image) for image in images]) if len(images) > 1 else turn(images[0])[np.newaxis]
    )


def madono(shape: Shape, blocks: Mapping[str, int]) -> Iterator[Peer]:
    """``BlockScramble``, on bytes: the batch, without its way through floats and without reading a key file."""
    module = importlib.import_module("learnable_encryption")
    side = blocks.get("le", 0)

    def le(number: int) -> Program:
        program = module.BlockScramble([side, side, shape[2]])
        reverse, way, back = program.rev, program.key, program.invKey
        return Program(
            lambda images: program.doScramble(images, way, reverse),
            lambda images: program.doScramble(images, back, reverse),
            lambda: LeParameters(side, shape[2], way, reversals(way)),
        )

    for images_a_call in (1, FEW):
        yield Peer("learnable_encryption", "BlockScramble", "le", "common", le, images_a_call, {"block": side})


def reversals(keys: Ints) -> NDArray[np.bool_]:
    """What is reversed in the end when it is done before and after the permutation."""
    reverse: NDArray[np.bool_] = keys > keys.shape[-1] / 2
    return reverse ^ np.take_along_axis(reverse, np.asarray(keys, np.int64), axis=-1)


def scramblekit(shape: Shape, blocks: Mapping[str, int]) -> Iterator[Peer]:
    """``scramblekit``: batches of bytes."""
    module = importlib.import_module("scramblekit.scramble")
    size = shape[:2]

    def of(program: Any, parameters: Callable[[], Parameters] | None) -> Program:
        return Program(program.forward_nhwc, program.inverse_nhwc if program.invertible else None, parameters)

    def le(number: int) -> Program:
        side = blocks["le"]
        program = module.LE(number, block_size=side, channels=shape[2])
        return of(program, lambda: LeParameters(side, shape[2], program.keys, reversals(program.keys)))

    def ele(number: int) -> Program:
        side = blocks["ele"]
        program = module.ELE(number, block_size=side, image_size=size, channels=shape[2])
        keys = program.keys
        return of(program, lambda: EleParameters(shape, side, program.perm, keys, reversals(keys)))

    def etc(number: int) -> Program:
        side = blocks["etc"]
        program = module.EtC(number, block_size=side, image_size=size, channel_mode="permutation")
        return of(program, lambda: etc_of_scramblekit(module, program, shape, side))

    def pixel(number: int) -> Program:
        program = module.PE(number, image_size=size, channel_mode="permutation")
        mask, order = (program.inv == 0).reshape(shape), program.colors.reshape(size)
        return of(program, lambda: PixelParameters(mask, order))

    def random(number: int) -> Program:
        return of(module.RandomPE(seed=number, channel_shuffle=True), None)

    package, few = "scramblekit", FEW
    yield Peer(package, "LE", "le", "common", le, few, {"block": blocks.get("le")})
    yield Peer(package, "ELE", "ele", "block", ele, few, {"block": blocks.get("ele")})
    yield Peer(package, "EtC", "etc", "block", etc, few, {"block": blocks.get("etc")})
    yield Peer(package, "PE", "pixel", "common", pixel, few)
    yield Peer(package, "RandomPE", "pixel", "image", random, few)


def etc_of_scramblekit(module: ModuleType, program: Any, shape: Shape, side: int) -> Parameters:
    """It turns, then flips; ours mirrors, then turns. Its keys go with plain blocks, ours with those of the result."""
    of_plain = program.shuffle
    turns = np.array([[turn_of(*code) for code in product([rotate], range(3))] for rotate in range(4)])
    colours = module.ETC_CHANNEL_TABLES["permutation"]
    orders = np.array([int(np.flatnonzero((row == ORDERS).all(axis=1))[0]) for row in colours])
    return EtcParameters(
        shape,
        side,
        of_plain,
        turns[program.rotate, program.reverse][of_plain],
        (program.negaposi == 0)[of_plain],
        orders[program.channel][of_plain],
    )


def turn_of(rotate: int, flip: int) -> int:
    """Our number for a rotation by 90, 180, 270 or 0 degrees and then a flip of rows, of columns, or none."""
    square = np.arange(4).reshape(2, 2)
    theirs = np.rot90(square, (rotate + 1) % 4)
    theirs = np.flip(theirs, axis=flip) if flip < 2 else theirs
    ours = [np.rot90(square[:, ::-1] if turn >= 4 else square, turn % 4) for turn in range(8)]
    return next(turn for turn, one in enumerate(ours) if np.array_equal(one, theirs))
