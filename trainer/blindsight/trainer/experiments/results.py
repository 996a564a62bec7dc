"""``results.jsonl``: one line for each finished run, written whole and never changed."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from blindsight.protocol import fields
from blindsight.protocol.errors import DataError, FormatError
from blindsight.trainer.experiments.document import number, scalar
from blindsight.trainer.experiments.plan import Value
from blindsight.trainer.experiments.run import Run

FILE_NAME: Final = "results.jsonl"


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run.

    Args:
        v: 1.
        experiment: digest of what all rows of the experiment have in common.
        run: digest of the run.
        cell: its name in the table, ``label/network/variant/seed``; one of them, if it stands in several places.
        publication: what was published for it.
        training: ``pooled`` or ``federated``.
        config: the whole run configuration.
        seed: of data and weights.
        parameters: values in the network's weights.
        accuracy: share of the test images that the best model classified rightly, 0 to 1.
        correct: how many.
        images: test images.
        val_accuracy: of the best model on ``val`` rows, 0 to 1.
        best_round: rounds of training behind the best model.
        rounds: rounds of training.
        samples: rows shown to the network in training, repetitions counted.
        seconds: wall seconds of training and of measuring on ``val``.
        core_seconds: processor seconds of the same.
        history: (rounds of training, accuracy on ``val`` rows) of every measured model.
        machine: processor, cores, threads, device and number format it was computed with.
        versions: software → version.
        commit: of the software's repository, with ``-changed`` if files were changed; empty where there is none.
        command: what was typed.
        finished: when.
    """

    v: int
    experiment: str
    run: str
    cell: str
    publication: Mapping[str, Any]
    training: str
    config: Mapping[str, Value]
    seed: int
    parameters: int
    accuracy: float
    correct: int
    images: int
    val_accuracy: float
    best_round: int
    rounds: int
    samples: int
    seconds: float
    core_seconds: float
    history: Sequence[tuple[int, float]]
    machine: Mapping[str, Value]
    versions: Mapping[str, str]
    commit: str
    command: str
    finished: str

    def is_of(self, run: Run) -> bool:
        """Whether it is the result of a run: also if a default has changed since, it is not."""
        config = run.config.to_flower()
        same = all(config[key] == value for key, value in self.config.items() if key in config and key != "timeout")
        return self.run == run.digest and same


class Results:
    """All results in a folder.

    Args:
        folder: the experiment's folder; it exists.
        experiment: digest of what all rows have in common.

    Attributes:
        file: where they lie.

    Raises:
        DataError: a line is damaged, or belongs to another experiment.
    """

    def __init__(self, folder: Path, experiment: str) -> None:
        self.file = folder / FILE_NAME
        self._found: dict[str, Result] = {}
        if self.file.exists():
            *whole, _ = self.file.read_bytes().split(b"\n")  # behind the last line: nothing, or a half one
            for number, line in enumerate(whole, start=1):
                self._take(_parsed(line, f"{self.file}, line {number}"), experiment)

    def _take(self, result: Result, experiment: str) -> None:
        if result.experiment != experiment:
            raise DataError(
                f"{self.file} holds results of an experiment with other data, recipe or training",
                hint="name another folder with --out",
            )
        self._found[result.run] = result

    def of(self, run: Run) -> Result | None:
        """The last result of a run, or None where there is none."""
        result = self._found.get(run.digest)
        return result if result is not None and result.is_of(run) else None

    def add(self, result: Result) -> None:
        """Write a result; it is on the disk when this returns."""
        line = json.dumps(dataclasses.asdict(result), ensure_ascii=False, allow_nan=False) + "\n"
        with self.file.open("a+b") as file:
            _cut_half_line(file)
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        self._found[result.run] = result


def _cut_half_line(file: BinaryIO) -> None:
    """Remove what a killed writer left behind the last whole line."""
    file.seek(0)
    data = file.read()
    file.truncate(data.rfind(b"\n") + 1)


def _parsed(line: bytes, place: str) -> Result:
    try:
        document = json.loads(line)
        fields.demand(_RESULT, document, place)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{place} is not readable as JSON", hint="remove the line: its run is then made again"
        ) from error
    except FormatError as error:
        raise DataError(error.message, hint="remove the line: its run is then made again") from error
    return Result(**document)


_COUNTS = ("seed", "parameters", "correct", "images", "best_round", "rounds", "samples")
_TEXTS = ("experiment", "run", "cell", "training", "commit", "command", "finished")
_RESULT: Final = fields.mapping(
    {
        "v": fields.constant(1),
        **dict.fromkeys(_COUNTS, fields.integer()),
        **dict.fromkeys(_TEXTS, fields.text(4000)),
        **dict.fromkeys(("accuracy", "val_accuracy"), number(0, 1)),
        **dict.fromkeys(("seconds", "core_seconds"), number(0, math.inf)),
        **dict.fromkeys(("config", "machine", "versions"), fields.dictionary(scalar)),
        "publication": fields.dictionary(fields.either(fields.dictionary(scalar), scalar)),
        "history": fields.listing(fields.listing(number(0, math.inf), least=2, most=2)),
    }
)
