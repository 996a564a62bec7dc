"""Requests and grants: whom a member's word reaches, and that it reaches no further. FORMAT.md section E."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from blindsight.protocol import grant, kem
from blindsight.protocol.clock import to_text
from blindsight.protocol.encoding import canonical, tagged_hash, to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import BlindsightError, SignatureError
from blindsight.protocol.log import Log
from tests.protocol import worlds
from tests.protocol.worlds import CREATED, NOW, resigned, signed_by

EXPIRES = to_text(NOW + timedelta(days=14))
NEW = worlds.identity("newcomer")
SEED = hashlib.sha256(b"the newcomer's key-agreement seed").digest()


def asked(key, log, *, seed=SEED, **changes):
    stated = {"kem_seed": seed, "nonce": bytes(32), "created": CREATED, "expires": EXPIRES}
    return grant.make_join(key, log.fed, **(stated | changes))


@pytest.fixture(scope="module")
def world():
    return worlds.world(3)


@pytest.fixture(scope="module")
def log(world):
    """The federation with the newcomer on its roster."""
    members = [*world.keys, NEW]
    record = worlds.roster_record(world.log, [key.entry for key in members], members)
    return worlds.grown(world.log, record)


@pytest.fixture(scope="module")
def join(log):
    return grant.read_join(asked(NEW, log), log.fed, NOW)


@pytest.fixture(scope="module")
def given(world, log, join):
    return grant.make_grant(world.keys[0], log, join, {1: world.secret})


def opened(envelope, log, join, *, me=NEW, seed=SEED, request=None):
    return grant.open_grant(envelope, log, me=me.entry.fpr, join=request or join.envelope.mid, kem_seed=seed)


def code_of(act, *arguments, **options):
    with pytest.raises(BlindsightError) as caught:
        act(*arguments, **options)
    return caught.value.code


def forged(sponsor, log, join, plain: bytes, **changes) -> Envelope:
    """A grant by a dishonest sponsor: whatever it says, sealed and signed as it should be."""
    body = {"v": 1, "type": "grant", "fed": log.fed, "roster": log.roster.id, "join": join.envelope.mid}
    body |= {"from": sponsor.entry.fpr, "to": join.entry.fpr, "len": len(plain)} | changes
    context = tagged_hash("grant", *(bytes.fromhex(body[name]) for name in ("fed", "roster", "join", "from", "to")))
    return Envelope.of("grant", body | {"box": to_b64(kem.seal(join.kem, plain, context))}).signed(sponsor)


# Requests.


def test_a_request_tells_who_asks_and_what_to_seal_to(join):
    assert (join.entry, join.kem, join.expires) == (NEW.entry, kem.public_key(SEED), EXPIRES)


@pytest.mark.parametrize("role", ["holder", "device"])
def test_whoever_has_a_key_may_ask(log, role):
    key = worlds.identity("somebody", role)
    assert grant.read_join(asked(key, log), log.fed, NOW).entry == key.entry


def test_a_request_shows_nothing_of_its_seed(log):
    document = asked(NEW, log)
    assert SEED not in document.to_bytes()
    assert to_b64(SEED).encode() not in document.to_bytes()
    assert SEED.hex().encode() not in document.payload


def test_a_request_for_another_federation_is_refused(log):
    assert code_of(grant.read_join, asked(NEW, log), "00" * 32, NOW) == "E_FED"


def test_a_request_counts_until_its_end_and_ten_minutes(log):
    end = NOW + timedelta(days=14)
    assert grant.read_join(asked(NEW, log), log.fed, end + timedelta(minutes=9))
    assert code_of(grant.read_join, asked(NEW, log), log.fed, end + timedelta(minutes=11)) == "E_EXPIRED"


def test_a_request_signed_by_somebody_else_is_refused(log, world):
    assert code_of(grant.read_join, signed_by(asked(NEW, log), [world.keys[0]]), log.fed, NOW) == "E_QUORUM"


def test_a_request_with_a_second_signature_is_refused(log, world):
    assert code_of(grant.read_join, asked(NEW, log).signed(world.keys[0]), log.fed, NOW) == "E_QUORUM"


def test_a_request_whose_signature_does_not_fit_is_refused(log):
    assert code_of(grant.read_join, worlds.spoilt(asked(NEW, log)), log.fed, NOW) == "E_SIG"


def test_a_request_in_anothers_name_is_refused(log, world):
    stolen = resigned(asked(NEW, log), [NEW], identity=world.keys[0].entry.to_json())
    assert code_of(grant.read_join, stolen, log.fed, NOW) == "E_QUORUM"


def test_a_request_with_a_key_that_nobody_can_seal_to_is_refused(log):
    zero = kem.public_key(SEED)[:1184] + bytes(32)
    assert code_of(grant.read_join, resigned(asked(NEW, log), [NEW], kem=to_b64(zero)), log.fed, NOW) == "E_KEM"


@pytest.mark.parametrize("field", ["v", "type", "fed", "identity", "kem", "nonce", "created", "expires"])
@pytest.mark.parametrize("value", [None, 0, "", [], {"a": 1}, "x" * 3000], ids=repr)
def test_no_value_in_a_request_gives_a_traceback(log, field, value):
    assert code_of(grant.read_join, resigned(asked(NEW, log), [NEW], **{field: value}), log.fed, NOW) == "E_FORMAT"


def test_an_unknown_field_in_a_request_is_refused(log):
    assert code_of(grant.read_join, resigned(asked(NEW, log), [NEW], admin=True), log.fed, NOW) == "E_FORMAT"


def test_a_grant_is_no_request_and_a_request_no_grant(log, join, given):
    assert code_of(grant.read_join, given, log.fed, NOW) == "E_FORMAT"
    assert code_of(opened, asked(NEW, log), log, join) == "E_FORMAT"
    assert code_of(grant.granted_to, asked(NEW, log)) == "E_FORMAT"


# Grants.


def test_a_grant_gives_exactly_the_secrets_of_the_epochs(world, log, join, given):
    assert opened(given, log, join) == {1: world.secret}


def test_several_epochs_come_in_one_grant(world, log, join):
    later, secret = worlds.agreed([*world.keys, NEW], log, worlds.proposal(world.keys[0], log, nonce=7))
    document = grant.make_grant(world.keys[1], later, join, {1: world.secret, 2: secret})
    assert opened(document, later, join) == {1: world.secret, 2: secret}


def test_a_grant_shows_nothing_of_the_secret(world, given):
    data = given.to_bytes() + given.payload
    for spelling in (world.secret, to_b64(world.secret).encode(), world.secret.hex().encode()):
        assert spelling not in data


def test_each_grant_is_sealed_anew(world, log, join, given):
    again = grant.make_grant(world.keys[0], log, join, {1: world.secret})
    assert again.body()["box"] != given.body()["box"]
    assert {**again.body(), "box": ""} == {**given.body(), "box": ""}


def test_whom_a_grant_is_for_can_be_read_without_a_key(given, join):
    assert grant.granted_to(given) == (NEW.entry.fpr, join.envelope.mid)


def test_nobody_grants_before_the_roster_record_stands(world, join):
    assert code_of(grant.make_grant, world.keys[0], world.log, join, {1: world.secret}) == "E_ROSTER"


def test_a_grant_does_not_count_before_the_roster_record_stands(world, join, given):
    assert code_of(opened, given, world.log, join) == "E_GRANT"
    early = forged(world.keys[0], world.log, join, canonical({"1": to_b64(world.secret)}))
    assert code_of(opened, early, world.log, join) == "E_ROSTER"


def test_a_stranger_grants_nothing(log, join, world):
    stranger = worlds.identity("mallory")
    assert code_of(grant.make_grant, stranger, log, join, {1: world.secret}) == "E_ROSTER"
    document = forged(stranger, log, join, canonical({"1": to_b64(world.secret)}))
    assert code_of(opened, document, log, join) == "E_ROSTER"


def test_a_trainer_grants_nothing(log, join, world):
    document = forged(worlds.identity("lab", "trainer"), log, join, canonical({"1": to_b64(world.secret)}))
    assert code_of(opened, document, log, join) == "E_ROSTER"


def test_a_removed_member_grants_nothing(world, log, join):
    gone, stay = world.keys[0], [*world.keys[1:], NEW]
    later = worlds.grown(log, worlds.roster_record(log, [key.entry for key in stay], stay))
    for document in (
        forged(gone, later, join, canonical({"1": to_b64(world.secret)})),
        grant.make_grant(gone, log, join, {1: world.secret}),
    ):
        with pytest.raises(BlindsightError) as caught:
            opened(document, later, join)
        assert caught.value.code == "E_ROSTER"
        assert gone.entry.code[:9] in str(caught.value)


def test_who_was_removed_after_asking_gets_nothing_open(world, log, join, given):
    later = worlds.grown(log, worlds.roster_record(log, [key.entry for key in world.keys], world.keys))
    assert code_of(grant.make_grant, world.keys[0], later, join, {1: world.secret}) == "E_ROSTER"
    assert code_of(opened, given, later, join) == "E_ROSTER"


def test_a_sponsor_that_does_not_hold_the_secret_cannot_grant_another(world, log, join):
    with pytest.raises(SignatureError) as caught:
        grant.make_grant(world.keys[0], log, join, {1: bytes(32)})
    assert caught.value.code == "E_KCV"


def test_a_sponsor_that_hands_out_another_key_is_named(world, log, join):
    sponsor = world.keys[2]
    document = forged(sponsor, log, join, canonical({"1": to_b64(b"\x07" * 32)}))
    with pytest.raises(SignatureError, match="is not the one all members signed for") as caught:
        opened(document, log, join)
    assert caught.value.code == "E_KCV"
    assert sponsor.entry.label in str(caught.value)


def test_one_false_secret_among_true_ones_spoils_the_grant(world, log, join):
    later, _ = worlds.agreed([*world.keys, NEW], log, worlds.proposal(world.keys[0], log, nonce=7))
    plain = canonical({"1": to_b64(world.secret), "2": to_b64(world.secret)})
    assert code_of(opened, forged(world.keys[0], later, join, plain), later, join) == "E_KCV"


@pytest.mark.parametrize(
    "number", ["0", "01", "-1", "1.0", " 1", "one", "", "١", "9" * 16, "9" * 5000], ids=lambda text: text[:8]
)
def test_a_number_that_is_none_is_refused_without_a_traceback(world, log, join, number):
    secret = {number: to_b64(world.secret)}
    try:
        plain = canonical(secret)
    except BlindsightError:
        plain = str(secret).replace("'", '"').encode()
    assert code_of(opened, forged(world.keys[0], log, join, plain), log, join) in ("E_FORMAT", "E_CANON", "E_EPOCH")


def test_an_epoch_that_is_not_agreed_is_refused(world, log, join):
    document = forged(world.keys[0], log, join, canonical({"2": to_b64(world.secret)}))
    assert code_of(opened, document, log, join) == "E_EPOCH"
    assert code_of(grant.make_grant, world.keys[0], log, join, {2: world.secret}) == "E_EPOCH"


@pytest.mark.parametrize(
    "plain", [b"", b"[]", b"null", b'{"1":"AA"}', b'{"1":1}', b'{"1": ""}', b'{"1":"","1":""}', b"\xff"], ids=repr
)
def test_a_box_with_another_content_is_refused(world, log, join, plain):
    document = forged(world.keys[0], log, join, plain, len=max(2, len(plain)))
    assert code_of(opened, document, log, join) in ("E_FORMAT", "E_CANON", "E_BOX")


def test_a_length_that_is_not_the_boxs_is_refused_before_opening(world, log, join, given):
    longer = resigned(given, [world.keys[0]], len=given.body()["len"] + 1)
    assert code_of(opened, longer, log, join) == "E_BOX"


def test_a_wrong_seed_opens_nothing(log, join, given):
    assert code_of(opened, given, log, join, seed=bytes(32)) == "E_BOX"


@pytest.mark.parametrize("field", ["roster", "from", "to", "join", "fed"])
def test_a_box_moved_into_another_grant_does_not_open(world, log, join, given, field):
    """The sponsor re-signs a box with another context; whatever is checked first, nothing opens."""
    other = {
        "roster": log.history[0]["id"],
        "from": world.keys[1].entry.fpr,
        "to": world.keys[1].entry.fpr,
        "join": "00" * 32,
        "fed": "00" * 32,
    }[field]
    signer = world.keys[1] if field == "from" else world.keys[0]
    moved = resigned(given, [signer], **{field: other})
    assert code_of(opened, moved, log, join) == {"roster": "E_BOX", "from": "E_BOX", "fed": "E_FED"}.get(
        field, "E_GRANT"
    )


def test_a_grant_for_another_request_of_mine_is_refused(log, join, given):
    assert code_of(opened, given, log, join, request="00" * 32) == "E_GRANT"


def test_a_grant_to_somebody_else_is_refused(log, join, given, world):
    assert code_of(opened, given, log, join, me=world.keys[1]) == "E_GRANT"


def test_a_grant_of_another_federation_is_refused(world, join, log):
    other = worlds.constituted(world.keys, "majority")
    members = [*world.keys, NEW]
    other = worlds.grown(other, worlds.roster_record(other, [key.entry for key in members], members))
    theirs = grant.read_join(asked(NEW, other), other.fed, NOW)
    document = grant.make_grant(world.keys[0], other, theirs, {})
    assert code_of(opened, document, log, join, request=theirs.envelope.mid) == "E_FED"


def test_a_roster_that_the_log_never_had_is_refused(world, log, join, given):
    assert code_of(opened, resigned(given, [world.keys[0]], roster="00" * 32), log, join) == "E_GRANT"


def test_a_grant_under_an_older_roster_counts_while_both_are_members(world, log, join, given):
    lab = worlds.identity("second-lab", "trainer")
    everybody = [*world.keys, NEW]
    record = worlds.roster_record(log, [key.entry for key in everybody], everybody, trainers=[lab.entry])
    assert opened(given, worlds.grown(log, record), join) == {1: world.secret}


def test_a_grant_needs_its_sponsors_signature_alone(world, log, join, given):
    assert code_of(opened, signed_by(given, world.keys[:2]), log, join) == "E_QUORUM"
    assert code_of(opened, signed_by(given, []), log, join) == "E_QUORUM"
    assert code_of(opened, signed_by(given, [world.keys[1]]), log, join) == "E_QUORUM"
    assert code_of(opened, worlds.spoilt(given), log, join) == "E_SIG"


@pytest.mark.parametrize("field", ["v", "type", "fed", "roster", "join", "from", "to", "len", "box"])
@pytest.mark.parametrize("value", [None, True, -1, "", [], {"a": 1}], ids=repr)
def test_no_value_in_a_grant_gives_a_traceback(world, log, join, given, field, value):
    assert code_of(opened, resigned(given, [world.keys[0]], **{field: value}), log, join) in (
        "E_FORMAT",
        "E_ROSTER",
        "E_BOX",
    )


def test_a_member_that_lost_its_secret_is_granted_it_without_a_roster_record(world):
    lost = world.keys[1]
    join = grant.read_join(asked(lost, world.log), world.log.fed, NOW)
    document = grant.make_grant(world.keys[0], world.log, join, {1: world.secret})
    assert opened(document, world.log, join, me=lost) == {1: world.secret}


def test_a_member_may_answer_itself_and_learns_nothing(world):
    me = world.keys[1]
    join = grant.read_join(asked(me, world.log), world.log.fed, NOW)
    assert opened(grant.make_grant(me, world.log, join, {1: world.secret}), world.log, join, me=me) == {1: world.secret}


def test_a_log_without_the_epoch_knows_no_check_value_to_believe(world, join):
    bare = Log.build(world.log.records[:1])
    members = [*world.keys, NEW]
    bare = worlds.grown(bare, worlds.roster_record(bare, [key.entry for key in members], members))
    document = forged(world.keys[0], bare, join, canonical({"1": to_b64(world.secret)}))
    assert code_of(opened, document, bare, join) == "E_EPOCH"
