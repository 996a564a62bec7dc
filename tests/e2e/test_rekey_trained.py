"""A model trained under one epoch's key answers as well under the next one's, after a holder has re-keyed it."""

from __future__ import annotations

import pytest

from blindsight.cli import main
from tests.benchmarks import rekeying

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("scheme", "network"), [("le", "fast"), ("vit-block", "vit")])
def test_a_re_keyed_model_gives_every_test_image_the_same_answer(tmp_path, capsys, scheme, network):
    words = ["--scheme", scheme, "--network", network, "--holders", "2", "--rounds", "2", "--set", "whiten=true"]
    recipe = {"fast": ["optimizer=muon", "lr=0.02"], "vit": ["optimizer=adamw", "lr=0.001"]}[network]
    for pair in (*recipe, "batch=32"):
        words += ["--set", pair]
    assert main(["simulate", *words, "--out", str(tmp_path / "run"), "--json"]) == 0
    capsys.readouterr()
    found = rekeying.compared(tmp_path / "run")
    assert found["same top-1"] == found["images"] == 359
    assert found["accuracy"][0] == found["accuracy"][1]
    assert found["accuracy"][0] > (0.8 if network == "fast" else 0.2)
    assert found["largest difference"] < 1e-4 * (1 + found["largest logit"])
