"""Data Package: a data set's manifest as ``datapackage.json``. FORMAT.md section H.

The names keep to the stricter rules of version 1, so that readers of both versions take it. What Data Package has no
words for stands unchanged under the one additional property ``blindsight``.

Source: https://datapackage.org/standard/data-package/ and /standard/data-resource/, version 2.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from blindsight.protocol.errors import FormatError
from blindsight.protocol.exports import description
from blindsight.protocol.manifest import FILE_NAME, Manifest

PROFILE = "https://datapackage.org/profiles/2.0/datapackage.json"
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9._-]+")
_LICENSE_NAME = re.compile(r"[-a-zA-Z0-9._]+")


def document(manifest: Manifest) -> dict[str, Any]:
    """Describe a data set as a Data Package.

    Args:
        manifest: verified; nothing else enters.

    Returns:
        The content of ``datapackage.json``, to be kept beside the manifest: its paths are relative.

    Raises:
        FormatError: E_FORMAT, a shard's path begins with a dot, which Data Package forbids.
        SchemeError: E_SCHEME, a scheme that is not known here cannot be described.
    """
    dataset = manifest.predicate["dataset"]
    return {
        "$schema": PROFILE,
        "name": _name(f"{dataset['name']}-{manifest.split}"),
        "id": dataset["id"],
        "title": description.title(manifest),
        "description": description.whole(manifest),
        "version": dataset["version"],
        "created": manifest.predicate["created"],
        "contributors": [{"title": description.holder(manifest), "roles": ["creator"]}],
        **_licenses(dataset),
        "resources": [_resource(number, entry) for number, entry in enumerate(manifest.predicate["shards"])],
        "blindsight": dict(description.facts(manifest)),
    }


def _name(text: str) -> str:
    return _NOT_IN_A_NAME.sub("-", text.lower()).strip("-._")


def _licenses(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """One licence with a name or a path, as Data Package demands; free words point to the manifest that states them."""
    if "license" not in dataset:
        return {}
    stated = dataset["license"]
    if description.is_address(stated):
        return {"licenses": [{"path": stated}]}
    if _LICENSE_NAME.fullmatch(stated):
        return {"licenses": [{"name": stated}]}
    return {"licenses": [{"path": FILE_NAME, "title": stated}]}


def _resource(number: int, entry: Mapping[str, Any]) -> dict[str, Any]:
    if entry["path"].startswith("."):
        raise FormatError(f"shard {entry['path']} cannot stand in a Data Package: its path begins with a dot")
    return {
        "name": f"shard-{number:05d}",
        "path": entry["path"],
        "description": f"{entry['rows']} rows.",
        "format": "safetensors",
        "mediatype": "application/octet-stream",
        "bytes": entry["bytes"],
        "hash": f"sha256:{entry['sha256']}",
    }
