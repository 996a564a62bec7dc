"""How much memory strangers' documents and large files take: bounded, whatever lies in the drop-box.

Each measure is taken in a process of its own: the greatest memory it ever had, less what it had before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import MAX_DOCUMENT_BYTES
from blindsight.protocol.envelope import payload_type
from blindsight.protocol.sealedfile import Stamp, seal_file, unseal_file
from blindsight.protocol.statement import file_digest

ROOT = Path(__file__).parents[2]
MOST_MIB = 256
PIECE = b"\xa5" * 2**20
LARGE = 192  # MiB
UNITS = {
    "empty arrays": b"[],",
    "empty objects": b"{},",
    "small objects": b'{"a":[]},',
    "nested arrays": b"[" * 10 + b"]" * 10 + b",",
    "nested objects": b'{"":' * 12 + b"0" + b"}" * 12 + b",",
    "integers": b"-9,",
    "empty strings": b'"",',
    "wide characters": '"\U0001f600",'.encode(),
}


def filled(unit: bytes, most: int = MAX_DOCUMENT_BYTES) -> bytes:
    """An array of one thing over and over, as large as a document may be."""
    return b"[" + unit * ((most - 8) // len(unit)) + b"0]"


def in_payload(data: bytes) -> bytes:
    """The same inside an envelope, where it is parsed when the card is read."""
    document = {"payload": b64encode(data).decode(), "payloadType": payload_type("identity"), "signatures": []}
    return json.dumps(document).encode()


def read_cards(folder: Path) -> None:
    assert DropBox(folder).cards() == []


def read_messages(folder: Path) -> None:
    assert not [found for found in DropBox(folder).messages("00" * 32) if found.envelope]


def seal_and_open(folder: Path) -> None:
    """A large file sealed and opened again."""
    plain = Stamp((folder / "plain").stat().st_size, file_digest(folder / "plain"))
    sealed = seal_file(folder / "plain", folder / "sealed", bytes(32), b"", plain)
    unseal_file(folder / "sealed", folder / "opened", bytes(32), b"", sealed, plain)


ACTS = {"cards": read_cards, "messages": read_messages, "seal": seal_and_open}


def mebibytes_of(act: str, folder: Path) -> float:
    """What an act takes beyond what its process had already."""
    words = [sys.executable, "-m", "tests.holder.test_memory", act, str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read in /proc")


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS.keys())
def test_the_largest_document_of_a_stranger_takes_bounded_memory(unit, tmp_path):
    folder = tmp_path / "identities"
    folder.mkdir()
    (folder / "one.json").write_bytes(filled(unit))
    (folder / "two.json").write_bytes(in_payload(filled(unit, MAX_DOCUMENT_BYTES * 3 // 4 - 200)))
    assert all(MAX_DOCUMENT_BYTES - 2**10 < path.stat().st_size <= MAX_DOCUMENT_BYTES for path in folder.iterdir())
    assert mebibytes_of("cards", tmp_path) <= MOST_MIB


def test_many_malformed_documents_take_no_more_than_one(tmp_path):
    """Of what cannot be read nothing is kept but why: not even the bytes that a traceback would hold on to."""
    folder = tmp_path / DropBox(tmp_path).federation("00" * 32) / "sessions" / ("00" * 6)
    folder.mkdir(parents=True)
    for number in range(24):
        (folder / f"commit-{number}.json").write_bytes(filled(b'"' + b"a" * 60 + b'",'))
    assert mebibytes_of("messages", tmp_path) <= MOST_MIB


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS.keys())
def test_documents_of_any_size_take_bounded_memory(unit, tmp_path):
    """Those just small enough to be parsed are among them."""
    (tmp_path / "identities").mkdir()
    for half in range(8):
        (tmp_path / "identities" / f"{half}.json").write_bytes(filled(unit, MAX_DOCUMENT_BYTES >> half))
    assert mebibytes_of("cards", tmp_path) <= MOST_MIB


def test_sealing_and_opening_hold_a_piece_of_a_file_at_a_time(tmp_path):
    with (tmp_path / "plain").open("wb") as file:
        for _ in range(LARGE):
            file.write(PIECE)
    assert mebibytes_of("seal", tmp_path) <= LARGE / 4


def test_memory_that_is_taken_is_seen(tmp_path):
    (tmp_path / "identities").mkdir()
    (tmp_path / "identities" / "one.json").write_bytes(in_payload(bytes(MAX_DOCUMENT_BYTES * 3 // 4 - 200)))
    assert mebibytes_of("cards", tmp_path) >= 16


def main(act: str, folder: Path) -> float:
    before = _status("VmRSS")
    ACTS[act](folder)
    return _status("VmHWM") - before


def _status(field: str) -> float:
    """Of this process, in MiB. The kernel's ``ru_maxrss`` would count the process that started this one, too."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1]) / 2**10


if __name__ == "__main__":
    sys.stdout.write(str(main(sys.argv[1], Path(sys.argv[2]))))
