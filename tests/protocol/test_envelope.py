"""Signed documents: what is verified is what is parsed, and every odd spelling is refused."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.protocol.encoding import MAX_DOCUMENT_BYTES, canonical
from blindsight.protocol.envelope import Envelope, payload_type
from blindsight.protocol.errors import FormatError, MembershipError, ProtocolError, SignatureError
from tests.protocol import worlds

BRIEFLY = settings(deadline=None, max_examples=80)
ANNA, BERT = worlds.identity("anna"), worlds.identity("bert")
LETTER = Envelope.of("letter", {"text": "hello", "n": 1}).signed(ANNA)


def document(**changes):
    return json.dumps({**worlds.as_json(LETTER), **changes}).encode()


def test_reading_inverts_writing():
    assert Envelope.from_bytes(LETTER.to_bytes()) == LETTER


def test_equal_documents_are_equal_bytes_whatever_the_order_of_signing():
    base = Envelope(LETTER.type, LETTER.payload, {})
    assert base.signed(ANNA).signed(BERT).to_bytes() == base.signed(BERT).signed(ANNA).to_bytes()


def test_signatures_are_not_part_of_the_id():
    assert LETTER.signed(BERT).mid == LETTER.mid


@BRIEFLY
@given(st.text(max_size=6), st.text(max_size=6))
def test_type_and_payload_are_both_part_of_the_id(left, right):
    one, other = Envelope(left, b"1", {}), Envelope(right, b"1", {})
    assert (one.mid == other.mid) == (left == right)


def test_a_signature_by_the_named_identity_verifies():
    LETTER.verify(ANNA.entry, "the letter")


def test_an_unsigned_document_is_refused_naming_who_has_not_signed():
    with pytest.raises(MembershipError, match="the letter is not signed by bert") as caught:
        LETTER.verify(BERT.entry, "the letter")
    assert caught.value.code == "E_QUORUM"


def test_a_changed_payload_is_refused_naming_the_signer_with_the_document_as_evidence():
    forged = Envelope(LETTER.type, canonical({"text": "hullo", "n": 1}), LETTER.signatures)
    with pytest.raises(SignatureError, match="anna") as caught:
        forged.verify(ANNA.entry, "the letter")
    assert caught.value.code == "E_SIG"
    assert caught.value.evidence == (forged.to_bytes(),)


def test_a_signature_for_one_type_does_not_fit_another():
    moved = Envelope(payload_type("order"), LETTER.payload, LETTER.signatures)
    with pytest.raises(SignatureError):
        moved.verify(ANNA.entry, "the order")


def test_a_signature_under_another_name_does_not_fit():
    stolen = Envelope(LETTER.type, LETTER.payload, {BERT.entry.fpr: LETTER.signatures[ANNA.entry.fpr]})
    assert not stolen.is_signed_by(BERT.entry)


def test_a_trainer_key_never_stands_in_for_the_holder_of_the_same_seed():
    trainer = worlds.SigningKey("trainer", "anna", b"\1" * 32)
    holder = worlds.SigningKey("holder", "anna", b"\1" * 32)
    assert not Envelope.of("letter", {}).signed(trainer).is_signed_by(holder.entry)


@pytest.mark.parametrize("length", [0, 1, 63, 65])
def test_a_signature_of_another_length_does_not_fit(length):
    odd = Envelope(LETTER.type, LETTER.payload, {ANNA.entry.fpr: bytes(length)})
    assert not Envelope.from_bytes(odd.to_bytes()).is_signed_by(ANNA.entry)


@BRIEFLY
@given(st.integers(0, len(LETTER.to_bytes()) - 1), st.integers(1, 255))
def test_no_flipped_byte_passes(place, flip):
    data = bytearray(LETTER.to_bytes())
    data[place] ^= flip
    try:
        envelope = Envelope.from_bytes(bytes(data))
        envelope.body()
        envelope.verify(ANNA.entry, "the letter")
    except ProtocolError:
        return
    # What still passes is the same document in another JSON spelling.
    assert envelope == LETTER


@BRIEFLY
@given(st.binary(max_size=80))
def test_whatever_bytes_come_the_reader_answers_or_refuses(data):
    try:
        Envelope.from_bytes(data)
    except FormatError:
        return


SIGNATURE = worlds.as_json(LETTER)["signatures"][0]
ODD = {
    "no object": b"[]",
    "an unknown field": document(cert="x"),
    "a missing field": b'{"payload":"","signatures":[]}',
    "signatures as an object": document(signatures={}),
    "an unknown field in a signature": document(signatures=[SIGNATURE | {"alg": "none"}]),
    "a keyid that is no fingerprint": document(signatures=[SIGNATURE | {"keyid": "anna"}]),
    "more signatures than a federation has members": document(
        signatures=[{"keyid": f"{n:064x}", "sig": ""} for n in range(257)]
    ),
    "two signatures by one signer": document(signatures=[SIGNATURE, SIGNATURE]),
    "base64 without its padding": document(payload=worlds.as_json(LETTER)["payload"].rstrip("=")),
    "base64url": document(payload=base64.urlsafe_b64encode(b"\xff\xef\xbe" * 2).decode()),
    "base64 with stray bits": document(payload="AB=="),
    "a line end in base64": document(payload="AAAA\n"),
    "a payload type with a control character": document(payloadType="a\x1b"),
    "a payload type with a lone surrogate": document().replace(b"application/vnd", b"\\ud800"),
    "a duplicate field": document()[:-1] + b', "payloadType": "x"}',
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD.keys())
def test_an_odd_envelope_is_refused(data):
    with pytest.raises(FormatError):
        Envelope.from_bytes(data)


def test_an_envelope_above_16_mib_is_refused():
    with pytest.raises(FormatError, match="more than the"):
        Envelope.from_bytes(b" " * (MAX_DOCUMENT_BYTES + 1))


def test_the_payload_that_was_signed_is_the_one_parsed_and_must_be_canonical():
    spaced = Envelope("a/b", b'{"a": 1}', {}).signed(ANNA)
    spaced.verify(ANNA.entry, "it")
    with pytest.raises(FormatError) as caught:
        spaced.body()
    assert caught.value.code == "E_CANON"
