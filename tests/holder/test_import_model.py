"""A model of plain images becomes one under a key: it answers as before, and a holder signs what is known of it."""

from __future__ import annotations

import dataclasses
from importlib.metadata import version

import numpy as np
import pytest

from blindsight.holder.absorption import Layout, key_of
from blindsight.holder.import_model import Plain, demand_absorbable, descriptor_of, finer, imported
from blindsight.holder.rekey import rekey
from blindsight.operator.engine import Engine, selftest_in
from blindsight.protocol import bundle, tensorfile
from blindsight.protocol.errors import FormatError, MembershipError, SchemeError
from blindsight.protocol.manifest import labels_digest, task_of
from blindsight.protocol.scheme import SCHEMES, check_value
from tests.holder import models
from tests.holder.models import SHAPE, TOLERANCE, pictures
from tests.protocol import worlds
from tests.protocol.worlds import CLASSES, CREATED

SOURCE = "a file that somebody *brought*"
MODEL = {"id": "0b" * 16, "name": "pets", "version": "1"}
KINDS = {
    "le": ("le", "nibble", False),
    "block-shuffle": ("block-shuffle", "byte", False),
    "nibbles under block-shuffle": ("block-shuffle", "nibble", False),
    "vit-block": ("vit-block", "byte", True),
    "a transformer under le": ("le", "nibble", True),
    "plain": ("plain", "byte", False),
}


def plain(unit: str, *, vit: bool = False) -> Plain:
    """A model of plain images, converted."""
    content = models.files(unit, vit=vit)
    noise = np.random.default_rng(11).integers(0, 256, (8, *SHAPE), dtype=np.uint8)
    test = {"images": noise, "logits": models.engine(content).infer(noise)}
    return Plain(content | {bundle.SELFTEST: tensorfile.to_bytes(test, {"v": 1, "kind": "selftest"})}, SOURCE)


def brought(found: Plain, name: str, *, key=None, epoch: int = 1, **given):
    """Imported by the first holder for the first epoch: predicate and files."""
    where = models.world()
    descriptor = descriptor_of(found, name, given)
    who = key or where.keys[0]
    return imported(found, descriptor, where.log, where.epoch(epoch), where.secret(epoch), who, MODEL, CREATED)


@pytest.fixture(scope="module", params=KINDS)
def case(request):
    name, unit, vit = KINDS[request.param]
    found = plain(unit, vit=vit)
    return name, found, *brought(found, name)


def loaded(folder, predicate, files, key=None):
    bundle.make(folder, key or models.world().keys[0], predicate, files)
    return bundle.load(folder, models.world().log, worlds.NOW)


def test_to_encrypted_images_it_answers_as_the_plain_model_to_plain_ones(case, tmp_path):
    name, found, predicate, files = case
    images, cipher = pictures(300), models.world().cipher(models.scheme(name), 1)
    engine = Engine.of(loaded(tmp_path / "out", predicate, files))
    expected, got = models.engine(found.files).infer(images), engine.infer(cipher.encrypt(images))
    assert np.abs(got - expected).max() < TOLERANCE
    assert (got.argmax(axis=1) == expected.argmax(axis=1)).all()
    if name != "plain":
        assert np.abs(engine.infer(images) - expected).max() > 0.01


def test_the_operator_loads_it_and_its_self_test_holds(case, tmp_path):
    name, found, predicate, files = case
    it = loaded(tmp_path / "out", predicate, files)
    assert (it.signer, it.trainer) == (models.world().keys[0].entry.label, None)
    assert (it.classes, it.descriptor) == (CLASSES, models.scheme(name))
    Engine.of(it).demand_answers(selftest_in(it))
    assert (files[bundle.SELFTEST] == found.files[bundle.SELFTEST]) == (name == "plain")


