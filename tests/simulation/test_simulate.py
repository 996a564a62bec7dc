"""``blindsight simulate`` refuses what cannot be played before it claims a folder; its stages give what they say."""

from __future__ import annotations

import json

import pytest

from blindsight.cli import main
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.recipient import FOLDER
from blindsight.simulation.agreeing import agree
from blindsight.simulation.chance import entropy
from blindsight.simulation.settings import Settings

SETTINGS = Settings(holders=2)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A folder in which two holders have agreed."""
    out = tmp_path_factory.mktemp("agreed")
    return out, agree(SETTINGS, out)


def test_holders_agree_on_one_epoch_for_the_scheme(played):
    _, log = played
    assert list(log.epochs) == [1]
    assert [scheme["id"] for scheme in log.latest.schemes] == ["le"]
    assert [member.name for member in log.roster.trainers] == ["trainer"]
    assert [member.name for member in log.roster.operators] == ["operator"]


def test_every_party_has_a_folder_that_is_its_own(played):
    out, _ = played
    for name in (*SETTINGS.names, "trainer", "operator"):
        assert (out / name / "keystore.json").stat().st_mode & 0o777 == 0o600
        assert (out / name / "passphrase").stat().st_mode & 0o777 == 0o600


def test_agreeing_again_changes_nothing_in_the_drop_box(played):
    out, log = played
    before = {path: path.read_bytes() for path in (out / "dropbox").rglob("*") if path.is_file()}
    assert agree(SETTINGS, out).head == log.head
    assert {path: path.read_bytes() for path in (out / "dropbox").rglob("*") if path.is_file()} == before


def test_the_same_seed_agrees_on_the_same_epoch(played, tmp_path):
    _, log = played
    again = agree(SETTINGS, tmp_path)
    assert (again.fed, again.latest.kcv) == (log.fed, log.latest.kcv)
    offered = [DropBox(folder / "dropbox").signed(log.fed, FOLDER) for folder in (played[0], tmp_path)]
    assert [document.mid for document in offered[0]] == [document.mid for document in offered[1]]


def test_chance_follows_from_seed_and_purpose():
    assert entropy(1, "a")(32) == entropy(1, "a")(32)
    assert len({entropy(1, "a")(32), entropy(2, "a")(32), entropy(1, "b")(32), entropy(1, "a", "b")(32)}) == 4
    assert entropy(1, "ab", "c")(8) != entropy(1, "a", "bc")(8)


@pytest.mark.parametrize(
    "words",
    [
        ("--holders", "0"),
        ("--limit", "0"),
        ("--rounds", "0"),
        ("--seed", "-1"),
        ("--network", "huge"),
        ("--partition", "evenly"),
        ("--scheme", "rot13"),
        ("--views", "0"),
        ("--views", "2", "--crop", "-1"),
        ("--views", "2", "--crop", "99"),
        ("--views", "2", "--jitter", "2"),
        ("--views", "2", "--cutout", "99"),
        ("--jitter", "0.4"),
        ("--cutout", "2"),
        ("--val", "-1"),
        ("--val", "0"),
        ("--val", "9999"),
        ("--val", "9999", "--until", "publish"),
        ("--block", "0"),
        ("--block", "5"),
        ("--block", "4", "--param", "block=4"),
        ("--scheme", "cat-map", "--block", "4"),
        ("--scheme", "vortex", "--param", "vortices=0"),
        ("--scheme", "pixel", "--param", "scope=nobody"),
        ("--param", "speed=9"),
        ("--data", "/nowhere"),
        ("--set", "speed=9"),
        ("--set", "batch=many"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_played_is_refused_and_claims_no_folder(words, tmp_path, capsys):
    assert main(["simulate", "--out", str(tmp_path / "out"), "--json", *words]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"].startswith("E_")
    assert not (tmp_path / "out").exists()


def test_a_parameter_without_a_value_is_wrong_usage(tmp_path):
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--out", str(tmp_path / "out"), "--param", "block"])
    assert (ended.value.code, (tmp_path / "out").exists()) == (2, False)


def test_help_ends_with_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["simulate", "--help"])
    assert capsys.readouterr().out.rstrip().splitlines()[-1].startswith("  blindsight simulate ")
