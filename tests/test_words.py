"""What the project must not say, and what its README promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from blindsight.cli import main

ROOT = Path(__file__).parents[1]
FORBIDDEN = re.compile(
    r"cannot be (reversed|decrypted|recovered)|(fully|completely) (secure|private)|military[- ]grade|unbreakable|"
    r"(GDPR|HIPAA)[- ]compliant|zero[- ]knowledge|privacy[- ]preserving",
    re.IGNORECASE,
)
PARTS = ("protocol", "holder", "trainer", "operator", "deploy")
PAGES = ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
SUBVERBS = "init|show|create|sign|verify|propose|step|status"
COMMAND = re.compile(rf"^blindsight ((?:holder|trainer|operator|protocol) [\w-]+(?: (?:{SUBVERBS})\b)?)", re.MULTILINE)
COMMANDS = sorted(set(COMMAND.findall((ROOT / "README.md").read_text())))


def texts() -> list[Path]:
    inside = [path for part in PARTS for path in (ROOT / part).rglob("*") if path.suffix in (".py", ".md", ".toml")]
    return inside + [ROOT / page for page in PAGES]


def test_no_page_claims_what_such_schemes_do_not_give():
    found = [(path.name, match.group()) for path in texts() if (match := FORBIDDEN.search(path.read_text()))]
    assert not found


def test_the_readme_names_commands():
    assert len(COMMANDS) >= 12


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_readme_exists_and_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    assert "example:" in capsys.readouterr().out


def test_ci_runs_exactly_the_test_command_of_the_readme():
    steps = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line and not line.startswith("#")]
    assert steps[-1] == "exec make test"
    assert "make test" in (ROOT / "README.md").read_text()
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
