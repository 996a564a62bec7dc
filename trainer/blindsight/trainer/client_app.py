"""The Flower ClientApp: runs at the holder's site, reads that holder's shards, sends back weights and counts.

``query.manifest`` answers with the node's manifests, ``query.moments`` with second moments of encrypted blocks, from
which the server begins the first layer (see ``whitening``). ``train`` measures the incoming model on the holder's
``val`` rows, then trains it: one message a round. ``evaluate`` measures only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import nn

from blindsight.protocol.errors import FederationError
from blindsight.trainer import task, weights, whitening
from blindsight.trainer.config import RunConfig
from blindsight.trainer.model import model_for, stem_block
from blindsight.trainer.node import NodeData, folders_of, load
from blindsight.trainer.precision import resolve
from blindsight.trainer.shards import Indices, in_order, share_of, shuffled
from blindsight.trainer.whitening import moments_for

app = ClientApp()
EVALUATION_BATCH = 512
SHARE_MOMENTS = "share-moments"
"""Key of the node's configuration: ``false`` keeps second moments of its encrypted blocks from the server."""

Metrics = dict[str, int | float | list[int] | list[float]]


@app.query("manifest")
def manifest(message: Message, context: Context) -> Message:
    """Answer with the node's manifests, after their shards were verified."""
    data = load(folders_of(context.node_config))
    return Message(RecordDict({"manifests": ConfigRecord({"manifests": list(data.envelopes)})}), reply_to=message)


@app.query("moments")
def moments(message: Message, context: Context) -> Message:
    """Answer with clipped second moments of the node's encrypted blocks, unless the node is told to keep them."""
    config, data = RunConfig.from_flower(context.run_config), load(folders_of(context.node_config))
    torch.set_num_threads(1)  # as in _prepare
    if not config.whiten:
        raise FederationError("second moments are asked for, but the run configuration says whiten=false")
    if not _shares_moments(context.node_config):
        return Message(RecordDict({"metrics": MetricRecord({"blocks": 0})}), reply_to=message)
    network = model_for(data.descriptor, data.classes, config)
    if len(data.train) < whitening.LEAST or whitening.edge_of(network) > stem_block(data.descriptor):
        raise FederationError(
            f"second moments are sent of at least {whitening.LEAST} images and of blocks no larger than the scheme's",
            hint="fewer images or larger blocks would show single images; set whiten=false",
        )
    found = moments_for(network, data.train, config.seed)
    if found is None:
        raise FederationError("this network's first layer does not begin from second moments", hint="set whiten=false")
    content = RecordDict({"metrics": MetricRecord({"blocks": found.blocks})})
    content["arrays"] = ArrayRecord({"moments": Array(found.total.numpy())})
    return Message(content, reply_to=message)


def _shares_moments(node_config: Mapping[str, object]) -> bool:
    shares = node_config.get(SHARE_MOMENTS, True)
    if not isinstance(shares, bool):  # the text "false" must not count as consent
        raise FederationError(f"{SHARE_MOMENTS} must be true or false, got {str(shares)[:20]!r}")
    return shares


@app.train()
def train(message: Message, context: Context) -> Message:
    """Measure the incoming model, then train it on the holder's rows."""
    config, data, network = _prepare(message, context)
    metrics = _measured(network, data, config)
    order = message.content.config_records["config"]
    rates = float(order["rate-start"]), float(order["rate-end"])  # type: ignore[arg-type]
    metrics |= _trained(network, data, config, rates, int(order["server-round"]))  # type: ignore[arg-type]
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


def _trained(network: nn.Module, data: NodeData, config: RunConfig, rates: tuple[float, float], number: int) -> Metrics:
    recipe, rng = config.recipe, _rng(config.seed, data.holder, str(number))
    fitting = task.Fitting(network, recipe, task.Changes.of(data.descriptor, recipe), resolve(config.precision))
    chosen = None if recipe.share == 1 else _share(data, config, number)
    epochs = recipe.local_epochs(len(data.train) if chosen is None else len(chosen))
    loss = task.train_epoch(fitting, shuffled(data.train, recipe.batch, epochs, rng, chosen), rates, rng)
    return {"train-loss": loss, "num-examples": len(data.train)}


def _share(data: NodeData, config: RunConfig, number: int) -> Indices:
    def rng_of(turn: int) -> np.random.Generator:
        return _rng(config.seed, data.holder, f"pass {turn}")

    return share_of(len(data.train), config.recipe.share, number, rng_of)


def _rng(seed: int, holder: str, what: str) -> np.random.Generator:
    """The order of one holder's rows in one round; the same whatever engine runs it."""
    digest = hashlib.sha256(f"{seed}/{holder}/{what}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
