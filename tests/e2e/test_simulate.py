"""The whole federation in one command: what it prints, what it leaves, and that it can be repeated to the bit."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from blindsight.cli import main
from blindsight.protocol import bundle
from blindsight.protocol.clock import now
from blindsight.protocol.dropbox import DropBox
from blindsight.simulation import agreeing
from blindsight.trainer import checkpoint, weights
from blindsight.trainer.checkpoint import LAST
from blindsight.trainer.job import Job

ROOT = Path(__file__).parents[2]
GAME = ("--holders", "2", "--limit", "150", "--rounds", "1", "--set", "least-steps=3", "--set", "batch=32", "--json")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("e2e") / "first"


@pytest.fixture(scope="module")
def first(out):
    """The first simulation, played by the command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "blindsight.cli", "simulate", *GAME, "--out", str(out)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def result(first):
    (line,) = first.stdout.splitlines()
    return json.loads(line)


def trained(out):
    """Digest of the last weights."""
    run = out / "trainer" / "run"
    return weights.digest(checkpoint.load(run / LAST, Job.load(run).digest).weights)


def test_one_object_says_what_came_out(result, out):
    promised = {"scheme", "holders", "rounds", "accuracy", "bundle", "report", "bytes", "seconds", "versions"}
    assert promised <= set(result)
    assert (result["scheme"], result["holders"], result["rounds"]) == ("le", 2, 1)
    assert set(result["accuracy"]) == {"encrypted", "other_key", "plain_images"}
    assert all(0 <= value <= 1 for value in result["accuracy"].values())
    assert set(result["seconds"]) == {"deal", "agree", "publish", "check", "train", "export", "predict", "report"}
    assert all(isinstance(value, int) and value > 0 for value in result["bytes"].values())
    assert result["report"] == str(out / "report.html")


def test_the_result_stays_in_the_folder(result, out):
    assert json.loads((out / "result.json").read_bytes()) == result


def test_talk_goes_to_stderr_and_names_every_stage(first):
    for word in (
        "dealing",
        "ceremony",
        "publishes",
        "verifies all manifests",
        "rounds",
        "exports",
        "predicts",
        "report",
    ):
        assert word in first.stderr
    assert all(line.startswith("blindsight: ") for line in first.stderr.splitlines())


def test_the_report_needs_nothing_but_itself(result):
    page = Path(result["report"]).read_text()
    assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
    assert not re.search(r"""(?:src|href)\s*=\s*(?!["']?(?:data:|#))""", page)
    assert "@import" not in page
    assert not re.search(r"url\((?!['\"]?data:)", page)
    assert "<script" not in page


def test_the_report_shows_plain_images_and_is_for_its_owner_alone(result):
    assert Path(result["report"]).stat().st_mode & 0o777 == 0o600


def test_the_bundle_verifies_and_is_the_model_that_was_named(result, out):
    log = DropBox(out / "dropbox").log()
    loaded = bundle.load(Path(result["bundle"]), log, now())
    assert loaded.predicate["training"]["clients"] == 2
    assert re.fullmatch("[0-9a-f]{64}", result["model"])


def test_nothing_but_sealed_test_images_left_the_holders(result, out):
    (data,) = (out / "dropbox").glob("*/data")
    assert {path.parents[2].name for path in data.rglob("*.cobblestone")} == {"test"}
    assert not list(data.rglob("*.safetensors"))


