"""``blindsight simulate``: a whole federation on one machine."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from blindsight.cli.arguments import at_least
from blindsight.cli.output import emit, emit_json, say
from blindsight.holder import scheme_options
from blindsight.protocol.clock import now
from blindsight.protocol.errors import DataError
from blindsight.protocol.files import write_whole
from blindsight.simulation.settings import Settings

if TYPE_CHECKING:
    from blindsight.protocol.scheme import Descriptor
    from blindsight.simulation.outcome import Outcome
    from blindsight.simulation.published import Published
    from blindsight.trainer.config import RunConfig

SUMMARY = """Play a whole federation on this machine: holders agree on a key, encrypt and publish, a trainer trains with
Flower on what they published, an operator predicts on encrypted test images that were sealed to it. Every party has its
own folder; they exchange files through a drop-box folder only. Keys follow from --seed: use it to try things, not to
protect images."""
EXAMPLE = "blindsight simulate --holders 3 --scheme le --rounds 5 --out runs/first"
RESULT = "result.json"
SECONDS = "seconds.json"


def main(words: Sequence[str]) -> int:
    """Play a simulation and say what came out."""
    os.environ.setdefault("GOMP_SPINCOUNT", "0")  # before torch loads: idle threads must not burn the other core
    options = _parser().parse_args(words)
    settings = _settings(options)
    out: Path = options.out or Path("runs") / f"simulation-{now():%Y%m%d-%H%M%S}"
    _demand_playable(settings, out, options.until)
    settings.begin(out, resume=options.resume)
    result = publish(settings, out) if options.until else play(settings, out, options.workers)
    if options.json:
        emit_json(result.to_json())
    else:
        for line in result.table():
            emit(line)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="blindsight simulate",
        description=SUMMARY,
        epilog=f"example:\n  {EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", default="digits", help="digits, a folder, .npz, CIFAR or IDX files (default: digits)")
    parser.add_argument("--holders", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--scheme", default="le", metavar="NAME", help="default: le; blindsight holder schemes lists all"
    )
    scheme_options.add_parameters(parser)
    _add_views(parser)
    parser.add_argument("--partition", default="iid", metavar="P", help="iid, or dirichlet:0.3 (default: iid)")
    parser.add_argument("--network", default="small", metavar="NAME", help="default: small")
    parser.add_argument("--rounds", type=int, default=5, metavar="R", help="default: 5")
    parser.add_argument("--engine", choices=("inprocess", "ray"), default="inprocess", help="default: inprocess")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N training images in all")
    parser.add_argument(
        "--val", type=int, metavar="N", help="training images a holder holds out (default: a tenth, at most 500)"
    )
    parser.add_argument("--seed", type=int, default=0, help="everything random follows from it (default: 0)")
    parser.add_argument("--control", choices=("plain",), default="", help="also play it without encryption, to compare")
    parser.add_argument("--workers", type=at_least(1), default=os.cpu_count() or 1, help="holders at a time")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a key of the run configuration"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: runs/simulation-DATE")
    parser.add_argument("--resume", action="store_true", help="go on with a simulation in --out that has not ended")
    parser.add_argument(
        "--until", choices=("publish",), help="stop when all encrypted images are published and verified; say where"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _add_views(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--views", type=int, default=1, metavar="V", help="encrypted views an image (default: 1)")
    parser.add_argument("--crop", type=int, default=4, metavar="PX", help="largest shift of a view (default: 4)")
    parser.add_argument(
        "--jitter", type=float, default=0.0, metavar="X", help="change a view's colours by up to X (default: 0)"
    )
    parser.add_argument(
        "--cutout", type=int, default=0, metavar="PX", help="cover a square of this side in a view (default: 0, none)"
    )


def _settings(options: argparse.Namespace) -> Settings:
    params, words = scheme_options.given(options), tuple(options.set)
    names = {field.name for field in dataclasses.fields(Settings)} - {"params", "options"}
    return Settings(**{name: getattr(options, name) for name in names}, params=params, options=words)


def _demand_playable(settings: Settings, out: Path, until: str | None) -> None:
    """Refuse before a folder is claimed what would be refused after it."""
    from blindsight.simulation import dealing

    if settings.val == 0 and until is None:
        hint = "name a greater --val, or stop before the training with --until publish"
        raise DataError("--val must be at least 1 to train: the best model is chosen on validation images", hint=hint)
    _config(settings)
    dealing.demand_dealable(settings, out)


def _config(settings: Settings) -> RunConfig:
    from blindsight.trainer.cli import config_of

    return config_of(
        argparse.Namespace(
            rounds=settings.rounds, network=settings.network, seed=settings.seed, set=list(settings.options)
        )
    )


def publish(settings: Settings, out: Path) -> Published:
    """Play until the holders' encrypted images are published and verified; what is done already is passed over.

    Args:
        settings: what to play.
        out: the simulation's folder.
    """
    from blindsight.simulation import agreeing, dealing, published, training

    seconds = _seconds_so_far(out)
    stage = partial(_stage, out, seconds)
    with stage("deal", f"dealing {settings.data} to {settings.holders} holders"):
        dealt = dealing.deal(settings, out)
    with stage("agree", "identities, genesis and epoch ceremony over the drop-box; the operator offers a key"):
        log = agreeing.agree(settings, out)
    with stage("publish", f"every holder encrypts with {settings.scheme} and publishes; test images are sealed"):
        training.publish_all(settings, out, log)
    with stage("check", "the trainer verifies all manifests"):
        verified = training.check(settings, out, log)
    return published.Published(settings, out, dealt, log, verified, seconds)


def play(settings: Settings, out: Path, workers: int) -> Outcome:
    """Play all stages; those that are done already are passed over.

    Args:
        settings: what to play.
        out: the simulation's folder.
        workers: holders that compute at a time.
    """
    from blindsight.simulation import operating, outcome, training

    config = _config(settings)
    done = publish(settings, out)
    log, verified = done.log, done.verified
    stage = partial(_stage, out, done.seconds)
    with stage("train", f"{settings.rounds} rounds on the {settings.engine} engine"):
        last = training.train(settings, out, config, verified, workers)
    with stage("export", "the trainer exports and signs the best model"):
        trained = training.export_model(out, verified, log, last)
    with stage("predict", "the operator unseals test images and predicts; the holders measure the controls"):
        measured = operating.operate(settings, out, log, trained.bundle)
    with stage("control", "the same federation without encryption") if settings.control else contextlib.nullcontext():
        control = _play_control(settings, done.descriptor, out, workers)
    result = outcome.Outcome(settings, out, done.dealt, log, verified, trained, measured, control, done.seconds)
    with stage("report", "writing the report"):
        outcome.write_report(result)
    _write_result(result, out)
    return result


def _play_control(settings: Settings, descriptor: Descriptor, out: Path, workers: int) -> float | None:
    """Test accuracy of the same federation without encryption, if it was asked for; with the same blocks."""
    if settings.control != "plain":
        return None
    from blindsight.trainer.model import stem_block

    block = str(descriptor.params.get("block", stem_block(descriptor)))
    plain = dataclasses.replace(settings, scheme="plain", params={"block": block}, control="")
    folder = out / "control-plain"
    plain.begin(folder, resume=folder.exists())
    return play(plain, folder, workers).measured.encrypted.accuracy


def _write_result(result: Outcome, out: Path) -> None:
    write_whole(out / RESULT, json.dumps(result.to_json(), indent=1).encode() + b"\n")


def _seconds_so_far(out: Path) -> dict[str, float]:
    """Seconds spent in each stage by earlier runs that this one resumes."""
    file = out / SECONDS
    return dict(json.loads(file.read_bytes())) if file.exists() else {}


@contextlib.contextmanager
def _stage(out: Path, seconds: dict[str, float], name: str, sentence: str) -> Iterator[None]:
    """Say what is done and add up how long it takes, over interruptions too."""
    say(sentence)
    start = time.monotonic()
    try:
        yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.monotonic() - start
        write_whole(out / SECONDS, json.dumps(seconds).encode() + b"\n")
