"""``blindsight holder schemes``: which encryption schemes there are, and what is publicly known of them."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from blindsight.cli.arguments import Verbs
from blindsight.cli.output import emit, emit_json, say
from blindsight.holder import scheme_options
from blindsight.protocol.scheme import SCHEMES, Descriptor, Param, Traits

EXAMPLE_SHAPE = (32, 32, 3)
OTHER_SHAPE = (64, 64, 1)
WIDTH, LABEL_WIDTH = 100, 14  # characters of a line of detail, and of its label
STEMS = {
    "block": "block: linear on the units of a block",
    "embedding": "embedding: patches by one layer, their order by the positions of a vision transformer",
    "position": "position: linear on the units of a pixel, with weights of its own at each place",
    "orderless": "orderless: patches without positions",
    "none": "none: no first layer absorbs the key",
}
SCOPES = {
    "common": "common: one key for all images",
    "block": "block: each place has a key of its own, the same in all images",
    "image": "image: a key of its own for each image",
    "none": "none: there is no key",
}
SCOPE_PARAM = "; with --param scope=image a key of its own for each image, which no first layer absorbs"


def add_verb(verbs: Verbs) -> None:
    """Add ``schemes``."""
    parser = verbs.add(
        "schemes",
        _schemes,
        "list the encryption schemes, or say what is known of one, and how it falls",
        "blindsight holder schemes le",
    )
    parser.add_argument("name", nargs="?", choices=scheme_options.SCHEME_NAMES, metavar="NAME", help="one of them")


def _schemes(options: argparse.Namespace) -> int:
    chosen = [(name, version) for name, version in SCHEMES if options.name in (None, name)]
    if options.json:
        for name, version in chosen:
            emit_json(facts_of(name, version))
    elif options.name:
        for name, version in chosen:
            _emit_details(name, version)
    else:
        _emit_table(chosen)
        say(f"defaults are those for images of {_shown(EXAMPLE_SHAPE)}; first layer: which one absorbs the key")
        say(
            "none hides a scene from people who compute; what one hides from people who look: blindsight holder preview"
        )
        say("how one falls: blindsight holder schemes NAME")
    return 0


def facts_of(name: str, version: int) -> dict[str, Any]:
    """What is publicly known of a scheme, for programs.

    Args:
        name: a key of ``SCHEMES`` together with the version.
        version: of the scheme.
    """
    traits = SCHEMES[name, version]
    traits_facts = {
        field: getattr(traits, field)
        for field in ("title", "scope", "unit", "invertible", "stem", "lossless_stem", "aligned", "shrink", "source")
    }
    parameters = {
        parameter: {
            "meaning": param.words,
            "default": _default(name, parameter),
            "depends_on_shape": _varies(name, parameter),
        }
        for parameter, param in traits.params.items()
    }
    more = {"falls": traits.falls, "control": traits.control, "parameters": parameters}
    return {"scheme": name, "v": version, **traits_facts, **more}


def _emit_table(chosen: Sequence[tuple[str, int]]) -> None:
    rows: list[tuple[str, ...]] = [("scheme", "scope", "unit", "invertible", "first layer", "defaults", "source")]
    rows += [_row(name, SCHEMES[name, version]) for name, version in chosen]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        emit("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(name: str, traits: Traits) -> tuple[str, ...]:
    scope = f"{traits.scope}, image" if "scope" in traits.params else traits.scope
    defaults = " ".join(f"{parameter}={_default(name, parameter)}" for parameter in traits.params) or "-"
    invertible = "yes" if traits.invertible else "no"
    return name, scope, traits.unit, invertible, traits.stem, defaults, _paper(traits.source)


def _paper(source: str) -> str:
    """A source without its explanations."""
    return "-" if source == "none" else source.partition(" (")[0].partition(", section")[0]


def _emit_details(name: str, version: int) -> None:
    traits = SCHEMES[name, version]
    lines = {
        "scheme": f"{name} v{version}: {traits.title}",
        "source": traits.source,
        "unit": traits.unit,
        "scope": SCOPES[traits.scope] + (SCOPE_PARAM if "scope" in traits.params else ""),
        "invertible": "yes: who has the key gets the images back" if traits.invertible else "no: nobody gets them back",
        "first layer": STEMS[traits.stem],
        "falls": traits.falls,
        "control": traits.control,
        "parameters": "set with --param NAME=VALUE" if traits.params else "none",
    }
    _emit_wrapped({label: text for label, text in lines.items() if text})
    _emit_wrapped({f"  {one}": _described(name, one, param) for one, param in traits.params.items()})
    _emit_wrapped({"to look at it": f"blindsight holder preview digits --scheme {name} --out {name}.png"})


def _described(name: str, parameter: str, param: Param) -> str:
    of_shape = f" for {_shown(EXAMPLE_SHAPE)} images" if _varies(name, parameter) else ""
    return f"{param.words} (default: {_default(name, parameter)}{of_shape})"


def _emit_wrapped(lines: Mapping[str, str]) -> None:
    for label, text in lines.items():
        column = f"{label:<{LABEL_WIDTH}}  "
        for line in textwrap.wrap(text, WIDTH, initial_indent=column, subsequent_indent=" " * len(column)):
            emit(line)


def _default(name: str, parameter: str, shape: tuple[int, int, int] = EXAMPLE_SHAPE) -> Any:
    """What a parameter is where nobody says anything."""
    return Descriptor.of(name, shape).params[parameter]


def _shown(shape: tuple[int, int, int]) -> str:
    return "x".join(str(side) for side in shape)


def _varies(name: str, parameter: str) -> bool:
    """Whether a default depends on the images."""
    return bool(_default(name, parameter) != _default(name, parameter, OTHER_SHAPE))
