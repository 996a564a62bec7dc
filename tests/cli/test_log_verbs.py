"""``log export``, ``import`` and ``show``: how a trainer or an operator follows a federation, for every role alike."""

from __future__ import annotations

import json
import shlex

import pytest

from blindsight.cli.arguments import Verbs
from blindsight.protocol.clock import now
from blindsight.protocol.logfile import log_bytes, read_log
from tests.holder import lives
from tests.protocol import worlds

ROLES = ("holder", "trainer", "operator")
WRONG_USAGE = 2


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    return lives.agreed(tmp_path_factory.mktemp("agreed"), "majority", moment=now())


@pytest.fixture
def desk(founded, tmp_path, capsys):
    return lives.Desk(lives.copied(founded, tmp_path / "life"), capsys)


def log(desk, verb, *words, role="trainer"):
    """Exit status, the JSON object if there is one, and stderr."""
    status, out, err = desk.run(role, "log", verb, *words, "--json")
    return status, json.loads(out) if out else {}, err


def refused(desk, verb, *words):
    status, facts, err = log(desk, verb, *words)
    assert (status, f"[{facts['error']['code']}]" in err) == (1, True)
    return facts["error"]["code"]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("verb", ["show", "export", "import"])
def test_the_example_of_each_verb_uses_options_that_exist(desk, monkeypatch, role, verb):
    status, out, _ = desk.run(role, "log", verb, "--help")
    (example,) = [line.strip() for line in out.splitlines() if line.startswith("  blindsight ")]
    words = shlex.split(example)
    assert (status, words[:4]) == (0, ["blindsight", role, "log", verb])
    monkeypatch.setattr(Verbs, "main", lambda self, words: self._parser.parse_args(words) and 0)
    assert desk.run(*words[1:])[0] == 0


@pytest.mark.parametrize("words", [("show",), ("export", "--log", "box"), ("import", "box"), ("import", "--into", "x")])
def test_a_verb_without_what_it_needs_is_wrong_usage(desk, words):
    assert desk.run("trainer", "log", *words)[0] == WRONG_USAGE


@pytest.mark.parametrize("role", ROLES)
def test_every_role_is_shown_the_same(desk, role):
    status, facts, err = log(desk, "show", "--log", desk.root / "box", role=role)
    assert (status, err) == (0, "")
    assert (facts["federation"], facts["code"], facts["sequence"]) == ("ward", desk.log().code, 1)
    assert len(facts["members"]) == 3
    assert (facts["epochs"], facts["retired"], facts["warned_of"]) == ([1], [], [])


def test_the_table_shows_the_same_as_the_json(desk):
    status, out, _ = desk.run("trainer", "log", "show", "--log", desk.root / "box")
    assert status == 0
    for line in ("federation  ward", f"code        {desk.log().code}", "retired     none", "epochs      1"):
        assert line in out.splitlines()


def test_what_is_exported_is_the_log_and_can_be_shown_and_imported(desk, tmp_path):
    file = tmp_path / "ward.log"
    desk.json("bert", "epoch warn", "1", "--text", "a laptop was stolen")
    assert log(desk, "export", "--log", desk.root / "box", "--out", file)[0] == 0
    assert file.read_bytes() == log_bytes(desk.log())
    assert log(desk, "show", "--log", file)[1]["warned_of"] == [1]
    status, facts, _ = log(desk, "import", file, "--into", tmp_path / "mine", "--federation", desk.log().code)
    assert (status, facts["sequence"]) == (0, 1)


@pytest.mark.parametrize("place", ["box", "folder", "records"])
def test_the_box_the_federations_folder_and_its_records_show_the_same_chain(desk, place):
    box = desk.root / "box"
    where = {"box": box, "folder": desk.sessions.parent, "records": desk.sessions.parent / "records"}[place]
    status, facts, _ = log(desk, "show", "--log", where)
    assert (status, facts["code"], facts["epochs"]) == (0, desk.log().code, [1])


def test_an_export_writes_over_nothing(desk, tmp_path):
    file = tmp_path / "ward.log"
    file.write_text("something else")
    assert refused(desk, "export", "--log", desk.root / "box", "--out", file) == "E_EXISTS"
    assert file.read_text() == "something else"


def test_a_new_copy_demands_the_whole_code(desk, tmp_path):
    mine = tmp_path / "mine"
    assert refused(desk, "import", desk.root / "box", "--into", mine) == "E_UNVERIFIED"
    for wrong in (desk.log().code[:9], "0000-" * 9 + "0000"):
        assert refused(desk, "import", desk.root / "box", "--into", mine, "--federation", wrong) == "E_FED"
    assert not mine.exists()


def test_a_forged_federation_of_that_name_is_not_followed(desk, tmp_path):
    code = desk.log().code
    forged = worlds.founded([worlds.identity("mallory")], name="ward")
    place = tmp_path / "forged.log"
    place.write_bytes(log_bytes(forged))
    assert refused(desk, "import", place, "--into", tmp_path / "mine", "--federation", code) == "E_FED"
    assert log(desk, "import", desk.root / "box", "--into", tmp_path / "mine", "--federation", code)[0] == 0
    assert refused(desk, "import", place, "--into", tmp_path / "mine") == "E_FED"
    assert read_log(tmp_path / "mine").code == code


