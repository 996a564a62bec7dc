"""A keystore older than the last save is refused; a writer killed anywhere locks nobody out."""

import json
import shutil
import stat
import subprocess
import sys

import pytest

from blindsight.protocol.encoding import canonical
from blindsight.protocol.errors import KeystoreError
from blindsight.protocol.keystore import marker, opened
from tests.protocol import worlds


@pytest.fixture
def path(tmp_path):
    return worlds.keystore_of(tmp_path, "anna").path


def saved(path, note="x"):
    with opened(path, worlds.PASSPHRASE) as store:
        store.data["feds"]["ab" * 32] = {"note": note}
        store.save()


def refusal(path):
    with pytest.raises(KeystoreError) as caught, opened(path, worlds.PASSPHRASE):
        pass
    return caught.value


def gen(path):
    return json.loads(path.read_bytes())["gen"]


def test_beside_a_new_keystore_stands_its_marker_readable_by_its_owner_alone(path):
    place = path.with_name("keystore.json.gen")
    document = json.loads(path.read_bytes())
    known = json.loads(place.read_bytes())
    assert known == {"format": marker.FORMAT, "v": 1, **{name: document[name] for name in ("id", "gen", "sum")}}
    assert place.read_bytes() == canonical(known) + b"\n"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_an_older_keystore_is_refused_saying_why_that_is_dangerous(path):
    older = path.read_bytes()
    saved(path)
    path.write_bytes(older)
    error = refusal(path)
    assert error.code == "E_ROLLBACK"
    assert "generation 1, not 2" in error.message
    assert "can sign twice" in error.message
    assert "--accept-rollback" in error.hint


def test_an_accepted_rollback_is_the_newest_from_then_on(path):
    older = path.read_bytes()
    saved(path)
    path.write_bytes(older)
    with opened(path, worlds.PASSPHRASE, accept_rollback=True) as store:
        assert store.data["feds"] == {}
    with opened(path, worlds.PASSPHRASE) as store:
        assert store.data["feds"] == {}
    saved(path)
    assert gen(path) == 2


def test_a_copy_that_went_on_elsewhere_is_refused(path, tmp_path):
    shutil.copytree(path.parent, tmp_path / "elsewhere")
    elsewhere = tmp_path / "elsewhere" / path.name
    saved(path, "here")
    saved(elsewhere, "there")
    shutil.copy(elsewhere, path)
    error = refusal(path)
    assert (error.code, "both are generation 2" in error.message) == ("E_ROLLBACK", True)


def test_a_refused_rollback_changes_nothing(path):
    older = path.read_bytes()
    saved(path)
    path.write_bytes(older)
    before = marker.path_of(path).read_bytes()
    refusal(path)
    assert (path.read_bytes(), marker.path_of(path).read_bytes()) == (older, before)


def test_a_keystore_ahead_of_its_marker_opens_and_the_marker_follows(path):
    behind = marker.path_of(path).read_bytes()
    saved(path)
    marker.path_of(path).write_bytes(behind)
    with opened(path, worlds.PASSPHRASE):
        pass
    assert json.loads(marker.path_of(path).read_bytes())["gen"] == 2


def test_a_keystore_without_a_marker_opens_and_gets_one(path):
    marker.path_of(path).unlink()
    with opened(path, worlds.PASSPHRASE):
        pass
    assert json.loads(marker.path_of(path).read_bytes())["gen"] == 1


def test_the_marker_of_another_keystore_does_not_matter(path, tmp_path):
    other = worlds.keystore_of(tmp_path, "bert").path
    for note in "abc":
        saved(other, note)
    shutil.copy(marker.path_of(other), marker.path_of(path))
    with opened(path, worlds.PASSPHRASE):
        pass
    assert json.loads(marker.path_of(path).read_bytes())["id"] == json.loads(path.read_bytes())["id"]


def as_link(place):
    place.rename(place.with_name("elsewhere"))
    place.symlink_to(place.with_name("elsewhere"))


