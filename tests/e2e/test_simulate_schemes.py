"""The whole federation in one command, under every scheme of the table."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from blindsight.cli import main
from blindsight.protocol.scheme import SCHEMES

FAST = ("--holders", "2", "--limit", "60", "--rounds", "1", "--set", "least-steps=1", "--set", "batch=32")
IMAGE_KEYS = [name for (name, _), traits in SCHEMES.items() if "scope" in traits.params]
KINDS = [(name,) for name, _ in SCHEMES] + [(name, "--param", "scope=image") for name in IMAGE_KEYS]


def played(out: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    """What the command says came out."""
    assert main(["simulate", "--out", str(out), "--json", "--scheme", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_scheme_without_a_key_that_shrinks_images_is_played(tmp_path, capsys):
    result = played(tmp_path / "out", capsys, "patch-mix", "--param", "block=8", *FAST)
    assert (result["scheme"], result["params"]) == ("patch-mix", {"block": 8})
    assert result["accuracy"]["other_key"] is None
    assert 0 <= result["accuracy"]["plain_images"] <= 1
    assert result["control_images"] == result["test_images"] == 359
    page = Path(result["report"]).read_text()
    assert page.count("<img") == 16
    assert "scaled to the 16 × 16 pixels of encrypted ones" in page
    assert main(["simulate", "--out", str(tmp_path / "out"), "--json", "--scheme", "patch-mix", "--resume", *FAST]) == 1
    assert "other settings: params" in json.loads(capsys.readouterr().out)["error"]["message"]


@pytest.mark.slow
@pytest.mark.parametrize("words", KINDS, ids=" ".join)
def test_every_scheme_is_played_and_says_what_it_is(words, tmp_path, capsys):
    result = played(tmp_path / "out", capsys, *words, *FAST)
    traits = SCHEMES[words[0], 1]
    assert (result["scheme"], set(result["params"])) == (words[0], set(traits.params))
    shares = result["accuracy"]
    assert 0 <= shares["encrypted"] <= 1
    assert (shares["other_key"] is None) == (traits.scope == "none")
    assert (shares["plain_images"] is None) == (words[0] == "plain")
    page = re.sub(r"<style>.*?</style>", "", Path(result["report"]).read_text(), flags=re.DOTALL)
    shown = 3 if traits.scope != "none" and traits.invertible else 2
    assert page.count("<img") == 8 * shown
    assert re.fullmatch("[0-9a-f]{64}", result["model"])


@pytest.mark.slow
def test_the_control_without_encryption_has_the_blocks_of_the_stem(tmp_path, capsys):
    result = played(tmp_path / "out", capsys, "cat-map", "--control", "plain", *FAST)
    assert 0 <= result["accuracy"]["control_plain"] <= 1
    control = json.loads((tmp_path / "out" / "control-plain" / "result.json").read_bytes())
    assert (control["scheme"], control["params"]) == ("plain", {"block": 4})
