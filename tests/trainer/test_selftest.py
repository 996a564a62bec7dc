"""A self-test is made of noise that follows from the weights, and of the network's own answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from blindsight.operator.engine import Engine
from blindsight.trainer.networks import build
from blindsight.trainer.onnx_export import to_onnx
from blindsight.trainer.selftest import selftest_of

SHAPE = (8, 8, 3)


def network(seed=0, unit="nibble", stem="block"):
    return build("small", stem=stem, unit=unit, block=4, shape=SHAPE, classes=3, upsample=2, seed=seed)


def test_its_answers_are_those_of_the_network_in_evaluation_mode():
    module = network().train()
    test = selftest_of(module, SHAPE)
    assert module.training
    with torch.inference_mode():
        logits = module.eval()(torch.from_numpy(test.images)).numpy()
    assert np.array_equal(test.logits, logits)


def test_equal_weights_give_equal_files_and_other_weights_other_images():
    assert selftest_of(network(), SHAPE).to_bytes() == selftest_of(network(), SHAPE).to_bytes()
    assert not np.array_equal(selftest_of(network(), SHAPE).images, selftest_of(network(1), SHAPE).images)


def test_its_images_are_uniform_noise():
    images = selftest_of(build_large(), (64, 64, 3)).images
    counts = np.bincount(images.ravel(), minlength=256)
    chi2 = float(((counts - images.size / 256) ** 2 / (images.size / 256)).sum())
    assert 150 < chi2 < 400  # 255 degrees of freedom: mean 255, standard deviation 23


def build_large():
    return build("small", stem="block", unit="byte", block=4, shape=(64, 64, 3), classes=3, upsample=1, seed=0)


def test_no_global_random_state_is_read_or_written():
    module = network()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = selftest_of(module, SHAPE)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert selftest_of(module, SHAPE).to_bytes() == first.to_bytes()


@pytest.mark.parametrize(("unit", "stem"), [("nibble", "block"), ("bit", "position")])
def test_the_operators_engine_answers_the_same(unit, stem):
    module = network(unit=unit, stem=stem)
    test = selftest_of(module, SHAPE)
    assert Engine(to_onnx(module, SHAPE), SHAPE, 3).demand_answers(test) <= test.tolerance
