"""Small real bundles: a linear network over encrypted 8x8 images, signed by the trainer of ``worlds.world``.

Use as ``from tests.operator import bundles``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from blindsight.protocol import bundle, manifest, shard, tensorfile
from blindsight.protocol.manifest import labels_digest, task_of
from tests.protocol.worlds import CLASSES, CREATED, LE, World, identity

TRAINER = identity("lab", "trainer")
PARAMETERS = {"block": 4, "upsample": 1, "wide": True}
WEIGHT = np.random.default_rng(7).normal(size=(int(np.prod(LE.shape)), len(CLASSES))).astype(np.float32) / 1000


def images(rows: int, seed: int = 1) -> np.ndarray:
    """``(rows, 8, 8, 3)`` uint8 noise, as encrypted images look."""
    return np.random.default_rng(seed).integers(0, 256, (rows, *LE.shape), dtype=np.uint8)


def expected(pictures: np.ndarray) -> np.ndarray:
    """The logits that the network gives: ``(n, 3)`` float32."""
    return pictures.reshape(len(pictures), -1).astype(np.float32) @ WEIGHT


def onnx_model(weight: TensorProto | None = None, *nodes: onnx.NodeProto, shape=LE.shape, domains=()) -> bytes:
    """The network as ONNX, with another weight tensor or more nodes if wanted."""
    steps = [
        helper.make_node("Cast", ["image"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["wide"], ["flat"]),
        *nodes,
        helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
    ]
    graph = helper.make_graph(
        steps,
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(CLASSES)])],
        [weight or numpy_helper.from_array(WEIGHT, "weight")],
    )
    imports = [helper.make_opsetid(domain, 18 if domain == "" else 1) for domain in ("", *domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString()


def files(**changes: bytes) -> dict[str, bytes]:
    """The files of a bundle, by the names in the protocol's constants."""
    content = {
        bundle.MODEL: onnx_model(),
        bundle.WEIGHTS: tensorfile.to_bytes({"weight": WEIGHT}, {"v": 1}),
        bundle.CONFIG: bundle.config_file("linear", PARAMETERS),
        bundle.LABELS: bundle.labels_file(CLASSES),
    }
    return content | changes


def predicate(world: World, **changes: Any) -> dict[str, Any]:
    """What the trainer states."""
    stated = {name: world.predicate(world.keys[0])[name] for name in ("fed", "head", "epoch", "record", "kcv", "scv")}
    document: dict[str, Any] = {
        "v": 1,
        "model": {"id": "0a" * 16, "name": "pets", "version": "1"},
        "trainer": TRAINER.entry.fpr,
        **stated,
        "scheme": LE.to_json(),
        "scheme_digest": LE.digest,
        "arch": {"id": "linear", "params": PARAMETERS},
        "input": {"shape": list(LE.shape), "dtype": "u8", "layout": "NHWC", "mean": ["0.5"], "std": ["0.25"]},
        "task": task_of(CLASSES),
        "labels_digest": labels_digest(CLASSES),
        "training": {
            "manifests": ["ab" * 32],
            "rounds": 3,
            "strategy": "fedavg",
            "clients": 3,
            "seed": 0,
            "software": {"torch": "2.13.0"},
        },
        "metrics": {"accuracy": "0.973", "n": "1000"},
        "serial": 1,
        "supersedes": None,
        "created": CREATED,
    }
    return document | changes


def write(folder: Path, world: World, content: dict[str, bytes] | None = None, **changes: Any) -> Path:
    """A signed bundle on disk."""
    bundle.make(folder, TRAINER, predicate(world, **changes), content or files())
    return folder


def write_shard(path: Path, world: World, pictures: np.ndarray, labels: np.ndarray | None = None, **changes) -> Path:
    """A real shard, laid out by the protocol."""
    claims = {"dataset": "00" * 16, "fed": world.log.fed, "epoch": 1, "scheme_digest": LE.digest}
    head = shard.ShardHead(**(claims | {"first_row": 0, "rows": len(pictures)} | changes))
    layout = shard.layout(head, pictures.shape[1:], labelled=labels is not None)
    parts = ([] if labels is None else [labels.astype("<i8").tobytes()]) + [pictures.tobytes()]
    path.write_bytes(layout.head + b"".join(parts))
    return path


def write_data_set(folder: Path, world: World, parts: int = 2, **changes: Any) -> Path:
    """A signed data set of the first holder, four rows a shard: its folder."""
    key = world.keys[0]
    dataset = world.predicate(key)["dataset"] | {"id": "00" * 16}
    (folder / "shards").mkdir(parents=True)
    entries = [_shard_entry(folder, world, place) for place in range(parts)]
    envelope = world.manifest(key, **({"dataset": dataset, "rows": 4 * parts, "shards": entries} | changes))
    (folder / manifest.FILE_NAME).write_bytes(envelope.to_bytes())
    return folder


def _shard_entry(folder: Path, world: World, place: int) -> dict[str, Any]:
    name = f"shards/{place:05}.safetensors"
    path = write_shard(folder / name, world, images(4, place), np.arange(4) % 3, first_row=4 * place)
    data = path.read_bytes()
    return {"path": name, "rows": 4, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
