"""The exported model computes what the network computes and tells nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from blindsight.trainer.networks import NETWORKS
from blindsight.trainer.onnx_export import EXPORTER_LOG, to_onnx
from tests.trainer.samples import network, one_thread, settled

SHAPE = (16, 24, 3)
TOLERANCE = 1e-5
"""Of one plus the largest logit; 4.2e-6 was the most that any network showed, resnet18."""
LATER = {("pyramidnet-110", "", "nibble"), ("small", "block", "bit"), ("small", "mixture", "byte")}
"""An export takes two seconds, the first of these fifteen."""
CASES = [
    *(("small", "block", unit) for unit in ("nibble", "byte", "bit")),
    *(("small", stem, "byte") for stem in ("mixture", "position", "pixels")),
    *((name, "", "nibble") for name in NETWORKS if name != "small"),
]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def marked(case: tuple[str, str, str]) -> object:
    return pytest.param(case, marks=[pytest.mark.slow] if case in LATER else [], id="-".join(filter(None, case)))


@pytest.fixture(scope="module", params=map(marked, CASES))
def exported(request: pytest.FixtureRequest) -> tuple[nn.Module, bytes]:
    """A network whose normalisations are not the identity, and its model file."""
    name, stem, unit = request.param
    module = settled(network(name, 2, stem=stem, unit=unit, shape=SHAPE), SHAPE)
    return module, to_onnx(module, SHAPE)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_runtime_agrees_with_torch(exported: tuple[nn.Module, bytes], batch: int) -> None:
    module, model = exported
    images = np.random.default_rng(4).integers(0, 256, (batch, *SHAPE), dtype=np.uint8)
    (logits,) = onnxruntime.InferenceSession(model).run(["logits"], {"image": images})
    with torch.inference_mode():
        expected = module.eval()(torch.from_numpy(images)).numpy()
    assert logits.dtype == np.float32
    assert np.abs(logits - expected).max() < TOLERANCE * (1 + np.abs(expected).max())
    assert expected.std() > 1e-3


def test_input_and_output_have_their_names_types_and_a_free_batch(exported: tuple[nn.Module, bytes]) -> None:
    session = onnxruntime.InferenceSession(exported[1])
    (image,), (logits,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(uint8)", ["n", *SHAPE])
    assert (logits.name, logits.type, logits.shape) == ("logits", "tensor(float)", ["n", 5])


def test_every_floating_tensor_keeps_its_name_and_bits(exported: tuple[nn.Module, bytes]) -> None:
    module, model = exported
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load_from_string(model).graph.initializer}
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            assert np.array_equal(stored[name], tensor.numpy()), name
    assert "stem.blocks.weight" in stored or not hasattr(module.stem, "blocks")


@pytest.mark.parametrize("name", ["small", pytest.param("vit", marks=pytest.mark.slow)])
def test_the_same_network_gives_the_same_bytes(name: str) -> None:
    first, second = (to_onnx(network(name, shape=SHAPE), SHAPE) for _ in range(2))
    assert first == second


def test_a_model_needs_nothing_beyond_the_standard(exported: tuple[nn.Module, bytes]) -> None:
    assert {node.domain for node in onnx.load_from_string(exported[1]).graph.node} == {""}


def test_no_path_no_source_line_and_no_note_is_left(exported: tuple[nn.Module, bytes]) -> None:
    for word in (b".py", b"File ", b"blindsight", b"stack_trace", str(Path.cwd()).encode()):
        assert word not in exported[1], word
    model = onnx.load_from_string(exported[1])
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        assert not part.metadata_props
        assert not part.doc_string


def test_the_network_is_left_in_its_mode_and_the_log_as_it_was() -> None:
    module = network(unit="byte", shape=SHAPE).train()
    to_onnx(module, SHAPE)
    assert module.training
    assert not logging.getLogger(EXPORTER_LOG).disabled


def test_exporting_says_nothing(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    to_onnx(network(shape=SHAPE), SHAPE)
    assert capsys.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelno >= logging.INFO]
