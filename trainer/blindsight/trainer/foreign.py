"""Models as other programs save them: a safetensors file, and JSON beside it that says what no tensor tells.

Tensor files are read as strictly as our own (FORMAT.md section I), but for what only ours have: any metadata will do, and
half precision is widened, which is exact. Pickles run programs when they are read; none is.

Of the JSON only the fields named here are read, and those strictly; all others are somebody else's.

Source: the format of safetensors files as its README states it; configurations as Hugging Face's transformers and timm
write them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from blindsight.protocol import fields
from blindsight.protocol.bundle import MAX_CLASSES, MAX_FILE_BYTES
from blindsight.protocol.encoding import parse_json
from blindsight.protocol.errors import FormatError
from blindsight.protocol.files import read_bounded
from blindsight.protocol.scheme import CHANNELS, MAX_SIDE
from blindsight.protocol.tensorfile import MAX_DIMENSIONS, MAX_HEADER_BYTES, MAX_SPAN

Floats = NDArray[np.float32]
Read = Callable[[bytes], Floats]
MODEL: Final = "model.safetensors"
CONFIG: Final = "config.json"
PREPROCESSOR: Final = "preprocessor_config.json"
PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
MAX_JSON_BYTES: Final = 2**22
MAX_TENSORS: Final = 4096
PER_BYTE: Final = 1 / 255

_ITEM_BYTES: Final = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_WIDENED: Final[Mapping[str, Read]] = {
    "F32": lambda data: np.frombuffer(data, "<f4"),
    "F16": lambda data: np.frombuffer(data, "<f2").astype(np.float32),
    "BF16": lambda data: (np.frombuffer(data, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32),
}
_TENSOR = fields.mapping(
    {
        "dtype": fields.one_of(list(_ITEM_BYTES)),
        "shape": fields.listing(fields.integer(), most=MAX_DIMENSIONS),
        "data_offsets": fields.listing(fields.integer(), least=2, most=2),
    }
)


def read_tensors(path: Path) -> dict[str, Floats]:
    """Read the weights in a safetensors file.

    Args:
        path: the file.

    Returns:
        Name to array, all of F32, F16 and BF16; counters and indices, which are whole numbers, are left out.

    Raises:
        FormatError: E_FORMAT, a pickle; E_SHARD, no safetensors file, a damaged one or of another type of numbers; E_IO.
    """
    data = read_bytes(path, MAX_FILE_BYTES)
    if path.suffix.lower() in PICKLES or data.startswith(b"PK\x03\x04") or (data[:1] == b"\x80" and data[8:9] != b"{"):
        raise refused_pickle(path)
    entries, start = _header(data, path.name)
    found: dict[str, Floats] = {}
    for name, entry in entries.items():
        if entry["dtype"] in _WIDENED:
            begin, end = (start + offset for offset in entry["data_offsets"])
            found[name] = _WIDENED[entry["dtype"]](data[begin:end]).reshape(entry["shape"])
    return found


def refused_pickle(path: Path) -> FormatError:
    """The refusal of a file that would run as a program."""
    return FormatError(
        f"{path.name} is a pickle, which runs programs when it is read; expected a safetensors file",
        hint="where it was made: safetensors.torch.save_file(model.state_dict(), 'model.safetensors')",
    )


def _header(data: bytes, what: str) -> tuple[dict[str, Any], int]:
    """What the tensors are, in the order of their bytes, and where these begin."""
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(MAX_HEADER_BYTES, len(data) - 8):
        raise _broken(what, "its header is cut short or too long")
    try:
        header = parse_json(data[8 : 8 + length], what, limit=MAX_HEADER_BYTES)
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        fields.demand(fields.dictionary(_TENSOR, most=MAX_TENSORS), entries, what)
    except (AttributeError, FormatError) as error:
        raise _broken(what, getattr(error, "message", "its header is no object")) from error
    ordered = dict(sorted(entries.items(), key=lambda item: item[1]["data_offsets"]))
    _demand_contiguous(ordered, len(data) - 8 - length, what)
    return ordered, 8 + length


def _demand_contiguous(entries: Mapping[str, Any], size: int, what: str) -> None:
    position = 0
    for name, entry in entries.items():
        (start, end), sides = entry["data_offsets"], entry["shape"]
        spanned = math.prod(side or 1 for side in sides) <= MAX_SPAN  # an empty one may still have long sides
        if not spanned or (start, end - start) != (position, math.prod(sides) * _ITEM_BYTES[entry["dtype"]]):
            raise _broken(what, f"tensor {name[:40]} does not fill its place")
        position = end
    if position != size:
        raise _broken(what, f"it holds {size} bytes of data where its header states {position}")


def _broken(what: str, why: str) -> FormatError:
    return FormatError(f"{what} is no safetensors file that can be read here: {why}", code="E_SHARD")


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of a model beside its tensors; empty, 0 or None where nothing is.

    Args:
        heads: of the attention.
        eps: of the normalisations, as text.
        size: (h, w) of its images in pixels.
        pool: what is read at the end: ``token`` or ``avg``.
        classes: names in label order.
        mean: of each colour, or of all alike, subtracted from a pixel between 0 and 1.
        std: of each colour, or of all alike, what the difference is divided by.
    """

    heads: int = 0
    eps: str = ""
    size: tuple[int, int] | None = None
    pool: str = ""
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def updated(self, other: Told) -> Told:
        """The same, where another says nothing; what the other says goes first."""
        said = {name: getattr(other, name) for name in Told.__slots__}
        return replace(self, **{name: value for name, value in said.items() if value})