SPOILED = {
    "empty": lambda place: place.write_bytes(b""),
    "cut": lambda place: place.write_bytes(place.read_bytes()[:40]),
    "another format": lambda place: place.write_bytes(b'{"gen":1}\n'),
    "readable by others": lambda place: place.chmod(0o644),
    "a link": as_link,
    "a folder": lambda place: (place.unlink(), place.mkdir()),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
def test_a_spoiled_marker_is_refused_until_the_owner_decides(path, spoil):
    spoil(marker.path_of(path))
    error = refusal(path)
    assert (error.code, "unreadable" in error.message) == ("E_ROLLBACK", True)


@pytest.mark.parametrize("spoil", list(SPOILED.values())[:-1], ids=list(SPOILED)[:-1])
def test_the_owner_may_go_on_after_a_spoiled_marker(path, spoil):
    spoil(marker.path_of(path))
    with opened(path, worlds.PASSPHRASE, accept_rollback=True):
        pass
    with opened(path, worlds.PASSPHRASE):
        pass


def test_a_wrong_passphrase_and_a_changed_body_are_named_before_a_rollback(path):
    older = path.read_bytes()
    saved(path)
    path.write_bytes(older)
    with pytest.raises(KeystoreError) as caught, opened(path, b"wrong"):
        pass
    assert caught.value.code == "E_PASSPHRASE"


def test_a_restored_folder_is_not_noticed(path, tmp_path):
    """What the marker cannot do, so that nobody promises it."""
    shutil.copytree(path.parent, tmp_path / "snapshot")
    saved(path)
    shutil.rmtree(path.parent)
    shutil.copytree(tmp_path / "snapshot", path.parent)
    with opened(path, worlds.PASSPHRASE) as store:
        assert store.data["feds"] == {}


# Killed between any two system calls.

KILLER = '''
import itertools, os, sys
from pathlib import Path
from blindsight.protocol import kem
from blindsight.protocol.keystore import Unlock, opened, recovery

CALLS = ("open", "fsync", "replace", "rename", "close", "fdopen", "unlink", "link", "stat")
path, passphrase, act = Path(sys.argv[1]), sys.argv[2].encode(), sys.argv[3]

def save(store):
    store.data["feds"]["ab" * 32] = {"note": "new"}
    store.save()

def add(store):
    store.add(recovery.maker(kem.public_key(bytes(32))), Unlock(recovery=lambda: bytes(32)))

def killed_before(call):
    """Go out just before that call, as a process that is killed does: nothing is cleaned up."""
    left = itertools.count(call, -1)
    for name in CALLS:
        real = getattr(os, name)
        def cut(*args, _real=real, **kwargs):
            if next(left) == 0:
                os._exit(9)
            return _real(*args, **kwargs)
        setattr(os, name, cut)

first = {file: file.read_bytes() for file in path.parent.glob("*.json*")}
for call in itertools.count():
    for file, content in first.items():
        file.write_bytes(content)
    child = os.fork()
    if child == 0:
        with opened(path, passphrase) as store:
            killed_before(call)
            {"save": save, "add": add}[act](store)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9), status
    with opened(path, passphrase) as store:
        print(len(store.slots), store.data["feds"].get("ab" * 32, {}).get("note"))
    assert not list(path.parent.glob(".*.part")), "a killed save left something"
    if status == 0:
        break
'''


@pytest.mark.parametrize(("act", "before", "after"), [("save", "1 None", "1 new"), ("add", "1 None", "2 None")])
def test_a_save_killed_before_any_call_leaves_a_keystore_that_opens(path, act, before, after):
    command = [sys.executable, "-P", "-c", KILLER, str(path), worlds.PASSPHRASE.decode(), act]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.stderr == ""
    states = result.stdout.splitlines()
    assert (result.returncode, states[0], states[-1]) == (0, before, after)
    assert set(states) == {before, after}
    assert len(states) > 12