def test_the_statement_says_what_is_known_and_nothing_else(case):
    name, found, predicate, _ = case
    where, descriptor = models.world(), models.scheme(name)
    unit = found.arch["params"]["unit"]
    _, centre, scale = models.UNITS[unit]
    key = where.key(descriptor, 1)
    assert predicate == {
        "v": 1,
        "model": MODEL,
        "trainer": None,
        "fed": where.log.fed,
        "epoch": 1,
        "record": where.epoch(1).record,
        "kcv": where.epoch(1).kcv,
        "head": where.log.head,
        "scheme": descriptor.to_json(),
        "scheme_digest": descriptor.digest,
        "scv": check_value(descriptor, key, where.cipher(descriptor, 1).encrypt),
        "arch": found.arch,
        "input": {
            "shape": list(SHAPE),
            "dtype": "u8",
            "layout": "NHWC",
            "mean": [str(centre)],
            "std": [str(scale)],
        },
        "task": task_of(CLASSES),
        "labels_digest": labels_digest(CLASSES),
        "training": {
            "manifests": [],
            "rounds": 0,
            "strategy": "imported",
            "clients": 0,
            "seed": 0,
            "software": {"blindsight": version("blindsight")},
        },
        "metrics": {},
        "serial": 1,
        "supersedes": None,
        "created": CREATED,
        "derived": {"by": where.keys[0].entry.fpr, "how": "imported", "origin": None, "epochs": []},
    }


def test_labels_and_configuration_stay_as_they_are(case):
    _, found, _, files = case
    assert set(files) == {*found.files, bundle.CARD}
    for name in (bundle.CONFIG, bundle.LABELS):
        assert files[name] == found.files[name]


def test_files_beyond_a_converted_models_are_left_behind():
    found = plain("byte")
    more = Plain({**found.files, bundle.FINGERPRINT: b"of plain images", "notes.txt": b"mine"}, SOURCE)
    assert brought(more, "block-shuffle") == brought(found, "block-shuffle")


# The card.


def test_the_card_says_who_imported_it_that_nothing_is_known_and_how_the_scheme_falls(case):
    name, _, _, files = case
    words = " ".join(files[bundle.CARD].decode().split())
    traits = models.scheme(name).traits
    for part in (
        "pets 1",
        models.world().keys[0].entry.label,
        "a file that somebody \\*brought\\*",
        "Nothing. On which images it was trained",
        traits.falls,
        traits.source,
        "8 x 12 pixels with 3 channel(s)",
        "3 classes",
    ):
        assert part in words


def test_the_card_says_that_both_models_together_give_the_key_where_there_is_one():
    for name, unit in (("le", "nibble"), ("plain", "byte")):
        words = " ".join(brought(plain(unit), name)[1][bundle.CARD].decode().split())
        assert ("finds the key" in words) == (name == "le")
        assert ("There is no key" in words) == (name == "plain")


def test_who_has_both_models_does_have_the_key():
    found, images = plain("nibble"), pictures(20)
    before, after = (models.stored(content)["stem.blocks.weight"] for content in (found.files, brought(found, "le")[1]))
    before, after = (weights.reshape(len(weights), -1) for weights in (before, after))
    alike = before.T @ after / np.outer(np.linalg.norm(before, axis=0), np.linalg.norm(after, axis=0))
    places, layout = np.abs(alike).argmax(axis=0), Layout("nibble", models.BLOCK, SHAPE)
    key = key_of(models.world().cipher(models.scheme("le"), 1), layout)
    guessed = dataclasses.replace(
        key, places=places, signs=np.sign(alike[places, np.arange(layout.size)]).astype(np.int8)
    )
    assert np.array_equal(guessed.images(images), models.world().cipher(models.scheme("le"), 1).encrypt(images))


# Afterwards.


def test_an_imported_model_is_led_into_the_next_epoch(tmp_path):
    where, found = models.world(), plain("nibble")
    first = loaded(tmp_path / "one", *brought(found, "le"))
    predicate, files = rekey(
        first, where.log, where.epoch(2), (where.secret(1), where.secret(2)), where.keys[1], CREATED
    )
    second = loaded(tmp_path / "two", predicate, files, where.keys[1])
    assert (second.signer, second.trainer) == (where.keys[1].entry.label, None)
    got = Engine.of(second).infer(where.cipher(models.scheme("le"), 2).encrypt(pictures(50)))
    assert np.abs(got - models.engine(found.files).infer(pictures(50))).max() < TOLERANCE


# Blocks and schemes.