def test_news_are_told_once(desk, tmp_path):
    mine, box = tmp_path / "mine", desk.root / "box"
    _, _, err = log(desk, "import", box, "--into", mine, "--federation", desk.log().code)
    assert "follows the federation from now on" in err
    assert "nothing new" in log(desk, "import", box, "--into", mine)[2]
    desk.json("bert", "epoch warn", "1", "--text", "a laptop was stolen")
    desk.removed("cleo")
    desk.agree(moment=now())
    desk.retired(1)
    status, facts, err = log(desk, "import", box, "--into", mine)
    assert status == 0
    for sentence in (
        f"left: holder {desk.keys['cleo'].entry.label}",
        "agreed: epoch 2",
        "retired: epoch 1",
        "warning about epoch 1: a laptop was stolen",
    ):
        assert f"blindsight: {sentence}\n" in err
    assert (facts["epochs"], facts["retired"]) == ([1, 2], [1])
    assert "nothing new" in log(desk, "import", box, "--into", mine)[2]


def test_an_older_log_makes_nothing_forgotten(desk, tmp_path):
    mine, older = tmp_path / "mine", tmp_path / "older.log"
    log(desk, "export", "--log", desk.root / "box", "--out", older)
    desk.retired(1)
    log(desk, "import", desk.root / "box", "--into", mine, "--federation", desk.log().code)
    status, facts, err = log(desk, "import", older, "--into", mine)
    assert (status, facts["retired"], "nothing new" in err) == (0, [1], True)
    assert refused(desk, "import", tmp_path / "nowhere.log", "--into", mine) == "E_FORMAT"
    assert read_log(mine).retired == {1: "spent"}


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\n", b"[]\n[]\n", b"\n\n"], ids=repr)
def test_what_is_no_log_is_refused(desk, tmp_path, content):
    file = tmp_path / "file"
    file.write_bytes(content)
    for words in (("show", "--log", file), ("export", "--log", file, "--out", tmp_path / "out")):
        assert refused(desk, *words) in ("E_FORMAT", "E_CANON")
    assert not (tmp_path / "out").exists()


def test_a_place_without_a_log_is_refused(desk, tmp_path):
    assert refused(desk, "show", "--log", tmp_path) == "E_FORMAT"
    assert refused(desk, "show", "--log", tmp_path / "nothing-is-here") == "E_FORMAT"


def test_a_remembered_log_that_was_damaged_is_refused_and_kept(desk, tmp_path):
    mine = tmp_path / "mine"
    log(desk, "import", desk.root / "box", "--into", mine, "--federation", desk.log().code)
    damaged = mine.read_bytes()[:-40]
    mine.write_bytes(damaged)
    assert refused(desk, "import", desk.root / "box", "--into", mine) in ("E_FORMAT", "E_CANON", "E_QUORUM")
    assert mine.read_bytes() == damaged


def test_two_federations_in_one_box_are_told_apart_by_the_code(desk, tmp_path):
    code = desk.log().code
    other = worlds.founded(worlds.holders(2), name="other")
    for record in other.records:
        desk.box.put_record(record, other.fed, 0, "ab" * 32)
    assert refused(desk, "show", "--log", desk.root / "box") == "E_FED"
    assert log(desk, "show", "--log", desk.root / "box", "--federation", other.code)[1]["federation"] == "other"
    assert log(desk, "show", "--log", desk.root / "box", "--federation", code)[1]["federation"] == "ward"


def test_a_fork_is_followed_only_where_a_person_says_so(desk, tmp_path):
    mine, box, code = tmp_path / "mine", desk.root / "box", desk.log().code
    log(desk, "import", box, "--into", mine, "--federation", code)
    before = mine.read_bytes()
    sides = [
        worlds.retire_record(desk.log(), [1], [desk.keys["bert"], desk.keys[other]], reason=f"as {other} says")
        for other in ("anna", "cleo")
    ]
    for record in sides:
        desk.box.put_record(record, desk.fed, 2, desk.fpr("bert"))
    assert refused(desk, "import", box, "--into", mine) == "E_FORK"
    assert refused(desk, "show", "--log", box) == "E_FORK"
    assert refused(desk, "import", box, "--into", mine, "--follow", "zz") == "E_PREV"
    assert mine.read_bytes() == before
    status, facts, err = log(desk, "import", box, "--into", mine, "--follow", sides[1].mid[:12])
    assert (status, facts["retired"], "retired: epoch 1" in err) == (0, [1], True)
    assert f"{desk.label('bert')} signed two records of one sequence [E_FORK]" in err
    assert read_log(mine).retired == {1: "as cleo says"}


def test_a_chain_that_leaves_out_what_is_known_is_told_of_and_does_not_count(desk, tmp_path):
    mine, box = tmp_path / "mine", desk.root / "box"
    start, keys = desk.log(), desk.keys
    desk.retired(1)
    log(desk, "import", box, "--into", mine, "--federation", start.code)
    everybody = [keys[name] for name in desk.names]
    second = worlds.record(start, everybody, seq=9, epoch=2)
    desk.box.put_record(second, desk.fed, 9, desk.fpr("bert"))
    status, facts, err = log(desk, "import", box, "--into", mine)
    assert (status, facts["retired"], facts["sequence"]) == (0, [1], 2)
    assert f"--follow {second.mid[:12]}" in err
    _, facts, err = log(desk, "import", box, "--into", mine, "--follow", second.mid[:12])
    assert (facts["retired"], facts["sequence"]) == ([], 9)
    assert "the log has passed by a record known here" in err
