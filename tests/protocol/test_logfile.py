"""A log handed over as a box, a folder or one file; and the file that remembers. FORMAT.md section C.4."""

import pytest

from blindsight.protocol import logfile
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import BlindsightError, ConflictError, FormatError, MembershipError
from blindsight.protocol.log import Log
from tests.protocol import worlds

KEYS = worlds.holders(4)
LAB = worlds.identity("lab", "trainer")
OLD = worlds.constituted(KEYS, "majority", trainers=[LAB])
EPOCH = worlds.grown(OLD, worlds.record(OLD, KEYS, seq=1, epoch=1))
WARNED = worlds.grown(EPOCH, worlds.notice_of(EPOCH, KEYS[0]), worlds.notice_of(EPOCH, KEYS[1]))
NEWER = worlds.grown(EPOCH, worlds.retire_record(EPOCH, [1], KEYS), worlds.notice_of(EPOCH, KEYS[0]))
FORK = worlds.grown(EPOCH, worlds.retire_record(EPOCH, [1], KEYS, reason="another reason"))
OTHER = worlds.founded(worlds.holders(2), name="another ward")


def exported(folder, log, name="log"):
    """An exported log as a file."""
    path = folder / name
    path.write_bytes(logfile.log_bytes(log))
    return path


def put(box, log):
    """A log in a drop-box as its members put it there: one file a signature."""
    for record, head in zip(log.records, log.history, strict=True):
        for copy in worlds.single(record):
            box.put_record(copy, log.fed, head["seq"], *copy.signatures)
    for notice in log.notices:
        box.put_signed(notice, log.fed, logfile.NOTICES, *notice.signatures)


def boxed(place, *logs):
    """A drop-box with these logs."""
    box = DropBox(place)
    for log in logs:
        put(box, log)
    return place


@pytest.mark.parametrize("log", [OLD, EPOCH, WARNED, NEWER], ids=["founded", "agreed", "warned", "retired"])
def test_what_is_exported_is_read_back_the_same(tmp_path, log):
    assert logfile.read_log(exported(tmp_path, log)) == log


def test_an_exported_log_is_one_envelope_a_line_genesis_first_notices_last():
    lines = logfile.log_bytes(WARNED).splitlines()
    assert [Envelope.from_bytes(line) for line in lines] == [*WARNED.records, *WARNED.notices]


def test_a_file_whose_lines_stand_in_another_order_and_twice_is_the_same_log(tmp_path):
    lines = logfile.log_bytes(WARNED).splitlines(keepends=True)
    (tmp_path / "log").write_bytes(b"".join([*reversed(lines), *lines]))
    assert logfile.read_log(tmp_path / "log") == WARNED


def test_a_file_that_came_through_a_system_with_other_line_ends_is_the_same_log(tmp_path):
    (tmp_path / "log").write_bytes(logfile.log_bytes(WARNED).replace(b"\n", b"\r\n"))
    assert logfile.read_log(tmp_path / "log") == WARNED


@pytest.mark.parametrize("place", ["", "{code}", "{code}/records"], ids=["box", "federation", "records"])
def test_a_log_is_read_from_a_box_a_federations_folder_or_its_records(tmp_path, place):
    boxed(tmp_path, EPOCH)
    assert logfile.read_log(tmp_path / place.format(code=EPOCH.code[:9])) == EPOCH


@pytest.mark.parametrize("place", ["", "{code}"], ids=["box", "federation"])
def test_notices_in_a_box_are_read_with_the_log(tmp_path, place):
    boxed(tmp_path, WARNED)
    assert logfile.read_log(tmp_path / place.format(code=EPOCH.code[:9])) == WARNED


def test_a_log_is_read_from_wherever_fsspec_leads(tmp_path):
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    place = boxed(f"memory://{tmp_path.name}-log", WARNED)
    assert logfile.read_log(place) == WARNED
    assert logfile.import_log(place, tmp_path / "known") == (WARNED, None)


def test_a_single_genesis_in_a_file_is_a_log(tmp_path):
    (tmp_path / "genesis.json").write_bytes(OLD.records[0].to_bytes())
    assert logfile.read_log(tmp_path / "genesis.json") == OLD


def test_of_two_federations_in_one_box_the_code_chooses(tmp_path):
    boxed(tmp_path, EPOCH, OTHER)
    assert logfile.read_log(tmp_path, OTHER.code) == OTHER
    assert logfile.read_log(tmp_path, EPOCH.code.lower().replace("-", " ")) == EPOCH
    with pytest.raises(MembershipError, match="several federations are present"):
        logfile.read_log(tmp_path)


