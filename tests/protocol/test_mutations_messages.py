"""A thousand changed bytes in each kind of ceremony message: each is refused with a code, never with anything else."""

import random

import pytest

from blindsight.protocol import agreement
from blindsight.protocol.encoding import to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ProtocolError
from blindsight.protocol.messages import PROPOSE
from blindsight.protocol.session import Session
from tests.protocol import worlds

COUNT = 1000
KEYS = worlds.holders(2)
ANNA, BERT = (key.entry.fpr for key in KEYS)
LOG = worlds.founded(KEYS)
OFFER = worlds.proposal(KEYS[1], LOG)


def stages():
    """Anna's session before she has heard anything of Bert: committed; revealed; confirmed."""
    sessions = worlds.sessions(KEYS, LOG, OFFER)
    yield dict(sessions)
    for _ in range(2):
        worlds.exchange(sessions, KEYS)
        yield dict(sessions)


COMMITTED, REVEALED, CONFIRMED = stages()
SEED = to_b64(COMMITTED[BERT].kem_seed)


def of_bert(kind, **fields):
    body = {"v": 1, "type": kind, "sid": OFFER.mid, "from": BERT}
    return Envelope.of(kind, body | fields).signed(KEYS[1])


MESSAGES = {
    "propose": (None, OFFER),
    "commit": (COMMITTED[ANNA], COMMITTED[BERT].outbox[0]),
    "reveal": (COMMITTED[ANNA], REVEALED[BERT].outbox[1]),
    "confirm": (REVEALED[ANNA], CONFIRMED[BERT].outbox[2]),
    "complaint": (REVEALED[ANNA], of_bert("complaint", about=ANNA, code="E_BOX", kem_seed=SEED)),
    "abort": (COMMITTED[ANNA], of_bert("abort", reason="person")),
}


def taken_in(session: Session | None, message: Envelope) -> None:
    """As a member takes it in."""
    if session is None or message.type == PROPOSE:
        agreement.read_proposal(LOG, message)
    else:
        agreement.receive(session, message)


@pytest.mark.parametrize("kind", MESSAGES)
def test_the_unchanged_message_is_taken_in(kind):
    taken_in(*MESSAGES[kind])


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_thousand_changed_bytes_of_the_file_are_each_refused_with_a_code(kind):
    session, message = MESSAGES[kind]
    rng, file = random.Random(kind), message.to_bytes()
    for _ in range(COUNT):
        changed = bytearray(file)
        changed[rng.randrange(len(file) - 1)] ^= rng.randrange(1, 256)  # the last byte is a line end
        with pytest.raises(ProtocolError) as caught:
            taken_in(session, Envelope.from_bytes(bytes(changed)))
        assert caught.value.code.startswith("E_")


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_thousand_changed_bytes_of_the_payload_are_each_refused_with_a_code(kind):
    session, message = MESSAGES[kind]
    rng = random.Random(f"payload/{kind}")
    for _ in range(COUNT):
        changed = bytearray(message.payload)
        changed[rng.randrange(len(changed))] ^= rng.randrange(1, 256)
        with pytest.raises(ProtocolError) as caught:
            taken_in(session, Envelope(message.type, bytes(changed), message.signatures))
        assert caught.value.code.startswith("E_")


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_thousand_changed_bytes_under_a_fitting_signature_are_refused_or_taken_for_what_they_say(kind):
    session, message = MESSAGES[kind]
    rng = random.Random(f"signed/{kind}")
    refused = []
    for _ in range(COUNT):
        changed = bytearray(message.payload)
        changed[rng.randrange(len(changed))] ^= rng.randrange(1, 256)
        try:
            taken_in(session, Envelope(message.type, bytes(changed), {}).signed(KEYS[1]))
        except ProtocolError as error:
            refused.append(error.code)
    assert all(code.startswith("E_") for code in refused)
    assert len(refused) > COUNT / 2
