"""Networks as torch computes them on plain images, imported: the operator's engine answers encrypted ones alike.

The largest differences of logits in these tests, in parts of 1 plus the greatest logit (one machine, torch 2.13, ONNX
Runtime 1.31): 1e-6 to 3e-6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from blindsight.holder.import_model import Plain, descriptor_of, imported
from blindsight.operator.engine import Engine, selftest_in
from blindsight.protocol import bundle
from blindsight.protocol.errors import SchemeError
from blindsight.trainer import convert
from blindsight.trainer.told import Told
from tests.holder import models
from tests.protocol import worlds
from tests.protocol.worlds import CREATED
from tests.trainer import foreign_models
from tests.trainer.foreign_models import CLASSES, MEAN, SHAPE, STD, alike, answers, images, own, params

COUNT = 300
MODEL = {"id": "0b" * 16, "name": "pets", "version": "1"}
TOLD = Told(heads=foreign_models.HEADS, size=SHAPE[:2], classes=CLASSES, mean=MEAN, std=STD)


@dataclass(frozen=True)
class Case:
    """A network on plain images.

    Args:
        place: where it lies.
        told: what is typed.
        logits: its answers to the plain images.
    """

    place: Any
    told: Told
    logits: np.ndarray


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Each network once, by name."""
    root, cases = tmp_path_factory.mktemp("plain"), {}
    pictures = images(COUNT)
    for name in ("small", "fast"):
        network = own(name, params(name))
        folder = foreign_models.write_own(root / name, name, params(name), network)
        cases[name] = Case(folder, Told(), answers(network, pictures))
    theirs = foreign_models.transformer(eps=1e-6)
    cases["timm"] = Case(foreign_models.write_timm(root / "vit.safetensors", theirs), TOLD, theirs.logits(pictures))
    theirs = foreign_models.transformer(eps=1e-3, seed=8)
    folder = foreign_models.write_hugging_face(root / "hugging-face", theirs)
    cases["hugging face"] = Case(folder, Told(), theirs.logits(pictures))
    return cases


def brought(case: Case, name: str, unit: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Converted and imported by the first holder for the first epoch."""
    where, found = models.world(), Plain(convert.files_of(convert.read(case.place, case.told, unit)), "a test")
    descriptor = descriptor_of(found, name, {})
    return imported(found, descriptor, where.log, where.epoch(1), where.secret(1), where.keys[0], MODEL, CREATED)


@pytest.mark.parametrize(
    ("model", "scheme", "unit"),
    [
        ("small", "le", "nibble"),
        ("small", "block-shuffle", "byte"),
        ("fast", "le", "nibble"),
        ("fast", "block-shuffle", "byte"),
        ("timm", "vit-block", "byte"),
        ("timm", "le", "nibble"),
        ("hugging face", "vit-block", "byte"),
        ("hugging face", "block-shuffle", "bit"),
    ],
)
def test_the_operator_answers_encrypted_images_as_torch_answers_plain_ones(made, model, scheme, unit, tmp_path):
    predicate, files = brought(made[model], scheme, unit)
    bundle.make(tmp_path / "out", models.world().keys[0], predicate, files)
    loaded = bundle.load(tmp_path / "out", models.world().log, worlds.NOW)
    engine, encrypted = Engine.of(loaded), models.world().cipher(loaded.descriptor, 1).encrypt(images(COUNT))
    assert set(made[model].logits.argmax(axis=1)) == set(range(len(CLASSES)))
    assert alike(engine.infer(encrypted), made[model].logits)
    assert not alike(engine.infer(images(COUNT)), made[model].logits)
    engine.demand_answers(selftest_in(loaded))
    assert loaded.classes == CLASSES


@pytest.mark.parametrize("model", ["small", "fast"])
def test_convolutional_networks_do_not_follow_moved_blocks(made, model):
    with pytest.raises(SchemeError, match=f"network {model} has no learned positions"):
        brought(made[model], "vit-block", "byte")
