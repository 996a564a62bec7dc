"""Rooms on disk: what was acknowledged is there after any end; what was cut off is not."""

import hashlib

import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed, so there is no relay")

from blindsight.protocol.errors import BlindsightError
from blindsight.relay.limits import Limits
from blindsight.relay.store import Store


def sha(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def root(tmp_path):
    """A store in which three documents lie, closed."""
    with_three = Store(tmp_path / "store", Limits())
    for number in range(3):
        put(with_three, f"a/{number}.json", b"%d" % number)
    with_three.close()
    return tmp_path / "store"


def put(store, name, data):
    return store.put("ward-7", name, sha(data), data)


def names(store):
    return [(entry.cursor, entry.name) for entry in store.room("ward-7").after(0, 99)[0]]


THREE = [(1, "a/0.json"), (2, "a/1.json"), (3, "a/2.json")]


def test_what_was_put_is_there_after_a_restart(root):
    store = Store(root, Limits())
    assert names(store) == THREE
    assert store.room("ward-7").path(sha(b"1")).read_bytes() == b"1"
    assert put(store, "a/1.json", b"1")[1] is False
    assert put(store, "a/9.json", b"9")[0].cursor == 4


@pytest.mark.parametrize("cut", range(1, 75))
def test_a_line_that_was_cut_off_anywhere_does_not_count_and_can_be_put_again(root, cut):
    path = root / "ward-7" / "list"
    path.write_bytes(path.read_bytes()[:-cut])
    store = Store(root, Limits())
    assert names(store) == THREE[:2]
    assert put(store, "a/2.json", b"2")[1] is True
    store.close()
    assert names(Store(root, Limits())) == THREE


@pytest.mark.parametrize("junk", [b"junk\n", b"\x00" * 40 + b"\n", b"\xff\n", b"4 1 " + b"ab" * 32 + b" ../x\n", b"\n"])
def test_a_damaged_line_is_passed_over(root, junk):
    path = root / "ward-7" / "list"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + junk + lines[1] + lines[2] + bytes(20))
    assert names(Store(root, Limits())) == THREE


def test_a_document_without_a_line_is_no_entry_until_it_is_put(root):
    (root / "ward-7" / "m" / sha(b"x")).write_bytes(b"x")
    store = Store(root, Limits())
    assert names(store) == THREE
    assert put(store, "a/x.json", b"x")[1] is True


def test_a_half_written_document_is_swept_away(root):
    part = root / "ward-7" / "m" / f".{sha(b'x')}.0123.part"
    part.write_bytes(b"half")
    Store(root, Limits())
    assert not part.exists()


def test_two_processes_cannot_use_one_store(root):
    store = Store(root, Limits())
    with pytest.raises(BlindsightError) as caught:
        Store(root, Limits())
    assert caught.value.code == "E_LOCKED"
    store.close()
    Store(root, Limits()).close()


def test_a_store_that_is_a_file_is_a_sentence(tmp_path):
    (tmp_path / "store").write_text("x")
    with pytest.raises(BlindsightError) as caught:
        Store(tmp_path / "store", Limits())
    assert caught.value.code == "E_IO"


def test_a_content_under_several_names_takes_its_room_once(root):
    store = Store(root, Limits(room=4))
    put(store, "a/again.json", b"0")
    put(store, "a/new.json", b"x")
    assert store.room("ward-7").used == 4


def test_a_disk_that_takes_half_a_line_leaves_the_list_whole(root, monkeypatch):
    store = Store(root, Limits())
    monkeypatch.setattr("os.fsync", broken)
    (root / "ward-7" / "m" / sha(b"x")).write_bytes(b"x")
    store.room("ward-7").sizes[sha(b"x")] = 1
    with pytest.raises(OSError, match="Input/output"):
        put(store, "a/x.json", b"x")
    assert names(store) == THREE
    assert (root / "ward-7" / "list").read_bytes().count(b"\n") == 3


def broken(descriptor):
    raise OSError(5, "Input/output error")
