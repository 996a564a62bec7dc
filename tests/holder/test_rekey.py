"""A re-keyed model is the same model: its weights bit for bit but moved and negated, its answers what they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from blindsight.holder.absorption import Layout, Turn, key_of
from blindsight.holder.rekey import rekey, rekeyed
from blindsight.protocol import bundle, provenance, tensorfile
from blindsight.protocol.errors import BlindsightError, FormatError, MembershipError, SchemeError
from blindsight.protocol.scheme import Descriptor, check_value
from tests.holder import models
from tests.holder.models import BLOCK, SHAPE, TOLERANCE, scheme
from tests.protocol import worlds

WORLD = models.world()
ANNA, BERT = WORLD.keys
KINDS = {
    "le": ("le", "nibble", False),
    "block-shuffle": ("block-shuffle", "byte", False),
    "nibbles under block-shuffle": ("block-shuffle", "nibble", False),
    "le before a transformer": ("le", "nibble", True),
    "plain": ("plain", "byte", False),
    "vit-block": ("vit-block", "byte", True),
    "nibbles under vit-block": ("vit-block", "nibble", True),
}
MOVING = sorted(set(KINDS) - {"plain"})


def keys(name, unit, *epochs):
    layout = Layout(unit, BLOCK, SHAPE)
    return [key_of(WORLD.cipher(scheme(name), epoch), layout) for epoch in epochs]


def logits(content, name, epoch, rows=64):
    return models.engine(content).infer(WORLD.cipher(scheme(name), epoch).encrypt(models.pictures(rows)))


def led(found, number, old=1, key=ANNA):
    """What re-keying states and writes."""
    secrets = (WORLD.secret(old), WORLD.secret(number))
    return rekey(found, WORLD.log, WORLD.epoch(number), secrets, key, worlds.CREATED)


def refused(error, code, act, *arguments, **options):
    with pytest.raises(error) as caught:
        act(*arguments, **options)
    assert caught.value.code == code
    return caught.value.message


# The model.


@pytest.mark.parametrize("kind", KINDS)
def test_logits_on_images_under_the_new_key_are_those_under_the_old(kind):
    name, unit, vit = KINDS[kind]
    before = models.files(unit, vit=vit)
    after = rekeyed(before, *keys(name, unit, 1, 2))
    difference = np.abs(logits(after, name, 2) - logits(before, name, 1)).max()
    assert np.abs(logits(before, name, 1)).max() > 0.1
    assert difference < TOLERANCE


@pytest.mark.parametrize("kind", MOVING)
def test_the_old_model_does_not_understand_the_new_images(kind):
    name, unit, vit = KINDS[kind]
    before = models.files(unit, vit=vit)
    after = rekeyed(before, *keys(name, unit, 1, 2))
    assert np.abs(logits(before, name, 2) - logits(before, name, 1)).max() > 0.1
    assert np.abs(logits(after, name, 1) - logits(before, name, 1)).max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_model_serves_encrypted_images(kind):
    name, unit, vit = KINDS[kind]
    plain = models.files(unit, vit=vit)
    (new,) = keys(name, unit, 2)
    after = rekeyed(plain, Turn.identity(new.layout), new)
    direct = models.engine(plain).infer(models.pictures(64))
    assert np.abs(logits(after, name, 2) - direct).max() < TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_moved_and_negated_and_never_computed(kind):
    name, unit, vit = KINDS[kind]
    before = models.files(unit, vit=vit)
    after = rekeyed(before, *keys(name, unit, 1, 2))
    old, new = models.stored(before), models.stored(after)
    assert list(old) == list(new)
    for tensor in old:
        ordered = [np.sort(np.abs(one), axis=None) for one in (old[tensor], new[tensor])]
        assert np.array_equal(*ordered)
    assert np.array_equal(old["head.weight"], new["head.weight"])
    moved = {tensor for tensor in old if not np.array_equal(old[tensor], new[tensor])}
    layers = {"plain": set(), "vit-block": {"stem.blocks.weight", "positions"}}
    assert moved == layers.get(name, {"stem.blocks.weight"})


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back_gives_the_very_bytes(kind):
    name, unit, vit = KINDS[kind]
    before = models.files(unit, vit=vit)
    one, two = keys(name, unit, 1, 2)
    assert rekeyed(rekeyed(before, one, two), two, one) == before


@pytest.mark.parametrize("kind", KINDS)
def test_two_steps_are_one(kind):
    name, unit, vit = KINDS[kind]
    before = models.files(unit, vit=vit)
    one, two, three = keys(name, unit, 1, 2, 3)
    assert rekeyed(rekeyed(before, one, two), two, three) == rekeyed(before, one, three)


@pytest.mark.parametrize("kind", MOVING)
def test_model_and_weights_hold_the_same(kind):
    name, unit, vit = KINDS[kind]
    after = rekeyed(models.files(unit, vit=vit), *keys(name, unit, 1, 2))
    stored = {
        t.name: onnx.numpy_helper.to_array(t) for t in onnx.load_from_string(after[bundle.MODEL]).graph.initializer
    }
    for tensor, values in models.stored(after).items():
        assert values.tobytes() == stored[tensor].tobytes()
    onnx.checker.check_model(onnx.load_from_string(after[bundle.MODEL]), full_check=True)


@pytest.mark.parametrize("name", [bundle.CONFIG, bundle.LABELS])
def test_what_does_not_depend_on_the_key_is_left_as_it_is(name):
    before = models.files("nibble")
    assert rekeyed(before, *keys("le", "nibble", 1, 2))[name] == before[name]


# What goes with it.


def with_companions(kind):
    name, unit, vit = KINDS[kind]
    content = models.files(unit, vit=vit)
    return name, unit, content | models.companions(scheme(name), unit, models.engine(content))


@pytest.mark.parametrize("kind", KINDS)
def test_the_self_test_keeps_its_answers(kind):
    name, unit, content = with_companions(kind)
    after = rekeyed(content, *keys(name, unit, 1, 2))
    old, new = (models.stored(one, bundle.SELFTEST) for one in (content, after))
    assert np.array_equal(old["logits"], new["logits"])
    answers = models.engine(after).infer(new["images"])
    assert np.abs(answers - new["logits"]).max() <= TOLERANCE * (1 + np.abs(new["logits"]).max())
    one, two = keys(name, unit, 1, 2)
    assert np.array_equal(one.to(two).images(old["images"]), new["images"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_fingerprint_is_that_of_images_under_the_new_key(kind):
    name, unit, content = with_companions(kind)
    after = rekeyed(content, *keys(name, unit, 1, 2))
    other = models.companions(scheme(name), unit, models.engine(content), epoch=2)
    (got,), (expected,), (old,) = (models.stored(one, bundle.FINGERPRINT).values() for one in (after, other, content))
    assert np.abs(got - expected).max() < 1e-6
    assert (np.abs(old - expected).max() > 0.5) == (kind != "plain")


def test_a_file_of_which_nobody_knows_how_it_depends_on_the_key_is_refused():
    content = models.files("nibble", **{"int8.onnx": b"x"})
    assert "int8.onnx" in refused(SchemeError, "E_SCHEME", rekeyed, content, *keys("le", "nibble", 1, 2))


def changed(file, **tensors):
    """The files of a bundle with other tensors in one of them; None leaves one out."""
    _, _, content = with_companions("vit-block")
    arrays = {**models.stored(content, file), **tensors}
    whole = {name: array for name, array in arrays.items() if array is not None}
    return content | {file: tensorfile.to_bytes(whole, {"v": 1})}


ZEROS = {
    "no first layer": (bundle.WEIGHTS, {"stem.blocks.weight": None}),
    "a first layer for other blocks": (bundle.WEIGHTS, {"stem.blocks.weight": np.zeros((16, 3, 2, 2), np.float32)}),
    "a first layer for nibbles": (bundle.WEIGHTS, {"stem.blocks.weight": np.zeros((16, 6, 4, 4), np.float32)}),
    "a flat first layer": (bundle.WEIGHTS, {"stem.blocks.weight": np.zeros((16, 48), np.float32)}),
    "no filter": (bundle.WEIGHTS, {"stem.blocks.weight": np.zeros((0, 3, 4, 4), np.float32)}),
    "halves": (bundle.WEIGHTS, {"stem.blocks.weight": np.zeros((16, 3, 4, 4), np.float16)}),
    "another first layer than the model's": (
        bundle.WEIGHTS,
        {"stem.blocks.weight": np.zeros((16, 3, 4, 4), np.float32)},
    ),
    "fewer filters than the model": (bundle.WEIGHTS, {"stem.blocks.weight": np.zeros((8, 3, 4, 4), np.float32)}),
    "no positions": (bundle.WEIGHTS, {"positions": None}),
    "a position too many": (bundle.WEIGHTS, {"positions": np.zeros((7, 16), np.float32)}),
    "other positions than the model's": (bundle.WEIGHTS, {"positions": np.zeros((6, 16), np.float32)}),
    "a fingerprint of other units": (bundle.FINGERPRINT, {"correlations": np.zeros((96, 96), np.float32)}),
    "a fingerprint without correlations": (bundle.FINGERPRINT, {"correlations": None}),
    "a self-test of other images": (bundle.SELFTEST, {"images": np.zeros((8, 12, 8, 3), np.uint8)}),
    "a self-test of numbers": (bundle.SELFTEST, {"images": np.zeros((8, *SHAPE), np.float32)}),
}


@pytest.mark.parametrize("fault", ZEROS)
def test_what_does_not_fit_is_refused(fault):
    file, tensors = ZEROS[fault]
    refused(FormatError, "E_FORMAT", rekeyed, changed(file, **tensors), *keys("vit-block", "byte", 1, 2))


@pytest.mark.parametrize("file", [bundle.WEIGHTS, bundle.FINGERPRINT, bundle.SELFTEST])
def test_a_damaged_tensor_file_is_refused(file):
    _, _, content = with_companions("vit-block")
    content |= {file: content[file][:-1]}
    refused(FormatError, "E_SHARD", rekeyed, content, *keys("vit-block", "byte", 1, 2))


def test_a_model_without_the_first_layers_name_is_refused():
    content = models.files("nibble")
    content |= {bundle.MODEL: content[bundle.MODEL].replace(b"stem.blocks.weight", b"stem.block_.weight")}
    assert "no weight" in refused(FormatError, "E_FORMAT", rekeyed, content, *keys("le", "nibble", 1, 2))


# The statement.


@pytest.mark.parametrize("kind", KINDS)
def test_a_re_keyed_bundle_is_made_loaded_and_answers_as_before(kind, tmp_path):
    name, unit, vit = KINDS[kind]
    found = models.loaded(scheme(name), unit, vit=vit)
    statement = bundle.make(tmp_path / "two", ANNA, *led(found, 2))
    two = bundle.load(tmp_path / "two", WORLD.log, worlds.NOW)
    assert two.envelope == statement
    assert (two.signer, two.trainer) == (ANNA.entry.label, models.TRAINER.entry.label)
    assert np.abs(logits(two.files, name, 2) - logits(found.files, name, 1)).max() < TOLERANCE


def test_the_statement_says_what_was_done_and_changes_nothing_else():
    found = models.loaded(scheme("le"), "nibble")
    stated, content = led(found, 2)
    cipher = WORLD.cipher(scheme("le"), 2)
    epoch, first = WORLD.epoch(2), found.envelope
    assert {name: stated[name] for name in stated if stated[name] != found.predicate.get(name)} == {
        "epoch": 2,
        "record": epoch.record,
        "kcv": epoch.kcv,
        "scv": check_value(scheme("le"), WORLD.key(scheme("le"), 2), cipher.encrypt),
        "serial": 2,
        "supersedes": first.mid,
        "derived": {"by": ANNA.entry.fpr, "how": "rekeyed", "origin": first.mid, "epochs": [1]},
    }
    assert content[bundle.ORIGIN] == first.to_bytes()


def test_re_keyed_again_it_keeps_its_first_statement(tmp_path):
    bundle.make(tmp_path / "two", ANNA, *led(models.loaded(scheme("le"), "nibble"), 2))
    two = bundle.load(tmp_path / "two", WORLD.log, worlds.NOW)
    bundle.make(tmp_path / "three", BERT, *led(two, 3, old=2, key=BERT))
    three = bundle.load(tmp_path / "three", WORLD.log, worlds.NOW)
    derived = three.predicate["derived"]
    assert (derived["by"], derived["epochs"]) == (BERT.entry.fpr, [1, 2])
    assert derived["origin"] == two.predicate["derived"]["origin"]
    assert three.files[bundle.ORIGIN] == two.files[bundle.ORIGIN]
    assert (three.predicate["serial"], three.predicate["supersedes"]) == (3, two.envelope.mid)
    assert three.trainer == models.TRAINER.entry.label
    direct = led(models.loaded(scheme("le"), "nibble"), 3)[1]
    assert direct[bundle.MODEL] == three.files[bundle.MODEL]


def test_an_imported_model_can_be_re_keyed_and_has_no_trainer(tmp_path):
    imported = {"by": ANNA.entry.fpr, "how": provenance.IMPORTED, "origin": None, "epochs": []}
    stated = models.predicate(scheme("le"), "nibble", trainer=None, derived=imported)
    bundle.make(tmp_path / "one", ANNA, stated, models.files("nibble"))
    one = bundle.load(tmp_path / "one", WORLD.log, worlds.NOW)
    bundle.make(tmp_path / "two", BERT, *led(one, 2, key=BERT))
    two = bundle.load(tmp_path / "two", WORLD.log, worlds.NOW)
    assert (one.trainer, one.signer, two.trainer, two.signer) == (None, ANNA.entry.label, None, BERT.entry.label)
    assert two.predicate["derived"] == {
        "by": BERT.entry.fpr,
        "how": "rekeyed",
        "origin": one.envelope.mid,
        "epochs": [1],
    }


def test_the_card_says_in_plain_words_what_was_done_each_time(tmp_path):
    card = b"# pets\n\nTells cats, dogs and owls apart.\n"
    content = models.files("nibble", **{bundle.CARD: card})
    bundle.make(tmp_path / "two", ANNA, *led(models.loaded(scheme("le"), "nibble", content=content), 2))
    two = bundle.load(tmp_path / "two", WORLD.log, worlds.NOW)
    after = led(two, 3, old=2, key=BERT)[1][bundle.CARD].decode()
    assert after.startswith(card.decode() + "\n## Re-keyed for epoch 2\n")
    assert after.count("## Re-keyed for epoch") == 2
    assert f"{BERT.entry.label} re-keyed this model from epoch 2 to epoch 3 on {worlds.CREATED}" in after


def test_a_card_that_grows_too_long_is_refused(tmp_path):
    content = models.files("nibble", **{bundle.CARD: b"x" * bundle.MAX_TEXT_BYTES})
    stated = led(models.loaded(scheme("le"), "nibble", content=content), 2)
    assert bundle.CARD in refused(FormatError, "E_FORMAT", bundle.make, tmp_path / "two", ANNA, *stated)
    assert list(tmp_path.iterdir()) == []


# Refusals.


def test_a_bundle_of_that_epoch_already_is_refused():
    found = models.loaded(scheme("le"), "nibble")
    assert "already" in refused(MembershipError, "E_EPOCH", led, found, 1)


def test_only_a_member_re_keys():
    found = models.loaded(scheme("le"), "nibble")
    for key in (models.TRAINER, worlds.identity("stranger")):
        refused(MembershipError, "E_ROSTER", led, found, 2, key=key)


def test_a_model_of_images_that_were_encrypted_in_another_way_is_refused():
    found = models.loaded(scheme("le"), "nibble", scv="ab" * 32)
    assert "another way" in refused(SchemeError, "E_SCV", led, found, 2)


def test_a_scheme_that_the_epoch_does_not_allow_is_refused():
    found = models.loaded(scheme("le"), "nibble")
    barred = replace(WORLD.epoch(2), schemes=({"id": "block-shuffle", "v": 1},))
    secrets = (WORLD.secret(1), WORLD.secret(2))
    message = refused(SchemeError, "E_SCHEME", rekey, found, WORLD.log, barred, secrets, ANNA, worlds.CREATED)
    assert "not allowed in epoch 2" in message


@pytest.mark.parametrize("name", ["ele"])
def test_a_scheme_that_no_first_layer_absorbs_is_refused(name):
    refused(SchemeError, "E_SCHEME", led, models.loaded(scheme(name), "nibble"), 2)


def test_a_layer_on_bytes_under_le_is_refused():
    assert "moves nibbles" in refused(SchemeError, "E_SCHEME", led, models.loaded(scheme("le"), "byte"), 2)


def test_moved_blocks_before_a_network_without_positions_are_refused():
    assert "positions" in refused(SchemeError, "E_SCHEME", led, models.loaded(scheme("vit-block"), "byte"), 2)


def test_a_bundle_whose_first_layer_is_not_described_is_refused():
    found = models.loaded(scheme("le"), "nibble", arch={"id": "small", "params": {"block": 4}})
    refused(SchemeError, "E_SCHEME", led, found, 2)


def test_no_refusal_and_no_statement_shows_a_key():
    found = models.loaded(Descriptor.of("le", SHAPE), "byte")
    with pytest.raises(BlindsightError) as caught:
        led(found, 2)
    shown = str(caught.value) + repr(keys("le", "nibble", 1)) + str(led(models.loaded(scheme("le"), "nibble"), 2)[0])
    assert WORLD.secret(1).hex() not in shown
    assert WORLD.key(scheme("le"), 1).hex() not in shown
