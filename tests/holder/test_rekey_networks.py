"""The trainer's own networks, exported as operators run them, answer after re-keying as before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from blindsight.holder.absorption import Layout, Turn, key_of
from blindsight.holder.ciphers import cipher_for
from blindsight.holder.rekey import rekeyed
from blindsight.operator.engine import Engine
from blindsight.protocol import bundle, tensorfile
from blindsight.protocol.errors import SchemeError
from blindsight.protocol.scheme import Descriptor
from blindsight.protocol.selftest import SelfTest
from blindsight.trainer.networks import build
from blindsight.trainer.onnx_export import to_onnx
from blindsight.trainer.selftest import selftest_of

SHAPE, CLASSES, BLOCK = (16, 16, 3), 5, 4
KEYS = (bytes(range(32)), bytes(32))
TOLERANCE = 1e-4  # of a logit, in parts of 1 plus the greatest logit
TINY = {"dim": 24, "depth": 2, "heads": 2, "mlp": 48}
KINDS: dict[str, tuple[str, str, str, str, dict[str, Any]]] = {
    "le": ("le", "small", "block", "nibble", {}),
    "nibbles under block-shuffle": ("block-shuffle", "small", "block", "nibble", {}),
    "vit-block": ("vit-block", "vit", "patch", "byte", TINY),
    "vit-block, a class token": ("vit-block", "vit", "patch", "byte", TINY | {"token": True}),
    "vit-block without positions": ("vit-block", "vit-orderless", "patch", "byte", TINY),
}


def network(name: str, stem: str, unit: str, options: dict[str, Any]) -> nn.Module:
    """A network whose normalisations are not the identity and whose positions matter."""
    shapes = {"block": BLOCK, "shape": SHAPE, "classes": CLASSES, "upsample": 1}
    module = build(name, stem=stem, unit=unit, seed=2, options=options, **shapes)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                for tensor in (layer.weight, layer.running_var):
                    assert tensor is not None
                    tensor.uniform_(0.5, 1.5, generator=generator)
        if (positions := getattr(module, "positions", None)) is not None:
            positions.normal_(generator=generator)
    return module.eval()


def files(module: nn.Module, name: str) -> dict[str, bytes]:
    state = {key: tensor.numpy() for key, tensor in module.state_dict().items() if tensor.is_floating_point()}
    return {
        bundle.MODEL: to_onnx(module, SHAPE),
        bundle.WEIGHTS: tensorfile.to_bytes(state, {"v": 1, "kind": "weights"}),
        bundle.CONFIG: bundle.config_file(name, {}),
        bundle.LABELS: bundle.labels_file([str(number) for number in range(CLASSES)]),
        bundle.SELFTEST: selftest_of(module, SHAPE).to_bytes(),
    }


@pytest.fixture(scope="module", params=KINDS)
def led(request):
    """A scheme, the files of a model before and after, and the two keys."""
    scheme, name, stem, unit, options = KINDS[request.param]
    before, layout = files(network(name, stem, unit, options), name), Layout(unit, BLOCK, SHAPE)
    ciphers = [cipher_for(Descriptor.of(scheme, SHAPE, {"block": BLOCK}), key) for key in KEYS]
    return ciphers, before, rekeyed(before, *(key_of(cipher, layout) for cipher in ciphers))


def logits(content, images):
    return Engine(content[bundle.MODEL], SHAPE, CLASSES).infer(images)


def test_logits_on_images_under_the_new_key_are_those_under_the_old(led):
    ciphers, before, after = led
    images = np.random.default_rng(4).integers(0, 256, (64, *SHAPE), dtype=np.uint8)
    old, new = (logits(c, cipher.encrypt(images)) for c, cipher in zip((before, after), ciphers, strict=True))
    assert np.abs(old - new).max() <= TOLERANCE * (1 + np.abs(old).max())
    assert (old.argmax(axis=1) == new.argmax(axis=1)).all()
    assert np.abs(logits(before, ciphers[1].encrypt(images)) - old).max() > 0.01


def test_the_self_test_still_holds(led):
    _, before, after = led
    old, new = (SelfTest.from_bytes(content[bundle.SELFTEST]) for content in (before, after))
    assert not np.array_equal(old.images, new.images)
    assert Engine(after[bundle.MODEL], SHAPE, CLASSES).demand_answers(new) <= new.tolerance


def test_a_network_that_mixes_neighbouring_patches_does_not_follow_moved_blocks():
    ciphers = [cipher_for(Descriptor.of("vit-block", SHAPE, {"block": BLOCK}), key) for key in KEYS]
    old, new = (key_of(cipher, Layout("byte", BLOCK, SHAPE)) for cipher in ciphers)
    with pytest.raises(SchemeError, match="network convmixer has no learned positions"):
        rekeyed({bundle.CONFIG: bundle.config_file("convmixer", {})}, old, new)
    still = Turn(new.layout, new.places, new.signs, old.blocks)
    assert not old.to(still).moves_blocks
