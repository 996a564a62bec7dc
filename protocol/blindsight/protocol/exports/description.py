"""What every description says of a data set in plain words. Nothing in it that the manifest does not state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blindsight.protocol.encoding import people_code
from blindsight.protocol.manifest import FILE_NAME, Manifest

LOOK_NOT_COMPUTE = "At best they are hidden from people who look, not from people who compute."


def is_encrypted(manifest: Manifest) -> bool:
    """Whether the scheme has a key; the control ``plain`` has none, nor has mixing.

    Raises:
        SchemeError: E_SCHEME, a scheme that is not known here cannot be described.
    """
    return manifest.descriptor.traits.scope != "none"


def is_plain(manifest: Manifest) -> bool:
    """Whether the images are as they were: no key, and nothing lost.

    Raises:
        SchemeError: E_SCHEME, see ``is_encrypted``.
    """
    return not is_encrypted(manifest) and manifest.descriptor.traits.invertible


def images(manifest: Manifest) -> str:
    """What was done to the images: one or two sentences.

    Raises:
        SchemeError: E_SCHEME, see ``is_encrypted``.
    """
    scheme, predicate = manifest.descriptor, manifest.predicate
    under = f"epoch {predicate['epoch']}, key check value {predicate['kcv']}"
    if is_plain(manifest):
        return f"The images are not encrypted: scheme {scheme.id} v{scheme.v} is a control (published in {under})."
    settings = "".join(f", {name} {value}" for name, value in sorted(scheme.params.items()))
    made = f"scheme {scheme.id} v{scheme.v} ({scheme.traits.title}{settings})"
    if not is_encrypted(manifest):
        return f"The images are changed without a key by {made} (published in {under}). {scheme.traits.falls}"
    return f"The images are perceptually encrypted under {made}, {under}. {LOOK_NOT_COMPUTE}"


def labels(manifest: Manifest) -> str:
    """Whether there are labels, and that they are plain: one sentence."""
    if "label" not in manifest.predicate["tensors"]:
        return "There are no labels."
    task = manifest.predicate["task"]
    return f"Labels are plain: {task['classes']} classes." if "classes" in task else "Labels are plain."


def size(manifest: Manifest) -> str:
    """How many rows of which shape: one sentence.

    Raises:
        SchemeError: E_SCHEME, see ``is_encrypted``.
    """
    predicate = manifest.predicate
    height, width, channels = manifest.descriptor.encrypted_shape
    shape = f"{height}x{width}x{channels} bytes (height, width, channel)"
    return f"Split {manifest.split}: {predicate['rows']} rows of {shape} in {len(predicate['shards'])} shard(s)."


def authority(manifest: Manifest) -> str:
    """What the description was made from: one sentence."""
    signed = f"the signed manifest {FILE_NAME} (message id {manifest.envelope.mid})"
    return f"This description was made from {signed} and is not signed itself; what counts is the manifest."


def whole(manifest: Manifest) -> str:
    """The data set described for people: the holder's own words first, if there are any.

    Raises:
        SchemeError: E_SCHEME, see ``is_encrypted``.
    """
    own = manifest.predicate["dataset"].get("description", "").rstrip(" .")
    parts = (size(manifest), images(manifest), labels(manifest), authority(manifest))
    return " ".join([f"{own}."] * bool(own) + list(parts))


def holder(manifest: Manifest) -> str:
    """The signer as the manifest names it: by the code of its fingerprint, not by a name."""
    return f"holder {people_code(bytes.fromhex(manifest.predicate['holder']))}"


def title(manifest: Manifest) -> str:
    """Name and split of the data set."""
    return f"{manifest.predicate['dataset']['name']} ({manifest.split})"


def is_address(text: str) -> bool:
    """Whether a licence is given as an address rather than by its name."""
    return text.startswith(("https://", "http://")) and " " not in text


def facts(manifest: Manifest) -> Mapping[str, Any]:
    """For programs: the manifest's own fields about key, scheme and tensors, and the manifest's message id."""
    names = ("holder", "fed", "epoch", "record", "kcv", "scheme", "scheme_digest", "scv", "task", "tensors", "rows")
    return {"manifest": manifest.envelope.mid, **{name: manifest.predicate[name] for name in names}}
