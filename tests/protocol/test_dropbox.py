"""The drop-box: names are hints, content decides, and what cannot be read is reported and passed over."""

from pathlib import Path

import pytest

from blindsight.protocol.dropbox import DropBox, read_card
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import BlindsightError, FormatError, MembershipError, ProtocolError
from blindsight.protocol.log import Log
from blindsight.protocol.logfile import read_log
from tests.protocol import worlds

KEYS = worlds.holders(3)
GENESIS = worlds.genesis(KEYS)
LOG = worlds.founded(KEYS)
OTHER = worlds.genesis(KEYS, name="another ward")
ANNA = KEYS[0].entry.fpr


@pytest.fixture
def box(tmp_path):
    """A drop-box with a complete genesis, one copy a signer."""
    box = DropBox(tmp_path / "box")
    for key in KEYS:
        copy = worlds.draft(KEYS).signed(key)
        box.put_record(copy, GENESIS.mid, 0, key.entry.fpr)
    return box


def test_a_box_that_nobody_used_is_empty_and_stays_unmade(tmp_path):
    box = DropBox(tmp_path / "box")
    assert (box.cards(), box.records(), box.messages(LOG.fed)) == ([], [], [])
    assert not box.transport.root.exists()


def test_cards_are_found_by_fingerprint(tmp_path):
    box = DropBox(tmp_path)
    for key in reversed(KEYS):
        box.put_card(key, worlds.CREATED)
    assert box.cards() == [key.entry for key in KEYS]


def card(key, **changes):
    body = {"v": 1, "type": "identity", "entry": key.entry.to_json(), "created": worlds.CREATED}
    return Envelope.of("identity", body | changes)


BAD_CARDS = {
    "unsigned": card(KEYS[0]),
    "signed by another": card(KEYS[0]).signed(KEYS[1]),
    "with a false signature": Envelope(card(KEYS[0]).type, card(KEYS[0]).payload, {ANNA: bytes(64)}),
    "of another version": card(KEYS[0], v=2).signed(KEYS[0]),
    "of another type": card(KEYS[0], type="letter").signed(KEYS[0]),
    "without a time": card(KEYS[0], created="today").signed(KEYS[0]),
    "with an unknown field": card(KEYS[0], note=1).signed(KEYS[0]),
    "without an entry": card(KEYS[0], entry=None).signed(KEYS[0]),
    "no card at all": GENESIS,
    "no JSON": Envelope(card(KEYS[0]).type, b"junk", {}),
}


@pytest.mark.parametrize("bad", BAD_CARDS.values(), ids=BAD_CARDS.keys())
def test_a_bad_card_is_refused(bad):
    with pytest.raises(ProtocolError):
        read_card(bad)


@pytest.mark.parametrize("bad", BAD_CARDS.values(), ids=BAD_CARDS.keys())
def test_a_bad_card_does_not_hide_the_good_ones(tmp_path, bad):
    box = DropBox(tmp_path)
    box.put_card(KEYS[1], worlds.CREATED)
    (tmp_path / "identities" / "bad.json").write_bytes(bad.to_bytes())
    assert box.cards() == [KEYS[1].entry]


def test_the_log_is_united_from_one_file_a_signer(box):
    assert box.log(GENESIS.mid).records == LOG.records
    assert box.log().records == LOG.records


@pytest.mark.parametrize("junk", [b"", b"junk", b"{}", b"\xff" * 9])
def test_junk_among_the_records_is_passed_over(box, junk):
    (box.transport.root / box.federation(LOG.fed) / "records" / "0-junk.json").write_bytes(junk)
    assert box.log().records == LOG.records


def test_junk_among_the_messages_is_reported_with_its_name(box):
    folder = box.transport.root / box.federation(LOG.fed) / "sessions" / "aa"
    folder.mkdir(parents=True)
    (folder / "junk.json").write_text("junk")
    (found,) = box.messages(LOG.fed)
    assert (found.short.split("/")[1], found.envelope, found.fault.code) == ("junk.json", None, "E_FORMAT")


