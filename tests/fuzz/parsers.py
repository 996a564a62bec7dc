"""Coverage-guided fuzzing of what reads bytes of strangers; by hand, not by the tests: needs ``pip install atheris``.

    python -m tests.fuzz.parsers TARGET FOLDER [libFuzzer's options, such as -max_total_time=300]

Targets are ``document``, ``payload``, ``tensors`` and ``keystore``. The folder keeps what was found to be new; the
corpus in ``tests/vectors`` is read, too. Whatever comes out but a refusal ends the run and leaves the input in a file
``crash-…``: put it into the corpus, under a name that says what it is, and the tests repeat it from then on
(tests/protocol/test_fuzz.py).
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["blindsight", "json"]):
    from blindsight.protocol import shard
    from blindsight.protocol.envelope import Envelope
    from blindsight.protocol.errors import BlindsightError
    from blindsight.protocol.keystore import examine
    from blindsight.protocol.records import SHAPES, read_record

CORPUS = Path(__file__).parents[1] / "vectors" / "corpus"
PLACE = Path(tempfile.mkdtemp()) / "input"


def document(data: bytes) -> None:
    """An envelope with a record of a log in it."""
    read_record(Envelope.from_bytes(data))


def payload(data: bytes) -> None:
    """What a record of each type says, without an envelope that would have to be guessed first."""
    for kind in SHAPES:
        with contextlib.suppress(BlindsightError):
            read_record(Envelope(kind, data, {}))


def tensors(data: bytes) -> None:
    """A shard."""
    PLACE.write_bytes(data)
    shard.opened(PLACE)


def keystore(data: bytes) -> None:
    """A keystore, not opened."""
    PLACE.write_bytes(data)
    PLACE.chmod(0o600)
    examine(PLACE)


TARGETS = {"document": document, "payload": payload, "tensors": tensors, "keystore": keystore}


def main(words: list[str]) -> None:
    """Fuzz one reader until told to stop."""
    target = TARGETS[words[1]]

    def one(data: bytes) -> None:
        with contextlib.suppress(BlindsightError):
            target(data)

    atheris.Setup([words[0], *words[2:], str(CORPUS)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
