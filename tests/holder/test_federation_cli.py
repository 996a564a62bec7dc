"""``blindsight holder federation``: joining, admitting, approving, removing and granting as people type it."""

from __future__ import annotations

import json
import shlex

import pytest

from blindsight.cli.arguments import Verbs
from blindsight.protocol.clock import now
from tests.holder import lives
from tests.protocol import worlds

WAITING, WRONG_USAGE = 75, 2
VERBS = ("create", "sign", "show", "verify", "join", "changes", "admit", "remove", "approve", "grant", "follow")


@pytest.fixture(scope="module")
def federations(tmp_path_factory):
    moment = now()
    return {p: lives.agreed(tmp_path_factory.mktemp(p), p, moment=moment) for p in ("all", "majority")}


@pytest.fixture
def desk(federations, tmp_path, capsys):
    return lives.Desk(lives.copied(federations["majority"], tmp_path / "life"), capsys)


@pytest.fixture
def unanimous(federations, tmp_path, capsys):
    return lives.Desk(lives.copied(federations["all"], tmp_path / "life"), capsys)


def comes(desk, name="dora", role="holder"):
    return desk.comes(name, role).entry.code


def joins(desk, name="dora", signers=("bert",)):
    """Somebody asks, Anna admits, some and the newcomer approve: the last answer."""
    code = comes(desk, name)
    desk.json(name, "federation join", desk.log().code)
    (change,) = desk.json("anna", "federation admit", code)
    for signer in (*signers, name):
        (last,) = desk.json(signer, "federation approve", change["change"])
    return last


# Every verb.


@pytest.mark.parametrize("verb", VERBS)
def test_the_example_of_each_verb_uses_options_that_exist(desk, monkeypatch, verb):
    status, out, _ = desk.run("holder", "federation", verb, "--help")
    (example,) = [line.strip() for line in out.splitlines() if line.startswith("  blindsight holder")]
    words = shlex.split(example)
    assert (status, words[:4]) == (0, ["blindsight", "holder", "federation", verb])
    monkeypatch.setattr(Verbs, "main", lambda self, words: self._parser.parse_args(words) and 0)
    assert desk.run(*words[1:])[0] == 0


@pytest.mark.parametrize("verb", ["join", "admit", "remove", "approve", "grant", "verify"])
def test_a_verb_without_its_word_is_wrong_usage(desk, verb):
    assert desk.type("anna", f"federation {verb}")[0] == WRONG_USAGE


@pytest.mark.parametrize("days", ["0", "-1", "nan", "forty", "36501"])
def test_a_request_that_never_stands_or_never_ends_is_wrong_usage(desk, days):
    comes(desk)
    assert desk.type("dora", "federation join", "CODE", f"--days={days}")[0] == WRONG_USAGE


# Joining.


def test_four_people_take_a_newcomer_in_under_all(unanimous):
    code = comes(unanimous)
    (asked,) = unanimous.json("dora", "federation join", unanimous.log().code)
    assert asked == {"federation": "ward", "your_fingerprint": code}
    (waits,) = unanimous.json("anna", "federation changes")
    assert waits == {"asks_to_join": "holder dora", "fingerprint": code}
    (change,) = unanimous.json("anna", "federation admit", code)
    assert change["in_force"] is False
    for name in ("bert", "cleo"):
        (answer,) = unanimous.json(name, "federation approve", change["change"])
        assert answer["in_force"] is False
    (answer,) = unanimous.json("dora", "federation approve", change["change"])
    assert answer == {"change": change["change"], "in_force": True, "sequence": 2}
    (granted,) = unanimous.json("bert", "federation grant", "dora")
    assert granted == {"granted_to": unanimous.keys["dora"].entry.label, "epochs": [1]}
    (step,) = unanimous.json("dora", "epoch step")
    assert step["phase"] == "active"
    assert unanimous.secret("dora") == unanimous.secret("anna")


def test_under_majority_the_newcomer_two_and_nobody_else_are_needed(desk):
    assert joins(desk)["in_force"] is True


def test_the_table_says_the_same_as_the_json(desk):
    code = comes(desk)
    desk.json("dora", "federation join", desk.log().code)
    status, out, err = desk.type("anna", "federation admit", code)
    assert status == 0
    assert f"joins           holder dora ({code})" in out
    assert "in force        False" in out
    assert "others now type: blindsight holder federation approve" in err


def test_a_join_without_the_whole_code_reaches_no_federation(desk):
    comes(desk)
    for wrong in ("ward", desk.log().code[:9], "0000-" * 9 + "0000"):
        code, sentence = desk.refused("dora", "federation join", wrong)
        assert (code, "all ten groups" in sentence) == ("E_FED", True)