def test_blocks_are_the_networks_unless_another_size_is_asked_for():
    assert descriptor_of(plain("byte"), "block-shuffle", {}).params == {"block": models.BLOCK}
    with pytest.raises(SchemeError, match="do not divide into blocks of 5x5"):
        descriptor_of(plain("byte"), "block-shuffle", {"block": "5"})
    with pytest.raises(SchemeError, match="not one signed permutation of the bytes of all blocks of 4x4"):
        brought(Plain(_wide(plain("byte").files), SOURCE), "block-shuffle", block="8")


def _wide(files):
    """The same for images whose sides are multiples of 8, as far as the configuration says."""
    params = models.arch("byte", vit=False)["params"] | {"shape": [8, 16, 3]}
    return {**files, bundle.CONFIG: bundle.config_file("small", params)}


def test_a_convolutional_network_does_not_follow_moved_blocks():
    with pytest.raises(SchemeError, match="network small has no learned positions"):
        brought(plain("byte"), "vit-block")


def test_a_first_layer_that_does_not_see_what_the_key_moves_is_refused():
    with pytest.raises(SchemeError, match="moves nibbles, the network's first layer sees whole bytes"):
        brought(plain("byte"), "le")


@pytest.mark.parametrize("changes", [{"shape": [8, 12]}, {"shape": "8x12"}, {"block": True}])
def test_a_model_that_does_not_say_what_its_images_are_is_refused(changes):
    params = models.arch("byte", vit=False)["params"] | changes
    with pytest.raises(SchemeError, match="does not say of which shape"):
        descriptor_of(Plain({bundle.CONFIG: bundle.config_file("small", params)}, SOURCE), "le", {})


def test_schemes_whose_keys_some_first_layer_absorbs_are_let_through():
    allowed = dataclasses.replace(models.world().epoch(1), schemes=tuple({"id": n, "v": v} for n, v in SCHEMES))
    for name, _ in SCHEMES:
        if name in ("plain", "block-shuffle", "le", "vit-block"):
            assert demand_absorbable(name, allowed).unit == SCHEMES[name, 1].unit
        else:
            with pytest.raises(SchemeError, match="no plain model follows them"):
                demand_absorbable(name, allowed)


def test_a_scheme_that_the_epoch_does_not_allow_is_refused():
    only = dataclasses.replace(models.world().epoch(1), schemes=({"id": "plain", "v": 1},))
    with pytest.raises(SchemeError, match="scheme le is not allowed in epoch 1"):
        demand_absorbable("le", only)
    other = models.scheme("le").to_json() | {"shape": [8, 16, 3]}
    where, found = models.world(), plain("nibble")
    rest = (where.secret(1), where.keys[0], MODEL, CREATED)
    only = dataclasses.replace(only, schemes=(other,))
    with pytest.raises(SchemeError, match="scheme le v1 is not allowed in epoch 1"):
        imported(found, models.scheme("le"), where.log, only, *rest)


@pytest.mark.parametrize(("one", "other"), [("byte", "nibble"), ("nibble", "bit"), ("byte", "bit"), ("bit", "bit")])
def test_the_finer_unit_is_the_one_of_less_bits(one, other):
    assert finer(one, other) == finer(other, one) == other


def test_only_a_member_imports():
    stranger = worlds.identity("stranger")
    with pytest.raises(MembershipError) as refused:
        brought(plain("byte"), "block-shuffle", key=stranger)
    assert refused.value.code == "E_ROSTER"


def test_files_that_contradict_each_other_are_refused():
    one, other = plain("byte"), models.files("byte", vit=False)
    weights = models.tensors("byte", vit=False, seed=4)
    other |= {bundle.WEIGHTS: tensorfile.to_bytes(weights, {"v": 1, "kind": "weights"})}
    with pytest.raises(FormatError, match=r"do not hold the same stem\.blocks\.weight"):
        brought(Plain({**one.files, **other}, SOURCE), "block-shuffle")


def test_no_secret_is_in_what_comes_out():
    predicate, files = brought(plain("nibble"), "le")
    shown = b"".join(files.values()) + repr(predicate).encode() + repr(plain("nibble")).encode()
    for secret in (models.world().secret(1), models.world().key(models.scheme("le"), 1)):
        assert secret not in shown
        assert secret.hex().encode() not in shown
