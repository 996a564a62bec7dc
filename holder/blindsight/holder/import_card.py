"""The card of an imported model: what is known of it, in plain words, and what is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from blindsight.protocol.identity import Entry
from blindsight.protocol.log import Log
from blindsight.protocol.markdown import escaped
from blindsight.protocol.scheme import Descriptor


def card(predicate: Mapping[str, Any], source: str, log: Log, by: Entry) -> bytes:
    """Write ``MODEL_CARD.md``.

    Args:
        predicate: what the bundle states.
        source: in a few words, what the model was made from.
        log: the membership log.
        by: who imported it.

    Returns:
        UTF-8, less than 1 MiB.
    """
    descriptor, model = Descriptor.from_json(predicate["scheme"]), predicate["model"]
    height, width, channels = predicate["input"]["shape"]
    parameters = ", ".join(f"{name} {value}" for name, value in descriptor.params.items()) or "no parameters"
    return _CARD.format(
        name=escaped(f"{model['name']} {model['version']}"),
        by=escaped(by.label),
        federation=f"{escaped(log.name)} ({log.code})",
        epoch=predicate["epoch"],
        created=predicate["created"],
        source=escaped(source),
        classes=predicate["task"]["classes"],
        input=f"{height} x {width} pixels with {channels} channel(s)",
        scheme=f"`{descriptor.id}` version {descriptor.v} ({parameters}): {descriptor.traits.title}",
        paper=descriptor.traits.source,
        falls=descriptor.traits.falls,
        key=_NO_KEY if descriptor.traits.scope == "none" else _KEY,
    ).encode()


_KEY: Final = """**Whoever has this folder and the plain model that it was made from finds the key by laying their
first layers beside each other, and with it opens all images of this scheme, size and epoch. If the plain model was ever
published, everybody who has this folder can.** The scheme hides scenes from people who look at the pictures, not from
people who compute."""
_NO_KEY: Final = "There is no key: whoever gets the images sees the scenes."

_CARD: Final = """# Model card: {name}

A network that sorts images into {classes} classes. Nobody of the federation {federation} trained it: {by}
imported it from a file ({source}) on {created}, for images of the federation's epoch {epoch}.

## What is known of its training

Nothing. On which images it was trained, who gave them their labels, how well it does, whether it does worse for some
than for others, and under which licence it is: none of this stands in the file, and none of it was checked. Nothing was
measured here. Whoever uses it must ask where it comes from.

## What it takes and gives

It takes images of {input}, as bytes (uint8; rows, columns, channels), exactly as the scheme
below wrote them. For each it gives one number a class (a logit), the greatest is its answer; the classes stand in
`labels.json`. To an encrypted image it answers what the plain model answers to the plain image, up to the order in
which a sum is added up. How the plain model wanted images to be cut and scaled, the file did not say. Images under
another key, of another scheme or not encrypted where they should be it answers too, with confident nonsense.

## The scheme of its images, and how it falls

{scheme}.
Source: {paper}.

**{falls}**

{key}

## What was done to it

The values of its first layer were moved and some changed their sign, as the key does it to images; where the scheme
moves blocks, learned positions moved with them. No image was used and nothing was trained. `selftest.safetensors` holds
eight images of noise under the key, and what the plain model answers to them without.

## How to check this folder

```
blindsight operator check BUNDLE --log PLACE
blindsight protocol inspect BUNDLE --log PLACE
```

`BUNDLE` is this folder, `PLACE` the drop-box or an exported log of the federation; add `--federation CODE` with the
code as a member reads it out to you.
"""