def test_a_device_does_not_join(desk):
    comes(desk, "camera", "device")
    code, sentence = desk.refused("camera", "federation join", desk.log().code)
    assert (code, "device ask" in sentence) == ("E_ROSTER", True)


def test_admission_by_half_a_code_or_a_name_is_refused_with_the_way_to_the_whole(desk):
    code = comes(desk)
    desk.json("dora", "federation join", desk.log().code)
    for part in ("dora", code[:9], code[:-5]):
        refused, sentence = desk.refused("anna", "federation admit", part)
        assert (refused, "all ten groups of its fingerprint code" in sentence) == ("E_ROSTER", True)
    assert desk.log().seq == 1


def test_nobody_changes_anything_before_the_code_was_compared(desk):
    with desk.store("anna") as store:
        store.data["feds"][desk.fed]["verified"] = "none"
        store.save()
    for verb, word in (("admit", "CODE"), ("remove", "bert"), ("approve", "00"), ("grant", "bert")):
        code, sentence = desk.refused("anna", f"federation {verb}", word)
        assert (code, "federation verify" in sentence) == ("E_UNVERIFIED", True)


def test_a_newcomer_is_told_what_it_waits_for_at_every_step(desk):
    code = comes(desk)
    desk.json("dora", "federation join", desk.log().code)
    status, out, err = desk.type("dora", "epoch step")
    assert (status, "admission of the members" in out, "no member of ward" in err) == (WAITING, True, True)
    (change,) = desk.json("anna", "federation admit", code)
    for name in ("bert", "dora"):
        desk.json(name, "federation approve", change["change"])
    status, out, err = desk.type("dora", "epoch step")
    assert (status, "grant of a member" in out, "federation grant dora" in err) == (WAITING, True, True)
    desk.json("bert", "federation grant", "dora")
    assert desk.type("dora", "epoch step")[0] == 0
    assert desk.type("dora", "epoch step")[0] == 0


def test_a_wrong_secret_is_refused_at_the_step_naming_its_sponsor(desk):
    joins(desk)
    join = lives.request_of(desk, "dora")
    desk.puts("grant", lives.forged_grant(desk, desk.keys["cleo"], join, {1: bytes(32)}))
    status, out, err = desk.type("dora", "epoch step", "--json")
    assert (status, [one["code"] for one in json.loads(out)["refused"]]) == (1, ["E_KCV"])
    assert desk.label("cleo") in err


# Refusals.


def test_nobody_is_granted_before_the_roster_record(desk):
    comes(desk)
    desk.json("dora", "federation join", desk.log().code)
    assert desk.refused("anna", "federation grant", "dora")[0] == "E_ROSTER"


def test_an_unknown_change_is_refused_with_those_that_are_open(desk):
    (change,) = desk.json("anna", "epoch retire", "1", "--reason", "spent")
    for word in ("zz", ""):
        code, sentence = desk.refused("bert", "federation approve", word)
        assert (code, change["change"] in sentence) == ("E_ROSTER", True)


def test_without_changes_there_is_one_sentence_for_people_and_nothing_for_programs(desk):
    status, out, _ = desk.type("anna", "federation changes")
    assert (status, out) == (0, "no change waits for a signature, and nobody asks to join\n")
    assert desk.json("anna", "federation changes") == []


# Leaving.


def test_a_removed_member_is_out_and_everybody_is_told_what_it_keeps(desk):
    status, out, err = desk.type("anna", "federation remove", "cleo", "--json")
    change = json.loads(out)["change"]
    assert (status, "keeps every epoch secret it had" in err) == (0, True)
    (answer,) = desk.json("bert", "federation approve", change)
    assert answer["in_force"] is True
    for verb, words in {
        "epoch propose": (),
        "epoch warn": ("1", "--text", "hello"),
        "epoch retire": ("1", "--reason", "mine"),
        "federation remove": ("anna",),
        "epoch resync": (),
    }.items():
        assert desk.refused("cleo", verb, *words)[0] == "E_ROSTER"


