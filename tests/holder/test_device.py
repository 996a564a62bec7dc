"""Devices: a real holder lends, a real device encrypts, and the operator accepts what it should and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from blindsight.holder import device, geometry, joining, membership, notices
from blindsight.holder.ciphers import cipher_for
from blindsight.holder.sources import open_source
from blindsight.operator import inputs
from blindsight.operator.admission import Terms
from blindsight.protocol import bundle, shard
from blindsight.protocol.delegate import make_delegate
from blindsight.protocol.encoding import to_b64
from blindsight.protocol.errors import BlindsightError
from blindsight.protocol.grant import make_join
from blindsight.protocol.scheme import Descriptor, check_value, scheme_key
from blindsight.protocol.tag import Tag
from tests.holder import lives
from tests.operator import bundles
from tests.protocol import worlds
from tests.protocol.worlds import LE, NOW, World

OTHERS = {
    "another shape": Descriptor("le", 1, (16, 16, 3), {"block": 4}),
    "another block": Descriptor("le", 1, (8, 8, 3), {"block": 8}),
}


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    """A federation with an agreed epoch, and a device that has asked."""
    life = lives.Life(lives.agreed(tmp_path_factory.mktemp("agreed"), "majority"))
    life.comes("camera", "device")
    life.asks("camera")
    return life.root


@pytest.fixture
def life(founded, tmp_path):
    life = lives.Life(lives.copied(founded, tmp_path / "life"))
    life.names = lives.NAMES
    return life


def code_of(act, *arguments, **options):
    with pytest.raises(BlindsightError) as caught:
        act(*arguments, **options)
    return caught.value.code


def lend(life, descriptor=LE, *, by="anna", number=None, code=None, moment=NOW):
    code = code or life.keys["camera"].entry.code
    return life.act(by, device.lend, code, descriptor, number, moment)[0]


def take(life):
    """The lent keys that the device takes in, and code and sentence of each refusal."""
    taken, refused = life.act("camera", device.take)
    return taken, [(refusal.error.code, refusal.error.message) for refusal in refused]


def held(life):
    return life.act("camera", lambda store, box, log: device.lent(store, log))


def pictures(rows=4, seed=3):
    return np.random.default_rng(seed).integers(0, 256, (rows, *LE.shape), dtype=np.uint8)


def saved(life, images):
    """A source of these images."""
    source = life.root / "frames.npz"
    np.savez(source, test_images=images, test_labels=np.arange(len(images)) % 2)
    return source


def encrypt(life, out, images=None, *, key="", moment=NOW):
    """The device encrypts images of the lent shape into a file: how many."""
    split = open_source(str(saved(life, pictures() if images is None else images))).splits["test"]

    def work(store, box, log):
        lent = device.only_one(store, log, key)
        fit = geometry.Fit("refuse", None, 3)
        return device.encrypt(lent, log, split, fit, out, moment, lambda _: None)

    return life.act("camera", work)


def world_of(life):
    """The federation as tests of bundles know it, with the check value of the real cipher."""
    return World([life.keys[name] for name in life.names], life.log(), life.secret("anna"))


# What the device gets.


def test_the_device_holds_the_schemes_key_and_its_seed_is_gone(life):
    seed = life.state("camera")["join"]["seed"]
    lend(life)
    ((lent,), refused) = take(life)
    assert refused == []
    assert lent.key == scheme_key(life.secret("anna"), life.fed, 1, LE.digest)
    assert (lent.descriptor, lent.sponsor) == (LE, life.label("anna"))
    assert life.state("camera")["join"] is None
    assert seed not in json.dumps(life.state("camera"))
    assert [one.key for one in held(life)] == [lent.key]


def test_the_epoch_secret_is_nowhere_on_the_device_and_in_no_document(life):
    lend(life)
    take(life)
    secret = life.secret("anna")
    with life.store("camera") as store:
        kept = json.dumps(store.data)
        raw = store.path.read_bytes()
    for spelling in (to_b64(secret), secret.hex()):
        assert spelling not in kept
    for spelling in (secret, to_b64(secret).encode(), secret.hex().encode()):
        assert spelling not in raw
        assert not any(spelling in data for _, data in life.pieces())
    key = scheme_key(secret, life.fed, 1, LE.digest)
    assert to_b64(key) in kept
    assert not any(to_b64(key).encode() in data for _, data in life.pieces())


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_from_a_lent_key_no_other_scheme_or_epoch_is_derived(life, other):
    lend(life)
    ((lent,), _) = take(life)
    secret = life.secret("anna")
    wanted = scheme_key(secret, life.fed, 1, other.digest)
    derived = {scheme_key(lent.key, life.fed, epoch, one.digest) for epoch in (1, 2) for one in (LE, other)}
    assert wanted not in derived | {lent.key}


def test_a_device_is_granted_no_epoch(life):
    assert code_of(life.act, "anna", joining.give, "camera", NOW) == "E_ROSTER"
    assert life.act("camera", joining.take) == ([], [])


def test_several_keys_are_held_beside_each_other_and_named_by_their_tags(life, tmp_path):
    lend(life)
    take(life)
    life.asks("camera")
    lend(life, OTHERS["another shape"])
    take(life)
    assert len(held(life)) == 2
    assert code_of(encrypt, life, tmp_path / "frames.safetensors") == "E_GRANT"
    (wanted,) = [one for one in held(life) if one.descriptor == LE]
    assert encrypt(life, tmp_path / "frames.safetensors", key=wanted.tag.digest[:12]) == 4


def test_a_device_without_a_key_is_told_how_to_ask(life, tmp_path):
    with pytest.raises(BlindsightError) as caught:
        encrypt(life, tmp_path / "frames.safetensors")
    assert (caught.value.code, "device ask" in caught.value.hint) == ("E_GRANT", True)


# Lending.


def test_a_key_is_lent_to_the_whole_fingerprint_code_and_nothing_less(life):
    code = life.keys["camera"].entry.code
    for shorter in ("camera", code[:9], code[:-5], code[:-1], life.fpr("camera")):
        assert code_of(lend, life, code=shorter) == "E_ROSTER"
    assert lend(life, code=code.lower().replace("-", " ")).body()["to"] == life.fpr("camera")


def test_another_device_of_the_same_name_gets_nothing(life):
    impostor = worlds.identity("camera", "device")
    stated = {"kem_seed": bytes(32), "nonce": bytes(32), "created": worlds.CREATED, "expires": worlds.NOT_AFTER}
    life.puts("join", make_join(impostor, life.fed, **stated))
    assert lend(life).body()["to"] == life.fpr("camera") != impostor.entry.fpr


def test_a_newcomer_or_a_member_is_lent_nothing(life):
    dora = life.comes("dora")
    life.asks("dora")
    assert code_of(lend, life, code=dora.entry.code) == "E_ROSTER"


def test_a_scheme_that_was_not_agreed_is_not_lent(life):
    assert code_of(lend, life, Descriptor("plain", 1, (8, 8, 3), {"block": 4})) == "E_SCHEME"


def test_an_epoch_that_is_not_agreed_or_not_held_is_not_lent(life):
    assert code_of(lend, life, number=2) == "E_EPOCH"
    life.loses("bert")
    assert code_of(lend, life, by="bert") == "E_EPOCH"


@pytest.mark.parametrize("after", ["warned", "retired", "ended"])
def test_a_key_to_which_there_is_an_objection_is_neither_lent_nor_used(life, tmp_path, after):
    lend(life)
    take(life)
    life.asks("camera")
    moment = NOW.replace(year=NOW.year + 2) if after == "ended" else NOW
    if after == "ended":
        life.asks("camera", moment=moment)
    if after == "warned":
        life.act("bert", notices.warn, 1, "stolen", NOW)
    if after == "retired":
        life.retired(1)
    code = {"warned": "E_NOTICE", "retired": "E_RETIRED", "ended": "E_EXPIRED"}[after]
    asked = {one.entry.fpr for one in membership.requests(life.box, life.log(), moment)}
    if life.fpr("camera") in asked:
        assert code_of(lend, life, moment=moment) == code
    assert code_of(encrypt, life, tmp_path / "frames.safetensors", moment=moment) == code
    assert not (tmp_path / "frames.safetensors").exists()


# What is refused on the device.


def forged(life, *, key=None, descriptor=LE, by="anna", **changes):
    """A delegation by a dishonest member: any key, any statement of it."""
    secret = life.secret("anna")
    lent = scheme_key(secret, life.fed, 1, descriptor.digest) if key is None else key
    (join,) = [one for one in membership.requests(life.box, life.log(), NOW) if one.entry.role == "device"]
    log = life.log()
    epoch = log.epoch(1)
    scv = check_value(descriptor, lent, cipher_for(descriptor, lent).encrypt)
    tag = Tag(log.fed, 1, epoch.record, epoch.kcv, descriptor.digest, scv)
    document = make_delegate(life.keys[by], log, join, descriptor, replace(tag, **changes), lent)
    life.puts("delegate", document)
    return document


def test_a_key_that_does_not_give_the_stated_check_value_is_refused(life):
    forged(life, scv="00" * 32)
    taken, [(code, sentence)] = take(life)
    assert (taken, code) == ([], "E_SCV")
    assert life.label("anna") in sentence
    assert held(life) == []
    assert life.state("camera")["join"] is not None


def test_a_key_that_its_sender_invented_is_taken_for_what_it_is(life, tmp_path):
    """A device cannot know the epoch secret; its key gives another tag than the model's, and operators refuse it."""
    forged(life, key=bytes(32))
    ((lent,), _) = take(life)
    out = tmp_path / "frames.safetensors"
    encrypt(life, out)
    terms = Terms.of(bundle_of(life, tmp_path), lent.tag.digest)
    assert code_of(inputs.opened, out, terms, life.log()) == "E_SCHEME"


