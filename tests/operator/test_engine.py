"""The engine computes what the network computes, and refuses models and images that are not what was agreed."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from blindsight.operator.engine import Engine
from blindsight.operator.graph import demand_self_contained
from blindsight.protocol.errors import FormatError, SchemeError, ServingError
from blindsight.protocol.selftest import SelfTest
from tests.operator import bundles
from tests.protocol.worlds import LE


@pytest.fixture(scope="module")
def engine(loaded):
    return Engine.of(loaded)


def external(location: str, place: str = "tensor") -> TensorProto:
    tensor = TensorProto(name="weight", data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    tensor.dims.extend(bundles.WEIGHT.shape)
    tensor.external_data.add(key="location", value=location)
    return tensor


def refused(model, words, shape=LE.shape, classes=3):
    with pytest.raises(FormatError, match=words):
        Engine(model, shape, classes)


@pytest.mark.parametrize("n", [1, 2, 9])
def test_logits_are_those_of_the_network(engine, n):
    pictures = bundles.images(n)
    logits = engine.infer(pictures)
    assert (logits.dtype, logits.shape) == (np.float32, (n, 3))
    assert np.allclose(logits, bundles.expected(pictures), atol=1e-4)


def test_an_answer_does_not_depend_on_its_batch(engine):
    pictures = bundles.images(5)
    alone = np.concatenate([engine.infer(pictures[row : row + 1]) for row in range(5)])
    assert np.allclose(engine.infer(pictures), alone, atol=1e-5)


def test_it_warms_up(engine):
    engine.warm_up()


def test_it_answers_a_self_test_as_the_network_did(engine):
    pictures = bundles.images(8)
    assert engine.demand_answers(SelfTest(pictures, bundles.expected(pictures))) < 1e-5


@pytest.mark.parametrize("parts", [0.9, 1.1, -1.1])
def test_answers_beyond_the_tolerance_are_refused_and_those_within_are_not(engine, parts):
    pictures = bundles.images(8)
    logits = engine.infer(pictures)
    place = np.unravel_index(np.abs(logits).argmin(), logits.shape)
    logits[place] += parts * SelfTest(pictures, logits).tolerance
    test = SelfTest(pictures, logits)
    if abs(parts) < 1:
        assert engine.demand_answers(test) == pytest.approx(parts * test.tolerance, rel=1e-2)
        return
    with pytest.raises(ServingError, match="its self-test differs by"):
        engine.demand_answers(test)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 8, 8, 4), np.uint8),
        np.zeros((1, 4, 8, 3), np.uint8),
        np.zeros((1, 8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
    ],
)
def test_images_of_another_shape_or_type_are_refused(engine, images):
    with pytest.raises(SchemeError, match="expected images"):
        engine.infer(images)


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/hostname"])
def test_weights_outside_the_file_are_refused(tmp_path, monkeypatch, location):
    (tmp_path / "weights.bin").write_bytes(bundles.WEIGHT.tobytes())
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "weights.bin").write_bytes(bundles.WEIGHT.tobytes())
    monkeypatch.chdir(tmp_path / "here")
    refused(bundles.onnx_model(external(location)), "other files")


def test_weights_outside_the_file_are_found_inside_attributes_and_branches():
    constant = helper.make_node("Constant", [], ["extra"], value=external("weights.bin"))
    refused(bundles.onnx_model(None, constant), "other files")
    branch = helper.make_graph([constant], "branch", [], [helper.make_empty_tensor_value_info("extra")])
    choice = helper.make_node("If", ["flag"], ["chosen"], then_branch=branch, else_branch=branch)
    refused(bundles.onnx_model(None, choice), "other files")


@pytest.mark.parametrize("domain", ["com.microsoft", "evil", "ai.onnx.ml"])
def test_operators_beyond_the_standard_are_refused(domain):
    node = helper.make_node("Gelu", ["flat"], ["more"], domain=domain)
    refused(bundles.onnx_model(None, node, domains=[domain]), "operators of")


def test_the_standard_domain_may_be_spelt_out():
    node = helper.make_node("Relu", ["flat"], ["more"], domain="ai.onnx")
    demand_self_contained(bundles.onnx_model(None, node))


@pytest.mark.parametrize("model", [b"junk", bytes(100), b"\xff" * 40, b"\x3a\x80", b"\x0b\x0c", b""])
def test_what_is_no_model_is_refused(model):
    refused(model, "model")


@pytest.mark.parametrize("kept", [1, 40, 200, -1])
def test_a_model_that_is_cut_short_is_refused(kept):
    refused(bundles.onnx_model()[:kept], "model")


def test_endless_nesting_is_refused():
    message = b""
    for _ in range(70):  # attribute.g, graph.node, node.attribute: three levels a turn
        for key in (b"\x32", b"\x2a", b"\x0a"):
            message = key + _length(len(message)) + message
    refused(b"\x3a" + _length(len(message)) + message, "nested")


def _length(value: int) -> bytes:
    low = bytes([value & 0x7F | (0x80 if value > 0x7F else 0)])
    return low + (_length(value >> 7) if value > 0x7F else b"")


def test_an_input_of_another_shape_is_refused():
    refused(bundles.onnx_model(shape=(3, 8, 8)), "one input image")


def test_another_number_of_classes_is_refused():
    refused(bundles.onnx_model(), "one output logits", classes=4)


def test_logits_that_are_no_numbers_are_refused():
    broken = numpy_helper.from_array(np.full_like(bundles.WEIGHT, np.nan), "weight")
    with pytest.raises(ServingError, match="finite"):
        Engine(bundles.onnx_model(broken), LE.shape, 3).warm_up()


def test_no_thread_of_the_runtime_spins_or_multiplies(engine):
    options = engine._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert engine._session.get_providers() == ["CPUExecutionProvider"]
