"""What a record or a notice must say before anybody asks who signed it. FORMAT.md section C."""

import json

import pytest

from blindsight.protocol import records
from blindsight.protocol.encoding import canonical
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import FormatError, ProtocolError
from blindsight.protocol.identity import SigningKey
from tests.protocol import worlds

KEYS = worlds.holders(3)
LAB = worlds.identity("lab", "trainer")
CLINIC = worlds.identity("clinic", "operator")
LOG = worlds.grown(
    worlds.constituted(KEYS, trainers=[LAB]),
    worlds.record(worlds.constituted(KEYS, trainers=[LAB]), KEYS, seq=1, epoch=1),
)
GENESIS = LOG.records[0]
ROSTER = worlds.roster_record(LOG, [key.entry for key in KEYS], KEYS, trainers=[])
EPOCH = LOG.records[1]
RETIRE = worlds.retire_record(LOG, [1], KEYS)
NOTICE = worlds.notice_of(LOG, KEYS[0])
ALL = {"genesis": GENESIS, "roster record": ROSTER, "epoch record": EPOCH, "retire record": RETIRE, "notice": NOTICE}
A, B, C = (key.entry.to_json() for key in KEYS)
TWICE = [SigningKey(role, "x", b"\1" * 32).entry.to_json() for role in ("holder", "trainer", "operator")]


@pytest.mark.parametrize("document", ALL.values(), ids=ALL.keys())
def test_a_sound_document_is_read_as_it_was_written(document):
    assert records.read_record(document) == document.body()


@pytest.mark.parametrize(("what", "document"), ALL.items(), ids=ALL.keys())
def test_every_field_is_needed_and_no_other_is_known(what, document):
    body = document.body()
    for name in body:
        shorter = {key: value for key, value in body.items() if key != name}
        with pytest.raises(FormatError, match=f"{what} is malformed: field {name} is missing"):
            records.read_record(Envelope.of(document.type, shorter))
    with pytest.raises(FormatError, match="field admin is unknown"):
        records.read_record(Envelope.of(document.type, body | {"admin": True}))


@pytest.mark.parametrize("document", ALL.values(), ids=ALL.keys())
@pytest.mark.parametrize("value", [None, True, -1, 2**53 - 1, "", "x" * 500, [], [[]], {}, {"v": 1}], ids=repr)
def test_no_value_of_another_kind_gives_a_traceback(document, value):
    for name in document.body():
        try:
            records.read_record(worlds.resigned(document, [], **{name: value}))
        except ProtocolError:
            continue
        assert name in ("seq", "epoch", "reason", "text", "name", "trainers", "operators")


@pytest.mark.parametrize("document", ALL.values(), ids=ALL.keys())
@pytest.mark.parametrize("payload", [b"", b"\xff", b"null", b"[]", b"1e9", b'{"v":1,"v":1}', b"[" * 50_000], ids=repr)
def test_a_payload_that_is_no_such_object_is_refused(document, payload):
    with pytest.raises(FormatError):
        records.read_record(Envelope(document.type, payload, {}))


def test_a_payload_with_a_space_in_it_is_refused():
    with pytest.raises(FormatError) as caught:
        records.read_record(Envelope(RETIRE.type, RETIRE.payload.replace(b":", b": "), {}))
    assert caught.value.code == "E_CANON"


def test_one_kind_of_record_does_not_stand_for_another():
    for one in ALL.values():
        for other in ALL.values():
            if one is not other:
                with pytest.raises(ProtocolError):
                    records.read_record(Envelope(one.type, other.payload, {}))


def test_another_document_is_no_record():
    with pytest.raises(FormatError, match="is no record of a membership log"):
        records.read_record(Envelope.of("letter", {}))


def test_a_reader_of_one_kind_refuses_the_other_kinds():
    with pytest.raises(FormatError, match="expected a epoch record"):
        records.read_epoch(GENESIS)
    with pytest.raises(FormatError, match="expected a genesis"):
        records.read_genesis(EPOCH)


BAD_PEOPLE = {
    "a key twice in one list": ({"members": [A, A]}, "E_ROSTER"),
    "a key in two lists": ({"members": TWICE[:1], "trainers": TWICE[1:2], "operators": []}, "E_ROSTER"),
    "a key as trainer and operator": ({"trainers": TWICE[1:2], "operators": TWICE[2:]}, "E_ROSTER"),
    "members unsorted": ({"members": [B, A, C]}, "E_FORMAT"),
    "a trainer among the members": ({"members": [A, LAB.entry.to_json()]}, "E_ROSTER"),
    "an operator among the trainers": ({"trainers": [CLINIC.entry.to_json()]}, "E_ROSTER"),
    "a member among the operators": ({"operators": [worlds.identity("x").entry.to_json()]}, "E_ROSTER"),
    "a device among the members": ({"members": [worlds.identity("camera", "device").entry.to_json()]}, "E_ROSTER"),
    "no members": ({"members": []}, "E_FORMAT"),
    "more than 256 trainers": ({"trainers": [LAB.entry.to_json()] * 257}, "E_FORMAT"),
    "a false fingerprint": ({"members": [A | {"fpr": "00" * 32}]}, "E_FPR"),
    "the fingerprint of another role": ({"trainers": [A | {"role": "trainer"}]}, "E_FPR"),
    "a key of small order": ({"members": [A | {"pub": "AQ" + "A" * 41}]}, "E_KEY"),
    "a name that moves the cursor": ({"members": [A | {"name": "\x1b[2J"}]}, "E_FORMAT"),
    "an entry with an unknown field": ({"members": [A | {"admin": 1}]}, "E_FORMAT"),
}


