"""One changed byte anywhere in a record: it is refused or does not count, and nothing else goes wrong."""

import random

import pytest

from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ProtocolError
from blindsight.protocol.log import Log
from blindsight.protocol.records import read_record
from tests.protocol import worlds

MUTATIONS = 1_000
KEYS = worlds.holders(3)
NEW = worlds.identity("newcomer")
START = worlds.founded(KEYS)
EPOCH = worlds.grown(START, worlds.record(START, KEYS, seq=1, epoch=1))
ROSTER = worlds.roster_record(START, [key.entry for key in (*KEYS, NEW)], [*KEYS, NEW])
RETIRE = worlds.retire_record(EPOCH, [1], KEYS)
NOTICE = worlds.notice_of(EPOCH, KEYS[0])
# Kind → what it is added to, and the document.
DOCUMENTS = {
    "genesis": ((), START.records[0]),
    "roster": (START.records, ROSTER),
    "epoch": (START.records, EPOCH.records[1]),
    "retire": (EPOCH.records, RETIRE),
    "notice": (EPOCH.records, NOTICE),
}


def mutations(data, seed):
    """Copies of a document that differ in one byte each."""
    rng = random.Random(seed)
    for _ in range(MUTATIONS):
        place, changed = rng.randrange(len(data)), bytearray(data)
        changed[place] ^= rng.randrange(1, 256)
        yield bytes(changed)


def built(*envelopes):
    """The log they make, or None if they are refused as the reader of a log refuses."""
    try:
        return Log.build(envelopes)
    except ProtocolError:
        return None


def parsed(data):
    """The envelope, or None if it is refused."""
    try:
        return Envelope.from_bytes(data)
    except ProtocolError:
        return None


@pytest.mark.parametrize(("base", "document"), DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_a_document_with_one_changed_byte_is_refused_or_does_not_count(base, document):
    without, whole = built(*base), built(*base, document)
    refused = 0
    for data in mutations(document.to_bytes(), len(document.payload)):
        envelope = parsed(data)
        refused += envelope is None
        if envelope is not None:
            same = envelope.to_bytes() == document.to_bytes()  # only the line's end was changed, into another blank
            assert built(*base, envelope) == (whole if same else without)
    assert refused > MUTATIONS // 3


@pytest.mark.parametrize(("base", "document"), DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_a_document_with_one_changed_byte_does_not_hide_the_whole_one(base, document):
    whole = built(*base, document)
    for data in list(mutations(document.to_bytes(), 7))[: MUTATIONS // 5]:
        if envelope := parsed(data):
            assert built(*base, envelope, document) == whole


@pytest.mark.parametrize(("base", "document"), DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_a_payload_with_one_changed_byte_is_refused_or_does_not_count(base, document):
    without = built(*base)
    for payload in list(mutations(document.payload, 11))[: MUTATIONS // 5]:
        changed = Envelope(document.type, payload, document.signatures)
        assert built(*base, changed) == without
        try:
            read_record(changed)
        except ProtocolError:
            continue
        assert changed.mid != document.mid