def test_a_delegation_by_a_removed_member_is_refused_and_named(life):
    document = forged(life, by="cleo")
    life.removed("cleo")
    taken, [(code, sentence)] = take(life)
    assert (taken, code, document.body()["from"]) == ([], "E_ROSTER", life.fpr("cleo"))
    assert life.keys["cleo"].entry.code[:9] in sentence


def test_a_delegation_to_another_device_is_passed_over(life):
    other = life.comes("other", "device")
    life.asks("other")
    life.act("anna", device.lend, other.entry.code, LE, None, NOW)
    assert take(life) == ([], [])


# What the operator accepts.


def bundle_of(life, tmp_path):
    """A real bundle whose tag is that of the real cipher under the epoch's key."""
    world = world_of(life)
    key = scheme_key(life.secret("anna"), life.fed, 1, LE.digest)
    scv = check_value(LE, key, cipher_for(LE, key).encrypt)
    folder = bundles.write(tmp_path / "bundle", world, scv=scv)
    return bundle.load(folder, life.log(), NOW)


def test_what_a_device_encrypts_is_admitted_by_the_operator_with_its_tag(life, tmp_path):
    lend(life)
    ((lent,), _) = take(life)
    images, out = pictures(), tmp_path / "frames.safetensors"
    encrypt(life, out, images)
    loaded = bundle_of(life, tmp_path)
    assert loaded.tag.digest == lent.tag.digest
    admitted = inputs.opened(out, Terms.of(loaded, lent.tag.digest), life.log())
    (batch,) = admitted.batches(16)
    assert (admitted.rows, batch.labels) == (4, None)
    key = scheme_key(life.secret("bert"), life.fed, 1, LE.digest)
    ids = [f"{shard.opened(out).head.dataset}/{row}" for row in range(4)]
    assert np.array_equal(cipher_for(LE, key).decrypt(batch.images, ids), images)
    assert out.stat().st_mode & 0o777 == 0o640


