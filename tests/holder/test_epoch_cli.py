"""``blindsight holder epoch``: the life of an epoch after the ceremony, as people type it."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest

from blindsight.cli.arguments import Verbs
from blindsight.protocol import bundle
from blindsight.protocol.clock import now
from blindsight.protocol.encoding import to_b64
from blindsight.protocol.errors import PolicyError
from tests.holder import lives
from tests.operator import bundles
from tests.protocol.worlds import World

WAITING, WRONG_USAGE = 75, 2
VERBS = ("propose", "step", "abort", "status", "cost", "retire", "warn", "resync", "forget")


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    return lives.agreed(tmp_path_factory.mktemp("agreed"), "majority", moment=now())


@pytest.fixture
def desk(founded, tmp_path, capsys):
    return lives.Desk(lives.copied(founded, tmp_path / "life"), capsys)


@pytest.fixture
def pets(tmp_path):
    """Twelve small images with labels."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    path = tmp_path / "pets.npz"
    np.savez(path, train_images=images, train_labels=np.arange(12) % 3, classes=np.array(["cat", "dog", "owl"]))
    return path


def publishes(desk, name, pets, *words):
    return desk.json(name, "publish", pets, *words)[0]


def retires(desk, number="1"):
    (change,) = desk.json("anna", "epoch retire", number, "--reason", "encrypted anew")
    (answer,) = desk.json("bert", "federation approve", change["change"])
    assert answer["in_force"] is True


@pytest.mark.parametrize("verb", VERBS)
def test_the_example_of_each_verb_uses_options_that_exist(desk, monkeypatch, verb):
    status, out, _ = desk.run("holder", "epoch", verb, "--help")
    (example,) = [line.strip() for line in out.splitlines() if line.startswith("  blindsight holder")]
    words = shlex.split(example)
    assert (status, words[:4]) == (0, ["blindsight", "holder", "epoch", verb])
    monkeypatch.setattr(Verbs, "main", lambda self, words: self._parser.parse_args(words) and 0)
    assert desk.run(*words[1:])[0] == 0


