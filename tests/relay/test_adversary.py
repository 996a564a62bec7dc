"""The adversary of other tests does what its switches say, and nothing without one."""

import pytest

from tests.relay.adversary import Adversary, Memory

NAMES = [f"f/{number:02}.json" for number in range(40)]


def hostile(**switches):
    found = Adversary(Memory(), 7, **switches)
    for name in NAMES:
        found.put(name, name.encode() * 3)
    return found


def shown(box, folder="f"):
    return [(piece.name, piece.data) for piece in box.documents(folder)]


HONEST = [(name, name.encode() * 3) for name in NAMES]


def test_without_a_switch_it_is_honest():
    box = hostile()
    assert shown(box.party("anna")) == HONEST
    assert (box.folders(""), len(box.files("f"))) == (["f"], 40)


def test_files_pass_through_it(tmp_path):
    (tmp_path / "source").write_bytes(b"x")
    box = hostile()
    box.send(tmp_path / "source", "f/data.bin")
    box.fetch("f/data.bin", tmp_path / "target", 2**20)
    assert (tmp_path / "target").read_bytes() == b"x"


def test_drop_keeps_the_same_documents_from_everybody_for_ever():
    box = hostile(drop=0.5)
    left = shown(box.party("anna"))
    assert 0 < len(left) < 40
    assert shown(box.party("bert")) == shown(box.party("anna")) == left
    assert set(left) < set(HONEST)


def test_another_seed_drops_other_documents():
    one, other = hostile(drop=0.5), hostile(drop=0.5)
    other.seed = 8
    assert shown(one) != shown(other)


def test_delay_counts_the_reads_of_each_party():
    box = hostile(delay=2)
    anna, bert = box.party("anna"), box.party("bert")
    assert [len(shown(anna)) for _ in range(3)] == [0, 0, 40]
    assert shown(bert) == []
    box.put("f/new.json", b"x")
    assert [len(shown(anna)) for _ in range(3)] == [40, 40, 41]


def test_reorder_gives_all_documents_in_another_order_each_time():
    box = hostile(reorder=True)
    first, second = shown(box), shown(box)
    assert sorted(first) == sorted(second) == HONEST
    assert len({tuple(first), tuple(second), tuple(HONEST)}) == 3


def test_duplicate_gives_copies_under_other_names():
    pieces = shown(hostile(duplicate=0.5))
    assert 40 < len(pieces) < 80
    assert len({name for name, _ in pieces}) == len(pieces)
    assert {data for _, data in pieces} == {data for _, data in HONEST}


def test_edit_changes_one_byte_and_always_the_same():
    box = hostile(edit=0.5)
    changed = [(new, old) for (_, new), (_, old) in zip(shown(box), HONEST, strict=True) if new != old]
    assert 0 < len(changed) < 40
    for new, old in changed:
        assert sum(a != b for a, b in zip(new, old, strict=True)) == 1
    assert shown(box) == shown(box.party("anna"))


def test_fork_shows_each_party_a_version_of_its_own():
    box = Adversary(Memory(), 7, fork=True)
    anna, bert = box.party("anna"), box.party("bert")
    box.put("f/one.json", b"A")
    box.put("f/one.json", b"B")
    box.put("f/two.json", b"C")
    assert shown(anna) == [("f/one.json", b"A"), ("f/two.json", b"C")]
    assert shown(bert) == [("f/one.json", b"B"), ("f/two.json", b"C")]


def test_what_is_planted_one_party_sees_and_no_other():
    box = Adversary(Memory(), 7)
    box.put("f/one.json", b"A")
    box.plant("f/one.json", b"lie", "bert")
    assert shown(box.party("anna")) == [("f/one.json", b"A")]
    assert shown(box.party("bert")) == [("f/one.json", b"lie")]


@pytest.mark.parametrize("folder", ["f", "g"])
def test_replay_gives_old_documents_again_in_every_folder(folder):
    box = hostile(replay=0.5)
    box.put("g/one.json", b"x")
    again = [(name, data) for name, data in shown(box, folder) if "replay" in name]
    assert 0 < len(again) < 41
    assert {data for _, data in again} <= {b"x"} | {data for _, data in HONEST}
    assert all(name.startswith(f"{folder}/") for name, _ in again)