def test_what_a_device_encrypts_under_another_key_is_refused(life, tmp_path):
    loaded = bundle_of(life, tmp_path)
    life.agree()
    lend(life)
    ((lent,), _) = take(life)
    assert lent.tag.epoch == 2
    out = tmp_path / "frames.safetensors"
    encrypt(life, out)
    for declared in (None, lent.tag.digest, loaded.tag.digest):
        assert code_of(inputs.opened, out, Terms.of(loaded, declared), life.log()) == "E_SCHEME"


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_what_a_device_encrypts_under_another_scheme_or_shape_is_refused(life, tmp_path, other):
    lend(life, other)
    take(life)
    out, loaded = tmp_path / "frames.safetensors", bundle_of(life, tmp_path)
    images = np.random.default_rng(1).integers(0, 256, (2, *other.shape), dtype=np.uint8)
    encrypt(life, out, images)
    assert code_of(inputs.opened, out, Terms.of(loaded, None), life.log()) == "E_SCHEME"


# Encrypting.


def test_a_device_writes_over_nothing_and_leaves_nothing_half_written(life, tmp_path):
    lend(life)
    take(life)
    out = tmp_path / "frames.safetensors"
    encrypt(life, out)
    before = out.read_bytes()
    assert code_of(encrypt, life, out) == "E_EXISTS"
    assert out.read_bytes() == before
    assert code_of(encrypt, life, tmp_path / "more.safetensors", np.zeros((2, 9, 9, 3), np.uint8)) == "E_DATA"
    assert list(tmp_path.glob("*.safetensors*")) == [out]