def test_a_folder_with_the_name_of_a_message_is_reported(box):
    (box.transport.root / box.federation(LOG.fed) / "sessions" / "aa" / "commit-x.json").mkdir(parents=True)
    (found,) = box.messages(LOG.fed)
    assert found.fault.code == "E_IO"


def test_hidden_and_half_written_files_are_not_documents(box):
    folder = box.transport.root / box.federation(LOG.fed) / "sessions" / "aa"
    folder.mkdir(parents=True)
    for name in (".commit.json.0123.part", ".x.json", "readme.txt"):
        (folder / name).write_text("junk")
    assert box.messages(LOG.fed) == []


def test_a_document_put_twice_is_written_once(box):
    path = Path(box.put_record(GENESIS, GENESIS.mid, 0, ANNA))
    before = path.stat().st_ino
    assert Path(box.put_record(GENESIS, GENESIS.mid, 0, ANNA)) == path
    assert path.stat().st_ino == before


def test_a_document_that_somebody_spoiled_is_put_again(box):
    path = Path(box.put_record(GENESIS, GENESIS.mid, 0, ANNA))
    path.write_bytes(b"spoiled")
    box.put_record(GENESIS, GENESIS.mid, 0, ANNA)
    assert path.read_bytes() == GENESIS.to_bytes()


def test_a_folder_in_the_way_of_a_document_is_a_sentence_and_no_traceback(box):
    path = Path(box.put_message(GENESIS, LOG.fed, "ab" * 32, "commit", ANNA))
    path.unlink()
    path.mkdir()
    with pytest.raises(BlindsightError) as caught:
        box.put_message(GENESIS, LOG.fed, "ab" * 32, "commit", ANNA)
    assert caught.value.code == "E_IO"


def test_names_are_hints_and_content_decides(box):
    folder = box.transport.root / box.federation(LOG.fed) / "records"
    for path in list(folder.iterdir()):
        path.rename(folder / f"renamed-{path.name[-9:]}")
    assert box.log().records == LOG.records


@pytest.mark.parametrize("below", ["", "records"], ids=["federation folder", "records"])
def test_a_log_is_read_from_whatever_part_is_handed_over(box, below):
    assert read_log(box.transport.root).records == LOG.records
    assert read_log(box.transport.root / box.federation(LOG.fed) / below).records == LOG.records


def test_no_log_is_refused(tmp_path):
    with pytest.raises(FormatError, match="no membership log"):
        read_log(tmp_path / "nothing")


def test_a_log_must_have_the_code_a_person_was_told(box):
    assert read_log(box.transport.root, LOG.code).records == LOG.records
    with pytest.raises(MembershipError, match="not the code"):
        read_log(box.transport.root, Log.build([OTHER]).code)


@pytest.mark.parametrize(
    "typed", [str, str.lower, lambda code: code.replace("-", " "), lambda code: code.replace("0", "o")]
)
def test_of_several_logs_the_code_chooses_however_it_is_typed(box, typed):
    for key in KEYS:
        box.put_record(OTHER, OTHER.mid, 0, key.entry.fpr)
    for envelope in (GENESIS, OTHER):
        log = Log.build([envelope])
        assert read_log(box.transport.root, typed(log.code)).fed == log.fed


def test_a_forged_genesis_beside_the_log_does_not_stop_its_readers(box):
    junk = Envelope(GENESIS.type, b"{}", {})
    (box.transport.root / box.federation(LOG.fed) / "records" / "0-forged.json").write_bytes(junk.to_bytes())
    assert read_log(box.transport.root).records == LOG.records
    assert box.log().records == LOG.records


def test_an_envelope_of_an_impossible_type_does_not_stop_its_readers(box):
    odd = b'{"payload":"","payloadType":"\\ud800","signatures":[]}'
    (box.transport.root / box.federation(LOG.fed) / "records" / "0-odd.json").write_bytes(odd)
    assert box.log(LOG.fed).records == LOG.records
