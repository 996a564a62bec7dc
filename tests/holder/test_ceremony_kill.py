"""Killed with SIGKILL at each rename that a command makes, the next step goes on: one epoch, one voice for each.

A small program of its own forks one child for each rename and kills it there, just before or just after.
"""

import shutil
import subprocess
import sys
from datetime import timedelta

import pytest

from tests.holder import rooms
from tests.holder.rooms import LATE, NAMES, Room
from tests.protocol import worlds
from tests.protocol.worlds import NOW

KILLER = """
import os, shutil, signal, sys
from datetime import datetime, timedelta
from pathlib import Path
from blindsight.holder import ceremony, federation
from blindsight.protocol import keystore
from blindsight.protocol.dropbox import DropBox

root, out, name, act, when, passphrase = sys.argv[1:]
moment = datetime.fromisoformat(when)

def run(room):
    with keystore.opened(room / name / "keystore.json", passphrase.encode()) as store:
        (fed,), box = store.data["feds"], DropBox(room / "box")
        log = federation.follow(store, box, fed)
        if act == "propose":
            week, year = timedelta(days=7), timedelta(days=365)
            ceremony.propose(store, box, log, schemes=[{"id": "le", "v": 1}], moment=moment, deadline=moment + week,
                             not_after=moment + year)
        elif act == "abort":
            ceremony.abort(store, box, log, moment)
        else:
            ceremony.step(store, box, log, moment)

def armed(call, left, late):
    def wrapped(*args, **kwargs):
        left[0] -= 1
        if left[0] == 0 and not late:
            os.kill(os.getpid(), signal.SIGKILL)
        result = call(*args, **kwargs)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return wrapped

def killed_at(room, count, late):
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    left = [count]
    os.fsync = lambda descriptor: None
    for call in ("replace", "rename", "link"):
        setattr(os, call, armed(getattr(os, call), left, late))
    status = 1
    try:
        run(room)
        status = 0
    finally:
        os._exit(status)

for late in (False, True):
    count, status = 0, signal.SIGKILL
    while status == signal.SIGKILL:
        count += 1
        room = Path(out) / f"{'after' if late else 'before'}-{count}"
        shutil.copytree(root, room)
        status = killed_at(room, count, late)
    if status:
        sys.exit(f"not killed, but failed: {status}")
    shutil.rmtree(room)
"""

IN_TURN = ("bert", "cleo", "anna", "bert", "cleo", "anna", "bert", "cleo")


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    return rooms.found(tmp_path_factory.mktemp("founded"))


@pytest.fixture
def room(founded, tmp_path):
    shutil.copytree(founded, tmp_path / "room")
    return Room(tmp_path / "room")


def killed(room, name, act="step", moment=NOW):
    """The room as it is after each kill: pairs of what lay in the folder by then and the room."""
    out = room.root.with_name("killed")
    out.mkdir()
    words = [str(room.root), str(out), name, act, moment.isoformat(), worlds.PASSPHRASE.decode()]
    subprocess.run([sys.executable, "-c", KILLER, *words], check=True, timeout=120)
    for folder in sorted(out.iterdir()):
        yield Room(folder)
    shutil.rmtree(out)


def assert_goes_on(room, moment=NOW):
    """Everybody steps on; in the end all hold one secret, and nobody has said two things."""
    before = list(room.pieces())
    room.finish(3, moment=moment)
    if not room.log().epochs:
        room.propose("anna", moment=moment, deadline=moment + timedelta(days=7))
        room.finish(4, moment=moment)
    room.agreed()
    rooms.assert_of_one_voice([*before, *room.pieces()], [key.entry for key in room.keys.values()])


@pytest.mark.parametrize("turn", range(len(IN_TURN)))
def test_killed_at_any_rename_of_a_step_all_end_with_the_same_epoch(room, turn, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    room.propose()
    for name in IN_TURN[:turn]:
        room.step(name)
    count = 0
    for broken in killed(room, IN_TURN[turn]):
        assert_goes_on(broken)
        count += 1
    assert count >= 2


def test_killed_at_any_rename_of_a_proposal_all_end_with_the_same_epoch(room, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    for broken in killed(room, "anna", "propose"):
        assert_goes_on(broken)


def test_killed_at_any_rename_while_giving_up_the_ceremony_is_given_up_or_goes_on(room, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    room.propose()
    room.steps("bert", "cleo")
    for broken in killed(room, "anna", "abort"):
        assert_goes_on(broken)


@pytest.mark.parametrize("turns", [2, pytest.param(3, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)])
def test_killed_at_any_rename_of_a_step_at_the_deadline_the_federation_goes_on(room, turns, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    room.propose()
    for name in IN_TURN[:turns]:
        room.step(name)
    for name in NAMES[1:]:
        for broken in killed(room, name, moment=LATE):
            assert_goes_on(broken, LATE)


def test_a_killed_step_counts_a_failed_ceremony_once(room, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    room.propose()
    room.step("bert")
    for broken in killed(room, "anna", moment=LATE):
        broken.step("anna", moment=LATE)
        assert broken.state("anna")["aborts"] == {broken.fpr("cleo"): 1}