def told_in(folder: Path) -> Told:
    """Read what lies beside a model in its folder, as Hugging Face's transformers or timm write it.

    Args:
        folder: its ``config.json`` and ``preprocessor_config.json`` may be missing.

    Raises:
        FormatError: E_FORMAT, no JSON object, or a field that is read here is malformed or asks for another function than
            this software computes; E_CANON, it names a key twice; E_IO.
    """
    config, pixels = _picked(folder / CONFIG, _CONFIG), _picked(folder / PREPROCESSOR, _PIXELS)
    timm = config.get("pretrained_cfg", {})
    return _of_config(config).updated(_of_timm(config, timm)).updated(_of_pixels(pixels))


def _number(value: Any, at: str) -> Iterator[str]:
    if type(value) not in (int, float) or not math.isfinite(value):
        yield f"{at} must be a number"


def _positive(value: Any, at: str) -> Iterator[str]:
    faults = list(_number(value, at))
    yield from faults or ([] if value > 0 else [f"{at} must be above 0"])


def _size(value: Any, at: str) -> Iterator[str]:
    side = fields.integer(1, MAX_SIDE)
    yield from fields.either(side, fields.listing(side, least=2, most=2))(value, at)


def _some(shape: Mapping[str, fields.Check]) -> fields.Check:
    """An object of which some fields are read."""
    check = fields.mapping({}, shape)

    def read(value: Any, at: str) -> Iterator[str]:
        yield from check({k: v for k, v in value.items() if k in shape} if isinstance(value, dict) else value, at)

    return read


_COLOURS = fields.listing(_number, least=1, most=max(CHANNELS))
_TIMM = {
    "mean": _COLOURS,
    "std": _COLOURS,
    "input_size": fields.listing(fields.integer(1, MAX_SIDE), least=3, most=3),
}
_CONFIG = {
    "num_attention_heads": fields.integer(1, MAX_SIDE),
    "layer_norm_eps": _positive,
    "hidden_act": fields.constant("gelu"),
    "image_size": _size,
    "id2label": fields.dictionary(fields.text(200), most=MAX_CLASSES),
    "global_pool": fields.one_of(["token", "avg"]),
    "label_names": fields.listing(fields.text(200), most=MAX_CLASSES),
    "pretrained_cfg": _some(_TIMM),
}
_PIXELS = {
    "do_normalize": fields.one_of([True, False]),
    "do_rescale": fields.constant(True),
    "rescale_factor": _number,
    "image_mean": _COLOURS,
    "image_std": _COLOURS,
}


def _picked(path: Path, shape: Mapping[str, fields.Check]) -> dict[str, Any]:
    """The fields of a JSON file that are read here; none where there is no file. What is null is not there."""
    if not path.exists():
        return {}
    document = _json(read_bytes(path, MAX_JSON_BYTES), path.name)
    if not isinstance(document, dict):
        raise FormatError(f"{path.name} must be a JSON object")
    picked = {name: value for name, value in document.items() if name in shape and value is not None}
    fields.demand(fields.mapping({}, shape), picked, path.name)
    return picked


def _of_config(config: Mapping[str, Any]) -> Told:
    size, names = config.get("image_size"), config.get("id2label", {})
    places = [str(place) for place in range(len(names))]
    if set(places) != set(names):
        raise FormatError(f"expected id2label in {CONFIG} to name the classes 0 to {len(names) - 1}")
    return Told(
        heads=config.get("num_attention_heads", 0),
        eps=repr(float(config["layer_norm_eps"])) if "layer_norm_eps" in config else "",
        size=(size, size) if isinstance(size, int) else size and (size[0], size[1]),
        classes=tuple(names[place] for place in places),
    )


def _of_timm(config: Mapping[str, Any], cfg: Mapping[str, Any]) -> Told:
    _, *size = cfg.get("input_size") or (0, 0, 0)
    return Told(
        size=(size[0], size[1]) if any(size) else None,
        pool=config.get("global_pool", ""),
        classes=tuple(config.get("label_names", ())),
        mean=tuple(map(float, cfg.get("mean") or ())),
        std=tuple(map(float, cfg.get("std") or ())),
    )


def _of_pixels(pixels: Mapping[str, Any]) -> Told:
    factor = pixels.get("rescale_factor", PER_BYTE)
    if not math.isclose(factor, PER_BYTE, rel_tol=1e-6):
        raise FormatError(f"expected rescale_factor in {PREPROCESSOR} to be 1/255, got {factor!r}")
    if not pixels.get("do_normalize", True):
        return Told(mean=(0.0,), std=(1.0,))
    mean, std = (tuple(map(float, pixels.get(name, ()))) for name in ("image_mean", "image_std"))
    return Told(mean=mean, std=std)


def _json(data: bytes, what: str) -> Any:
    """JSON with decimals, which our own has not; keys once, no NaN."""
    try:
        return json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{what} is not readable as JSON") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise FormatError("a JSON object names the same key twice", code="E_CANON")
    return found


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def read_bytes(path: Path, most: int) -> bytes:
    """Read a file of at most so many bytes.

    Raises:
        FormatError: E_FORMAT, it has more; E_IO.
    """
    try:
        with path.open("rb") as file:
            data = read_bounded(file, most)
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}", code="E_IO") from error
    if len(data) > most:
        raise FormatError(f"{path.name} has more than the {most} bytes accepted")
    return data
