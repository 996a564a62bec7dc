"""A few images plain, encrypted and under another key, side by side and enlarged."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from blindsight.simulation.report.markup import Markup, element
from blindsight.simulation.report.values import Images, Report
from blindsight.simulation.report.words import form as form_of

WARNING = "This file shows plain images; treat it like them."


def title(report: Report) -> str:
    """Names the forms that are shown."""
    if report.setup.is_plain:
        return "Plain, and as they were published"
    return "Plain and encrypted" if report.sheet.other is None else "Plain, encrypted, and under another key"


def note(report: Report) -> str:
    """Says why there is no picture under another key; empty where there is one."""
    if report.sheet.other is not None or report.setup.is_plain:
        return ""
    if not report.setup.has_key:
        return "This scheme has no key, so there is no picture under another one."
    return "This scheme loses detail and has no decryption, so there is no picture under another key."


def draw(report: Report) -> Markup:
    """Shows every image of the sheet in its forms."""
    return element("div", *_rows(report), class_="sheet")


def _rows(report: Report) -> Iterator[Markup]:
    sheet = report.sheet
    encrypted = "not encrypted (scheme plain)" if report.setup.is_plain else form_of(report)
    forms = [("plain", sheet.plain), (encrypted, sheet.encrypted)]
    if sheet.other is not None:
        forms.append((sheet.other_name, sheet.other))
    for index, label in enumerate(sheet.labels):
        name = report.class_names[label]
        cells = (_cell(images, index, form, name) for form, images in forms)
        yield element("figure", element("figcaption", name), element("div", *cells, class_="forms"))


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