@pytest.mark.parametrize("code", [OTHER.code, "0000", EPOCH.code[:9], EPOCH.code[:-1]])
def test_another_code_or_part_of_it_is_refused(tmp_path, code):
    with pytest.raises(MembershipError, match="not the code of this federation") as caught:
        logfile.read_log(exported(tmp_path, EPOCH), code)
    assert caught.value.code == "E_FED"


def test_junk_in_a_box_is_passed_over(tmp_path):
    boxed(tmp_path, EPOCH)
    records = tmp_path / EPOCH.code[:9] / "records"
    for number, junk in enumerate([b"", b"{}", b"\xff" * 99, worlds.spoilt(EPOCH.records[1]).to_bytes()]):
        (records / f"{number}-junk.json").write_bytes(junk)
    (records / "a-folder.json").mkdir()
    assert logfile.read_log(tmp_path) == EPOCH


EMPTY = {"an empty folder": "", "nothing at all": "missing", "an empty file": "empty", "a card": "card"}


@pytest.mark.parametrize("name", EMPTY.values(), ids=EMPTY.keys())
def test_a_place_without_a_log_is_refused_in_a_sentence(tmp_path, name):
    (tmp_path / "empty").touch()
    (tmp_path / "card").write_bytes(Envelope.of("identity", {}).to_bytes())
    with pytest.raises(FormatError):
        logfile.read_log(tmp_path / name)


def damaged_files():
    """Names and contents of files that are no exported log."""
    data = logfile.log_bytes(NEWER)
    return {
        "cut inside the last line": data[:-40],
        "cut inside the first line": data[:1000],
        "with junk between lines": data.replace(b"\n", b"\njunk\n", 1),
        "with an empty line": data.replace(b"\n", b"\n\n", 1),
        "with junk at the end": data + b"junk",
        "with bytes that are no text": data + b"\xff\xfe\n",
        "without line ends": data.replace(b"\n", b""),
        "of zeros": bytes(1000),
    }


@pytest.mark.parametrize("data", damaged_files().values(), ids=damaged_files().keys())
def test_a_damaged_file_is_refused_and_not_passed_over(tmp_path, data):
    (tmp_path / "log").write_bytes(data)
    with pytest.raises(FormatError) as caught:
        logfile.read_log(tmp_path / "log")
    assert caught.value.code in ("E_FORMAT", "E_CANON")


def test_a_damaged_file_names_the_line(tmp_path):
    (tmp_path / "ward.log").write_bytes(logfile.log_bytes(EPOCH) + b"junk\n")
    with pytest.raises(FormatError, match=r"ward\.log line 3"):
        logfile.read_log(tmp_path / "ward.log")


@pytest.mark.parametrize("line", [b"\n", b"{}\n"], ids=["empty lines", "short lines"])
def test_a_file_of_too_many_lines_is_refused_before_any_is_read(tmp_path, line):
    (tmp_path / "log").write_bytes(logfile.log_bytes(EPOCH) + line * logfile.MAX_LINES)
    with pytest.raises(FormatError, match="larger than any log"):
        logfile.read_log(tmp_path / "log")


def test_a_huge_file_is_refused_without_being_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(logfile, "MAX_BYTES", 2**20)
    with (tmp_path / "log").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(FormatError, match="larger than any log"):
        logfile.read_log(tmp_path / "log")


def test_a_file_of_exactly_the_greatest_size_is_read(tmp_path, monkeypatch):
    path = exported(tmp_path, EPOCH)
    monkeypatch.setattr(logfile, "MAX_BYTES", path.stat().st_size)
    assert logfile.read_log(path) == EPOCH


def test_a_first_import_remembers_what_it_was_shown(tmp_path):
    known = tmp_path / "known"
    assert logfile.import_log(exported(tmp_path, WARNED), known) == (WARNED, None)
    assert logfile.read_log(known) == WARNED


def test_an_import_follows_to_the_newer_log_and_says_what_was_known(tmp_path):
    known = exported(tmp_path, EPOCH, "known")
    assert logfile.import_log(exported(tmp_path, NEWER), known) == (NEWER, EPOCH)
    assert logfile.read_log(known) == NEWER


def test_an_older_source_makes_nothing_forgotten(tmp_path):
    known = exported(tmp_path, NEWER, "known")
    for older in (OLD, EPOCH):
        assert logfile.import_log(exported(tmp_path, older), known) == (NEWER, NEWER)
        assert logfile.read_log(known) == NEWER


def test_a_warning_that_a_source_leaves_out_is_remembered(tmp_path):
    known = exported(tmp_path, WARNED, "known")
    now, _ = logfile.import_log(exported(tmp_path, EPOCH), known)
    assert now.notices == WARNED.notices
    assert logfile.read_log(known) == WARNED


