"""The pooled engine trains over all holders' shards, and an interruption changes no bit."""

from __future__ import annotations

import dataclasses

import pytest

from blindsight.protocol.errors import FederationError
from blindsight.trainer import checkpoint, pooled, weights, whitening
from blindsight.trainer.alone import alone
from blindsight.trainer.checkpoint import BEST, LAST
from blindsight.trainer.config import RunConfig
from blindsight.trainer.fit import NODES_FILE
from blindsight.trainer.job import Job
from blindsight.trainer.recipe import Recipe
from tests.trainer import sites

RECIPE = Recipe(batch=8, lr=0.02, least_steps=12, share=0.5, cutmix=0.5, mixup=0.2, ema=0.8)
CONFIG = RunConfig(rounds=4, precision="fp32", whiten=True, recipe=RECIPE)


class KilledError(Exception):
    """Stands for a kill."""


def trained(box, folders, out, config=CONFIG, **more):
    return sites.trained(box, folders, out, config, engine="pooled", workers=1, **more)


@pytest.fixture(scope="module", params=["sgd", "adamw", "muon"])
def config(request):
    lr = 0.002 if request.param == "adamw" else 0.02
    return dataclasses.replace(CONFIG, recipe=dataclasses.replace(RECIPE, optimizer=request.param, lr=lr))


def test_a_run_has_the_files_of_every_engine_and_its_own_state(box, folders, tmp_path):
    last = trained(box, folders, tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"job.json", NODES_FILE, LAST, BEST, pooled.STATE}
    assert [one.number for one in last.history] == [0, 1, 2, 3, 4]
    assert set(last.history[-1].holders) == set(sites.verified(box, folders).folders)


def test_a_network_learns_from_the_shards_of_all_holders(box, folders, tmp_path):
    config = dataclasses.replace(CONFIG, rounds=6, recipe=dataclasses.replace(RECIPE, cutmix=0.0, mixup=0.0))
    assert max(one.accuracy for one in trained(box, folders, tmp_path / "run", config).history) > 0.8


def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_bits(box, folders, tmp_path, monkeypatch, config):
    whole = trained(box, folders, tmp_path / "whole", config)
    train = pooled.Running.train

    def killed(self):
        if self.number == 2:
            raise KilledError
        train(self)

    with monkeypatch.context() as patch:
        patch.setattr(pooled.Running, "train", killed)
        with pytest.raises(KilledError):
            trained(box, folders, tmp_path / "run", config)
    resumed = trained(box, folders, tmp_path / "run", config)
    assert weights.digest(resumed.weights) == weights.digest(whole.weights)
    assert resumed.history == whole.history
    for name in (LAST, BEST, pooled.STATE):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


SHORT = dataclasses.replace(CONFIG, rounds=2, recipe=dataclasses.replace(RECIPE, least_steps=2))


@pytest.fixture(scope="module")
def short(box, folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("short")
    trained(box, folders, out, SHORT)
    return out


@pytest.mark.parametrize("at", range(1, 10))
def test_a_kill_before_any_change_of_the_folder_loses_nothing(box, folders, short, tmp_path, monkeypatch, at):
    left, write = [at], pooled.write_whole

    def killed(*words, **options):
        left[0] -= 1
        if not left[0]:
            raise KilledError
        write(*words, **options)

    with monkeypatch.context() as patch:
        patch.setattr(pooled, "write_whole", killed)
        patch.setattr(checkpoint, "write_whole", killed)
        try:
            trained(box, folders, tmp_path / "run", SHORT)
        except KilledError:
            assert left[0] == 0
    trained(box, folders, tmp_path / "run", SHORT)
    for name in (LAST, BEST, pooled.STATE):
        assert (tmp_path / "run" / name).read_bytes() == (short / name).read_bytes()


def test_a_state_that_is_missing_or_of_another_run_is_refused(box, folders, tmp_path):
    trained(box, folders, tmp_path / "run", dataclasses.replace(CONFIG, rounds=1))
    state = tmp_path / "run" / pooled.STATE
    data = state.read_bytes()
    state.unlink()
    with pytest.raises(FederationError, match="is missing"):
        trained(box, folders, tmp_path / "run", dataclasses.replace(CONFIG, rounds=1))
    digest = Job.load(tmp_path / "run").digest.encode()
    state.write_bytes(data.replace(digest, b"0" * 64))
    with pytest.raises(FederationError, match="another run"):
        trained(box, folders, tmp_path / "run", dataclasses.replace(CONFIG, rounds=1))


def test_the_moving_average_is_what_is_kept(box, folders, tmp_path):
    plain = dataclasses.replace(CONFIG, recipe=dataclasses.replace(RECIPE, ema=0.0))
    kept, last = trained(box, folders, tmp_path / "a"), trained(box, folders, tmp_path / "b", plain)
    assert weights.digest(kept.weights) != weights.digest(last.weights)
    tensors, _ = pooled._read(tmp_path / "a" / pooled.STATE, Job.load(tmp_path / "a").digest)
    assert weights.digest(tensors[pooled.WEIGHTS]) == weights.digest(last.weights)
    assert weights.digest(tensors[pooled.AVERAGE]) == weights.digest(kept.weights)


def test_a_federation_refuses_a_moving_average_over_steps(box, folders, tmp_path):
    with pytest.raises(FederationError, match="set ema=0"):
        sites.trained(box, folders, tmp_path / "run", CONFIG)


def test_a_federation_begins_with_the_sum_of_its_holders_moments(box, folders, tmp_path, monkeypatch):
    monkeypatch.setattr(whitening, "LEAST", 16)
    config = dataclasses.replace(CONFIG, rounds=1, recipe=Recipe(batch=8, least_steps=1))
    random = dataclasses.replace(config, whiten=False)
    alike = [sites.trained(box, folders, tmp_path / f"{n}", config, workers=n) for n in (1, 2)]
    other = sites.trained(box, folders, tmp_path / "random", random)
    assert weights.digest(alike[0].weights) == weights.digest(alike[1].weights) != weights.digest(other.weights)


def test_engines_do_not_mix_in_one_folder(box, folders, tmp_path):
    config = dataclasses.replace(SHORT, recipe=dataclasses.replace(SHORT.recipe, ema=0.0), whiten=False)
    trained(box, folders, tmp_path / "run", config)
    with pytest.raises(FederationError, match="holds a pooled run"):
        sites.trained(box, folders, tmp_path / "run", config)
    sites.trained(box, folders, tmp_path / "federated", config)
    with pytest.raises(FederationError, match="is missing"):
        trained(box, folders, tmp_path / "federated", config)


def test_two_pooled_runs_do_not_share_a_folder(box, folders, tmp_path):
    with alone(tmp_path / "run"), pytest.raises(FederationError, match="another process works in"):
        trained(box, folders, tmp_path / "run", SHORT)
