"""Lent keys: one scheme, one shape, one epoch, one device, and nothing beyond. FORMAT.md section E.3."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace

import pytest

from blindsight.protocol import delegate, grant, kem
from blindsight.protocol.encoding import canonical, from_b64, tagged_hash, to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import BlindsightError
from blindsight.protocol.scheme import Descriptor, check_value, scheme_key
from blindsight.protocol.tag import Tag
from tests.protocol import worlds
from tests.protocol.worlds import LE, NOW, resigned, signed_by

CAMERA = worlds.identity("camera", "device")
SEED = hashlib.sha256(b"the camera's seed").digest()
EXPIRES = "2026-12-04T13:00:00Z"


@pytest.fixture(scope="module")
def world():
    return worlds.world(3)


@pytest.fixture(scope="module")
def join(world):
    stated = {"kem_seed": SEED, "nonce": bytes(32), "created": worlds.CREATED, "expires": EXPIRES}
    return grant.read_join(grant.make_join(CAMERA, world.log.fed, **stated), world.log.fed, NOW)


def tag_of(world, descriptor=LE, epoch=1):
    key, agreed = world.scheme_key(descriptor, epoch), world.log.epoch(epoch)
    scv = check_value(descriptor, key, lambda images, ids: images)
    return Tag(world.log.fed, epoch, agreed.record, agreed.kcv, descriptor.digest, scv)


@pytest.fixture(scope="module")
def lent(world, join):
    return delegate.make_delegate(world.keys[0], world.log, join, LE, tag_of(world), world.scheme_key())


def opened(envelope, log, join, *, me=CAMERA, seed=SEED, request=None):
    return delegate.open_delegate(envelope, log, me=me.entry.fpr, join=request or join.envelope.mid, kem_seed=seed)


def code_of(act, *arguments, **options):
    with pytest.raises(BlindsightError) as caught:
        act(*arguments, **options)
    return caught.value.code


def forged(sponsor, lent, join, /, **changes):
    """A delegation by a dishonest member: whatever it says, sealed and signed as it should be."""
    body = {**lent.body(), "from": sponsor.entry.fpr} | changes
    names = ("fed", "record", "scheme_digest", "scv", "join", "from", "to")
    context = tagged_hash("delegate", *(bytes.fromhex(body[name]) for name in names))
    return Envelope.of("delegate", body | {"box": to_b64(kem.seal(join.kem, bytes(32), context))}).signed(sponsor)


def test_a_device_gets_the_schemes_key_and_its_tag(world, lent, join):
    found = opened(lent, world.log, join)
    assert (found.key, found.tag, found.descriptor) == (world.scheme_key(), tag_of(world), LE)
    assert (found.sponsor, found.not_after) == (world.keys[0].entry.label, worlds.NOT_AFTER)


def test_a_lent_key_is_shown_nowhere(world, lent, join):
    found = opened(lent, world.log, join)
    data = lent.to_bytes() + lent.payload + repr(found).encode()
    for secret in (world.scheme_key(), world.secret):
        for spelling in (secret, to_b64(secret).encode(), secret.hex().encode(), repr(secret).encode()):
            assert spelling not in data


def test_a_delegation_holds_one_key_and_no_epoch_secret(world, lent, join):
    context = tagged_hash(
        "delegate",
        *(bytes.fromhex(lent.body()[name]) for name in ("fed", "record", "scheme_digest", "scv", "join", "from", "to")),
    )
    assert kem.unseal(SEED, from_b64(lent.body()["box"]), context, 32) == world.scheme_key()


def test_keys_of_other_schemes_shapes_and_epochs_are_unrelated_to_a_lent_one(world):
    later = world.next_epoch()
    descriptors = [
        LE,
        Descriptor("le", 1, (16, 16, 3), {"block": 4}),
        Descriptor("le", 1, (8, 8, 1), {"block": 4}),
        Descriptor("le", 1, (8, 8, 3), {"block": 8}),
        Descriptor("block-shuffle", 1, (8, 8, 3), {"block": 4}),
    ]
    keys = [scheme_key(world.secret, world.log.fed, 1, one.digest) for one in descriptors]
    keys += [later.scheme_key(epoch=2), scheme_key(world.secret, world.log.fed, 2, LE.digest)]
    assert len(set(keys)) == len(keys)
    # Whoever takes the lent key for an epoch secret finds none of them, and no check value of an epoch.
    guessed = [scheme_key(keys[0], world.log.fed, epoch, one.digest) for epoch in (1, 2) for one in descriptors]
    assert not set(guessed) & set(keys)
    assert all(left != right for left, right in itertools.combinations([*keys, *guessed], 2))


def test_keys_are_lent_to_devices_only(world):
    for role in ("holder", "trainer", "operator"):
        key = worlds.identity("greedy", role)
        stated = {"kem_seed": SEED, "nonce": bytes(32), "created": worlds.CREATED, "expires": EXPIRES}
        join = grant.read_join(grant.make_join(key, world.log.fed, **stated), world.log.fed, NOW)
        arguments = (world.keys[0], world.log, join, LE, tag_of(world), world.scheme_key())
        assert code_of(delegate.make_delegate, *arguments) == "E_ROSTER"


def test_a_device_is_never_granted_an_epoch_secret(world, join):
    assert code_of(grant.make_grant, world.keys[0], world.log, join, {1: world.secret}) == "E_ROSTER"


def test_only_a_member_lends(world, join, lent):
    stranger = worlds.identity("mallory")
    assert code_of(delegate.make_delegate, stranger, world.log, join, LE, tag_of(world), bytes(32)) == "E_ROSTER"
    assert code_of(opened, forged(stranger, lent, join), world.log, join) == "E_ROSTER"


def test_a_removed_member_lends_nothing_any_more(world, join, lent):
    gone, stay = world.keys[0], world.keys[1:]
    later = worlds.grown(world.log, worlds.roster_record(world.log, [key.entry for key in stay], stay))
    assert code_of(opened, lent, later, join) == "E_ROSTER"
    assert code_of(opened, forged(gone, lent, join, roster=later.roster.id), later, join) == "E_ROSTER"


def test_a_scheme_that_the_epoch_does_not_allow_is_not_lent(world, join, lent):
    other = Descriptor("plain", 1, (8, 8, 3), {"block": 4})
    arguments = (world.keys[0], world.log, join, other, tag_of(world, other), world.scheme_key(other))
    assert code_of(delegate.make_delegate, *arguments) == "E_SCHEME"
    swapped = forged(world.keys[0], lent, join, scheme=other.to_json(), scheme_digest=other.digest)
    assert code_of(opened, swapped, world.log, join) == "E_SCHEME"


@pytest.mark.parametrize("shape", [(0, 8, 3), (8, 70_000, 3)], ids=str)
def test_a_shape_that_no_reader_takes_is_not_lent(world, join, shape):
    odd = replace(LE, shape=shape)
    tag = replace(tag_of(world), scheme_digest=odd.digest)
    assert code_of(delegate.make_delegate, world.keys[0], world.log, join, odd, tag, bytes(32)) == "E_FORMAT"


def test_a_descriptor_with_another_digest_is_refused(world, join, lent):
    wider = replace(LE, shape=(16, 16, 3))
    assert code_of(opened, forged(world.keys[0], lent, join, scheme=wider.to_json()), world.log, join) == "E_SCHEME"


def test_an_epoch_that_is_not_agreed_is_not_lent(world, join):
    arguments = (world.keys[0], world.log, join, LE, replace(tag_of(world), epoch=2), bytes(32))
    assert code_of(delegate.make_delegate, *arguments) == "E_EPOCH"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"record": "00" * 32}, "E_EPOCH"),
        ({"kcv": "00" * 32}, "E_EPOCH"),
        ({"not_after": "2099-01-01T00:00:00Z"}, "E_EPOCH"),
        ({"epoch": 2}, "E_EPOCH"),
        ({"fed": "00" * 32}, "E_FED"),
        ({"to": "00" * 32}, "E_GRANT"),
        ({"join": "00" * 32}, "E_GRANT"),
        ({"roster": "00" * 32}, "E_GRANT"),
        ({"scheme_digest": "00" * 32}, "E_SCHEME"),
    ],
    ids=str,
)
def test_whatever_a_member_states_otherwise_than_the_log_is_refused(world, join, lent, changes, code):
    assert code_of(opened, forged(world.keys[0], lent, join, **changes), world.log, join) == code


@pytest.mark.parametrize("field", ["scv", "record", "from"])
def test_a_box_moved_under_another_statement_does_not_open(world, join, lent, field):
    signer = world.keys[1] if field == "from" else world.keys[0]
    other = {"scv": "00" * 32, "record": "00" * 32, "from": signer.entry.fpr}[field]
    assert code_of(opened, resigned(lent, [signer], **{field: other}), world.log, join) in ("E_BOX", "E_EPOCH")


def test_a_delegation_to_another_device_is_refused(world, join, lent):
    assert code_of(opened, lent, world.log, join, me=worlds.identity("other", "device")) == "E_GRANT"


def test_a_delegation_that_answers_another_request_is_refused(world, join, lent):
    assert code_of(opened, lent, world.log, join, request="00" * 32) == "E_GRANT"


def test_a_wrong_seed_opens_nothing(world, join, lent):
    assert code_of(opened, lent, world.log, join, seed=bytes(32)) == "E_BOX"


def test_a_delegation_needs_its_members_signature_alone(world, join, lent):
    assert code_of(opened, signed_by(lent, world.keys[:2]), world.log, join) == "E_QUORUM"
    assert code_of(opened, signed_by(lent, [CAMERA]), world.log, join) == "E_QUORUM"
    assert code_of(opened, worlds.spoilt(lent), world.log, join) == "E_SIG"


def test_a_delegation_under_an_older_roster_counts_while_its_member_stays(world, join, lent):
    lab = worlds.identity("second-lab", "trainer")
    members = [key.entry for key in world.keys]
    later = worlds.grown(world.log, worlds.roster_record(world.log, members, world.keys, trainers=[lab.entry]))
    assert opened(lent, later, join).key == world.scheme_key()


@pytest.mark.parametrize("field", ["v", "type", "fed", "epoch", "scheme", "scv", "roster", "not_after", "to", "box"])
@pytest.mark.parametrize("value", [None, True, -1, "", [], {"a": 1}], ids=repr)
def test_no_value_in_a_delegation_gives_a_traceback(world, join, lent, field, value):
    assert code_of(opened, resigned(lent, [world.keys[0]], **{field: value}), world.log, join) == "E_FORMAT"


def test_a_grant_is_no_delegation(world, join):
    other = Envelope(grant.GRANT, canonical({"v": 1}), {}).signed(world.keys[0])
    assert code_of(opened, other, world.log, join) == "E_FORMAT"
