"""Weights are read from ONNX files and replaced in them without the ``onnx`` package, and nothing else changes."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from blindsight.protocol.errors import FormatError
from blindsight.protocol.onnxfile import walk, weight, with_weight
from tests.operator import bundles

NAME = "weight"
OTHER = (bundles.WEIGHT * 2 + 1).astype(np.float32)


def tensor(**changes):
    made = TensorProto(name=NAME, data_type=TensorProto.FLOAT, dims=bundles.WEIGHT.shape)
    made.raw_data = bundles.WEIGHT.tobytes()
    for name, value in changes.items():
        made.ClearField(name)
        if isinstance(value, list):
            getattr(made, name).extend(value)
        elif value is not None:
            setattr(made, name, value)
    return made


def floats():
    return tensor(raw_data=None, float_data=bundles.WEIGHT.reshape(-1).tolist())


def unpacked():
    """The same model with its values one by one, as writers of protocol buffers may spell them."""
    whole = floats().SerializeToString()
    packed = b"\x22" + varint(4 * bundles.WEIGHT.size) + bundles.WEIGHT.tobytes()
    assert packed in whole
    one_by_one = b"".join(b"\x25" + value.tobytes() for value in bundles.WEIGHT.reshape(-1))
    return spliced(whole.replace(packed, one_by_one))


def packed_dims():
    """The same model with its dimensions packed."""
    sides = b"".join(b"\x08" + varint(side) for side in bundles.WEIGHT.shape)
    whole = tensor().SerializeToString()
    assert whole.startswith(sides)
    inside = b"".join(varint(side) for side in bundles.WEIGHT.shape)
    return spliced(b"\x0a" + varint(len(inside)) + inside + whole[len(sides) :])


def spliced(initializer):
    """A model with these bytes as its one weight: protocol buffers of one message may lie one after another."""
    model = onnx.load_from_string(bundles.onnx_model())
    model.graph.ClearField("initializer")
    part = b"\x2a" + varint(len(initializer)) + initializer
    return model.SerializeToString() + b"\x3a" + varint(len(part)) + part


def varint(value):
    return bytes([value & 0x7F | (0x80 if value > 0x7F else 0)]) + (varint(value >> 7) if value > 0x7F else b"")


SPELLINGS = {
    "raw": lambda: bundles.onnx_model(tensor()),
    "floats": lambda: bundles.onnx_model(floats()),
    "one by one": unpacked,
    "packed dimensions": packed_dims,
    "in a second part": lambda: spliced(tensor().SerializeToString()),
}


def as_read(model):
    (found,) = onnx.load_from_string(model).graph.initializer
    return numpy_helper.to_array(found)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_values_are_read_as_the_reference_reader_reads_them(spelling):
    model = SPELLINGS[spelling]()
    assert np.array_equal(weight(model, NAME), as_read(model))
    assert np.array_equal(weight(model, NAME), bundles.WEIGHT)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_values_are_replaced_in_place_and_no_other_byte_changes(spelling):
    model = SPELLINGS[spelling]()
    changed = with_weight(model, NAME, OTHER)
    assert np.array_equal(as_read(changed), OTHER)
    assert len(changed) == len(model)
    assert with_weight(changed, NAME, bundles.WEIGHT) == model


def test_every_bit_of_a_value_is_kept():
    odd = bundles.WEIGHT.copy()
    odd.reshape(-1)[:4] = [-0.0, np.inf, np.nan, 1e-45]
    kept = weight(with_weight(bundles.onnx_model(tensor()), NAME, odd), NAME)
    assert kept.tobytes() == odd.tobytes()


def test_what_is_read_does_not_follow_the_file_and_can_be_written():
    weight(bundles.onnx_model(), NAME)[:] = 0


def external():
    made = tensor(raw_data=None, data_location=TensorProto.EXTERNAL)
    made.external_data.add(key="location", value="weights.bin")
    return made


REFUSED = {
    "external": (external(), "another file"),
    "external, hidden": (tensor(data_location=TensorProto.EXTERNAL), "another file"),
    "doubles": (tensor(data_type=TensorProto.DOUBLE), "not of type float32"),
    "no type": (tensor(data_type=None), "not of type float32"),
    "twice": (tensor(float_data=[1.0]), "values twice"),
    "too few": (tensor(raw_data=bundles.WEIGHT.tobytes()[:-4]), "do not fill"),
    "cut inside a value": (tensor(raw_data=bundles.WEIGHT.tobytes()[:-1]), "inside a value"),
    "negative side": (tensor(dims=[-1, 3]), "do not fill"),
    "endless sides": (tensor(dims=[2**62, 2**62]), "do not fill"),
    "no value": (tensor(dims=[0, 2**62], raw_data=None), "do not fill"),
    "too many sides": (tensor(dims=[*bundles.WEIGHT.shape, *[1] * 80]), "do not fill"),
    "another name": (tensor(name="weights"), "no weight of the name weight"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_weight_that_is_not_what_was_expected_is_refused(kind):
    made, words = REFUSED[kind]
    model = bundles.onnx_model(made)
    for act in (lambda: weight(model, NAME), lambda: with_weight(model, NAME, OTHER)):
        with pytest.raises(FormatError, match=words) as caught:
            act()
        assert caught.value.code == "E_FORMAT"


def test_two_weights_of_one_name_are_refused():
    model = onnx.load_from_string(bundles.onnx_model())
    model.graph.initializer.append(tensor())
    with pytest.raises(FormatError, match="2 weights of the name weight"):
        weight(model.SerializeToString(), NAME)


def test_a_constant_inside_a_node_is_no_weight():
    node = helper.make_node("Constant", [], ["extra"], value=tensor(name="extra"))
    with pytest.raises(FormatError, match="no weight"):
        weight(bundles.onnx_model(None, node), "extra")


@pytest.mark.parametrize("values", [OTHER.astype(np.float64), OTHER.T, OTHER.reshape(-1), OTHER[:1]])
def test_values_of_another_type_or_shape_are_refused(values):
    with pytest.raises(FormatError, match="is float32"):
        with_weight(bundles.onnx_model(), NAME, values)


@pytest.mark.parametrize("model", [b"junk", bytes(100), b"\xff" * 40, b"\x3a\x80", b"\x0b\x0c", b""])
def test_what_is_no_model_is_refused(model):
    with pytest.raises(FormatError):
        weight(model, NAME)


@given(st.binary(max_size=60), st.integers(0, 400))
def test_damaged_models_are_refused_or_read_but_nothing_breaks(junk, place):
    model = bundles.onnx_model()
    place = place * len(model) // 400
    for damaged in (junk, model[:place] + junk, model[:place] + junk + model[place + len(junk) :]):
        try:
            found = weight(damaged, NAME)
        except FormatError:
            continue
        assert found.dtype == np.float32
        assert len(with_weight(damaged, NAME, found)) == len(damaged)


def test_a_walk_shows_numbers_and_bytes_in_order():
    message = b"\x08\x96\x01" + b"\x12\x02hi" + b"\x1d\x01\x02\x03\x04" + b"\x21" + bytes(8)
    shown = [(n, v if isinstance(v, int) else v.tobytes()) for n, v in walk(memoryview(message))]
    assert shown == [(1, 150), (2, b"hi"), (3, b"\x01\x02\x03\x04"), (4, bytes(8))]
