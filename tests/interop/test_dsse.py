"""Others read our envelopes: DSSE by securesystemslib, and the specification's own example."""

import base64
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from blindsight.protocol import envelope
from blindsight.protocol.envelope import Envelope
from tests.protocol import worlds

dsse = pytest.importorskip("securesystemslib.dsse")
signer = pytest.importorskip("securesystemslib.signer")
VerificationError = pytest.importorskip("securesystemslib.exceptions").VerificationError

KEYS = worlds.holders(3)
GENESIS = worlds.genesis(KEYS)


def foreign_key(key):
    return signer.SSlibKey(key.entry.fpr, "ed25519", "ed25519", {"public": key.entry.pub.hex()})


def read_by_others(ours):
    return dsse.Envelope.from_dict(json.loads(ours.to_bytes()))


def test_the_example_of_the_specification_is_signed_over_these_bytes():
    # https://github.com/secure-systems-lab/dsse/blob/master/protocol.md, "Test Vectors"
    encoded = envelope._pae("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    numbers = ec.EllipticCurvePublicNumbers(
        46950820868899156662930047687818585632848591499744589407958293238635476079160,
        5640078356564379163099075877009565129882514886557779369047442380624545832820,
        ec.SECP256R1(),
    )
    signature = base64.b64decode(
        "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="
    )
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    halves = (int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    numbers.public_key().verify(encode_dss_signature(*halves), encoded, ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize(("kind", "payload"), [("", b""), ("é", "病院".encode()), ("a b", b"1 2")], ids=ascii)
def test_the_signed_bytes_are_those_of_securesystemslib(kind, payload):
    assert envelope._pae(kind, payload) == dsse.Envelope(payload, kind, {}).pae()


def test_our_envelope_is_read_by_securesystemslib():
    theirs = read_by_others(GENESIS)
    assert (theirs.payload, theirs.payload_type) == (GENESIS.payload, GENESIS.type)
    assert {keyid: bytes.fromhex(s.signature) for keyid, s in theirs.signatures.items()} == GENESIS.signatures


def test_our_signatures_are_verified_by_securesystemslib():
    verified = read_by_others(GENESIS).verify([foreign_key(key) for key in KEYS], threshold=3)
    assert set(verified) == {key.entry.fpr for key in KEYS}


def test_a_changed_payload_is_refused_by_securesystemslib_as_by_us():
    changed = Envelope(GENESIS.type, GENESIS.payload + b" ", GENESIS.signatures)
    with pytest.raises(VerificationError, match="threshold"):
        read_by_others(changed).verify([foreign_key(key) for key in KEYS], threshold=1)
    assert not changed.is_signed_by(KEYS[0].entry)


def test_their_envelope_with_our_kind_of_signature_is_read_by_us():
    theirs = dsse.Envelope(b'{"a":1}', "text/x", {})
    signature = KEYS[0].sign(theirs.pae())
    theirs.signatures[KEYS[0].entry.fpr] = signer.Signature(KEYS[0].entry.fpr, signature.hex())
    ours = Envelope.from_bytes(json.dumps(theirs.to_dict()).encode())
    ours.verify(KEYS[0].entry, "their letter")
    assert ours.body() == {"a": 1}