def test_warnings_of_two_sources_are_united(tmp_path):
    known = tmp_path / "known"
    for author in KEYS[:2]:
        source = worlds.grown(EPOCH, worlds.notice_of(EPOCH, author))
        now, _ = logfile.import_log(exported(tmp_path, source), known)
    assert now == WARNED


def test_the_log_of_another_federation_is_refused_and_the_memory_stays(tmp_path):
    known = exported(tmp_path, NEWER, "known")
    before = known.read_bytes()
    with pytest.raises(ConflictError) as caught:
        logfile.import_log(exported(tmp_path, OTHER), known)
    assert (caught.value.code, known.read_bytes()) == ("E_FED", before)


def test_a_fork_does_not_change_the_memory_and_convicts_who_signed_both(tmp_path):
    known = exported(tmp_path, NEWER, "known")
    now, _ = logfile.import_log(exported(tmp_path, FORK), known)
    assert (now.head, now.outbid.mid) == (NEWER.head, FORK.head["id"])
    assert now.doubles


def test_a_fork_without_a_memory_is_refused_with_both_records_until_a_person_decides(tmp_path):
    both = tmp_path / "both"
    both.write_bytes(logfile.log_bytes(NEWER) + logfile.log_bytes(FORK))
    with pytest.raises(ConflictError) as caught:
        logfile.import_log(both, tmp_path / "known")
    assert (caught.value.code, len(caught.value.evidence)) == ("E_FORK", 2)
    decided, _ = logfile.import_log(both, tmp_path / "known", follow=FORK.head["id"][:12])
    assert decided.head == FORK.head
    assert logfile.import_log(both, tmp_path / "known")[0].head == FORK.head


@pytest.mark.parametrize("data", damaged_files().values(), ids=damaged_files().keys())
def test_a_damaged_source_leaves_the_memory_as_it_was(tmp_path, data):
    known = exported(tmp_path, EPOCH, "known")
    before = known.read_bytes()
    (tmp_path / "log").write_bytes(data)
    with pytest.raises(BlindsightError):
        logfile.import_log(tmp_path / "log", known)
    assert known.read_bytes() == before


@pytest.mark.parametrize("data", damaged_files().values(), ids=damaged_files().keys())
def test_a_damaged_memory_is_refused_and_not_overwritten(tmp_path, data):
    (tmp_path / "known").write_bytes(data)
    with pytest.raises(FormatError):
        logfile.import_log(exported(tmp_path, NEWER), tmp_path / "known")
    assert (tmp_path / "known").read_bytes() == data


def test_another_code_leaves_no_memory_behind(tmp_path):
    with pytest.raises(MembershipError):
        logfile.import_log(exported(tmp_path, EPOCH), tmp_path / "known", OTHER.code)
    assert not (tmp_path / "known").exists()


def test_a_chain_that_leaves_out_a_remembered_change_counts_only_when_a_person_says_so(tmp_path):
    rest = [key.entry for key in KEYS[:3]]
    outbid = worlds.grown(OLD, worlds.roster_record(OLD, rest, KEYS[:3], seq=7))
    known = exported(tmp_path, NEWER, "known")
    kept, before = logfile.import_log(exported(tmp_path, outbid), known)
    assert (kept.head, kept.outbid.mid, before) == (NEWER.head, outbid.head["id"], NEWER)
    with pytest.raises(MembershipError):
        logfile.import_log(exported(tmp_path, outbid), known, follow="ffff")
    assert logfile.import_log(exported(tmp_path, outbid), known, follow=outbid.head["id"][:12])[0].seq == 7


def test_another_federation_beside_the_remembered_one_does_not_stop_the_import(tmp_path):
    known = exported(tmp_path, EPOCH, "known")
    boxed(tmp_path / "box", NEWER, OTHER)
    assert logfile.import_log(tmp_path / "box", known)[0] == NEWER


def test_a_file_cut_between_two_lines_is_an_older_log_and_makes_nothing_forgotten(tmp_path):
    (tmp_path / "log").write_bytes(b"".join(logfile.log_bytes(NEWER).splitlines(keepends=True)[:2]))
    assert logfile.read_log(tmp_path / "log") == EPOCH
    assert logfile.import_log(tmp_path / "log", exported(tmp_path, NEWER, "known"))[0] == NEWER


def test_more_notices_than_a_file_may_have_lines_do_not_break_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(logfile, "MAX_LINES", 20)
    many = [worlds.notice_of(EPOCH, KEYS[0], text=f"reason {number}") for number in range(40)]
    log = Log.build([*EPOCH.records, *many])
    known = tmp_path / "known"
    logfile.import_log(boxed(tmp_path / "box", log), known)
    assert logfile.read_log(known).warnings(1)
