"""What other programs write beside a model: JSON that says what no tensor tells.

Only the fields named here are read, and those strictly; all others are somebody else's.

Source: ``config.json`` and ``preprocessor_config.json`` as Hugging Face's transformers and timm write them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn

from blindsight.protocol import fields
from blindsight.protocol.bundle import MAX_CLASSES
from blindsight.protocol.errors import FormatError
from blindsight.protocol.scheme import CHANNELS, MAX_SIDE
from blindsight.trainer.foreign import read_bytes

CONFIG: Final = "config.json"
PREPROCESSOR: Final = "preprocessor_config.json"
MAX_JSON_BYTES: Final = 2**22
PER_BYTE: Final = 1 / 255


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
        FormatError: E_FORMAT, no JSON object, or a field that is read here is malformed or asks for another function
            than this software computes; E_CANON, it names a key twice; E_IO.
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
