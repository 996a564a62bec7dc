"""The holders' part, played by a command in another process: a trainer's process never holds a key.

``blindsight simulate --until publish`` deals the images, lets the holders agree and publish, and leaves each holder's
shards in ``holder-i/datasets`` and the membership log in ``dropbox``. It is run as a command because no trainer may
import it; it resumes what was interrupted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blindsight.protocol.errors import DataError, FederationError
from blindsight.protocol.files import write_whole
from blindsight.trainer.experiments.plan import Data
from blindsight.trainer.experiments.run import Publication, digest_of

DIGITS: Final = "digits"
DROPBOX: Final = "dropbox"
GONE: Final = ".gone"
_BUILT_IN: Final = "built in"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the sources of images lie.

    Args:
        named: name → place, from ``--data``.
    """

    named: Mapping[str, str]

    def of(self, source: str) -> str:
        """The place of a source, as ``blindsight simulate --data`` takes it from whatever folder.

        Raises:
            DataError: nothing is there.
        """
        place = self.named.get(source, source)
        if place == DIGITS:
            return place
        kind, path = _taken_apart(place)
        if path.exists():
            return kind + str(path.resolve())
        known = f"there is no {place}" if source in self.named else f"it is not said where {source} lies"
        raise DataError(known, hint=f"--data {source}=PLACE")

    def contents(self, source: str) -> str:
        """What tells one set of images from another: a digest of file names and sizes.

        Raises:
            DataError: nothing is there.
        """
        place = self.of(source)
        if place == DIGITS:
            return _BUILT_IN
        _, path = _taken_apart(place)
        files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
        return digest_of({one.relative_to(path).as_posix(): one.stat().st_size for one in files})


def _taken_apart(place: str) -> tuple[str, Path]:
    """What stands before the path, if the kind of source does, and the path."""
    kind, colon, rest = place.partition(":")
    if not colon or Path(place).expanduser().exists():
        return "", Path(place).expanduser()
    return kind + colon, Path(rest).expanduser()


def command_for(publication: Publication, place: str, out: Path) -> list[str]:
    """The command line that plays the holders.

    Args:
        publication: what they publish.
        place: where the images lie.
        out: the folder that it fills.
    """
    words = [sys.executable, "-P", "-m", "blindsight.cli", "simulate", "--until", "publish", "--resume"]
    words += ["--out", str(out), "--data", place, "--scheme", publication.scheme, "--seed", str(publication.seed)]
    for name, value in sorted(publication.params.items()):
        words += ["--param", f"{name}={value}"]
    return words + list(_words(publication.data))


def _words(data: Data) -> Iterable[str]:
    for name, value in data.to_json().items():
        if name != "source":
            yield from (f"--{name}", str(value))


def publish(publication: Publication, place: str, out: Path, lock: int) -> None:
    """Let the holders publish, unless they have.

    Args:
        publication: what they publish.
        place: where the images lie.
        out: the folder that it fills.
        lock: a file descriptor that stays open as long as the command runs.

    Raises:
        FederationError: E_FEDERATION, the command did not succeed; it has said why.
    """
    if _mark(out).exists():
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"GOMP_SPINCOUNT": "0"}
    command = command_for(publication, place, out)
    status = subprocess.run(
        command, stdout=subprocess.DEVNULL, env=environment, pass_fds=[lock], check=False
    ).returncode
    if status:
        raise FederationError(
            f"the images were not published: blindsight simulate ended with status {status}, see above"
        )
    write_whole(_mark(out), b"")


def forget(out: Path) -> None:
    """Remove what was published; it can be published again."""
    _mark(out).unlink(missing_ok=True)
    if out.exists():
        out.rename(gone := out.with_name(f"{out.name}{GONE}"))  # half a folder could not be gone on with
        shutil.rmtree(gone)


def sweep(folder: Path) -> None:
    """Remove what a killed ``forget`` has left in a folder of publications."""
    for gone in folder.glob(f"*{GONE}"):
        shutil.rmtree(gone)


def _mark(out: Path) -> Path:
    """The empty file that says that all is published."""
    return out.with_name(f"{out.name}.done")


def folders(out: Path, split: str) -> list[str]:
    """The folders of one split of all holders that have it.

    Args:
        out: what ``publish`` filled.
        split: ``train``, ``val`` or ``test``.
    """
    return sorted(str(folder.resolve()) for folder in out.glob(f"holder-*/datasets/{split}"))
