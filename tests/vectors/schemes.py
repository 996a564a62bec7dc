"""Write the vectors of all schemes: ``python -m tests.vectors.schemes [folder]``, by hand, from the root.

They come from the slow second implementation in ``tests/holder/scheme_reference.py``, never from the ciphers.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.holder import scheme_reference
from tests.holder.scheme_draws import scheme_digest

FOLDER = Path(__file__).parent / "schemes"
COMMAND = "python -m tests.vectors.schemes"
SOURCE = "protocol/FORMAT.md F.3, F.4; images: byte i of all images together is (7 i + 13 floor(i / 256) + 3) mod 256"
EXPANSION = json.loads((Path(__file__).parent / "key_expansion.json").read_text())
KEYS = (EXPANSION["scheme_key"], bytes(range(32)).hex())
IDS = ("set/0", "set/17", "another set/0")
LONGEST = 600  # bytes of a result that stand in full; of a longer one, the digest and the first bytes
FIRST = 48


@dataclass(frozen=True, slots=True)
class Case:
    """Images of a shape under a scheme.

    Args:
        scheme: name of the scheme.
        shape: of each image.
        params: public parameters.
        count: number of images, at most three.
        key: place in ``KEYS``.
    """

    scheme: str
    shape: tuple[int, int, int]
    params: Mapping[str, Any] = field(default_factory=dict)
    count: int = 2
    key: int = 0

    @property
    def descriptor(self) -> dict[str, Any]:
        """As it stands in documents."""
        return {"dtype": "u8", "id": self.scheme, "params": dict(self.params), "shape": list(self.shape), "v": 1}

    def to_json(self) -> dict[str, Any]:
        """What is given, and what follows."""
        key, ids = bytes.fromhex(KEYS[self.key]), list(IDS[: self.count])
        encrypted = scheme_reference.from_key(self.descriptor, key, images(self.count, self.shape), ids)
        return {
            "descriptor": self.descriptor,
            "scheme_digest": scheme_digest(self.descriptor).hex(),
            "scheme_key": key.hex(),
            "ids": ids,
            "encrypted_shape": list(encrypted.shape[1:]),
            **result(encrypted.tobytes()),
            "scv": scheme_reference.check_value(self.descriptor, key),
        }


def images(count: int, shape: tuple[int, int, int]) -> np.ndarray:
    """The images that all vectors encrypt: ``(count, H, W, C)`` uint8."""
    size = count * math.prod(shape)
    return np.array([(7 * i + 13 * (i // 256) + 3) % 256 for i in range(size)], np.uint8).reshape(count, *shape)


def result(encrypted: bytes) -> dict[str, str]:
    """In hex if it is short, else its digest and how it begins."""
    if len(encrypted) <= LONGEST:
        return {"encrypted": encrypted.hex()}
    return {"encrypted_sha256": hashlib.sha256(encrypted).hexdigest(), "encrypted_first": encrypted[:FIRST].hex()}


def blocks(scheme: str, *, least: int = 3, **params: Any) -> Iterator[Case]:
    """Grey and colour, one block and many, two block sizes, two keys."""
    small = max(least, 3)
    yield Case(scheme, (4, 4, 3), {"block": 4, **params}, count=1)
    yield Case(scheme, (8, 12, 3), {"block": 4, **params})
    yield Case(scheme, (3 * small, small, 1), {"block": small, **params})
    yield Case(scheme, (28, 28, 1), {"block": 4, **params}, key=1)
    yield Case(scheme, (16, 24, 3), {"block": 8, **params}, count=3, key=1)
    if least == 1:
        yield Case(scheme, (3, 5, 3), {"block": 1, **params})
        yield Case(scheme, (6, 4, 1), {"block": 2, **params})


def sides(scheme: str, shapes: list[tuple[int, int, int]], **params: Any) -> Iterator[Case]:
    """Schemes without blocks, on these shapes, under one key and the other by turns."""
    for place, shape in enumerate(shapes):
        yield Case(scheme, shape, params, key=place % 2)


def plain() -> Iterator[Case]:
    """The control."""
    yield Case("plain", (4, 4, 3), {"block": 4}, count=1)
    yield Case("plain", (6, 4, 1), {"block": 2})


def cat_map() -> Iterator[Case]:
    """Quadrants of one pixel, of an odd and of an even side."""
    yield from sides("cat-map", [(2, 2, 3), (6, 6, 1), (10, 10, 3), (8, 8, 1), (32, 32, 3)])


def patch_mix() -> Iterator[Case]:
    """Even blocks only."""
    yield Case("patch-mix", (4, 4, 3), {"block": 4}, count=1)
    yield Case("patch-mix", (8, 12, 3), {"block": 4})
    yield Case("patch-mix", (6, 4, 1), {"block": 2})
    yield Case("patch-mix", (12, 18, 1), {"block": 6})


def pixel() -> Iterator[Case]:
    """Both scopes; a number of pixels that is no multiple of eight."""
    for scope in ("common", "image"):
        yield from sides("pixel", [(5, 7, 1), (4, 6, 3), (32, 32, 3)], scope=scope)


def logistic_xor() -> Iterator[Case]:
    """Both scopes; less than a lane, a whole one, and more."""
    for scope in ("common", "image"):
        yield from sides("logistic-xor", [(5, 7, 1), (4, 6, 3), (32, 32, 3), (36, 30, 1), (33, 40, 3)], scope=scope)


def vortex() -> Iterator[Case]:
    """All five functions, more than once; both strengths of the authors; shapes that are not square."""
    yield Case("vortex", (7, 6, 3), {"vortices": 2, "strength": 800})
    yield Case("vortex", (32, 32, 3), {"vortices": 5, "strength": 100})
    yield Case("vortex", (28, 28, 1), {"vortices": 10, "strength": 800}, key=1)
    yield Case("vortex", (17, 40, 1), {"vortices": 25, "strength": 10000}, key=1)


def vortex_ring() -> Iterator[Case]:
    """Small, square and oblong."""
    yield Case("vortex-ring", (5, 5, 3), {"vortices": 2})
    yield Case("vortex-ring", (32, 32, 3), {"vortices": 5})
    yield Case("vortex-ring", (28, 28, 1), {"vortices": 10}, key=1)
    yield Case("vortex-ring", (17, 40, 1), {"vortices": 25}, key=1)


def restricted() -> Iterator[Case]:
    """Nothing fixed, something, one block or byte less than all, all."""
    yield Case("restricted", (8, 12, 3), {"block": 4, "fixed_blocks": 0, "fixed_pixels": 0})
    yield Case("restricted", (8, 12, 3), {"block": 4, "fixed_blocks": 4, "fixed_pixels": 36})
    yield Case("restricted", (9, 3, 1), {"block": 3, "fixed_blocks": 2, "fixed_pixels": 8})
    yield Case("restricted", (9, 3, 1), {"block": 3, "fixed_blocks": 3, "fixed_pixels": 9})
    yield Case("restricted", (28, 28, 1), {"block": 4, "fixed_blocks": 36, "fixed_pixels": 12}, key=1)
    yield Case("restricted", (32, 32, 3), {"block": 4, "fixed_blocks": 10, "fixed_pixels": 7}, count=3, key=1)


def cases() -> list[Case]:
    """All of them, scheme by scheme."""
    return [
        *plain(),
        *blocks("block-shuffle"),
        *blocks("le"),
        *cat_map(),
        *blocks("patch-shuffle", least=1),
        *patch_mix(),
        *pixel(),
        *logistic_xor(),
        *vortex(),
        *vortex_ring(),
        *blocks("vit-block"),
        *blocks("ele"),
        *blocks("etc", least=1),
        *restricted(),
    ]


def everything() -> dict[str, bytes]:
    """All files: name → content."""
    names = list(dict.fromkeys(case.scheme for case in cases()))
    return {f"{name}.json": file(name) for name in names}


def file(scheme: str) -> bytes:
    """The vectors of one scheme."""
    found = [case.to_json() for case in cases() if case.scheme == scheme]
    return json.dumps({"source": SOURCE, "made_by": COMMAND, "cases": found}, indent=1).encode() + b"\n"


def write(folder: Path) -> int:
    """Write all files and remove those that are made no longer: how many there are."""
    files = everything()
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.json"):
        if path.name not in files:
            path.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return len(files)


if __name__ == "__main__":
    count = write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
    sys.stderr.write(f"{count} files of vectors\n")
