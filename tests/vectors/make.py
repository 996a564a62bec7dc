"""Write the vectors with one property each: ``python -m tests.vectors.make [folder]``, by hand, from the root.

Everything follows from constants, and from what was sealed once and is kept (``boxes``), so the same code writes the
same bytes. A new kind is one function that lists its vectors, named in ``KINDS``, and one reader in
``tests/protocol/test_vectors.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.vectors import (
    boxes,
    ceremony,
    documents,
    keystores,
    lending,
    membership,
    spellings,
    statements,
    tensors,
    texts,
    travelling,
)
from tests.vectors.vector import Vector

FOLDER = Path(__file__).parent
SIDES = ("refused", "accepted")
KINDS: Sequence[Callable[[], list[Vector]]] = (
    texts.canonical,
    texts.b64,
    texts.time,
    texts.key,
    texts.people_code,
    documents.envelope,
    documents.card,
    documents.genesis,
    documents.epoch,
    membership.roster,
    membership.retire,
    membership.notice,
    membership.exported_log,
    ceremony.propose,
    ceremony.commit,
    ceremony.reveal,
    ceremony.complaint,
    ceremony.abort,
    lending.join,
    lending.grant,
    lending.delegate,
    keystores.keystore,
    keystores.marker,
    spellings.recovery_code,
    statements.manifest,
    statements.admission,
    travelling.recipient,
    travelling.sealing,
    travelling.sealed_file,
    statements.bundle_statement,
    statements.bundle,
    statements.tag,
    spellings.stream_tag,
    spellings.name,
    tensors.tensor_file,
    tensors.shard,
)


def everything() -> dict[str, bytes]:
    """All vectors: path below the folder → content.

    Raises:
        ValueError: two vectors share a path.
    """
    vectors = [vector for kind in KINDS for vector in kind()]
    files = {vector.path: vector.to_bytes() for vector in vectors}
    if len(files) != len(vectors):
        paths = [vector.path for vector in vectors]
        raise ValueError(f"two vectors share a path: {sorted({path for path in paths if paths.count(path) > 1})}")
    return files


def write(folder: Path) -> int:
    """Write all vectors and remove those that are made no longer: how many there are."""
    files = everything()
    for side in SIDES:
        (folder / side).mkdir(parents=True, exist_ok=True)
        for path in (folder / side).glob("*.json"):
            if f"{side}/{path.name}" not in files:
                path.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / boxes.NAME).write_bytes(boxes.kept())
    return len(files)


if __name__ == "__main__":
    count = write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
    sys.stderr.write(f"{count} vectors\n")