def test_no_part_of_a_shard_can_be_read_in_the_drop_box(result, out):
    there = [path.read_bytes() for path in (out / "dropbox").rglob("*") if path.is_file()]
    for path in out.glob("holder-*/datasets/*/shards/*"):
        data = path.read_bytes()
        parts = [data[start : start + 32] for start in range(len(data) // 4, len(data) - 32, len(data) // 40)]
        parts = [part for part in parts if len(set(part)) > 12]
        assert len(parts) > 9
        assert not any(part in content for part in parts for content in there)


def test_trainer_and_operator_hold_no_secret_of_the_epoch(result, out):
    plain = {path.read_bytes() for path in out.glob("holder-*/passphrase")}
    for party in ("trainer", "operator", "dropbox"):
        for path in (out / party).rglob("*"):
            assert not path.is_file() or not any(secret in path.read_bytes() for secret in plain)
    with agreeing.opened(out / "operator") as store:
        assert (store.data["feds"], len(store.data["recipients"])) == ({}, 1)


def test_nothing_half_written_is_left(result, out):
    assert not list(out.rglob("*.part"))
    assert not list(out.rglob("job.json")) or list(out.rglob("job.json")) == [out / "trainer" / "run" / "job.json"]


def test_playing_again_in_the_same_folder_is_refused(result, out, capsys):
    before = (out / "result.json").read_bytes()
    assert main(["simulate", *GAME, "--out", str(out)]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["error"]["code"] == "E_EXISTS"
    assert "add --resume to go on, or name another --out" in said.err
    assert (out / "result.json").read_bytes() == before


def test_resuming_what_is_done_gives_the_same_answer(result, out, capsys):
    assert main(["simulate", *GAME, "--out", str(out), "--resume"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert {name: again[name] for name in ("model", "accuracy", "bundle")} == {
        name: result[name] for name in ("model", "accuracy", "bundle")
    }


def test_the_same_seed_gives_the_same_model_for_any_number_of_workers(result, out, tmp_path, capsys):
    assert main(["simulate", *GAME, "--out", str(tmp_path / "out"), "--workers", "1"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["model"], again["accuracy"]) == (result["model"], result["accuracy"])
    assert trained(tmp_path / "out") == trained(out)


def test_a_simulation_that_stopped_before_training_goes_on_to_the_same_model(result, out, tmp_path, capsys):
    game = ["simulate", *GAME, "--out", str(tmp_path / "out")]
    assert main([*game, "--until", "publish"]) == 0
    assert len(json.loads(capsys.readouterr().out)["datasets"]) == 6
    assert main([*game, "--resume"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["model"], again["accuracy"]) == (result["model"], result["accuracy"])


def test_another_seed_gives_another_model_and_other_keys(result, out, tmp_path, capsys):
    assert main(["simulate", *GAME, "--out", str(tmp_path / "out"), "--seed", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] != result["model"]
    logs = [DropBox(folder / "dropbox").log() for folder in (out, tmp_path / "out")]
    assert len({log.latest.kcv for log in logs}) == 2


# Killed again and again, a few steps further each time, then before certain files get their names.

KILLER = """
import os, signal, sys, warnings
warnings.simplefilter("ignore")
from blindsight.cli import main
from blindsight.simulation import agreeing, dealing, operating, outcome, training

MOMENTS = (
    2, 5, 9, 14, "recipients/", 3, "train/manifest", ".sealing/job", ".cobblestone", "test/manifest", "sealing-",
    "run/last", ".model.part/labels", "models/model", ".unseal/sealed", "test/shards/", "plain.npy", "report.html",
)

def attempt(moment):
    left = moment
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    def count(event, arguments):
        nonlocal left
        if event == "os.rename" and (isinstance(moment, int) or moment in str(arguments[1])):
            left = left - 1 if isinstance(moment, int) else 0
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    os._exit(main(["simulate", *sys.argv[1:], "--resume"]))

statuses = [attempt(moment) for moment in MOMENTS]
sys.stderr.write(f"\\nstatuses {statuses}\\n")
sys.exit(attempt(0) if set(statuses) == {-signal.SIGKILL} else 9)
"""


def test_a_simulation_killed_again_and_again_comes_to_the_same_model(result, out, tmp_path):
    game = [word for word in GAME if word != "--json"]
    done = subprocess.run(
        [sys.executable, "-c", KILLER, *game, "--out", str(tmp_path / "out")],
        capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    again = json.loads((tmp_path / "out" / "result.json").read_bytes())
    assert (again["model"], again["accuracy"]) == (result["model"], result["accuracy"])
    assert trained(tmp_path / "out") == trained(out)
    assert not [path for name in (".publish", ".sealing", ".unseal") for path in (tmp_path / "out").rglob(f"{name}/*")]


@pytest.mark.slow
def test_ray_plays_to_the_same_model(result, out, tmp_path, capsys):
    pytest.importorskip("ray")
    assert main(["simulate", *GAME, "--out", str(tmp_path / "out"), "--engine", "ray"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == result["model"]
    assert trained(tmp_path / "out") == trained(out)


@pytest.mark.slow
def test_the_plain_control_is_played_beside(tmp_path, capsys):
    assert main(["simulate", *GAME, "--out", str(tmp_path / "out"), "--control", "plain"]) == 0
    accuracy = json.loads(capsys.readouterr().out)["accuracy"]
    assert 0 <= accuracy["control_plain"] <= 1
