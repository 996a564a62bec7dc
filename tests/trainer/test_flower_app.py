"""The Flower app in ``deploy/flower`` is what this version writes, and carries no code."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from blindsight.trainer import flower_app
from blindsight.trainer.config import RunConfig

DEPLOYED = Path(__file__).parents[2] / "deploy" / "flower"


@pytest.mark.parametrize("name", ["pyproject.toml", "LICENSE"])
def test_the_deployed_app_is_the_one_that_would_be_written_now(name, tmp_path):
    flower_app.write(tmp_path)
    assert (DEPLOYED / name).read_text() == (tmp_path / name).read_text()


def test_the_app_holds_no_code(tmp_path):
    flower_app.write(tmp_path / "app")
    assert {path.name for path in (tmp_path / "app").iterdir()} == {"pyproject.toml", "LICENSE"}


def test_its_defaults_are_those_of_the_run_configuration():
    assert tomllib.loads(flower_app.pyproject())["tool"]["flwr"]["app"]["config"] == RunConfig().to_flower()


@pytest.mark.parametrize(("name", "kind"), [("serverapp", ServerApp), ("clientapp", ClientApp)])
def test_its_entry_points_are_apps_of_the_installed_distribution(name, kind):
    module, _, attribute = tomllib.loads(flower_app.pyproject())["tool"]["flwr"]["app"]["components"][name].partition(
        ":"
    )
    assert isinstance(getattr(importlib.import_module(module), attribute), kind)


def test_the_flower_version_it_names_is_the_one_installed():
    from importlib.metadata import version

    assert version("flwr") == flower_app.FLOWER_VERSION


def test_writing_twice_changes_nothing(tmp_path):
    flower_app.write(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    flower_app.write(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