def test_a_minority_coup_through_the_command_is_refused_and_changes_nothing(desk):
    """Cleo wants Anna out, then both; she has one vote of three, and says so as often as she likes."""
    (change,) = desk.json("cleo", "federation remove", "anna")
    assert change["in_force"] is False
    for _ in range(3):
        (again,) = desk.json("cleo", "federation approve", change["change"])
        assert again["in_force"] is False
    assert {entry.name for entry in desk.log().roster.members} == {"anna", "bert", "cleo"}
    forged = worlds.roster_record(desk.log(), [desk.keys["cleo"].entry], [desk.keys["cleo"]])
    desk.box.put_record(forged, desk.fed, forged.body()["seq"], desk.fpr("cleo"))
    puppets = [worlds.identity(f"puppet-{number}") for number in range(4)]
    crowd = [*desk.log().roster.members, *(key.entry for key in puppets)]
    packed = worlds.roster_record(desk.log(), crowd, [desk.keys["cleo"], *puppets])
    desk.box.put_record(packed, desk.fed, packed.body()["seq"], desk.fpr("cleo"))
    assert desk.refused("bert", "federation approve", forged.mid[:12])[0] == "E_ROSTER"
    assert len(desk.log().roster.members) == 3
    listed = desk.json("anna", "federation changes")
    assert {one["change"] for one in listed} == {change["change"], packed.mid[:12]}
    assert all(desk.label("anna") in one["may_still_sign"] or one["leaves"] for one in listed)


def test_too_few_would_stay(desk):
    desk.json("anna", "federation remove", "cleo")
    desk.json("bert", "federation approve", desk.json("bert", "federation changes")[0]["change"])
    code, sentence = desk.refused("anna", "federation remove", "bert")
    assert code == "E_ROSTER"
    assert sentence


def test_nobody_removes_itself_or_somebody_unknown(desk):
    code, sentence = desk.refused("anna", "federation remove", "anna")
    assert (code, "another member types" in sentence) == ("E_ROSTER", True)
    assert desk.refused("anna", "federation remove", "nobody")[0] == "E_ROSTER"


def test_a_trainer_is_removed_like_a_member(desk):
    (change,) = desk.json("anna", "federation remove", "lab")
    assert change["leaves"] == [f"trainer {lives.LAB.entry.label}"]
    (answer,) = desk.json("bert", "federation approve", change["change"])
    assert answer["in_force"] is True
    assert desk.log().roster.trainers == ()


def test_federation_show_says_who_belongs_and_which_secrets_are_held(desk):
    joins(desk)
    (facts,) = desk.json("anna", "federation show")
    assert {label.split(" ")[0] for label in facts["members"]} == {"anna", "bert", "cleo", "dora"}
    assert (facts["sequence"], facts["epochs"], facts["compared"]) == (2, [1], "code")
    assert facts["secrets"] == {"1": "active"}
    assert desk.json("dora", "federation show")[0]["secrets"] == {}


# Forks.


def forked(desk):
    """Bert signs two ends of epoch 1, one with Anna and one with Cleo: the two records."""
    log, keys = desk.log(), desk.keys
    sides = [
        worlds.retire_record(log, [1], [keys["bert"], keys[other]], reason=f"as {other} says")
        for other in ("anna", "cleo")
    ]
    for record in sides:
        desk.box.put_record(record, desk.fed, record.body()["seq"], desk.fpr("bert"))
    return sides


def test_a_fork_stops_every_verb_names_who_made_it_and_keeps_the_evidence(desk):
    forked(desk)
    for verb in ("epoch step", "epoch status", "federation changes"):
        code, sentence = desk.refused("cleo", verb)
        assert (code, desk.label("bert") in sentence) == ("E_FORK", True)
    kept = list((desk.root / "cleo/evidence").iterdir())
    assert len(kept) == 2
    assert all(path.name.startswith("E_FORK-") for path in kept)


@pytest.mark.parametrize("side", [0, 1])
def test_people_end_a_fork_by_naming_the_record_that_counts(desk, side):
    sides = forked(desk)
    desk.refused("cleo", "epoch step")
    for name in ("anna", "cleo"):
        (facts,) = desk.json(name, "federation follow", sides[side].mid[:12])
        assert (facts["sequence"], facts["retired"]) == (2, [1])
        status, out, _err = desk.type(name, "epoch status", "--json")
        assert (status, sides[side].body()["reason"] in out) == (0, True)
    (change,) = desk.json("anna", "federation remove", "bert")
    (answer,) = desk.json("cleo", "federation approve", change["change"])
    assert answer["in_force"] is True


def test_a_record_that_no_chain_ends_with_is_not_followed(desk):
    sides = forked(desk)
    for tip in ("", "zz", desk.fed[:12] + "00"):
        assert desk.refused("anna", "federation follow", tip)[0] == "E_PREV"
    assert desk.json("anna", "federation follow", sides[0].mid)
