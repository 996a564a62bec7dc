"""A network as an ONNX model: what operators run, without a line of the trainer's program.

The graph is left as it is written, not optimised: so every floating tensor keeps the name and the bits that it has in
the trainer's ``weights.safetensors``, ``stem.blocks.weight`` too, which a holder permutes to follow a new key. The
operator's runtime folds normalisations into convolutions when it loads the model.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import onnx
import torch
from torch import nn

from blindsight.protocol.errors import FederationError

EXPORTER_LOG: Final = "torch.onnx._internal.exporter._registration"
"""Says on every first export that torchvision is not installed."""


def to_onnx(module: nn.Module, shape: tuple[int, int, int]) -> bytes:
    """Write a network as ONNX.

    Args:
        module: a network from (b, h, w, c) uint8 to (b, classes) float32; it is not changed.
        shape: (h, w, c) of one image.

    Returns:
        A checked model with one input ``image`` (n, h, w, c) uint8 and one output ``logits`` (n, classes) float32,
        n free; the same bytes for the same weights, without paths, source lines or notes of the machine it was
        written on.

    Raises:
        FederationError: the exporter gave no model.
    """
    model = _exported(module, shape)
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def _exported(module: nn.Module, shape: tuple[int, int, int]) -> onnx.ModelProto:
    example = torch.zeros((2, *shape), dtype=torch.uint8)  # (b, h, w, c); a batch of 1 would be taken for a constant
    with _quiet():
        program = torch.onnx.export(
            copy.deepcopy(module).eval(),
            (example,),
            input_names=["image"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            optimize=False,
            verbose=False,
        )
    if program is None:
        raise FederationError("expected an ONNX model from torch.onnx.export, got none")
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's deprecation warnings and its log line about torchvision from the user."""
    log = logging.getLogger(EXPORTER_LOG)
    disabled = log.disabled
    log.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = disabled


def _strip(model: onnx.ModelProto) -> None:
    """Clear notes that name local files and source lines; nothing computes with them."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("value_info")