def test_no_images_are_no_file(life, tmp_path):
    lend(life)
    take(life)

    def work(store, box, log):
        (key,) = device.lent(store, log)
        split = open_source("digits").splits["test"].part(np.arange(0))
        fit = geometry.Fit("refuse", None, 3)
        return device.encrypt(key, log, split, fit, tmp_path / "none.safetensors", NOW, lambda _: None)

    assert code_of(life.act, "camera", work) == "E_DATA"
    assert not (tmp_path / "none.safetensors").exists()


def test_images_beyond_one_batch_keep_their_order(life, tmp_path, monkeypatch):
    lend(life)
    ((lent,), _) = take(life)
    monkeypatch.setattr(device, "BATCH_BYTES", 3 * 8 * 8 * 3)
    images, out = pictures(10), tmp_path / "frames.safetensors"
    assert encrypt(life, out, images) == 10
    found = shard.opened(out)
    ids = [f"{found.head.dataset}/{row}" for row in range(10)]
    assert np.array_equal(cipher_for(LE, lent.key).decrypt(np.asarray(found.images), ids), images)


def test_a_device_writes_images_of_the_encrypted_shape(life, tmp_path):
    lend(life)
    ((lent,), _) = take(life)
    mix, out = Descriptor.of("patch-mix", LE.shape), tmp_path / "frames.safetensors"
    key = replace(lent, descriptor=mix, tag=replace(lent.tag, scheme_digest=mix.digest))
    split = open_source(str(saved(life, pictures(5)))).splits["test"]
    assert device.encrypt(key, life.log(), split, geometry.Fit("refuse", None, 3), out, NOW, lambda _: None, 2) == 5
    found = shard.opened(out)
    assert np.array_equal(found.images, cipher_for(mix, lent.key).encrypt(pictures(5)))
    assert found.images.shape == (5, 4, 4, 3)


def test_a_lent_key_shows_nothing_of_itself(life):
    lend(life)
    ((lent,), _) = take(life)
    assert to_b64(lent.key) not in repr(lent)
    assert lent.key.hex() not in repr(lent)
    assert str(lent.key) not in repr(held(life))
