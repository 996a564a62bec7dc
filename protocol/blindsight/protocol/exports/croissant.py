"""Croissant: a data set's manifest as JSON-LD for data set search. FORMAT.md section H.

Shards are ``FileObject``; a ``FileSet`` is the content of an archive, and there is none. No record set stands for the
images themselves: each of its fields would have to name a source, Croissant has no extractor for safetensors, and one
that fails would be worse than none. What can be read from the document alone are the record sets ``tensors`` (name,
type, shape) and ``classes``. So version 1.0 suffices; 1.1 would add array shapes, but only to fields with a source.

Source: http://mlcommons.org/croissant/1.0 and http://mlcommons.org/croissant/RAI/1.0. Both ask for a licence, which a
manifest may lack; none is made up then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blindsight.protocol.exports import description
from blindsight.protocol.manifest import FILE_NAME, Manifest

Record = Mapping[str, str | int]
CONFORMS_TO = ("http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0")
MEDIA_TYPE = "application/octet-stream"  # safetensors has no registered one
_JSON_LD_TERMS = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}
_CROISSANT_TERMS = [
    "citeAs",
    "column",
    "equivalentProperty",
    "extract",
    "field",
    "fileObject",
    "fileProperty",
    "fileSet",
    "format",
    "includes",
    "isLiveDataset",
    "jsonPath",
    "key",
    "md5",
    "parentField",
    "path",
    "recordSet",
    "references",
    "regex",
    "repeated",
    "replace",
    "samplingRate",
    "separator",
    "source",
    "subField",
    "transform",
]
CONTEXT: Mapping[str, Any] = {**_JSON_LD_TERMS, **{term: f"cr:{term}" for term in _CROISSANT_TERMS}}
"""The standard's own context, in full: reading the document needs no network."""

_USES = {"train": "Training", "val": "Validation", "test": "Testing", "calibration": "Calibration"}
_MEANINGS = {"image": "images as published, channels last", "label": "place of the class in the list of classes, plain"}
_WEAK = (
    "Whoever holds enough of the encrypted images, or a few pairs of plain and encrypted ones, can compute the scenes."
)
_BOUND = "A model trained on these images answers those under another scheme or key with confident nonsense."
_UNPROVEN = "The manifest proves who signed these statements, not that they are true of the images."


def document(manifest: Manifest) -> dict[str, Any]:
    """Describe a data set in Croissant.

    Args:
        manifest: verified; nothing else enters.

    Returns:
        JSON-LD, to be kept beside the manifest: the addresses in it are relative.

    Raises:
        SchemeError: E_SCHEME, a scheme that is not known here cannot be described.
    """
    dataset, created = manifest.predicate["dataset"], manifest.predicate["created"]
    return {
        "@context": dict(CONTEXT),
        "@type": "sc:Dataset",
        "name": description.title(manifest),
        "description": description.whole(manifest),
        "conformsTo": list(CONFORMS_TO),
        "identifier": dataset["id"],
        "url": FILE_NAME,
        "version": dataset["version"],
        "creator": {"@type": "sc:Organization", "name": description.holder(manifest)},
        "dateCreated": created,
        "datePublished": created,
        "citeAs": _citation(manifest),
        **_license(dataset),
        **_responsible_ai(manifest),
        "distribution": [_file(number, entry) for number, entry in enumerate(manifest.predicate["shards"])],
        "recordSet": [_tensors(manifest), *_classes(manifest)],
    }


def _citation(manifest: Manifest) -> str:
    dataset, year = manifest.predicate["dataset"], manifest.predicate["created"][:4]
    named = f"{description.title(manifest)}, version {dataset['version']}, data set {dataset['id']}"
    return f"{description.holder(manifest)}: {named}, {year}. Signed manifest {manifest.envelope.mid}."


def _license(dataset: Mapping[str, Any]) -> dict[str, Any]:
    if "license" not in dataset:
        return {}
    stated = dataset["license"]
    return {"license": stated if description.is_address(stated) else {"@type": "sc:CreativeWork", "name": stated}}


def _file(number: int, entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": f"shard-{number:05d}",  # not the path: it may be "tensors", and ids must not meet
        "name": entry["path"],
        "description": f"{entry['rows']} rows; a safetensors file.",
        "contentUrl": entry["path"],
        "contentSize": f"{entry['bytes']} B",
        "encodingFormat": MEDIA_TYPE,
        "sha256": entry["sha256"],
    }


def _tensors(manifest: Manifest) -> dict[str, Any]:
    rows: list[Record] = [
        {"name": name, "type": tensor["dtype"], "shape": _shape(tensor), "meaning": _MEANINGS.get(name, "")}
        for name, tensor in sorted(manifest.predicate["tensors"].items())
    ]
    words = "The tensors in every shard, to be read with a safetensors reader. N stands for the rows of a shard."
    return _inline("tensors", words, dict.fromkeys(("name", "type", "shape", "meaning"), "sc:Text"), rows)


def _shape(tensor: Mapping[str, Any]) -> str:
    return ", ".join(str(side) for side in tensor["shape"])


def _classes(manifest: Manifest) -> list[dict[str, Any]]:
    """The names of the classes in label order, if the manifest gives them."""
    rows: list[Record] = [{"label": label, "name": name} for label, name in enumerate(manifest.classes)]
    return (
        [_inline("classes", "What the labels mean.", {"label": "sc:Integer", "name": "sc:Text"}, rows)] if rows else []
    )


def _inline(name: str, words: str, fields: Mapping[str, str], rows: Sequence[Record]) -> dict[str, Any]:
    """A record set that holds its own records; the first field is its key."""
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": words,
        "key": {"@id": f"{name}/{next(iter(fields))}"},
        "field": [
            {"@type": "cr:Field", "@id": f"{name}/{field}", "name": field, "dataType": kind}
            for field, kind in fields.items()
        ],
        "data": [{f"{name}/{field}": value for field, value in row.items()} for row in rows],
    }


def _responsible_ai(manifest: Manifest) -> dict[str, Any]:
    """What can be said honestly; how images were gathered and labelled, a manifest does not know."""
    return {
        "rai:dataPreprocessingProtocol": [description.images(manifest)],
        "rai:dataLimitations": _limitations(manifest),
        "rai:personalSensitiveInformation": [_sensitive(manifest)],
        "rai:dataUseCases": [_USES.get(manifest.split, f"Others: {manifest.split}")],
    }


def _limitations(manifest: Manifest) -> list[str]:
    if description.is_plain(manifest):
        return [_UNPROVEN]
    traits = manifest.descriptor.traits
    if not description.is_encrypted(manifest):
        return [traits.falls, _UNPROVEN]
    same = [] if traits.scope == "image" else ["Equal images are equal when encrypted."]
    return [_WEAK, traits.falls, *same, _BOUND, _UNPROVEN]


def _sensitive(manifest: Manifest) -> str:
    unknown = "The manifest does not say what the images show."
    if description.is_plain(manifest):
        return f"{unknown} They are not encrypted. {description.labels(manifest)}"
    return f"{unknown} Treat them as the plain images: they can be computed. {description.labels(manifest)}"
