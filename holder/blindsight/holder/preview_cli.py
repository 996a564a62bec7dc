"""``blindsight holder preview``: one picture that shows what the schemes make of an image."""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from blindsight.cli.arguments import Verbs, at_least
from blindsight.cli.output import emit_facts, say
from blindsight.holder import geometry, scheme_options, sheet
from blindsight.holder.preview import Picture, Sight, Wish, demand_small, scaled_down, sights
from blindsight.holder.publish_cli import size_of
from blindsight.holder.quality_cli import shown
from blindsight.holder.sources.kinds import ACCEPTED, DIGITS, KINDS, open_source
from blindsight.holder.sources.pictures import decode
from blindsight.protocol.errors import DataError
from blindsight.protocol.files import replacing
from blindsight.protocol.scheme import SCHEMES, Traits

LIMIT = "At best hidden from people who look, not from people who compute. What you recognise here, everybody does."
FOOTER = (
    "A key for each place: every block has one of its own, the same in all images. "
    "Invertible: who has the key gets the image back.",
    "How each scheme falls: blindsight holder schemes NAME",
)
SCOPES = {"common": "one key for all images", "block": "a key for each place", "image": "a key for each image"}
MAX_NAME = 60  # characters


def add_verb(verbs: Verbs) -> None:
    """Add ``preview``."""
    parser = verbs.add(
        "preview",
        _preview,
        "draw an image beside what the schemes make of it, with a key that is thrown away; needs no keystore",
        "blindsight holder preview digits --out sheet.png",
    )
    parser.add_argument("image", help="a PNG, JPEG, WebP or BMP file; or digits, a folder, .npz …: its first image")
    parser.add_argument(
        "--scheme",
        action="append",
        choices=scheme_options.SCHEME_NAMES,
        metavar="NAME",
        help="show this one; may be repeated (default: all; blindsight holder schemes lists them)",
    )
    scheme_options.add_parameters(parser)
    parser.add_argument(
        "--fit", choices=geometry.POLICIES, help="as in publish (default: cut to what each scheme takes)"
    )
    parser.add_argument("--size", metavar="HxW", help="show the image at this size, in pixels")
    parser.add_argument("--seed", type=at_least(0), metavar="N", help="make the key from this number: repeatable")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the sheet, a PNG; must not exist")


def _preview(options: argparse.Namespace) -> int:
    _demand_free(options.out)
    title, whole = _picture(options.image)
    image = _prepared(whole, options)
    names = list(dict.fromkeys(options.scheme or [name for name, _ in SCHEMES]))
    made, refused = sights(image, names, _wish(options), _secret(options.seed))
    for name, error in refused.items():
        if options.scheme or not made:
            raise error
        say(f"left out: {name}: {error.message}")
    key = "throw-away, random each time" if options.seed is None else f"throw-away, from seed {options.seed}"
    _write(options.out, title, key, _tiles(whole, image, made))
    say(f"{options.out} shows the plain image, too; treat it like one")
    facts: dict[str, Any] = {"sheet": str(options.out), "image": title, "shape": shown(whole.shape), "key": key}
    facts |= {"shown at": {one.descriptor.id: shown(one.descriptor.shape[:2]) for one in made}}
    emit_facts(facts, as_json=options.json)
    return 0


def _demand_free(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise DataError(f"{out} stands there already", code="E_EXISTS", hint="name another file with --out")
    if not out.parent.is_dir():
        raise DataError(f"there is no folder {out.parent} for the sheet", hint="make it, or name another with --out")
    if out.suffix.lower() != ".png":
        raise DataError(f"the sheet is a PNG file, got {out.name[:MAX_NAME]}", hint="name it sheet.png")


def _picture(name: str) -> tuple[str, Picture]:
    """The image and how it is called."""
    path = Path(name).expanduser()
    if path.is_file() and path.suffix != ".npz":
        return path.name[:MAX_NAME], decode(path)
    if not path.exists() and name != DIGITS and name.partition(":")[0] not in KINDS:
        raise DataError(f"there is no {name}", hint=f"name a PNG, JPEG, WebP or BMP file, or {ACCEPTED}")
    source = open_source(name)
    part, split = next(iter(source.splits.items()))
    if not len(split):
        raise DataError(f"{source.name} has no images")
    return f"{source.name[:MAX_NAME]} (first image of {part})", split.read(np.arange(1))[0]


def _prepared(whole: Picture, options: argparse.Namespace) -> Picture:
    """The image as the sheet shows it plain: of the size asked for, or scaled down where it is large."""
    if options.size is None:
        return whole if options.fit == "refuse" else scaled_down(whole)
    size = size_of(options.size)
    demand_small(size)
    return geometry.apply(geometry.Fit(options.fit or "resize", size), whole, (*size, whole.shape[2]))


def _wish(options: argparse.Namespace) -> Wish:
    fit = geometry.Fit() if options.size else options.fit and geometry.Fit(options.fit)
    return Wish(fit or None, scheme_options.given(options))


def _secret(seed: int | None) -> bytes:
    return os.urandom(32) if seed is None else hashlib.sha256(f"blindsight preview {seed}".encode()).digest()


def _tiles(whole: Picture, image: Picture, made: Sequence[Sight]) -> list[sheet.Tile]:
    before = "" if whole is image else f", from {shown(whole.shape[:2])}"
    size = f"{shown(image.shape[:2])} pixels (height x width){before}"
    plain = sheet.Tile("plain", ("the image as it is", size), image)
    return [plain, *(_tile(one) for one in made if one.descriptor.id != "plain")]


def _tile(one: Sight) -> sheet.Tile:
    traits, params = one.descriptor.traits, one.descriptor.params
    settings = [f"{name.replace('_', ' ')} {value}" for name, value in params.items()]
    lines = (_traits(traits), ", ".join([*settings, *([one.done] if one.done else [])]))
    return sheet.Tile(one.descriptor.id, lines, one.image, traits.shrink)


def _traits(traits: Traits) -> str:
    invertible = "invertible" if traits.invertible else "not invertible"
    return f"{SCOPES.get(traits.scope, 'no key')}; {invertible}"


def _write(out: Path, title: str, key: str, tiles: Sequence[sheet.Tile]) -> None:
    count = len(tiles) - 1
    heading = f"{count} encryption schemes on {title}" if count > 1 else f"{tiles[-1].name} on {title}"
    lines = (LIMIT, f"Key: {key}. It opens nothing else.")
    picture = sheet.drawn(heading, lines, tiles, FOOTER)
    with replacing(out, mode=0o600) as file:
        picture.save(file, format="PNG")
