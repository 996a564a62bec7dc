"""The Flower app: a bundle without code. Its entry points name modules of the installed distribution.

``deploy/flower`` holds what ``write`` gives, for ``flwr run``; its defaults come from ``RunConfig`` alone.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from blindsight.trainer.config import RunConfig

FLOWER_VERSION = "1.41.0"
SERVER_APP = "blindsight.trainer.server_app:app"
CLIENT_APP = "blindsight.trainer.client_app:app"
_LICENSE = "Apache-2.0; the code that this bundle names is part of the installed distribution blindsight.\n"


def pyproject() -> str:
    """The app's ``pyproject.toml``."""
    defaults = "\n".join(f"{key} = {_toml(value)}" for key, value in RunConfig().to_flower().items())
    return f"""# Written by blindsight.trainer.flower_app; a test compares it.
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "blindsight-app"
version = "{version("blindsight")}"
description = "Train a block-adapted network on encrypted shards. Carries no code."
license = {{ file = "LICENSE" }}
dependencies = ["flwr>=1.41,<1.42"]

[tool.hatch.build.targets.wheel]
packages = ["."]

[tool.flwr.app]
publisher = "blindsight"
fab-format-version = 1
flwr-version-target = "{FLOWER_VERSION}"
fab-include = ["LICENSE"]

[tool.flwr.app.components]
serverapp = "{SERVER_APP}"
clientapp = "{CLIENT_APP}"

[tool.flwr.app.config]
{defaults}
"""


def run_config(config: RunConfig) -> str:
    """A run configuration as the TOML file that ``flwr run --run-config`` takes."""
    return "\n".join(f"{key} = {_toml(value)}" for key, value in config.to_flower().items()) + "\n"


def write(folder: Path) -> None:
    """Write the app into a folder, made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(pyproject())
    (folder / "LICENSE").write_text(_LICENSE)


def _toml(value: bool | int | float | str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)
