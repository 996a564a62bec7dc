"""The Flower ClientApp: runs at the holder's site, reads that holder's shards, sends back weights and counts.

``query.manifest`` answers with the node's manifests. ``train`` measures the incoming model on the holder's ``val``
rows, then trains it: one message a round. ``evaluate`` measures only.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import nn

from blindsight.protocol.scheme import Descriptor
from blindsight.trainer import task, weights
from blindsight.trainer.config import RunConfig
from blindsight.trainer.model import model_for
from blindsight.trainer.node import NodeData, folders_of, load
from blindsight.trainer.precision import resolve
from blindsight.trainer.shards import Change, in_order, shuffled

app = ClientApp()
EVALUATION_BATCH = 512
Metrics = dict[str, int | float | list[int] | list[float]]


@app.query("manifest")
def manifest(message: Message, context: Context) -> Message:
    """Answer with the node's manifests, after their shards were verified."""
    data = load(folders_of(context.node_config))
    return Message(RecordDict({"manifests": ConfigRecord({"manifests": list(data.envelopes)})}), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Measure the incoming model, then train it on the holder's rows."""
    config, data, network = _prepare(message, context)
    metrics = _measured(network, data, config)
    order = message.content.config_records["config"]
    rng = _rng(config.seed, data.holder, int(order["server-round"]))  # type: ignore[arg-type]
    metrics |= _trained(network, data, config, (float(order["lr-start"]), float(order["lr-end"])), rng)  # type: ignore[arg-type]
    arrays = ArrayRecord({"weights": Array(weights.pack(network.state_dict()))})
    return Message(RecordDict({"arrays": arrays, "metrics": MetricRecord(metrics)}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Measure the incoming model on the holder's ``val`` rows."""
    config, data, network = _prepare(message, context)
    return Message(RecordDict({"metrics": MetricRecord(_measured(network, data, config))}), reply_to=message)


def _prepare(message: Message, context: Context) -> tuple[RunConfig, NodeData, nn.Module]:
    torch.set_num_threads(1)  # two clients share two cores; and a sum's order must not depend on the machine's size
    config = RunConfig.from_flower(context.run_config)
    data = load(folders_of(context.node_config))
    network = model_for(data.descriptor, data.classes, config)
    weights.unpack(message.content.array_records["arrays"]["weights"].numpy(), network)
    return config, data, network


def _measured(network: nn.Module, data: NodeData, config: RunConfig) -> Metrics:
    if data.val is None:
        return {"num-examples": len(data.train), "val-rows": 0, "val-correct": 0, "val-loss": 0.0}
    batches = in_order(data.val, EVALUATION_BATCH)
    loss, correct, seen = task.evaluate(network, batches, precision=resolve(config.precision))
    return {"num-examples": len(data.train), "val-rows": seen, "val-correct": correct, "val-loss": loss}


def _trained(
    network: nn.Module, data: NodeData, config: RunConfig, rates: tuple[float, float], rng: np.random.Generator
) -> Metrics:
    recipe = config.recipe
    batches = shuffled(
        data.train, recipe.batch, recipe.local_epochs(len(data.train)), rng, shift_of(data.descriptor, recipe, rng)
    )
    loss = task.train_epoch(
        network,
        batches,
        lr_start=rates[0],
        lr_end=rates[1],
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        label_smoothing=recipe.label_smoothing,
        precision=resolve(config.precision),
    )
    return {"train-loss": loss, "num-examples": len(data.train)}


def shift_of(descriptor: Descriptor, recipe: task.Recipe, rng: np.random.Generator) -> Change | None:
    """The one augmentation that needs no key, for encrypted images; None where the scheme does not allow it.

    Args:
        descriptor: scheme and shape of the plain images.
        recipe: names the share of images that are moved.
        rng: draws which, and where to.
    """
    if not recipe.shift or not descriptor.traits.aligned:
        return None
    return lambda images: task.shift_blocks(images, descriptor.encrypted_block, recipe.shift, rng)


def _rng(seed: int, holder: str, number: int) -> np.random.Generator:
    """The order of one holder's rows in one round; the same whatever engine runs it."""
    digest = hashlib.sha256(f"{seed}/{holder}/{number}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
