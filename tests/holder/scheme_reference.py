"""Each scheme on one image, one byte at a time: FORMAT.md F.3, read literally.

An image is a list of rows of pixels of channels. The parameters carry the names of FORMAT.md; ``encrypted`` draws them
from a key (``scheme_draws``). Slow on purpose: what is fast is compared with this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tests.holder.scheme_draws import DRAWN, SIX, Draws, Given, digest, nearest, ring, scheme_digest, stream

Image = list[list[list[int]]]
Numbers = Sequence[int]
CHECKED = 4


def blocks_of(x: Image, side: int) -> list[list[int]]:
    """Blocks numbered row by row, each flattened in (row, column, channel) order."""
    return [
        [value for row in x[top : top + side] for pixel in row[left : left + side] for value in pixel]
        for top in range(0, len(x), side)
        for left in range(0, len(x[0]), side)
    ]


def image_of(blocks: Sequence[Numbers], side: int, across: int) -> Image:
    """The image of blocks; ``across`` of them lie side by side."""
    channels, rows = len(blocks[0]) // side**2, len(blocks) // across * side
    x: Image = [[[] for _ in range(across * side)] for _ in range(rows)]
    for number, block in enumerate(blocks):
        top, left = number // across * side, number % across * side
        for place in range(side**2):
            pixel = block[place * channels : (place + 1) * channels]
            x[top + place // side][left + place % side] = list(pixel)
    return x


def blockwise(x: Image, side: int, changed: Callable[[list[list[int]]], Sequence[Numbers]]) -> Image:
    return image_of(changed(blocks_of(x, side)), side, len(x[0]) // side)


def plain(x: Image, params: Mapping[str, Any]) -> Image:
    return x


def block_shuffle(x: Image, params: Mapping[str, Any], p: Numbers) -> Image:
    return blockwise(x, params["block"], lambda blocks: [[b[place] for place in p] for b in blocks])


def le_block(b: Numbers, p: Numbers, m: Numbers) -> list[int]:
    """Nibbles permuted and reversed."""
    d = len(b)
    x = [value & 15 for value in b] + [value >> 4 for value in b]
    y = [15 - x[p[i]] if m[i] else x[p[i]] for i in range(2 * d)]
    return [(y[d + k] << 4) | y[k] for k in range(d)]


def le(x: Image, params: Mapping[str, Any], p: Numbers, m: Numbers) -> Image:
    return blockwise(x, params["block"], lambda blocks: [le_block(b, p, m) for b in blocks])


def cat(z: Image, roll: Sequence[Numbers], n: Numbers) -> Image:
    """One combined map on a square."""
    t, channels = len(z), len(z[0][0])
    result = [[[0] * channels for _ in range(t)] for _ in range(t)]
    for r in range(t):
        for c in range(t):
            for k in range(channels):
                to_row, to_column = r, c
                for _ in range(n[k]):
                    to_row, to_column = (to_row + to_column) % t, (to_row + 2 * to_column) % t
                result[to_row][to_column][k] = z[r][c][(k - roll[r][c]) % channels]
    return result


def cat_map(x: Image, params: Mapping[str, Any], rolls: Sequence[Sequence[Numbers]], turns: Sequence[Numbers]) -> Image:
    side, half = len(x), len(x) // 2
    whole = cat(x, rolls[4], turns[4])
    parted: Image = [[[] for _ in range(side)] for _ in range(side)]
    for row in range(side):
        for column in range(side):
            parted[row // 2 + row % 2 * half][column // 2 + column % 2 * half] = whole[row][column]
    quadrants = []
    for j in range(4):
        top, left = j // 2 * half, j % 2 * half
        square = [row[left : left + half] for row in parted[top : top + half]]
        quadrants.append(cat(square, rolls[j], turns[j]))
    above = [quadrants[0][row] + quadrants[1][row] for row in range(half)]
    below = [quadrants[2][row] + quadrants[3][row] for row in range(half)]
    return above + below


def patch_shuffle(x: Image, params: Mapping[str, Any], p: Numbers) -> Image:
    return blockwise(x, params["block"], lambda blocks: [blocks[place] for place in p])


def patch_mix(x: Image, params: Mapping[str, Any]) -> Image:
    side = params["block"]
    half, mixed = side // 2, []
    for block in blocks_of(x, side):
        quarters = blocks_of(image_of([block], side, 1), half)
        mixed.append([(a + b + c + e + 2) >> 2 for a, b, c, e in zip(*quarters, strict=True)])
    return image_of(mixed, half, len(x[0]) // side)


def pixel(x: Image, params: Mapping[str, Any], m: Numbers, o: Numbers) -> Image:
    width, channels = len(x[0]), len(x[0][0])
    result: Image = [[[] for _ in row] for row in x]
    for i, order in enumerate(o):
        before = x[i // width][i % width]
        t = [255 - before[k] if m[i * channels + k] else before[k] for k in range(channels)]
        result[i // width][i % width] = [t[SIX[order][k]] for k in range(channels)]
    return result


def logistic_xor(x: Image, params: Mapping[str, Any], s: Sequence[Numbers], q: Numbers) -> Image:
    width = len(x[0])
    return [
        [[value ^ s[c][q[row * width + column]] for c, value in enumerate(x[row][column])] for column in range(width)]
        for row in range(len(x))
    ]


def swirled(x: Image, cx: int, cy: int, swirl: Sequence[float]) -> Image:
    """One vortex; centre counted from 1, ``swirl[k - 1]`` radians for ring k."""
    r = len(swirl)
    result = [list(row) for row in x]
    for a in range(1, 2 * r + 2):
        for b in range(1, 2 * r + 2):
            right, down = b - r - 0.5, a - r - 0.5
            rho = math.sqrt(down**2 + right**2)
            if rho <= r:
                k = nearest(rho)
                phi = math.atan2(right, down) + (r - k) * swirl[k - 1]
                from_a, from_b = nearest(rho * math.cos(phi) + r + 0.5), nearest(rho * math.sin(phi) + r + 0.5)
                result[cx - r + a - 2][cy - r + b - 2] = x[cx - r + from_a - 2][cy - r + from_b - 2]
    return result


def vortex(x: Image, params: Mapping[str, Any], vortices: Sequence[tuple[int, int, Sequence[float]]]) -> Image:
    for cx, cy, swirl in vortices:
        x = swirled(x, cx, cy, swirl)
    return x


def vortex_ring(x: Image, params: Mapping[str, Any], vortices: Sequence[tuple[int, int, Numbers]]) -> Image:
    for a, b, steps in vortices:
        before = x
        x = [list(row) for row in x]
        for k, s in enumerate(steps, 1):
            places = ring(a, b, k)
            for j, (row, column) in enumerate(places):
                to_row, to_column = places[(j + s) % len(places)]
                x[to_row][to_column] = before[row][column]
    return x


def vit_block(x: Image, params: Mapping[str, Any], p: Numbers, q: Numbers, m: Numbers) -> Image:
    def changed(blocks: list[list[int]]) -> list[list[int]]:
        moved = [blocks[place] for place in p]
        return [[255 - b[q[i]] if m[i] else b[q[i]] for i in range(len(q))] for b in moved]

    return blockwise(x, params["block"], changed)


def ele(
    x: Image, params: Mapping[str, Any], p: Numbers, permutations: Sequence[Numbers], masks: Sequence[Numbers]
) -> Image:
    def changed(blocks: list[list[int]]) -> list[list[int]]:
        own = [le_block(b, permutations[j], masks[j]) for j, b in enumerate(blocks)]
        return [own[place] for place in p]

    return blockwise(x, params["block"], changed)


def turned(square: Image, t: int) -> Image:
    """Mirrored if t ≥ 4, then t mod 4 quarters counter-clockwise: the last column becomes the first row."""
    if t >= 4:
        square = [row[::-1] for row in square]
    for _ in range(t % 4):
        last = len(square) - 1
        square = [[row[last - column] for row in square] for column in range(last + 1)]
    return square


def etc(x: Image, params: Mapping[str, Any], p: Numbers, t: Numbers, m: Numbers, o: Numbers) -> Image:
    side, blocks, result = params["block"], blocks_of(x, params["block"]), []
    for k, place in enumerate(p):
        square = turned(image_of([blocks[place]], side, 1), t[k])
        pixels = [[255 - value if m[k] else value for value in pixel] for row in square for pixel in row]
        result.append([pixel[SIX[o[k]][c]] for pixel in pixels for c in range(len(pixel))])
    return image_of(result, side, len(x[0]) // side)


def restricted(x: Image, params: Mapping[str, Any], u: Numbers, v: Numbers) -> Image:
    def placed(items: Sequence[Any], moved: Numbers) -> list[Any]:
        result = list(items)
        for place, source in zip(sorted(moved), moved, strict=True):
            result[place] = items[source]
        return result

    return blockwise(x, params["block"], lambda blocks: [placed(b, v) for b in placed(blocks, u)])


SCHEMES: Mapping[str, Callable[..., Image]] = {
    "plain": plain,
    "block-shuffle": block_shuffle,
    "le": le,
    "cat-map": cat_map,
    "patch-shuffle": patch_shuffle,
    "patch-mix": patch_mix,
    "pixel": pixel,
    "logistic-xor": logistic_xor,
    "vortex": vortex,
    "vortex-ring": vortex_ring,
    "vit-block": vit_block,
    "ele": ele,
    "etc": etc,
    "restricted": restricted,
}


def with_parameters(scheme: str, images: np.ndarray, params: Mapping[str, Any], **explicit: Any) -> np.ndarray:
    """Images ``(n, H, W, C)`` under explicit parameters, named as in FORMAT.md."""
    return np.array([SCHEMES[scheme](image, params, **explicit) for image in images.tolist()], np.uint8)


def from_key(descriptor: Mapping[str, Any], key: bytes, images: np.ndarray, ids: Sequence[str]) -> np.ndarray:
    """Images ``(n, H, W, C)`` under a scheme key; the descriptor as it stands in documents."""
    scheme, params, shape = descriptor["id"], descriptor["params"], tuple(descriptor["shape"])
    results = []
    for image, name in zip(images.tolist(), ids, strict=True):
        drawn = DRAWN[scheme](Given(key, shape, params, name))
        results.append(SCHEMES[scheme](image, params, **drawn))
    return np.array(results, np.uint8)


def check_value(descriptor: Mapping[str, Any], key: bytes) -> str:
    """Hex of the scheme check value, F.4."""
    shape = (CHECKED, *descriptor["shape"])
    drawn: Draws = stream(key, "check-image")
    images = np.frombuffer(drawn.bytes(math.prod(shape)), np.uint8).reshape(shape)
    encrypted = from_key(descriptor, key, images, [f"check/{place}" for place in range(CHECKED)])
    return digest("scv", scheme_digest(descriptor), encrypted.tobytes()).hex()
