"""From a scheme key to the parameters of one image, one draw at a time: FORMAT.md F.1 to F.3, read literally.

A second implementation, for tests only: it shares no line with what it is compared with, and clarity goes before speed.
Streams of images are told from other streams by the id they are given.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

LANE = 1024
SIX = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]


def digest(tag: str, *parts: bytes) -> bytes:
    """H of A.3."""
    text = b"blindsight1:" + tag.encode() + b"\0"
    for part in parts:
        text += len(part).to_bytes(8, "big") + part
    return hashlib.sha256(text).digest()


def expanded(key: bytes, label: str, *parts: bytes) -> bytes:
    """expand of A.3."""
    return HKDFExpand(SHA256(), 32, digest("info:" + label, *parts)).derive(key)


def scheme_digest(descriptor: Mapping[str, Any]) -> bytes:
    """Of a descriptor as it stands in documents: canonical JSON, as all of it is ASCII."""
    return digest("scheme", json.dumps(descriptor, sort_keys=True, separators=(",", ":")).encode())


class Draws:
    """One keystream, read from its start."""

    def __init__(self, stream_key: bytes, nonce: bytes) -> None:
        counter = (0).to_bytes(4, "little")
        self.cipher = Cipher(ChaCha20(stream_key, counter + nonce), mode=None).encryptor()

    def bytes(self, n: int) -> bytes:
        return self.cipher.update(bytes(n))

    def u32(self) -> int:
        return int.from_bytes(self.bytes(4), "little")

    def u64(self) -> int:
        return int.from_bytes(self.bytes(8), "little")

    def below(self, n: int) -> int:
        lim = 2**32 - 2**32 % n
        while True:
            x = self.u32()
            if x < lim:
                return x % n

    def belows(self, n: int, times: int) -> list[int]:
        return [self.below(n) for _ in range(times)]

    def perm(self, size: int) -> list[int]:
        a = list(range(size))
        for i in range(size - 1, 0, -1):
            j = self.below(i + 1)
            a[i], a[j] = a[j], a[i]
        return a

    def bits(self, n: int) -> list[int]:
        packed = self.bytes((n + 7) // 8)
        return [packed[k >> 3] >> (k & 7) & 1 for k in range(n)]

    def choose(self, size: int, k: int) -> list[int]:
        a = list(range(size))
        for i in range(k):
            j = i + (self.below(size - i) if size - i >= 2 else 0)
            a[i], a[j] = a[j], a[i]
        return a[:k]

    def logistic(self, n: int) -> list[int]:
        while True:
            x, r = logistic_start(self.u64(), self.u32())
            values = iterated(x, r, 1000 + n)
            if values:
                return [math.floor(256 * value) for value in values[1000:]]


def logistic_start(u64: int, u32: int) -> tuple[float, float]:
    """The first x, and r."""
    return (2 * (u64 >> 12) + 1) / 2**53, 4 - (1 + (u32 & 0xFFFFFF)) / 2**31


def iterated(x: float, r: float, times: int) -> list[float]:
    """Values of the logistic map after the first x; none if it leaves the open interval."""
    values = []
    for _ in range(times):
        t = 1 - x
        t = x * t
        x = r * t
        if not 0 < x < 1:
            return []
        values.append(x)
    return values


def stream(key: bytes, label: str, *context: str) -> Draws:
    return Draws(expanded(key, "stream", label.encode(), *(part.encode() for part in context)), bytes(12))


def istream(key: bytes, label: str, image: str) -> Draws:
    return Draws(expanded(key, "stream", label.encode()), digest("image", image.encode())[:12])


@dataclass(frozen=True)
class Given:
    """What parameters follow from: a scheme key, what the descriptor says, and the id of the image."""

    key: bytes
    shape: tuple[int, int, int]
    params: Mapping[str, Any]
    image: str

    @property
    def pixels(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def blocks(self) -> int:
        return self.pixels // self.params["block"] ** 2

    @property
    def block_bytes(self) -> int:
        return int(self.params["block"] ** 2 * self.shape[2])

    def stream(self, label: str) -> Draws:
        return stream(self.key, label)

    def istream(self, label: str) -> Draws:
        return istream(self.key, label, self.image)

    def scoped(self, label: str) -> Draws:
        return self.istream(label) if self.params["scope"] == "image" else self.stream(label)


# What each scheme draws, under the names of the arguments of its function in scheme_reference.


def plain(_given: Given) -> dict[str, Any]:
    return {}


def block_shuffle(given: Given) -> dict[str, Any]:
    return {"p": given.stream("perm/byte").perm(given.block_bytes)}


def le(given: Given) -> dict[str, Any]:
    n = 2 * given.block_bytes
    return {"p": given.stream("perm/nibble").perm(n), "m": given.stream("mask/nibble").bits(n)}


def cat_map(given: Given) -> dict[str, Any]:
    (side, _, channels), rolls, turns = given.shape, [], []
    for j in range(5):
        t = side if j == 4 else side // 2
        drawn = given.stream(f"roll/{j}").belows(channels, t * t) if channels > 1 else [0] * (t * t)
        rolls.append([drawn[row * t : row * t + t] for row in range(t)])
        turns.append([2 + drawn for drawn in given.stream(f"turns/{j}").belows(8, channels)])
    return {"rolls": rolls, "turns": turns}


def patch_shuffle(given: Given) -> dict[str, Any]:
    return {"p": given.istream("perm/block").perm(given.blocks)}


def patch_mix(_given: Given) -> dict[str, Any]:
    return {}


def pixel(given: Given) -> dict[str, Any]:
    m = given.scoped("mask/pixel").bits(given.pixels * given.shape[2])
    colour = given.shape[2] == 3
    return {"m": m, "o": given.scoped("order/pixel").belows(6, given.pixels) if colour else [0] * given.pixels}


def logistic_xor(given: Given) -> dict[str, Any]:
    seeds, channels = given.scoped("logistic/seed"), given.shape[2]
    drawn = [seeds.logistic(LANE) for _ in range(math.ceil(given.pixels / LANE) * channels)]
    return {"s": sequences(drawn, given.pixels, channels), "q": given.stream("order/sequence").perm(given.pixels)}


def sequences(drawn: Sequence[Sequence[int]], pixels: int, channels: int) -> list[list[int]]:
    """s of each channel, from all lanes in the order in which they are drawn."""
    count = len(drawn) // channels
    lanes = [[drawn[lane * channels + c] for lane in range(count)] for c in range(channels)]
    return [[lanes[c][i % count][i // count] for i in range(pixels)] for c in range(channels)]


def swirl_function(number: int, w: list[float]) -> Callable[[float], float]:
    w1, w2, w3, w4, w5, w6 = w
    return [
        lambda x: w1 * math.sin(w2 * x + w3) + w4 * math.cos(w5 * x + w6),
        lambda x: w1 * x + w2 * x**3 + w3 * math.exp(2 * x) + w4 * math.cos(w5 * x + w6),
        lambda x: w1 * math.sqrt(x) + w2 * x**2 + w3 * math.exp(x) + w4 * math.sin(w5 * x + w6),
        lambda x: w1 * x**5 + w2 * math.log(x + 1) + w3 * math.exp(x) + w4 * math.cos(w5 * x + w6),
        lambda x: w1 * 2**x + 2 * w2 * x + w3 * math.log10(x + 1) + w4 * math.sin(w5 * x + w6),
    ][number]


def nearest(x: float) -> int:
    """The nearest integer, halves away from zero."""
    return math.floor(x + 0.5) if x >= 0 else math.ceil(x - 0.5)


def vortex(given: Given) -> dict[str, Any]:
    (height, width, _), vortices = given.shape, []
    for i in range(1, given.params["vortices"] + 1):
        drawn = given.stream(f"vortex/{i}")
        cx, cy = 2 + drawn.below(height - 3), 2 + drawn.below(width - 3)
        f = swirl_function(i % 5, [drawn.below(65536) / 32768 - 2 for _ in range(6)])
        r = min(cx, cy, height - cx, width - cy) - 1
        millionths = [nearest(1000 * given.params["strength"] * f((k - 1) / r)) for k in range(1, r + 1)]
        vortices.append((cx, cy, [n / 1_000_000 for n in millionths]))
    return {"vortices": vortices}


def ring(a: int, b: int, k: int) -> list[tuple[int, int]]:
    """The pixels of ring k around (a, b), in order of atan2(u, v)."""
    places = [
        (math.atan2(u, v), a + u, b + v)
        for u in range(-k - 1, k + 2)
        for v in range(-k - 1, k + 2)
        if nearest(math.sqrt(u * u + v * v)) == k
    ]
    return [(row, column) for _, row, column in sorted(places)]


def vortex_ring(given: Given) -> dict[str, Any]:
    (height, width, _), vortices = given.shape, []
    for i in range(1, given.params["vortices"] + 1):
        drawn = given.stream(f"ring/{i}")
        a, b = 1 + drawn.below(height - 2), 1 + drawn.below(width - 2)
        r = min(a, b, height - 1 - a, width - 1 - b)
        vortices.append((a, b, [drawn.below(len(ring(a, b, k))) for k in range(1, r + 1)]))
    return {"vortices": vortices}


def vit_block(given: Given) -> dict[str, Any]:
    p, d = given.stream("perm/block").perm(given.blocks), given.block_bytes
    return {"p": p, "q": given.stream("perm/byte").perm(d), "m": given.stream("mask/byte").bits(d)}


def ele(given: Given) -> dict[str, Any]:
    n, permutations = 2 * given.block_bytes, given.stream("perm/nibble")
    bits = given.stream("mask/nibble").bits(given.blocks * n)
    return {
        "p": given.stream("perm/block").perm(given.blocks),
        "permutations": [permutations.perm(n) for _ in range(given.blocks)],
        "masks": [bits[j * n : j * n + n] for j in range(given.blocks)],
    }


def etc(given: Given) -> dict[str, Any]:
    colour = given.shape[2] == 3
    return {
        "p": given.stream("perm/block").perm(given.blocks),
        "t": given.stream("turn/block").belows(8, given.blocks),
        "m": given.stream("mask/block").bits(given.blocks),
        "o": given.stream("order/block").belows(6, given.blocks) if colour else [0] * given.blocks,
    }


def restricted(given: Given) -> dict[str, Any]:
    n, d = given.blocks, given.block_bytes
    return {
        "u": given.istream("moved/block").choose(n, n - given.params["fixed_blocks"]),
        "v": given.istream("moved/byte").choose(d, d - given.params["fixed_pixels"]),
    }


DRAWN: Mapping[str, Callable[[Given], dict[str, Any]]] = {
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
