"""Plainly trained networks are read as what they are: the same function, on the units that a scheme's key needs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from blindsight.protocol.errors import DataError, FormatError, SchemeError
from blindsight.trainer.plain import FIRST_LAYER, lifted, network, transformer
from blindsight.trainer.stems import UNITS_PER_BYTE
from blindsight.trainer.told import Told
from tests.trainer import foreign_models
from tests.trainer.foreign_models import CLASSES, HEADS, MEAN, SHAPE, STD, alike, answers, built, images, own, params

TOLD = Told(heads=HEADS, size=SHAPE[:2], classes=CLASSES, mean=MEAN, std=STD)
TINY = {"dim": 24, "depth": 2, "heads": 2, "mlp": 48, "token": True}
LIFTS = [("byte", "nibble"), ("byte", "bit"), ("nibble", "bit"), ("nibble", "nibble")]
STEMS = [("small", "block", {}), ("small", "paper", {}), ("fast", "lean", {}), ("vit", "patch", {"options": TINY})]


def tensors(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in module.state_dict().items() if tensor.is_floating_point()}


@pytest.fixture(scope="module")
def theirs():
    return foreign_models.transformer(eps=1e-6)


def read(made, form=foreign_models.as_timm, unit="byte", **changes):
    given = {name: tensor.numpy() for name, tensor in form(made).items()}
    return transformer(given, dataclasses.replace(TOLD, **changes), unit)


# Networks of this software.


@pytest.mark.parametrize(("old", "new"), LIFTS)
@pytest.mark.parametrize(("name", "stem", "more"), STEMS, ids=[stem for _, stem, _ in STEMS])
def test_a_first_layer_on_finer_units_answers_as_before(name, stem, more, old, new):
    stated = params(name, old, stem=stem, **more)
    module = own(name, stated)
    plain = network(tensors(module), name, stated, CLASSES, new)
    assert plain.arch["unit"] == new
    assert alike(answers(built(plain), images(200)), answers(module, images(200)))


@pytest.mark.parametrize(("old", "new"), LIFTS)
def test_lifting_brings_in_no_bias_and_changes_nothing_but_the_first_layer(old, new):
    stated = params("small", old)
    before = tensors(own("small", stated))
    after = network(before, "small", stated, CLASSES, new).state
    assert set(before) == set(after)
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert changed == ([] if old == new else [FIRST_LAYER])


def test_channels_that_a_wider_first_layer_has_beyond_are_zero():
    stated = params("fast", "byte")
    before = tensors(own("fast", stated))
    after = network(before, "fast", stated, CLASSES, "nibble").state
    width = len(before[FIRST_LAYER])
    assert len(after[FIRST_LAYER]) > width
    assert np.array_equal(after["stem.mix.weight"][:, :width], before["stem.mix.weight"])
    for name in (FIRST_LAYER, "stem.blocks.bias"):
        assert not after[name][width:].any()


def test_the_high_half_of_a_byte_weighs_sixteen_times_the_low_one():
    weight = np.random.default_rng(1).normal(size=(5, 3, 4, 4)).astype(np.float32)
    high, low = np.split(lifted(weight, "byte", "nibble"), 2, axis=1)
    assert np.array_equal(high, weight)
    assert np.array_equal(low * 16, weight)


@pytest.mark.parametrize(("old", "new"), [("nibble", "byte"), ("bit", "byte"), ("bit", "nibble")])
def test_no_layer_on_coarser_units_is_made(old, new):
    with pytest.raises(SchemeError, match=f"sees {old}s, which no layer on whole {new}s"):
        lifted(np.zeros((2, 3 * UNITS_PER_BYTE[old], 4, 4), np.float32), old, new)


@pytest.mark.parametrize("stem", ["mixture", "position", "pixels"])
def test_a_first_layer_that_absorbs_no_key_is_refused(stem):
    with pytest.raises(SchemeError, match=f"kind {stem} absorbs no key"):
        network({}, "small", params("small", stem=stem), CLASSES)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"unit": "word"}, "unit must be"),
        ({"block": 0}, "block must be an integer"),
        ({"shape": [16, 24]}, "shape must be an array"),
        ({"upsample": 3}, "upsample must be"),
        ({"classes": True}, "classes must be an integer"),
        ({"padding": 1}, "padding is unknown"),
        ({"block": 5}, "not made of whole blocks"),
        ({"options": {"dim": 7}}, "no such network"),
        ({"options": {"dim": 10**9}}, "options.dim must be"),
    ],
)
def test_parameters_that_no_network_has_are_refused(changes, sentence):
    with pytest.raises(FormatError, match=sentence):
        network({}, "small", params("small") | changes, CLASSES)


def test_an_unknown_network_is_refused():
    with pytest.raises(FormatError, match="network must be one of small"):
        network({}, "huge", params("small"), CLASSES)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda state: state.pop("head.bias"), "lacks head.bias"),
        (lambda state: state.update(extra=np.zeros(1)), "beyond the network's, extra"),
        (lambda state: state.update({"head.bias": np.zeros(6)}), r"head.bias of shape \(5,\), got \(6,\)"),
        (lambda state: state.update({"head.bias": np.full(5, np.nan)}), "finite numbers in head.bias"),
    ],
)
def test_tensors_of_another_network_are_refused(change, sentence):
    stated = params("small")
    state = tensors(own("small", stated))
    change(state)
    with pytest.raises(FormatError, match=sentence):
        network(state, "small", stated, CLASSES)


@pytest.mark.parametrize(
    ("names", "kind", "sentence"),
    [
        ((), DataError, "what its classes are called"),
        (CLASSES[:4], DataError, "has 5 classes, got 4 names"),
        ((*CLASSES[:4], "a\nb"), FormatError, "printable"),
    ],
)
def test_class_names_must_be_there_and_fit(names, kind, sentence):
    stated = params("small")
    with pytest.raises(kind, match=sentence):
        network(tensors(own("small", stated)), "small", stated, names)


# Vision transformers of other programs.


@pytest.mark.parametrize("unit", ["byte", "nibble", "bit"])
@pytest.mark.parametrize("form", [foreign_models.as_timm, foreign_models.as_hugging_face])
def test_a_transformer_of_another_program_answers_as_there(form, unit):
    made = foreign_models.transformer(eps=0.05)
    plain = read(made, form, unit, eps="0.05")
    assert alike(answers(built(plain), images(200)), made.logits(images(200)))
    assert not alike(answers(built(read(made, form, unit)), images(200)), made.logits(images(200)))


def test_it_says_what_it_was_made_from(theirs):
    assert read(theirs).source == "vision transformer in the layout of timm"
    assert read(theirs, foreign_models.as_hugging_face).source == "vision transformer in the layout of Hugging Face"


def test_one_mean_and_deviation_may_stand_for_all_colours(theirs):
    every = read(theirs, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)).state
    for name, tensor in read(theirs, mean=(0.5,), std=(0.25,)).state.items():
        assert np.array_equal(tensor, every[name])


@pytest.mark.parametrize(
    ("changes", "sentence", "hint"),
    [
        ({"heads": 0}, "how many heads", "one for 64 channels, this has 24"),
        ({"mean": ()}, "how it normalises pixels", "--mean"),
        ({"std": ()}, "how it normalises pixels", "--std"),
        ({"classes": ()}, "what its classes are called", "--classes"),
        ({"size": None}, "24 patches of 4x4 pixels, got 16x16", "--size HxW"),
        ({"size": (24, 24)}, "24 patches of 4x4 pixels, got 24x24", "--size HxW"),
        ({"heads": 5}, "divides 24 channels", ""),
        ({"std": (0.0,)}, "a deviation above 0", ""),
    ],
)
def test_what_no_tensor_says_must_be_said_and_fit(theirs, changes, sentence, hint):
    with pytest.raises(DataError, match=sentence) as refused:
        read(theirs, **changes)
    assert hint in refused.value.hint


def test_a_model_that_reads_the_mean_in_spite_of_a_token_is_refused(theirs):
    assert read(theirs, pool="token")
    with pytest.raises(FormatError, match="reads avg at its end"):
        read(theirs, pool="avg")


def test_tensors_of_something_else_are_refused():
    with pytest.raises(FormatError, match="expected a vision transformer") as refused:
        transformer({"weight": np.zeros((3, 3), np.float32)}, TOLD, "byte")
    assert "config.json" in refused.value.hint
