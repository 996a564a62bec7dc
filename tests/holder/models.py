"""Small real models whose first layer absorbs a key, and federations with several epochs to re-key them in.

Use as ``from tests.holder import models``. The networks are written as ONNX by hand: units, a convolution that spans
one block, and either a head on blocks in their places or one on the mean of blocks with learned positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from blindsight.holder.ciphers import Cipher, cipher_for
from blindsight.operator.engine import Engine
from blindsight.protocol import bundle, statement, tensorfile
from blindsight.protocol.bundle import Bundle
from blindsight.protocol.log import Epoch, Log
from blindsight.protocol.manifest import labels_digest, task_of
from blindsight.protocol.scheme import Descriptor, check_value, scheme_key
from tests.operator import bundles
from tests.protocol import worlds
from tests.protocol.worlds import CLASSES, CREATED

SHAPE, BLOCK, FILTERS = (8, 12, 3), 4, 16
SCHEMES = tuple({"id": name, "v": 1} for name in ("block-shuffle", "ele", "le", "plain", "vit-block"))
UNITS = {"byte": (1, 127.5, 73.6), "nibble": (2, 7.5, 4.6)}
TRAINER = bundles.TRAINER
TOLERANCE = 1e-4  # of a logit; the logits of these networks are of size 1


@dataclass(frozen=True)
class World:
    """A federation with several epochs."""

    keys: list[Any]
    log: Log
    secrets: tuple[bytes, ...]

    def epoch(self, number: int) -> Epoch:
        return self.log.epoch(number)

    def secret(self, number: int) -> bytes:
        return self.secrets[number - 1]

    def cipher(self, descriptor: Descriptor, number: int) -> Cipher:
        return cipher_for(descriptor, self.key(descriptor, number))

    def key(self, descriptor: Descriptor, number: int) -> bytes:
        return scheme_key(self.secret(number), self.log.fed, number, descriptor.digest)


@cache
def world(epochs: int = 3) -> World:
    """Two holders, the trainer ``lab``, and epochs that allow all schemes above."""
    keys = worlds.holders(2)
    log, secrets = worlds.founded(keys, [TRAINER.entry]), []
    for nonce in range(epochs):
        log, secret = worlds.agreed(keys, log, worlds.proposal(keys[0], log, nonce=nonce + 1, schemes=SCHEMES))
        secrets.append(secret)
    return World(keys, log, tuple(secrets))


def scheme(name: str, shape: tuple[int, int, int] = SHAPE) -> Descriptor:
    return Descriptor.of(name, shape, {"block": BLOCK})


def pictures(rows: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """``(rows, h, w, c)`` uint8: noise, as plain images."""
    return np.random.default_rng(5).integers(0, 256, (rows, *shape), dtype=np.uint8)


def tensors(unit: str, *, vit: bool, seed: int = 3, shape: tuple[int, int, int] = SHAPE) -> dict[str, np.ndarray]:
    """The weights of a network by name, all float32."""
    rng, count = np.random.default_rng(seed), shape[0] // BLOCK * (shape[1] // BLOCK)
    sides = {
        "stem.blocks.weight": (FILTERS, UNITS[unit][0] * shape[2], BLOCK, BLOCK),
        **({"positions": (count, FILTERS)} if vit else {}),
        "head.weight": (FILTERS if vit else FILTERS * count, len(CLASSES)),
    }
    return {
        name: (rng.normal(size=side) / np.sqrt(np.prod(side) / side[0])).astype(np.float32)
        for name, side in sides.items()
    }


def onnx_model(unit: str, weights: dict[str, np.ndarray], shape: tuple[int, int, int] = SHAPE) -> bytes:
    """The network with these weights."""
    _, centre, scale = UNITS[unit]
    constants = {"sixteen": 16.0, "centre": centre, "scale": scale}
    nodes = [
        helper.make_node("Cast", ["image"], ["wide"], to=TensorProto.FLOAT),
        *(_nibbles() if unit == "nibble" else [helper.make_node("Identity", ["wide"], ["units"])]),
        helper.make_node("Sub", ["units", "centre"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["first", "stem.blocks.weight"], ["seen"], strides=[BLOCK, BLOCK]),
        *(_vit() if "positions" in weights else _conv()),
        helper.make_node("MatMul", ["features", "head.weight"], ["logits"]),
    ]
    stored = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    stored += [numpy_helper.from_array(np.float32(value), name) for name, value in constants.items()]
    stored += [
        numpy_helper.from_array(np.array([0, FILTERS, -1]), "tokens"),
        numpy_helper.from_array(np.array([1]), "over blocks"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(CLASSES)])],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


def _nibbles() -> list[Any]:
    return [
        helper.make_node("Div", ["wide", "sixteen"], ["sixteenths"]),
        helper.make_node("Floor", ["sixteenths"], ["high"]),
        helper.make_node("Mul", ["high", "sixteen"], ["rest"]),
        helper.make_node("Sub", ["wide", "rest"], ["low"]),
        helper.make_node("Concat", ["high", "low"], ["units"], axis=3),
    ]


def _conv() -> list[Any]:
    return [helper.make_node("Relu", ["seen"], ["lit"]), helper.make_node("Flatten", ["lit"], ["features"])]


def _vit() -> list[Any]:
    return [
        helper.make_node("Reshape", ["seen", "tokens"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["embedded"], perm=[0, 2, 1]),
        helper.make_node("Add", ["embedded", "positions"], ["placed"]),
        helper.make_node("Relu", ["placed"], ["lit"]),
        helper.make_node("ReduceMean", ["lit", "over blocks"], ["features"], keepdims=0),
    ]


def arch(unit: str, *, vit: bool, shape: tuple[int, int, int] = SHAPE, **changes: Any) -> dict[str, Any]:
    params = {"block": BLOCK, "classes": len(CLASSES), "shape": list(shape), "unit": unit, "upsample": 1}
    return {"id": "vit" if vit else "small", "params": params | changes}


def files(unit: str, *, vit: bool = False, **more: bytes) -> dict[str, bytes]:
    """The four files of a bundle, and others."""
    weights, stated = tensors(unit, vit=vit), arch(unit, vit=vit)
    return {
        bundle.MODEL: onnx_model(unit, weights),
        bundle.WEIGHTS: tensorfile.to_bytes(weights, {"v": 1, "kind": "weights"}),
        bundle.CONFIG: bundle.config_file(stated["id"], stated["params"]),
        bundle.LABELS: bundle.labels_file(CLASSES),
        **more,
    }


def predicate(
    descriptor: Descriptor, unit: str, *, vit: bool = False, epoch: int = 1, where: World | None = None, **changes: Any
) -> dict:
    """What the trainer states of a model that it trained in an epoch."""
    where = where or world()
    agreed, (_, centre, scale) = where.epoch(epoch), UNITS[unit]
    document: dict[str, Any] = {
        "v": 1,
        "model": {"id": "0a" * 16, "name": "pets", "version": "1"},
        "trainer": TRAINER.entry.fpr,
        "fed": where.log.fed,
        "head": where.log.head,
        "epoch": epoch,
        "record": agreed.record,
        "kcv": agreed.kcv,
        "scheme": descriptor.to_json(),
        "scheme_digest": descriptor.digest,
        "scv": check_value(descriptor, where.key(descriptor, epoch), where.cipher(descriptor, epoch).encrypt),
        "arch": arch(unit, vit=vit),
        "input": {
            "shape": list(descriptor.encrypted_shape),
            "dtype": "u8",
            "layout": "NHWC",
            "mean": [str(centre)],
            "std": [str(scale)],
        },
        "task": task_of(CLASSES),
        "labels_digest": labels_digest(CLASSES),
        "training": {
            "manifests": ["ab" * 32],
            "rounds": 3,
            "strategy": "fedavg",
            "clients": 2,
            "seed": 0,
            "software": {"torch": "2.13.0"},
        },
        "metrics": {"val-accuracy": "0.973000"},
        "serial": 1,
        "supersedes": None,
        "created": CREATED,
    }
    return document | changes


def companions(descriptor: Descriptor, unit: str, engine: Engine, epoch: int = 1) -> dict[str, bytes]:
    """A fingerprint, self-test and card as a trainer adds them, who knows nothing of the key but encrypted images."""
    from blindsight.holder.absorption import Layout

    layout = Layout(unit, BLOCK, descriptor.shape)
    seen = world().cipher(descriptor, epoch).encrypt(sheets(40, descriptor.shape))
    units = layout.units(seen).reshape(-1, layout.size).astype(np.float64)
    images = np.random.default_rng(11).integers(0, 256, (8, *descriptor.shape), dtype=np.uint8)
    correlations = np.corrcoef(units.T).astype(np.float32)
    return {
        bundle.FINGERPRINT: tensorfile.to_bytes({"correlations": correlations}, {"v": 1, "kind": "fingerprint"}),
        bundle.SELFTEST: tensorfile.to_bytes(
            {"images": images, "logits": engine.infer(images)}, {"v": 1, "kind": "selftest"}
        ),
        bundle.CARD: b"# pets\n\nTells cats, dogs and owls apart.\n",
    }


def sheets(count: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Plain images whose neighbouring pixels are alike, so that their units correlate: ``(count, h, w, c)`` uint8."""
    rng = np.random.default_rng(6)
    slopes = rng.normal(0, 12, (count, 2, shape[2]))
    down, right = np.mgrid[: shape[0], : shape[1]]
    ramps = down[..., None] * slopes[:, None, None, 0] + right[..., None] * slopes[:, None, None, 1]
    values = rng.normal(128, 40, (count, 1, 1, shape[2])) + ramps + rng.normal(0, 6, (count, *shape))
    return values.clip(0, 255).astype(np.uint8)


def loaded(descriptor: Descriptor, unit: str, *, vit: bool = False, content: Any = None, **changes: Any) -> Bundle:
    """A bundle as it is once it was read and verified."""
    stated = predicate(descriptor, unit, vit=vit, **changes)
    content = content or files(unit, vit=vit)
    digests = dict.fromkeys(content, "ab" * 32)  # whoever reads a folder compares them, nobody here
    envelope = statement.make(bundle.PREDICATE_TYPE, digests, stated).signed(TRAINER)
    return Bundle(envelope, TRAINER.entry.label, TRAINER.entry.label, stated, content)


def engine(content: dict[str, bytes], shape: tuple[int, int, int] = SHAPE) -> Engine:
    return Engine(content[bundle.MODEL], shape, len(CLASSES))


def stored(content: dict[str, bytes], file: str = bundle.WEIGHTS) -> dict[str, np.ndarray]:
    """The tensors of a file."""
    layout = tensorfile.parse_layout(content[file], len(content[file]), file)
    return {name: tensorfile.view(content[file], layout, name) for name in layout.tensors}
