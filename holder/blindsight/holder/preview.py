"""One image under several schemes, made with a key that is thrown away: for looking, never for publishing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from blindsight.holder import geometry
from blindsight.holder.ciphers import cipher_for
from blindsight.protocol.encoding import expand
from blindsight.protocol.errors import BlindsightError, DataError, SchemeError
from blindsight.protocol.scheme import Descriptor, multiple_of, traits_of

Picture = NDArray[np.uint8]
MOST_SIDE = 512  # pixels to which photos are scaled down
LARGEST_SIDE = 1024  # pixels that a person may ask for
IMAGE_ID = "preview/0"


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """An image as one scheme shows it.

    Args:
        descriptor: the scheme, on the image as it was fitted.
        image: ``(h, w, c)`` uint8, encrypted.
        done: what was done to the image first, for people; empty if nothing.
    """

    descriptor: Descriptor
    image: Picture = field(repr=False)
    done: str


@dataclass(frozen=True, slots=True)
class Wish:
    """How the image comes to shapes that schemes take.

    Args:
        fit: as in publishing; None cuts to what fits, to a square if need be.
        given: parameters of the schemes; each takes those that it has.
    """

    fit: geometry.Fit | None
    given: Mapping[str, str]


def scaled_down(image: Picture, most: int = MOST_SIDE) -> Picture:
    """The image with its longer side brought down to ``most`` pixels; itself if it is not longer.

    Args:
        image: ``(h, w, c)`` uint8.
        most: pixels.
    """
    height, width, channels = image.shape
    if max(height, width) <= most:
        return image
    sides = max(1, round(height * most / max(image.shape))), max(1, round(width * most / max(image.shape)))
    return geometry.apply(geometry.Fit("resize", sides), image, (*sides, channels))


def sights(
    image: Picture, schemes: Sequence[str], wish: Wish, secret: bytes
) -> tuple[list[Sight], dict[str, BlindsightError]]:
    """Show an image under each scheme.

    Args:
        image: ``(h, w, c)`` uint8.
        schemes: their names.
        wish: how the image is fitted, and the schemes' parameters.
        secret: 32 random bytes from which keys follow; to be thrown away.

    Returns:
        What could be shown, in the order of the names, and why the others could not.

    Raises:
        SchemeError: E_SCHEME, a parameter that none of the schemes has.
    """
    _demand_known(schemes, wish.given)
    shown: list[Sight] = []
    refused: dict[str, BlindsightError] = {}
    for name in schemes:
        try:
            shown.append(_sight(image, name, wish, secret))
        except (DataError, SchemeError) as error:
            refused[name] = error
    return shown, refused


def _demand_known(schemes: Sequence[str], given: Mapping[str, str]) -> None:
    known = {parameter for name in schemes for parameter in traits_of(name, 1).params}
    if unknown := sorted(set(given) - known):
        names = ", ".join(sorted(known)) or "none"
        raise SchemeError(
            f"none of the schemes shown has a parameter {unknown[0][:40]}; their parameters: {names}",
            hint="blindsight holder schemes NAME lists the parameters of a scheme",
        )


def _sight(image: Picture, name: str, wish: Wish, secret: bytes) -> Sight:
    given = {parameter: value for parameter, value in wish.given.items() if parameter in traits_of(name, 1).params}
    fit, descriptor = _fitted(image, name, wish.fit, given)
    demand_small(descriptor.shape)
    plain = geometry.apply(fit, image, descriptor.shape)
    cipher = cipher_for(descriptor, expand(secret, "preview", bytes.fromhex(descriptor.digest)))
    return Sight(descriptor, cipher.encrypt(plain[np.newaxis], [IMAGE_ID])[0], _done(image, descriptor, fit))


def _fitted(
    image: Picture, name: str, fit: geometry.Fit | None, given: Mapping[str, str]
) -> tuple[geometry.Fit, Descriptor]:
    """How one scheme takes the image: as was asked for, or cut to what fits."""
    shape, multiple = _shape(image), multiple_of(name, given)
    if min(shape[:2]) < multiple and fit is None:
        raise DataError(f"an image of {shape[0]}x{shape[1]} pixels is smaller than one block of {multiple}x{multiple}")
    if fit is not None:
        return fit, Descriptor.of(name, geometry.target_shape(fit, shape, multiple), given)
    try:
        cut = geometry.Fit("crop")
        return cut, Descriptor.of(name, geometry.target_shape(cut, shape, multiple), given)
    except SchemeError:
        side = min(shape[:2]) // multiple * multiple
        if not side or shape[0] == shape[1]:
            raise
        square = geometry.Fit("crop", (side, side))
        return square, Descriptor.of(name, geometry.target_shape(square, shape, multiple), given)


def demand_small(shape: Sequence[int]) -> None:
    """Refuse an image that is too large for a sheet.

    Args:
        shape: begins with height and width in pixels.

    Raises:
        DataError: E_DATA.
    """
    height, width = shape[:2]
    if max(height, width) > LARGEST_SIDE:
        raise DataError(
            f"a preview shows images of at most {LARGEST_SIDE} pixels a side, got {height}x{width}",
            hint="leave --size and --fit refuse out: large images are scaled down then",
        )


def _done(image: Picture, descriptor: Descriptor, fit: geometry.Fit) -> str:
    height, width, _ = descriptor.shape
    if image.shape[:2] == (height, width):
        return ""
    words = {"crop": "cut", "pad": "padded", "resize": "resized"}
    return f"{words[fit.policy]} to {height}x{width}"


def _shape(image: Picture) -> tuple[int, int, int]:
    height, width, channels = image.shape
    return height, width, channels
