"""The Ray engine: the same apps on Flower's Simulation Runtime, through ``flwr run``.

A SuperLink of our own is started for the run, with its own home and port, and ended with it; the one that ``flwr run``
would start by itself outlives the command and keeps the environment of its first caller. Run-time installation of
dependencies, telemetry and update checks are off.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from blindsight.protocol.errors import FederationError, MissingExtraError
from blindsight.trainer import flower_app
from blindsight.trainer.config import RunConfig
from blindsight.trainer.node import NODES_VARIABLE
from blindsight.trainer.server_app import STATE_VARIABLE

START_SECONDS = 60.0
STOP_SECONDS = 20.0
SWITCHES: Mapping[str, str] = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "OMP_NUM_THREADS": "1",
    "GOMP_SPINCOUNT": "0",
    "PYTHONSAFEPATH": "1",
}

SECRETS = ("BLINDSIGHT_PASSPHRASE", "BLINDSIGHT_PASSPHRASE_FILE", "CREDENTIALS_DIRECTORY")  # no node opens a keystore


def run(nodes: int, config: RunConfig, out: Path, workers: int) -> None:
    """Run a job on the Simulation Runtime.

    Args:
        nodes: number of simulated SuperNodes.
        config: the run configuration.
        out: the run's folder, with job and node table; the log of the run is written there.
        workers: how many nodes compute at a time, one CPU each.

    Raises:
        MissingExtraError: Ray is not installed.
        FederationError: E_FEDERATION, the run failed; the end of its log is quoted.
    """
    if importlib.util.find_spec("ray") is None:
        raise MissingExtraError(
            "the Ray engine needs ray, which is not installed", hint='pip install "blindsight[ray]"'
        )
    with tempfile.TemporaryDirectory(prefix="blindsight-flwr-") as home:
        environment = _environment(Path(home), out)
        with _superlink(Path(home), environment, out) as address:
            _submit(Path(home), environment, address, nodes, config, workers, out)


def _environment(home: Path, out: Path) -> dict[str, str]:
    scripts = sysconfig.get_path("scripts")
    return {
        **{name: value for name, value in os.environ.items() if name not in SECRETS},
        **SWITCHES,
        "PATH": os.pathsep.join([scripts, os.environ.get("PATH", "")]),
        "FLWR_HOME": str(home / "flwr"),
        "RAY_TMPDIR": str(home),
        STATE_VARIABLE: str(out.resolve()),
        NODES_VARIABLE: str((out / "nodes.json").resolve()),
    }


@contextlib.contextmanager
def _superlink(home: Path, environment: Mapping[str, str], out: Path) -> Iterator[str]:
    """A SuperLink on a free port of the loopback address, ended with the block."""
    port = _free_port()
    command = [_script("flower-superlink"), "--simulation", "--insecure", "--disable-runtime-dependency-installation"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with (out / "superlink.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=dict(environment), cwd=home, start_new_session=True
        )
    try:
        _await_port(process, port, out)
        yield f"127.0.0.1:{port}"
    finally:
        _stop(process)


def _submit(
    home: Path,
    environment: Mapping[str, str],
    address: str,
    nodes: int,
    config: RunConfig,
    workers: int,
    out: Path,
) -> None:
    flower_app.write(home / "app")
    (home / "run.toml").write_text(flower_app.run_config(config))
    (home / "flwr").mkdir(exist_ok=True)
    connection = f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "{address}"\ninsecure = true\n'
    (home / "flwr" / "config.toml").write_text(connection)
    federation = f"num-supernodes={nodes} client-resources-num-cpus=1 init-args-num-cpus={min(workers, nodes)}"
    command = [_script("flwr"), "run", str(home / "app"), "here", "--stream"]
    command += ["--run-config", str(home / "run.toml"), "--federation-config", federation]
    log = out / "flwr.log"
    with log.open("wb") as file:
        status = subprocess.run(command, stdout=file, stderr=file, env=dict(environment), cwd=home, check=False)
    if status.returncode or _failed(log):
        raise FederationError(f"the Simulation Runtime ended with an error: {_last_words(log)}", hint=f"see {log}")


def _failed(log: Path) -> bool:
    """``flwr run --stream`` ends with status 0 whatever became of the run; its log tells."""
    return re.search(rb"finished:failed|Exit Code: [1-9]", log.read_bytes()) is not None


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if "Error" in line] or lines
    return telling[-1][:300] if telling else "it said nothing"


def _script(name: str) -> str:
    path = Path(sysconfig.get_path("scripts")) / name
    return str(path) if path.exists() else str(Path(sys.executable).with_name(name))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_port(process: subprocess.Popen[bytes], port: int, out: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.2)
    raise FederationError("Flower's SuperLink did not start", hint=f"see {out / 'superlink.log'}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the SuperLink and everything it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
