"""What a training node holds: one holder's manifests and the shards beside them.

The folders come from the node's own configuration (``datasets``) or, when nodes are simulated, from a table the
trainer wrote for this run (``$BLINDSIGHT_NODES``); never from the run configuration, which others may write.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import FederationError
from blindsight.protocol.manifest import FILE_NAME, parse_unsigned, shard_faults_of
from blindsight.protocol.scheme import Descriptor
from blindsight.trainer.shards import EncryptedShards

NODES_VARIABLE = "BLINDSIGHT_NODES"


@dataclass(frozen=True, slots=True, eq=False)
class NodeData:
    """A node's verified data.

    Args:
        holder: fingerprint of the holder.
        envelopes: the manifests, for the server.
        train: rows to learn from.
        val: rows to measure on; None when the holder has published no ``val`` split.
        descriptor: scheme and shape of the plain images; rows are of its ``encrypted_shape``.
        classes: number of classes.
    """

    holder: str
    envelopes: tuple[bytes, ...]
    train: EncryptedShards
    val: EncryptedShards | None
    descriptor: Descriptor
    classes: int


def folders_of(node_config: Mapping[str, Any]) -> tuple[Path, ...]:
    """The data set folders of this node.

    Raises:
        FederationError: E_FEDERATION, the node is not configured.
    """
    if "datasets" in node_config:
        named = str(node_config["datasets"])
        parts = json.loads(named) if named.startswith("[") else named.split(os.pathsep)
        return tuple(Path(part) for part in parts)
    if NODES_VARIABLE in os.environ:
        table = json.loads(Path(os.environ[NODES_VARIABLE]).read_text())
        return tuple(Path(part) for part in table[int(node_config["partition-id"])])
    raise FederationError("this node does not know its data", hint="--node-config 'datasets=\"FOLDER\"'")


def load(folders: tuple[Path, ...]) -> NodeData:
    """Open and verify a node's data; hashing happens once per process as long as the files do not change.

    Raises:
        FederationError: E_FEDERATION, a manifest or shard is missing, damaged or does not belong together.
    """
    for folder in folders:
        if not (folder / FILE_NAME).is_file():
            raise FederationError(f"there is no manifest in {folder.name}", code="E_IO")
    files = [path for folder in folders for path in (folder / FILE_NAME, *sorted(folder.glob("shards/*")))]
    return _load(folders, tuple(path.stat().st_mtime_ns for path in files))


@functools.lru_cache(maxsize=64)
def _load(folders: tuple[Path, ...], _stamps: tuple[int, ...]) -> NodeData:
    envelopes = [Envelope.from_bytes((folder / FILE_NAME).read_bytes()) for folder in folders]
    predicates = {}
    for folder, envelope in zip(folders, envelopes, strict=True):
        predicate = parse_unsigned(envelope)
        for fault in shard_faults_of(predicate, folder):
            who = f"holder {predicate['holder'][:12]}, {predicate['dataset']['split']} split"
            raise FederationError(f"{who}: {fault.message}", code=fault.code)
        if predicate["dataset"]["split"] in predicates:
            raise FederationError(f"this node has two {predicate['dataset']['split']} splits")
        predicates[predicate["dataset"]["split"]] = (folder, predicate)
    return _node(predicates, tuple(envelope.to_bytes() for envelope in envelopes))


def _node(predicates: Mapping[str, tuple[Path, Mapping[str, Any]]], envelopes: tuple[bytes, ...]) -> NodeData:
    if "train" not in predicates:
        raise FederationError("this node has no train split")
    if len({predicate["holder"] for _, predicate in predicates.values()}) != 1:
        raise FederationError("this node has manifests of several holders")
    opened = {split: _rows(*place) for split, place in predicates.items()}
    for rows, (_, predicate) in zip(opened.values(), predicates.values(), strict=True):
        rows.demand_labels(predicate["task"].get("classes", 0))
    _, predicate = predicates["train"]
    descriptor, classes = Descriptor.from_json(predicate["scheme"]), predicate["task"]["classes"]
    return NodeData(predicate["holder"], envelopes, opened["train"], opened.get("val"), descriptor, classes)


def _rows(folder: Path, predicate: Mapping[str, Any]) -> EncryptedShards:
    return EncryptedShards([folder / entry["path"] for entry in predicate["shards"]])
