"""What re-keying does to a trained model's answers: ``python -m tests.benchmarks.rekeying SIMULATION``, from the root.

SIMULATION is the folder of a finished ``blindsight simulate``. In a copy of it the holders agree on a second epoch and
one of them re-keys the exported model, all with the command, as people do it. Then the operator's engine answers the
same plain test images under the first and under the second key, and the answers are compared.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsight.holder import federation
from blindsight.holder.ciphers import cipher_for
from blindsight.holder.sources import open_source
from blindsight.operator.engine import Engine
from blindsight.protocol import bundle
from blindsight.protocol.clock import now
from blindsight.protocol.log import Log
from blindsight.protocol.logfile import read_log
from blindsight.protocol.scheme import scheme_key
from blindsight.simulation.agreeing import opened
from blindsight.simulation.dealing import IMAGES, TEST
from blindsight.simulation.operating import ids_of

MOST_STEPS = 12
BATCH = 500
WAITING = 75


def main(words: list[str]) -> int:
    """Compare, and print one JSON object."""
    if len(words) != 1 or not (Path(words[0]) / "dropbox").is_dir():
        print("usage: python -m tests.benchmarks.rekeying SIMULATION", file=sys.stderr)  # noqa: T201
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "copy"
        shutil.copytree(words[0], root, ignore=shutil.ignore_patterns("datasets", "runs"))
        print(json.dumps(compared(root)))  # noqa: T201
    return 0


def compared(root: Path) -> dict[str, Any]:
    """Agree, re-key, and compare the answers to all test images.

    Args:
        root: a copy of a simulation's folder, which is changed.
    """
    names = sorted(path.name for path in root.glob("holder-*"))
    model = next((root / "dropbox").glob("*/models/model"))
    scheme = json.loads((root / "simulation.json").read_bytes())["scheme"]
    _agree(root, names, scheme)
    typed(root, names[0], "rekey", str(model), "--to-epoch", "2", "--out", str(root / "rekeyed"), "--log", box(root))
    log = read_log(box(root), None)
    plain, labels = _images(root, names)
    old = _logits(root, names[0], log, model, plain)
    new = _logits(root, names[0], log, root / "rekeyed", plain)
    return {
        "scheme": scheme,
        "images": len(plain),
        "accuracy": [float((logits.argmax(1) == labels).mean()) for logits in (old, new)],
        "same top-1": int((old.argmax(1) == new.argmax(1)).sum()),
        "largest logit": float(np.abs(old).max()),
        "largest difference": float(np.abs(old - new).max()),
    }


def box(root: Path) -> str:
    """The drop-box."""
    return str(root / "dropbox")


def typed(root: Path, name: str, *words: str) -> int:
    """Let a holder type a command; returns its exit status, 0 or waiting."""
    keys = ["--keystore", str(root / name / "keystore.json"), "--passphrase-file", str(root / name / "passphrase")]
    command = [sys.executable, "-P", "-m", "blindsight.cli", "holder", *words, *keys]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, WAITING):
        raise RuntimeError(f"{' '.join(words[:2])} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.returncode


def _agree(root: Path, names: list[str], scheme: str) -> None:
    typed(root, names[0], "epoch", "propose", "--scheme", scheme, "--dropbox", box(root))
    for _ in range(MOST_STEPS):
        waiting = [typed(root, name, "epoch", "step", "--dropbox", box(root)) for name in names]
        if not any(waiting):
            return
    raise RuntimeError("the holders did not agree")


def _images(root: Path, names: list[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    splits = [open_source(f"npz:{root / name / IMAGES}").splits[TEST] for name in names]
    images = np.concatenate([split.read(np.arange(len(split))) for split in splits])
    return images, np.concatenate([split.labels for split in splits])


def _logits(root: Path, name: str, log: Log, model: Path, plain: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The operator's answers to images under the key that a model is for."""
    loaded = bundle.load(model, log, now())
    with opened(root / name) as store:
        epoch, secret = federation.epoch_secret(store, log, loaded.predicate["epoch"])
    key = scheme_key(secret, log.fed, epoch.number, loaded.descriptor.digest)
    cipher, engine = cipher_for(loaded.descriptor, key), Engine.of(loaded)
    parts = [plain[start : start + BATCH] for start in range(0, len(plain), BATCH)]
    return np.concatenate([engine.infer(cipher.encrypt(part, ids_of(part))) for part in parts])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
