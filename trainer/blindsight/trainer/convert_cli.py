"""``blindsight trainer convert``: a plainly trained network in the files of a bundle; needs no key and knows none."""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Mapping
from pathlib import Path

from blindsight.cli.arguments import Verbs, at_least
from blindsight.cli.output import emit_facts, say
from blindsight.protocol import bundle
from blindsight.protocol.encoding import parse_json
from blindsight.protocol.errors import DataError, FormatError, PolicyError
from blindsight.protocol.files import read_bounded, sync_folder, write_whole

EXAMPLE = "blindsight trainer convert vit-tiny --out plain --unit nibble"
UNITS = ("byte", "nibble", "bit")
MAX_SIDE = 65_536
MAX_DIGITS = 5
MOST_COLOURS = 3
WORDS = (
    "write a plainly trained network in the files of a bundle, without key and signature: a network of this software, "
    "or a vision transformer as timm or Hugging Face stores it"
)


def add_verb(verbs: Verbs) -> None:
    """Add ``convert``."""
    parser = verbs.add("convert", _convert, WORDS, EXAMPLE)
    parser.add_argument("model", type=Path, metavar="MODEL", help="a safetensors file, or the folder of a model")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new folder; must not exist")
    parser.add_argument("--unit", choices=UNITS, help="what the first layer shall see (default: what it sees; bytes)")
    parser.add_argument("--classes", metavar="NAMES", help="cat,dog or a file with one name a line")
    parser.add_argument("--heads", type=at_least(1), default=0, metavar="N", help="of the attention")
    parser.add_argument("--mean", type=_colours, default=(), metavar="R,G,B", help="subtracted from pixels from 0 to 1")
    parser.add_argument("--std", type=_colours, default=(), metavar="R,G,B", help="what the difference is divided by")
    parser.add_argument("--eps", type=_eps, metavar="X", help="of the normalisations (default: the layout's)")
    parser.add_argument("--size", type=_size, metavar="HxW", help="of the images, in pixels (default: square)")


def _convert(options: argparse.Namespace) -> int:
    from blindsight.trainer import convert
    from blindsight.trainer.told import Told

    _demand_absent(options.out)
    if (options.model / bundle.STATEMENT).exists():
        say(f"the statement in {options.model} is not verified: blindsight protocol inspect does that")
    given = Told(
        heads=options.heads,
        eps=options.eps or "",
        size=options.size,
        classes=_classes(options.classes),
        mean=options.mean,
        std=options.std,
    )
    plain = convert.read(options.model, given, options.unit)
    _write(options.out, convert.files_of(plain))
    arch = plain.arch
    height, width, colours = arch["shape"]
    facts: dict[str, str | int] = {"folder": str(options.out), "source": plain.source, "network": plain.network}
    facts |= {"input": f"{height}x{width}x{colours} uint8", "unit": arch["unit"], "block": arch["block"]}
    emit_facts({**facts, "classes": len(plain.classes)}, as_json=options.json)
    return 0


def _classes(text: str | None) -> tuple[str, ...]:
    """Names with commas between them, or those in a file: one a line, or a JSON list.

    Raises:
        FormatError: E_FORMAT, E_CANON, the file is too large or no text; E_IO.
    """
    if text is None:
        return ()
    path = Path(text)
    if "," in text or not path.is_file():
        return tuple(name.strip() for name in text.split(","))
    with path.open("rb") as file:
        data = read_bounded(file, bundle.MAX_TEXT_BYTES)
    if len(data) > bundle.MAX_TEXT_BYTES:
        raise FormatError(f"{path.name} has more than the {bundle.MAX_TEXT_BYTES} bytes accepted")
    if data.startswith(b"["):
        return tuple(parse_json(data, path.name))
    try:
        return tuple(data.decode().splitlines())
    except UnicodeDecodeError:
        raise FormatError(f"{path.name} is not UTF-8 text") from None


def _colours(text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in (1, MOST_COLOURS) or not all(math.isfinite(number) for number in numbers):
        raise argparse.ArgumentTypeError(f"expected one number or three like 0.485,0.456,0.406, got {text[:40]!r}")
    return numbers


def _eps(text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1 like 1e-6, got {text[:20]!r}")
    return repr(number)


def _size(text: str) -> tuple[int, int]:
    parts = [int(part) if part.isdecimal() and len(part) <= MAX_DIGITS else 0 for part in text.split("x")]
    if len(parts) != 2 or not all(1 <= part <= MAX_SIDE for part in parts):
        raise argparse.ArgumentTypeError(f"expected a size like 224x224, got {text[:20]!r}")
    return parts[0], parts[1]


def _demand_absent(folder: Path) -> None:
    if folder.exists() or folder.is_symlink():
        raise PolicyError(
            f"something stands at {folder} already; a model is never overwritten",
            code="E_EXISTS",
            hint="name another folder, or move that one away",
        )


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write beside the target under a fixed hidden name, which the next attempt clears, then rename."""
    temporary = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for name, data in files.items():
            write_whole(temporary / name, data)
        _demand_absent(folder)
        temporary.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise DataError(f"the model cannot be written to {folder}: {error.strerror}", code="E_IO") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
