"""The walkthrough in ``protocol/README.md``, typed literally: every command, its exit status, what it prints."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "protocol" / "README.md"
DONE, REFUSED, WAITING = 0, 1, 75
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What differs between any two federations: moments, codes, ids.
VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:]{8}Z"), "TIME"),
    (re.compile(r"\b[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4})+\b"), "CODE"),
    (re.compile(r"\b[0-9a-f]{12,64}\b"), "ID"),
)


@dataclass(frozen=True)
class Typed:
    """A command of the walkthrough, and the lines below it; a line ``…`` stands for any lines."""

    words: str
    shown: tuple[str, ...]

    @property
    def status(self) -> int:
        """The exit status that the text promises."""
        if any(line.startswith("waiting for ") for line in self.shown):
            return WAITING
        refused = any("error: " in line or line.endswith(" fault(s)") for line in self.shown)
        return REFUSED if refused else DONE

    @property
    def elided(self) -> bool:
        return "…" in self.shown


def commands() -> list[Typed]:
    found = []
    for block in BLOCK.findall(README.read_text()):
        first, *rest = re.split(r"^\$ ", block, flags=re.MULTILINE)
        assert first == "", "a console block begins with a command"
        found += [Typed(lines[0], tuple(lines[1:])) for lines in (text.splitlines() for text in rest)]
    return found


def settled(line: str) -> str:
    """A line without what varies; the people of a list stand by fingerprint, hence here by name."""
    for pattern, name in VARYING:
        line = pattern.sub(name, line)
    return ", ".join(sorted(part.strip() for part in re.split(r", | of |: |  ", line) if part.strip()))


def play(typed: list[Typed], folder: Path) -> list[tuple[int, list[str]]]:
    """Type all commands into one shell: exit status and lines of each."""
    script = "\n".join(f"{one.words}\nprintf '\\n\\036%s\\036\\n' $?" for one in typed)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BLINDSIGHT_")}
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=kept | {"PATH": path, "PYTHONSAFEPATH": "1"}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == DONE, done.stdout
    pieces = done.stdout.split("\036")
    statuses = [int(status) for status in pieces[1::2]]
    return list(zip(statuses, [text.strip("\n").splitlines() for text in pieces[0::2]], strict=False))


TYPED = commands()


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("walkthrough")
    os.environ["XDG_STATE_HOME"], before = str(folder / ".state"), os.environ.get("XDG_STATE_HOME")
    try:
        results = play(TYPED, folder)
    finally:
        os.environ.pop("XDG_STATE_HOME") if before is None else os.environ.update(XDG_STATE_HOME=before)
    assert len(results) == len(TYPED)
    return folder, results


def test_the_walkthrough_is_more_than_fifty_commands_of_every_kind():
    assert len(TYPED) > 50
    assert {one.status for one in TYPED} == {DONE, REFUSED, WAITING}
    groups = {"federation", "epoch", "device", "publish", "log", "unseal", "check", "recipient", "key"}
    assert groups <= {word for one in TYPED for word in one.words.split()}


@pytest.mark.parametrize("number", range(len(TYPED)), ids=[f"{n:02} {one.words[:50]}" for n, one in enumerate(TYPED)])
def test_each_command_does_what_the_text_says(played, number):
    typed, (status, lines) = TYPED[number], played[1][number]
    assert status == typed.status, "\n".join(lines)
    shown, printed = (Counter(map(settled, some)) for some in (typed.shown, lines))
    shown.pop("…", None)
    missing = shown - printed
    assert not missing, "\n".join(lines)
    if not typed.elided:
        assert shown == printed, "\n".join(lines)


def test_the_sites_end_with_one_key_and_no_passphrase_lies_in_the_box(played):
    folder, results = played
    assert not re.search(r"Traceback|Error:", "\n".join(line for _, lines in results for line in lines))
    everything = [path.read_bytes() for path in (folder / "box").rglob("*") if path.is_file()]
    for site in "ABCDT":
        passphrase = (folder / site / "passphrase").read_bytes().strip()
        assert not any(passphrase in data for data in everything)
        assert (folder / site / "keystore.json").stat().st_mode & 0o777 == 0o600


def test_no_command_of_the_walkthrough_names_a_passphrase_or_touches_what_lies_outside():
    for one in TYPED:
        assert "--passphrase-fd" not in one.words
        named = [word.rstrip(";") for word in shlex.split(one.words)]
        paths = [word for word in named if word not in ("/dev/null", "/dev/urandom")]
        assert not any(word.startswith(("/", "~", "..")) for word in paths)