@pytest.mark.parametrize(("change", "code"), BAD_PEOPLE.values(), ids=BAD_PEOPLE.keys())
@pytest.mark.parametrize("document", [GENESIS, ROSTER], ids=["genesis", "roster record"])
def test_bad_lists_of_people_are_refused_though_all_have_signed(document, change, code):
    bad = worlds.resigned(document, KEYS, **change)
    with pytest.raises(ProtocolError) as caught:
        records.read_record(bad)
    assert caught.value.code == code
    if document is ROSTER:
        assert worlds.grown(LOG, bad).records == LOG.records


@pytest.mark.parametrize("place", ["trainers", "operators"])
def test_trainers_and_operators_stand_by_ascending_fingerprint_too(place):
    role = place[:-1]
    two = sorted((worlds.identity(name, role).entry for name in "xy"), key=lambda entry: entry.fpr)
    with pytest.raises(FormatError, match=f"the {place} of a roster record must stand by ascending fingerprint"):
        records.read_record(worlds.resigned(ROSTER, [], **{place: [entry.to_json() for entry in reversed(two)]}))
    records.read_record(worlds.resigned(ROSTER, [], **{place: [entry.to_json() for entry in two]}))


BAD_EPOCHS = {
    "unsorted": [2, 1],
    "twice": [1, 1],
    "none": [],
    "zero": [0],
    "below zero": [-1],
    "true": [True],
    "too many": list(range(1, 10_002)),
    "a number": 1,
}


@pytest.mark.parametrize("epochs", BAD_EPOCHS.values(), ids=BAD_EPOCHS.keys())
def test_a_retire_record_lists_each_epoch_once_and_in_order(epochs):
    with pytest.raises(FormatError) as caught:
        records.read_record(worlds.resigned(RETIRE, [], epochs=epochs))
    assert caught.value.code == "E_FORMAT"


@pytest.mark.parametrize("kind", ["rumoured", "", None, "COMPROMISED"])
def test_a_notice_warns_of_one_kind_of_thing_only(kind):
    with pytest.raises(FormatError, match="kind must be 'compromised'"):
        records.read_record(worlds.resigned(NOTICE, [], kind=kind))


@pytest.mark.parametrize("text", ["x" * 401, "two\nlines", "\x1b[31mred", "\u202ereversed", "\u2028"], ids=repr)
def test_no_text_of_a_record_can_rewrite_a_terminal(text):
    for document, name in ((NOTICE, "text"), (RETIRE, "reason")):
        with pytest.raises(FormatError):
            records.read_record(worlds.resigned(document, [], **{name: text}))


@pytest.mark.parametrize(
    "moment", ["2026-02-30T00:00:00Z", "2026-11-20 13:00:00", "2026-11-20T13:00:60Z", "0000-01-01T00:00:00Z"]
)
def test_a_moment_that_the_calendar_does_not_know_is_refused(moment):
    for document, name in ((GENESIS, "created"), (EPOCH, "not_after"), (NOTICE, "created")):
        with pytest.raises(FormatError, match="must be a time like"):
            records.read_record(worlds.resigned(document, [], **{name: moment}))


@pytest.mark.parametrize("seq", [0, -1, 2**53, True, "1", None], ids=repr)
@pytest.mark.parametrize("document", [ROSTER, EPOCH, RETIRE], ids=["roster record", "epoch record", "retire record"])
def test_the_sequence_of_a_later_record_is_a_number_from_one(document, seq):
    text = document.payload.replace(f'"seq":{document.body()["seq"]}'.encode(), b'"seq":' + json.dumps(seq).encode())
    with pytest.raises(FormatError):
        records.read_record(Envelope(document.type, text, {}))


def test_a_notice_that_says_too_much_cannot_be_made():
    with pytest.raises(FormatError, match="text must be a string of at most 400"):
        records.make_notice(LOG.fed, 1, "00" * 32, author=A["fpr"], text="x" * 401, created=worlds.CREATED)


@pytest.mark.parametrize("policy", ["none", "ALL", "", "two thirds"])
def test_a_genesis_of_an_unknown_policy_cannot_be_made(policy):
    with pytest.raises(FormatError, match=r"policy\.approve must be 'all' or 'majority'"):
        records.make_genesis("x", [KEYS[0].entry], [], policy=policy, nonce=bytes(32), created=worlds.CREATED)


def test_people_are_written_by_ascending_fingerprint_in_whatever_order_they_are_given():
    given = [key.entry for key in KEYS]
    assert records.people(given[::-1], [], [CLINIC.entry]) == records.people(given, [], [CLINIC.entry])
    assert canonical(records.people(given, [], [])["members"]) == canonical([A, B, C])