@pytest.mark.parametrize(
    "words",
    [("retire",), ("retire", "1"), ("retire", "one", "--reason", "x"), ("retire", "0", "--reason", "x"), ("warn", "1"),
     ("warn", "0", "--text", "x"), ("forget",), ("forget", "-1"), ("resync", "--days", "0")],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_is_told_apart_from_refusals(desk, words):
    assert desk.type("anna", "epoch", *words)[0] == WRONG_USAGE


# Retiring.


def test_after_the_retirement_publish_and_bundles_refuse_and_nobody_can_override(desk, pets, tmp_path):
    publishes(desk, "anna", pets)
    world = World([desk.keys[name] for name in desk.names], desk.log(), desk.secret("anna"))
    folder = bundles.write(tmp_path / "bundle", world)
    bundle.load(folder, desk.log(), now())
    retires(desk)
    for words in ((), ("--despite-notice", "I insist")):
        code, sentence = desk.refused("anna", "publish", pets, "--name", "other", *words)
        assert (code, "encrypted anew" in sentence) == ("E_RETIRED", True)
    with pytest.raises(PolicyError) as caught:
        bundle.load(folder, desk.log(), now(), despite_notice=True)
    assert caught.value.code == "E_RETIRED"
    check = ("trainer", "check", desk.root / "anna/datasets/pets-train", "--log", desk.root / "box")
    for words in ((), ("--despite-notice", "I insist")):
        status, out, _ = desk.run(*check, *words, "--json")
        assert (status, {fault["code"] for fault in json.loads(out)["faults"]}) == (1, {"E_RETIRED"})


def test_a_retirement_waits_for_signatures_and_says_what_others_type(desk):
    status, out, err = desk.type("anna", "epoch retire", "1", "--reason", "spent")
    assert (status, "in force  False" in out, "federation approve" in err) == (0, True, True)
    (change,) = desk.json("bert", "federation changes")
    assert (change["retires"], change["reason"]) == ([1], "spent")


@pytest.mark.parametrize(("number", "code"), [("2", "E_EPOCH"), ("9" * 15, "E_EPOCH")])
def test_what_is_not_agreed_is_not_retired(desk, number, code):
    assert desk.refused("anna", "epoch retire", number, "--reason", "x")[0] == code


# Forgetting.


def test_a_secret_is_erased_after_the_retirement_only(desk):
    secret = desk.secret("anna")
    code, sentence = desk.refused("anna", "epoch forget", "1")
    assert (code, "is not retired" in sentence) == ("E_RETIRED", True)
    retires(desk)
    (facts,) = desk.json("anna", "epoch forget", "1")
    assert facts == {"epoch": 1, "secret": "erased"}
    with desk.store("anna") as store:
        kept = json.dumps(store.data)
    assert to_b64(secret) not in kept
    assert desk.secret("bert") == secret
    (status,) = desk.json("anna", "epoch status")
    assert status["secret"] == "forgotten"


def test_what_is_erased_cannot_be_erased_again_nor_asked_for(desk):
    retires(desk)
    desk.json("anna", "epoch forget", "1")
    assert desk.refused("anna", "epoch forget", "1")[0] == "E_EPOCH"
    assert desk.refused("anna", "epoch resync")[0] == "E_EXISTS"


def test_an_epoch_that_never_was_is_not_forgotten(desk):
    assert desk.refused("anna", "epoch forget", "7")[0] == "E_RETIRED"


# Warning.


def test_a_warning_stops_publishing_until_a_person_gives_a_reason(desk, pets):
    status, out, err = desk.type("bert", "epoch warn", "1", "--text", "a laptop was stolen", "--json")
    assert (status, json.loads(out)["epoch"], "epoch propose, then epoch retire" in err) == (0, 1, True)
    code, sentence = desk.refused("anna", "publish", pets)
    assert (code, "a laptop was stolen" in sentence) == ("E_NOTICE", True)
    for empty in ("", "  "):
        assert desk.refused("anna", "publish", pets, "--despite-notice", empty)[0] == "E_NOTICE"
    assert publishes(desk, "anna", pets, "--despite-notice", "images of last week")["rows"] == 12


def test_a_warning_stops_the_trainers_check_until_a_person_gives_a_reason(desk, pets, state_home):
    publishes(desk, "anna", pets)
    desk.json("bert", "epoch warn", "1", "--text", "a laptop was stolen")
    check = ("trainer", "check", desk.root / "anna/datasets/pets-train", "--log", desk.root / "box")
    status, out, _ = desk.run(*check, "--json")
    assert (status, [fault["code"] for fault in json.loads(out)["faults"]]) == (1, ["E_NOTICE"])
    assert desk.run(*check, "--despite-notice", "")[0] == 1
    status, _, err = desk.run(*check, "--despite-notice", "only to compare")
    assert (status, "only to compare" in err) == (0, True)
    (line,) = (state_home / "blindsight/overrides.jsonl").read_text().splitlines()
    assert json.loads(line)["reason"] == "only to compare"


def test_a_warning_shows_in_the_status_and_the_second_one_of_a_member_is_refused(desk):
    desk.json("bert", "epoch warn", "1", "--text", "a laptop was stolen")
    (status,) = desk.json("anna", "epoch status")
    assert status["objections"] == [f"{desk.label('bert')} warns that epoch 1 is known: a laptop was stolen"]
    assert desk.refused("bert", "epoch warn", "1", "--text", "again")[0] == "E_EXISTS"
    assert desk.refused("bert", "epoch warn", "2", "--text", "again")[0] == "E_EPOCH"
    assert desk.refused("anna", "epoch warn", "1", "--text", "two\nlines")[0] == "E_FORMAT"


# Losing and getting back.


def test_a_lost_secret_comes_back_by_resync_and_grant(desk):
    secret = desk.secret("bert")
    desk.loses("bert")
    status, out, err = desk.type("bert", "epoch step", "--json")
    assert (status, json.loads(out)["phase"], "epoch resync" in err) == (0, "active", True)
    (asked,) = desk.json("bert", "epoch resync")
    assert asked == {"lost_epochs": [1], "your_fingerprint": desk.keys["bert"].entry.code}
    status, out, _ = desk.type("bert", "epoch step", "--json")
    assert (status, json.loads(out)["waiting_for"]) == (WAITING, "grant of a member")
    (granted,) = desk.json("cleo", "federation grant", "bert")
    assert granted["epochs"] == [1]
    status, out, err = desk.type("bert", "epoch step", "--json")
    assert (status, "waiting_for" in json.loads(out), err) == (0, False, "")
    assert desk.secret("bert") == secret


def test_who_lacks_nothing_is_not_resynced(desk):
    code, sentence = desk.refused("anna", "epoch resync")
    assert (code, "every epoch in use" in sentence) == ("E_EXISTS", True)


# Cost.


def test_the_cost_lists_data_sets_and_models_and_a_proposal_says_it(desk, pets):
    publishes(desk, "anna", pets)
    publishes(desk, "bert", pets)
    world = World([desk.keys[name] for name in desk.names], desk.log(), desk.secret("anna"))
    bundles.write(desk.box.transport.root / desk.box.models(desk.fed) / "pets", world)
    (facts,) = desk.json("cleo", "epoch cost")
    assert sorted((one["holder"], one["rows"]) for one in facts["datasets"]) == sorted(
        (desk.label(name), 12) for name in ("anna", "bert")
    )
    assert facts["models"] == [{"name": "pets", "epoch": 1, "scheme": "le", "rekeyable": True}]
    status, out, _ = desk.type("cleo", "epoch cost")
    assert (status, "2 data sets, 24 rows" in out, "can be re-keyed without training" in out) == (0, True, True)
    status, out, err = desk.type("cleo", "epoch propose", "--json")
    assert (status, json.loads(out)["epoch"], "2 data sets, 24 rows" in err) == (0, 2, True)


def test_the_first_proposal_of_all_costs_nothing_and_says_nothing(tmp_path, capsys):
    root = lives.agreed(tmp_path / "new", "majority", moment=now(), epochs=0)
    desk = lives.Desk(root, capsys)
    status, _, err = desk.type("anna", "epoch propose")
    assert (status, "encrypted again" in err) == (0, False)


# Rotating.


def test_a_new_epoch_leaves_the_old_one_usable_until_it_is_retired(desk, pets):
    publishes(desk, "anna", pets)
    desk.json("anna", "epoch propose")
    for _ in range(4):
        for name in desk.names:
            desk.type(name, "epoch step")
    assert [one["epoch"] for one in desk.json("anna", "epoch status")] == [1, 2]
    assert publishes(desk, "bert", pets, "--epoch", "1")["epoch"] == 1
    assert publishes(desk, "cleo", pets)["epoch"] == 2
    retires(desk)
    assert desk.refused("cleo", "publish", pets, "--epoch", "1", "--name", "again")[0] == "E_RETIRED"
    assert publishes(desk, "cleo", pets, "--name", "again")["epoch"] == 2


def test_before_the_first_epoch_the_status_says_so(tmp_path, capsys):
    desk = lives.Desk(lives.agreed(tmp_path / "new", "majority", moment=now(), epochs=0), capsys)
    assert desk.type("anna", "epoch status")[:2] == (0, "no epoch is agreed yet\n")
    assert desk.json("anna", "epoch status") == []


def test_no_verb_shows_a_secret(desk, pets):
    secret = desk.secret("anna")
    publishes(desk, "anna", pets)
    said = [desk.type("anna", f"epoch {verb}", "--json") for verb in ("status", "cost", "step")]
    said += [desk.type("anna", "federation show", "--json"), desk.type("anna", "epoch warn", "1", "--text", "x")]
    for _, out, err in said:
        for spelling in (to_b64(secret), secret.hex(), str(secret)):
            assert spelling not in out + err
