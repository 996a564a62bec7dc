"""``blindsight operator``: check a bundle, predict on encrypted images."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blindsight.cli import key, log_verbs, override, recipient
from blindsight.cli.arguments import Verbs, add_log
from blindsight.cli.output import emit, emit_facts, progress, say
from blindsight.cli.override import add_override
from blindsight.protocol.clock import now
from blindsight.protocol.errors import ServingError
from blindsight.protocol.files import replacing
from blindsight.protocol.tag import read_stream_tag, stream_tag

if TYPE_CHECKING:
    from blindsight.operator.engine import Engine
    from blindsight.operator.predict import Prediction, Score
    from blindsight.protocol.bundle import Bundle
    from blindsight.protocol.log import Log

CHECK = "blindsight operator check box/models/digits --log box --json"
PREDICT = "blindsight operator predict box/models/digits box/test/images-00000.safetensors --log box"
INPUTS = "a shard, a data set's folder, a .npy file (n, H, W, C) uint8, or a folder of encrypted PNG images"
BATCH = 256
MAX_BATCH = 65_536
Write = Callable[[str], object]


def main(words: Sequence[str]) -> int:
    """Run a verb of the operator.

    Args:
        words: the words after ``blindsight operator``.

    Returns:
        0; refusals are raised as ``BlindsightError``.
    """
    verbs = Verbs("operator", "Check a model bundle and predict on encrypted images.", CHECK)
    key.add_verbs(verbs, "operator")
    recipient.add_verbs(verbs, "operator")
    log_verbs.add_verbs(verbs, "operator")
    check = verbs.add("check", _check, "verify a bundle and show that it runs", CHECK)
    predict = verbs.add("predict", _predict, "predict on encrypted images", PREDICT)
    for parser in (check, predict):
        parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle's folder")
        add_log(parser)
        add_override(parser)
    predict.add_argument("input", type=Path, metavar="INPUT", help=INPUTS)
    predict.add_argument("--tag", metavar="TAG", help="vouch for the key and scheme of the input (see: check --json)")
    predict.add_argument("--batch", type=_batch, default=BATCH, metavar="N", help=f"images at once (default: {BATCH})")
    predict.add_argument("--out", type=Path, metavar="FILE", help="write the table there; stdout gets the summary only")
    return verbs.main(words)


def _batch(text: str) -> int:
    size = int(text) if text.isdecimal() else 0
    if not 1 <= size <= MAX_BATCH:
        raise argparse.ArgumentTypeError(f"expected 1 to {MAX_BATCH}, got {text[:20]!r}")
    return size


def _opened(options: argparse.Namespace) -> tuple[Bundle, Log]:
    from blindsight.protocol import bundle
    from blindsight.protocol.logfile import read_log

    log = read_log(options.log, options.federation)
    despite_notice = override.decided(options, f"operator {options.verb}")
    return bundle.load(options.bundle, log, now(), despite_notice=despite_notice), log


def _check(options: argparse.Namespace) -> int:
    bundle, log = _opened(options)
    engine, difference = _started(bundle)
    engine.warm_up()
    say(f"{bundle.predicate['model']['name']} is genuine and runs")
    tested = _tested(difference, as_json=options.json)
    emit_facts(_facts(bundle, log, as_json=options.json) | tested, as_json=options.json)
    return 0


def _started(bundle: Bundle) -> tuple[Engine, float | None]:
    """The engine of a bundle, after its self-test: the largest difference; None where there is no self-test."""
    from blindsight.operator.engine import Engine, selftest_in

    test, engine = selftest_in(bundle), Engine.of(bundle)
    return engine, None if test is None else engine.demand_answers(test)


def _tested(difference: float | None, *, as_json: bool) -> dict[str, Any]:
    from blindsight.protocol.selftest import IMAGES

    if as_json:
        found = None if difference is None else {"images": IMAGES, "largest_difference": difference}
        return {"self_test": found}
    return {"self-test": "none" if difference is None else f"{IMAGES} images, largest difference {difference:.2g}"}


def _facts(bundle: Bundle, log: Log, *, as_json: bool) -> dict[str, Any]:
    predicate, descriptor = bundle.predicate, bundle.descriptor
    height, width, channels = bundle.shape
    parameters = ", ".join(f"{name} {value}" for name, value in descriptor.params.items())
    brief = f"{descriptor.id} v{descriptor.v}" + (f" ({parameters})" if parameters else "")
    return {
        "model": predicate["model"] if as_json else f"{predicate['model']['name']} {predicate['model']['version']}",
        "network": predicate["arch"]["id"],
        "trainer": bundle.trainer if as_json else bundle.trainer or "nobody of this federation",
        **_derived(bundle, as_json=as_json),
        "federation": f"{log.name} ({log.code})",
        "epoch": predicate["epoch"],
        "scheme": descriptor.to_json() if as_json else brief,
        "input": predicate["input"] if as_json else f"{height}x{width}x{channels} uint8",
        "classes": list(bundle.classes),
        **_metrics(predicate["metrics"], log, as_json=as_json),
        "tag": stream_tag(bundle.tag, log.head),
    }


def _derived(bundle: Bundle, *, as_json: bool) -> dict[str, Any]:
    """Which holder re-keyed or imported the model, if one did."""
    derived = bundle.predicate.get("derived")
    if as_json:
        return {"signed by": bundle.signer, "derived": derived}
    if derived is None:
        return {}
    epochs = ", ".join(map(str, derived["epochs"]))
    return {derived["how"]: f"by {bundle.signer}" + (f"; before for epoch {epochs}" if epochs else "")}


def _metrics(metrics: Mapping[str, str], log: Log, *, as_json: bool) -> dict[str, Any]:
    """Figures as they stand in the statement; for people, those of each holder by its label."""
    if as_json:
        return {"metrics": metrics}
    shown: dict[str, dict[str, str]] = {"metrics": {}}
    labels = {f"holder/{entry.fpr}": f"metrics of {entry.label}" for entry in log.roster.members}
    for name, value in metrics.items():
        place, _, figure = name.rpartition("/")
        shown.setdefault(labels.get(place, place) or "metrics", {})[figure] = value
    return dict(shown)


def _predict(options: argparse.Namespace) -> int:
    from blindsight.operator import inputs, predict
    from blindsight.operator.admission import Terms

    bundle, log = _opened(options)
    declared, head = read_stream_tag(options.tag.strip().lower()) if options.tag else (None, None)
    if head:
        log.demand_head(head, "the input's tag")
    source = inputs.opened(options.input, Terms.of(bundle, declared), log)
    engine, _ = _started(bundle)
    score = predict.Score()
    with _destination(options.out) as write, progress(f"predict on {source.name}", source.rows) as advance:
        for prediction in predict.predictions(engine, source, bundle.classes, options.batch):
            write(_line(prediction, as_json=options.json))
            score = score.plus(prediction)
            advance(1)
        if score.n:
            write(_summary(score, as_json=options.json))
    if score.n and options.out:
        emit(_summary(score, as_json=options.json))
    say(f"{source.rows} images answered" + (f", written to {options.out}" if options.out else ""))
    return 0


@contextlib.contextmanager
def _destination(path: Path | None) -> Iterator[Write]:
    """Where the table goes: stdout, or a file that appears when it is complete."""
    if path is None:
        yield emit
        return
    try:
        with replacing(path) as file:
            yield lambda line: file.write(line.encode() + b"\n")
    except OSError as error:
        raise ServingError(f"{path} cannot be written: {error.strerror}", code="E_IO") from error


def _line(prediction: Prediction, *, as_json: bool) -> str:
    if as_json:
        return json.dumps(prediction.to_json(), ensure_ascii=False)
    line = f"{prediction.row:>7}  {prediction.index:>5}  {prediction.probability:.4f}  {prediction.label}"
    return f"{line}  {prediction.file}" if prediction.file else line


def _summary(score: Score, *, as_json: bool) -> str:
    summary = score.to_json()
    if as_json:
        return json.dumps({"summary": summary})
    low, high = summary["interval"]
    return f"accuracy {score.accuracy:.4f} on {score.n} labelled images (95 % interval {low:.4f} to {high:.4f})"
