"""Identities: keys that make any signature fit are refused, a fingerprint binds key and role."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from blindsight.protocol import identity
from blindsight.protocol.encoding import to_b64
from blindsight.protocol.errors import FormatError, SignatureError
from blindsight.protocol.identity import Entry, SigningKey
from tests.protocol import worlds

P = 2**255 - 19
Y8 = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
Y8_OTHER = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
ONE = b"\1" + bytes(31)


def little(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


SMALL = {
    "0": little(0),
    "0 with sign": little(0, 1),
    "1": ONE,
    "1 with sign": little(1, 1),
    "p-1": little(P - 1),
    "p-1 with sign": little(P - 1, 1),
    "p": little(P),
    "p+1": little(P + 1),
    "2^255-1": little(2**255 - 1),
    "all ones": b"\xff" * 32,
    "order 8": bytes.fromhex(Y8),
    "order 8 with sign": little(int.from_bytes(bytes.fromhex(Y8), "little"), 1),
    "other order 8": bytes.fromhex(Y8_OTHER),
    "other order 8 with sign": little(int.from_bytes(bytes.fromhex(Y8_OTHER), "little"), 1),
}


def test_under_the_key_one_a_constant_signature_verifies_for_every_message():
    constant = ONE + bytes(32)
    for message in (b"", b"pay Mallory", b"anything"):
        Ed25519PublicKey.from_public_bytes(ONE).verify(constant, message)


@pytest.mark.parametrize("pub", SMALL.values(), ids=SMALL.keys())
def test_a_key_of_small_order_or_not_reduced_is_refused(pub):
    with pytest.raises(SignatureError, match="small order") as caught:
        Entry("holder", "mallory", pub)
    assert caught.value.code == "E_KEY"


def test_a_roster_entry_with_such_a_key_is_refused_even_with_its_true_fingerprint():
    document = worlds.identity("anna").entry.to_json()
    document |= {"pub": to_b64(ONE), "fpr": identity.fingerprint("holder", ONE)}
    with pytest.raises(SignatureError) as caught:
        Entry.from_json(document)
    assert caught.value.code == "E_KEY"


def test_an_entry_survives_writing_and_reading():
    entry = worlds.identity("anna").entry
    assert Entry.from_json(entry.to_json()) == entry


def test_the_fingerprint_depends_on_the_role():
    seed = bytes(32)
    fprs = {SigningKey(role, "x", seed).entry.fpr for role in identity.ROLES}
    assert len(fprs) == len(identity.ROLES)


def test_the_fingerprint_does_not_depend_on_the_name():
    assert SigningKey("holder", "a", bytes(32)).entry.fpr == SigningKey("holder", "b", bytes(32)).entry.fpr


def test_a_fingerprint_of_another_key_is_refused_by_name():
    document = worlds.identity("anna").entry.to_json() | {"fpr": worlds.identity("bert").entry.fpr}
    with pytest.raises(FormatError, match="anna") as caught:
        Entry.from_json(document)
    assert caught.value.code == "E_FPR"


@pytest.mark.parametrize(
    "change", [{"role": "king"}, {"alg": "rsa"}, {"pub": "AA"}, {"name": "x" * 81}, {"name": "\x1b[2J"}, {"extra": 1}]
)
def test_a_malformed_entry_is_refused(change):
    with pytest.raises(FormatError):
        Entry.from_json(worlds.identity("anna").entry.to_json() | change)


def test_a_key_that_is_no_point_of_the_curve_verifies_nothing():
    no_point = Entry("holder", "x", little(2))
    assert not no_point.verifies(bytes(64), b"message")


def test_a_signing_key_shows_nothing_of_its_seed():
    key = SigningKey("holder", "anna", b"\x07" * 32)
    for text in (repr(key), str(key), f"{key}"):
        assert "07" not in text
        assert r"\x07" not in text
        assert "anna" in text


def test_a_label_is_the_name_and_the_start_of_the_code():
    entry = worlds.identity("anna").entry
    assert entry.label == f"anna ({entry.code[:9]})"
