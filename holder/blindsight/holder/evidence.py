"""Evidence files beside the keystore: documents that convince a third party of who is at fault."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import BlindsightError
from blindsight.protocol.files import write_whole
from blindsight.protocol.keystore import Keystore


def write_evidence(store: Keystore, errors: Sequence[BlindsightError], *, anew: bool = True) -> tuple[Path, ...]:
    """Keep the documents that errors carry: the files, named by code and message id.

    Args:
        store: the keystore beside which they lie, in ``evidence/``.
        errors: what they prove.
        anew: whether files that were there already are named, too.
    """
    written = []
    for error in errors:
        for document in error.evidence:
            envelope = Envelope.from_bytes(document)
            path = store.path.parent / "evidence" / f"{error.code}-{envelope.mid[:12]}.json"
            if anew or not path.exists():
                path.parent.mkdir(mode=0o700, exist_ok=True)
                write_whole(path, document, mode=0o600)
                written.append(path)
    return tuple(dict.fromkeys(written))
