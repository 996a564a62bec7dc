"""A simulation claims an empty folder, goes on only when told to, and only with the same settings."""

from __future__ import annotations

import dataclasses
import json

import pytest

from blindsight.protocol.errors import BlindsightError, DataError
from blindsight.simulation.settings import FILE_NAME, MAX_HOLDERS, Settings

SETTINGS = Settings(holders=2, options=("batch=32",))


@pytest.mark.parametrize("holders", [0, -1, MAX_HOLDERS + 1])
def test_nobody_plays_with_so_many_holders(holders):
    with pytest.raises(DataError, match="--holders must be from 1 to"):
        Settings(holders=holders)


def test_a_limit_leaves_one_image_at_least():
    with pytest.raises(DataError, match="--limit must be at least 1"):
        Settings(limit=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"scheme": "rot13"},
        {"partition": "evenly"},
        {"views": 0},
        {"views": 2, "crop": -1},
        {"views": 2, "jitter": 1.5},
        {"views": 2, "cutout": -1},
        {"jitter": 0.5},
        {"val": -1},
    ],
    ids=str,
)
def test_what_nobody_can_play_is_refused_before_a_folder_is_claimed(changes, tmp_path):
    with pytest.raises(BlindsightError):
        Settings(**changes).begin(tmp_path / "out", resume=False)
    assert not (tmp_path / "out").exists()


def test_holders_are_named_by_number():
    assert Settings(holders=3).names == ("holder-1", "holder-2", "holder-3")


@pytest.mark.parametrize("resume", [False, True])
def test_a_new_folder_is_claimed(tmp_path, resume):
    SETTINGS.begin(tmp_path / "a" / "b", resume=resume)
    document = json.loads((tmp_path / "a" / "b" / FILE_NAME).read_bytes())
    assert document == json.loads(json.dumps(dataclasses.asdict(SETTINGS)))


def test_an_empty_folder_is_claimed(tmp_path):
    SETTINGS.begin(tmp_path, resume=False)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_folder_with_a_simulation_asks_for_resume(tmp_path):
    SETTINGS.begin(tmp_path, resume=False)
    with pytest.raises(DataError, match="is not empty") as caught:
        SETTINGS.begin(tmp_path, resume=False)
    assert (caught.value.code, "--resume" in caught.value.hint) == ("E_EXISTS", True)


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_with_anything_else_is_left_alone(tmp_path, resume):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(DataError, match="is not empty") as caught:
        SETTINGS.begin(tmp_path, resume=resume)
    assert caught.value.hint == "name another --out"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("params", [{}, {"block": "4", "fixed_blocks": "2"}])
def test_the_same_settings_go_on(tmp_path, params):
    settings = dataclasses.replace(SETTINGS, params=params)
    settings.begin(tmp_path, resume=False)
    before = (tmp_path / FILE_NAME).read_bytes()
    settings.begin(tmp_path, resume=True)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_what_an_older_simulation_does_not_say_is_the_default(tmp_path):
    SETTINGS.begin(tmp_path, resume=False)
    stored = json.loads((tmp_path / FILE_NAME).read_bytes())
    older = {name: value for name, value in stored.items() if name not in {"crop", "jitter", "cutout", "val"}}
    (tmp_path / FILE_NAME).write_text(json.dumps(older))
    with pytest.raises(DataError, match=r"with other settings: crop, val$"):
        dataclasses.replace(SETTINGS, crop=2, val=5).begin(tmp_path, resume=True)
    SETTINGS.begin(tmp_path, resume=True)
    assert json.loads((tmp_path / FILE_NAME).read_bytes()) == stored


@pytest.mark.parametrize(
    "changes",
    [
        {"crop": 3},
        {"val": 5},
        {"seed": 1},
        {"holders": 3},
        {"options": ()},
        {"limit": 5},
        {"rounds": 6},
        {"params": {"block": "8"}},
    ],
    ids=lambda c: next(iter(c)),
)
def test_other_settings_do_not_go_on_and_are_named(tmp_path, changes):
    SETTINGS.begin(tmp_path, resume=False)
    (name,) = changes
    with pytest.raises(DataError, match=f"with other settings: {name}$") as caught:
        dataclasses.replace(SETTINGS, **changes).begin(tmp_path, resume=True)
    assert caught.value.code == "E_EXISTS"
