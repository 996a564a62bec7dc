"""The Simulation Runtime runs the same apps to the same model, and leaves nothing running."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from blindsight.protocol.errors import FederationError, MissingExtraError
from blindsight.trainer import ray_engine, weights
from blindsight.trainer.checkpoint import BEST, LAST
from tests.trainer import sites


def processes_of(folder: Path) -> list[str]:
    """Command lines of running processes whose environment names the run's folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder.resolve()).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def demand_silence(folder: Path) -> None:
    """Flower's children end by themselves soon after the SuperLink that started them."""
    for _ in range(100):
        if not processes_of(folder):
            return
        time.sleep(0.1)
    assert processes_of(folder) == []


@pytest.mark.slow
def test_the_simulation_runtime_gives_the_same_model_bit_for_bit(box, folders, finished, tmp_path):
    pytest.importorskip("ray")
    seen = []
    last = sites.trained(box, folders, tmp_path / "run", engine="ray", report=seen.append)
    assert [one.number for one in seen] == [0, 1, 2]
    assert weights.digest(last.weights)
    for name in (LAST, BEST):
        assert (tmp_path / "run" / name).read_bytes() == (finished / name).read_bytes()
    demand_silence(tmp_path / "run")


@pytest.mark.slow
def test_a_run_that_fails_quotes_the_end_of_its_log(world, box, folders, tmp_path):
    pytest.importorskip("ray")
    shard = next((sites.published(world, 0, tmp_path / "train") / "shards").iterdir())
    mine = [tmp_path / "train", *folders[1:]]
    verified = sites.verified(box, mine)
    shard.write_bytes(shard.read_bytes()[:-1] + bytes([shard.read_bytes()[-1] ^ 1]))
    with pytest.raises(FederationError, match="ended with an error") as caught:
        sites.fit(verified, box, sites.CONFIG, tmp_path / "run", engine="ray", workers=2, report=lambda one: None)
    assert "flwr.log" in caught.value.hint
    demand_silence(tmp_path / "run")


def test_without_ray_one_sentence_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        ray_engine.run(2, sites.CONFIG, tmp_path, 1)
    assert caught.value.exit_status == 3
    assert "blindsight[ray]" in caught.value.hint


def test_a_log_that_says_nothing_is_quoted_as_such(tmp_path):
    (tmp_path / "log").write_bytes(b"\n\n")
    assert ray_engine._last_words(tmp_path / "log") == "it said nothing"


def test_the_last_line_with_an_error_is_quoted_and_not_what_follows(tmp_path):
    (tmp_path / "log").write_text("starting\nFederationError: shards are damaged\nbye\n")
    assert ray_engine._last_words(tmp_path / "log") == "FederationError: shards are damaged"


def test_a_superlink_that_ends_at_once_is_not_waited_for(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.DEVNULL)
    process.wait()
    with pytest.raises(FederationError, match="SuperLink did not start"):
        ray_engine._await_port(process, ray_engine._free_port(), tmp_path)


def test_telemetry_and_run_time_installation_are_off(tmp_path):
    environment = ray_engine._environment(tmp_path, tmp_path / "run")
    assert environment["FLWR_TELEMETRY_ENABLED"] == "0"
    assert environment["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] == "1"
    assert environment["RAY_USAGE_STATS_ENABLED"] == "0"
