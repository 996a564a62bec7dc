"""A few images in three forms, side by side and enlarged."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from blindsight.simulation.report.markup import Markup, element
from blindsight.simulation.report.values import Images, Report

WARNING = "This file shows plain images; treat it like them."


def draw(report: Report) -> Markup:
    """Shows every image of the sheet as plain, encrypted and under another key."""
    return element("div", *_rows(report), class_="sheet")


def _rows(report: Report) -> Iterator[Markup]:
    sheet = report.sheet
    encrypted = "not encrypted (scheme plain)" if report.setup.is_plain else "perceptually encrypted"
    forms = (("plain", sheet.plain), (encrypted, sheet.encrypted), (sheet.other_name, sheet.other))
    for index, label in enumerate(sheet.labels):
        name = report.class_names[label]
        cells = (_cell(images, index, form, name) for form, images in forms)
        yield element("figure", element("figcaption", name), element("div", *cells, class_="triple"))


def _cell(images: Images, index: int, form: str, name: str) -> Markup:
    alt = f"image {index + 1}, {name}: {form}"
    height, width = images.shape[1:3]
    picture = element("img", src=data_uri(images[index]), alt=alt, width=width, height=height)
    return element("div", picture, element("small", form))


def data_uri(image: npt.NDArray[np.uint8]) -> str:
    """Writes one image as a PNG in a data URI.

    Args:
        image: (h, w, c) uint8, c 1 or 3.

    Returns:
        ``data:image/png;base64,…``.
    """
    buffer = BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode('ascii')}"
