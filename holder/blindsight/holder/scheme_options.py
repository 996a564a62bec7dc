"""The options that name an encryption scheme with its parameters, the same for every verb that takes them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from blindsight.cli.arguments import at_least
from blindsight.protocol.errors import SchemeError
from blindsight.protocol.scheme import SCHEMES, Descriptor

DEFAULT_SCHEME = "le"
SCHEME_NAMES = tuple(sorted({name for name, _ in SCHEMES}))
MAX_SIDE = 65_536
MAX_DIGITS = 5
Given = Mapping[str, str]


def add_scheme(parser: argparse.ArgumentParser) -> None:
    """Add ``--scheme`` and the options of its parameters."""
    parser.add_argument(
        "--scheme",
        choices=SCHEME_NAMES,
        default=DEFAULT_SCHEME,
        metavar="NAME",
        help=f"how images are encrypted (default: {DEFAULT_SCHEME}; blindsight holder schemes lists all)",
    )
    add_parameters(parser)


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """Add ``--block`` and ``--param``."""
    parser.add_argument(
        "--block", metavar="M", help="side of a block in pixels; short for --param block=M (default: the scheme's, 4)"
    )
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        type=_parameter,
        metavar="NAME=VALUE",
        help="a parameter of the scheme, for example scope=image or vortices=8; may be repeated",
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add ``--workers``."""
    parser.add_argument(
        "--workers",
        type=at_least(1),
        default=1,
        metavar="N",
        help="threads that encrypt or decrypt; what comes out does not depend on them (default: 1)",
    )


def add_shape(parser: argparse.ArgumentParser, words: str) -> None:
    """Add ``--shape``."""
    parser.add_argument("--shape", type=_shape, required=True, metavar="HxWxC", help=words)


def given(options: argparse.Namespace) -> Given:
    """The parameters that the options state: name → value as typed.

    Raises:
        SchemeError: E_SCHEME, one is given twice.
    """
    pairs = [*options.param, *([] if options.block is None else [("block", options.block)])]
    for name, _ in pairs:
        if sum(name == other for other, _ in pairs) > 1:
            raise SchemeError(f"parameter {name[:40]} is given more than once")
    return dict(pairs)


def descriptor_of(options: argparse.Namespace, shape: tuple[int, int, int]) -> Descriptor:
    """What the options name, on images of a shape; what they leave out takes the scheme's default.

    Raises:
        SchemeError: E_SCHEME, the scheme has no such parameter, or does not fit the shape.
        FormatError: E_FORMAT, a parameter is out of range.
    """
    return Descriptor.of(options.scheme, shape, given(options))


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE like scope=image, got {text[:40]!r}")
    return name, value


def _shape(text: str) -> tuple[int, int, int]:
    parts = [int(part) if part.isdecimal() and len(part) <= MAX_DIGITS else 0 for part in text.split("x")]
    if len(parts) != 3 or not all(1 <= part <= MAX_SIDE for part in parts):
        raise argparse.ArgumentTypeError(f"expected a shape like 32x32x3, got {text[:20]!r}")
    height, width, channels = parts
    return height, width, channels
