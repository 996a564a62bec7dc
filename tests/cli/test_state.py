"""What a user's command remembers between runs: greatest serials, whole or not at all, and for the owner alone."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace

import pytest

from blindsight.cli import state
from blindsight.protocol.errors import FormatError

FED, OTHER = "ab" * 32, "cd" * 32


def manifests(**serials):
    return [SimpleNamespace(series=name, predicate={"serial": n}) for name, n in serials.items()]


@pytest.fixture
def file(state_home):
    return state_home / "blindsight" / state.SERIALS


def test_nothing_is_remembered_at_first(file):
    assert state.serials(FED) == {}
    assert not file.exists()


def test_the_greatest_serial_stays_whatever_comes_later():
    state.remember(FED, manifests(a=3, b=1))
    state.remember(FED, manifests(a=2))
    assert state.serials(FED) == {"a": 3, "b": 1}


def test_federations_are_remembered_apart():
    state.remember(FED, manifests(a=3))
    state.remember(OTHER, manifests(a=1))
    assert (state.serials(FED), state.serials(OTHER)) == ({"a": 3}, {"a": 1})


def test_folder_and_file_are_the_owners_alone(file):
    state.remember(FED, manifests(a=1))
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == [state.SERIALS]


def test_without_xdg_state_home_it_lies_in_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state.folder() == tmp_path / ".local/state/blindsight"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"[]", b"null", b'{"a":1}', b'{"a":{"b":"1"}}', b'{"a":{"b":0}}', b'{"a":{"b":true}}',
     b"[" * 100_000],
    ids=lambda content: repr(content[:16]),
)  # fmt: skip
def test_a_damaged_file_is_refused_and_never_written_over(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    for act in (lambda: state.serials(FED), lambda: state.remember(FED, manifests(a=1))):
        with pytest.raises(FormatError, match="is damaged") as caught:
            act()
        assert (caught.value.code, "remove it" in caught.value.hint) == ("E_FORMAT", True)
    assert file.read_bytes() == content


def test_two_processes_that_remember_at_once_both_count(file):
    start = threading.Barrier(8)

    def work(number):
        start.wait()
        state.remember(FED, manifests(**{f"set-{number}": number + 1}))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state.serials(FED) == {f"set-{number}": number + 1 for number in range(8)}
    assert json.loads(file.read_bytes())[FED]["set-7"] == 8
