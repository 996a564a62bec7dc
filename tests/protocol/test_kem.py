"""Sealing: only the right seed, context and length open a box, and every malformed key is refused before use."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.protocol import kem
from blindsight.protocol.errors import SignatureError

BRIEFLY = settings(deadline=None, max_examples=30)
SEED = hashlib.sha256(b"seed").digest()
PUBLIC = kem.public_key(SEED)
BOX = kem.seal(PUBLIC, b"s" * 32, b"context")
P = 2**255 - 19
LOW_ORDER = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    P - 1,
    P,
    P + 1,
]


@BRIEFLY
@given(st.binary(max_size=80), st.binary(max_size=20))
def test_unsealing_inverts_sealing(plaintext, info):
    box = kem.seal(PUBLIC, plaintext, info)
    assert len(box) == len(plaintext) + kem.OVERHEAD_BYTES
    assert kem.unseal(SEED, box, info, len(plaintext)) == plaintext


def test_two_boxes_of_the_same_content_differ():
    assert kem.seal(PUBLIC, b"s" * 32, b"context") != BOX


def test_a_public_key_has_1216_bytes_and_follows_from_its_seed():
    assert len(PUBLIC) == kem.PUBLIC_BYTES == 1216
    assert kem.public_key(SEED) == PUBLIC


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda n: f"{n % 10**6}")
def test_a_key_whose_x25519_half_has_small_order_is_refused(point):
    with pytest.raises(SignatureError, match="malformed") as caught:
        kem.seal(PUBLIC[:1184] + point.to_bytes(32, "little"), b"", b"")
    assert caught.value.code == "E_KEM"


MALFORMED = {
    "empty": b"",
    "cut": PUBLIC[:-1],
    "extended": PUBLIC + b"\0",
    "coefficients above the modulus": b"\xff" * 1184 + PUBLIC[1184:],
}


@pytest.mark.parametrize("public", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_key_is_refused(public):
    with pytest.raises(SignatureError) as caught:
        kem.seal(public, b"", b"")
    assert caught.value.code == "E_KEM"


def opens(seed=SEED, box=BOX, info=b"context", length=32):
    return kem.unseal(seed, box, info, length)


WRONG = {
    "another seed": {"seed": bytes(32)},
    "another context": {"info": b"other"},
    "another length": {"length": 31},
    "cut": {"box": BOX[:-1]},
    "extended": {"box": BOX + b"\0"},
    "nothing": {"box": b""},
    "an ephemeral key of small order": {"box": BOX[:1088] + bytes(32) + BOX[1120:]},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_box_does_not_open(change):
    assert opens() == b"s" * 32
    with pytest.raises(SignatureError) as caught:
        opens(**change)
    assert caught.value.code == "E_BOX"


@BRIEFLY
@given(st.integers(0, len(BOX) - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_box_passes(place, flip):
    changed = bytearray(BOX)
    changed[place] ^= flip
    with pytest.raises(SignatureError) as caught:
        opens(box=bytes(changed))
    assert caught.value.code == "E_BOX"


def test_no_error_shows_the_seed_or_the_content():
    with pytest.raises(SignatureError) as caught:
        opens(info=b"other")
    for secret in (SEED, b"s" * 32):
        assert secret.hex() not in str(caught.value)
        assert repr(secret) not in repr(caught.value)
