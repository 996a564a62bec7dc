"""Publishing: source → views → cipher → shards and a signed manifest, a batch at a time.

Rows are shuffled with a fresh random seed before they are written, because their order would tell how they were
acquired. The seed stays in a job file (mode 0600) until the manifest stands; a publish that was killed goes on from
its last whole shard and gives the same shards as one that was not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsight.holder import geometry
from blindsight.holder.edition import FIRST, Edition
from blindsight.holder.plan import Plan
from blindsight.holder.stopwatch import Stopwatch
from blindsight.holder.views import view_of_each
from blindsight.protocol import manifest, shard
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import canonical, expand, from_b64, to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import DataError
from blindsight.protocol.files import replacing, sweep_parts, write_whole
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.keystream import Stream
from blindsight.protocol.scheme import Images, check_value
from blindsight.protocol.shard import ShardHead

BATCH_BYTES = 2**20
JOB_FOLDER = ".publish"
STAGES = ("read", "views", "encrypt", "write", "deliver")
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Work:
    """A publish at work.

    Args:
        plan: what is published.
        out: the data set's folder.
        advance: called with the number of rows just written.
        watch: counts the seconds of each of ``STAGES``.
        serial: of the edition.
    """

    plan: Plan
    out: Path
    advance: Callable[[int], None]
    watch: Stopwatch
    serial: int


@dataclass(frozen=True, slots=True)
class Job:
    """What must survive a kill until the manifest stands.

    Args:
        plan: digest of plan and edition.
        dataset: id of the data set, 32 hex characters.
        seed: 32 random bytes: row order and views.
        created: time at which the publish was begun.
        shards: finished shards as the manifest lists them.
    """

    plan: str
    dataset: str
    seed: bytes
    created: str
    shards: tuple[dict[str, Any], ...] = ()

    def __repr__(self) -> str:
        return f"Job({self.dataset})"

    def to_bytes(self) -> bytes:
        """For the job file."""
        document = {"v": 1, "plan": self.plan, "dataset": self.dataset, "seed": to_b64(self.seed)}
        return canonical({**document, "created": self.created, "shards": list(self.shards)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Job:
        """From the job file."""
        document = json.loads(data)
        seed, shards = from_b64(document["seed"], 32), tuple(document["shards"])
        return cls(document["plan"], document["dataset"], seed, document["created"], shards)


def publish(
    plan: Plan,
    key: SigningKey,
    out: Path,
    created: str,
    advance: Callable[[int], None],
    *,
    edition: Edition = FIRST,
    entropy: Callable[[int], bytes] = os.urandom,
    deliver: Callable[[], object] = lambda: None,
    watch: Stopwatch | None = None,
) -> Envelope:
    """Write shards and manifest into a folder; go on where an interrupted publish of the same plan was.

    Args:
        plan: what to publish.
        key: the holder who signs.
        out: the folder, made if missing.
        created: the present time.
        advance: called with the number of rows just written.
        edition: what the manifest says besides the plan.
        entropy: gives so many random bytes: the data set's id and the order of its rows.
        deliver: called when the manifest stands and before the job is forgotten, so that a publish killed while it
            offers offers again; may be called twice.
        watch: counts the seconds of each of ``STAGES``: reading and fitting, views, encrypting, writing and hashing,
            delivering.

    Returns:
        The signed manifest.

    Raises:
        DataError: E_EXISTS, the folder holds another data set or another interrupted publish; or an image cannot
            be read.
    """
    if not plan.rows:
        raise DataError(f"split {plan.split_name} of {plan.name} has no images")
    work = Work(plan, out, advance, watch or Stopwatch(STAGES), edition.serial)
    job = _begin(_digest(plan, edition), edition.dataset, out, created, entropy)
    advance(sum(entry["rows"] for entry in job.shards))
    order = _order(job.seed, plan.rows)
    for number, rows in _shard_rows(plan, order):
        if number >= len(job.shards):
            entry = _write_shard(work, job, number, rows)
            job = Job(job.plan, job.dataset, job.seed, job.created, (*job.shards, entry))
            write_whole(_job_file(out), job.to_bytes(), mode=0o600)
    envelope = standing(out)  # of this job: it may have been offered, so it must stay the one it is
    if envelope is None:
        envelope = manifest.make(key, _predicate(plan, edition, job, key.entry.fpr))
        write_whole(out / manifest.FILE_NAME, envelope.to_bytes())
    with work.watch.timing("deliver"):
        deliver()
    shutil.rmtree(out / JOB_FOLDER)
    return envelope


def standing(out: Path) -> Envelope | None:
    """The manifest that stands in a folder, unverified.

    Raises:
        FormatError: E_FORMAT, it is damaged.
    """
    file = out / manifest.FILE_NAME
    return Envelope.from_bytes(file.read_bytes(), str(file)) if file.exists() else None


def interrupted(out: Path) -> bool:
    """Whether a publish into this folder has begun and not ended."""
    return _job_file(out).exists()


def offer(folder: Path, box: DropBox, place: str, *, unsealed: bool = False) -> str:
    """Put a published data set's manifest where the other parties look for it.

    Args:
        folder: the published data set.
        box: the drop-box.
        place: the holder's folder in it.
        unsealed: whether the shards go there too, as they are; whoever reads them can compute the scenes.

    Returns:
        Where the manifest lies now, for people.
    """
    target = f"{place}/{folder.name}"
    for path in sorted((folder / "shards").glob("*.safetensors")) if unsealed else ():
        box.transport.send(path, f"{target}/shards/{path.name}")
    return box.transport.put(f"{target}/{manifest.FILE_NAME}", (folder / manifest.FILE_NAME).read_bytes())


def _job_file(out: Path) -> Path:
    return out / JOB_FOLDER / "job.json"


def _digest(plan: Plan, edition: Edition) -> str:
    return hashlib.sha256(canonical({"plan": plan.digest, "edition": edition.to_json()})).hexdigest()


def _begin(digest: str, dataset: str, out: Path, created: str, entropy: Callable[[int], bytes]) -> Job:
    """The interrupted job of the same plan and edition, or a new one."""
    file = _job_file(out)
    if file.exists():
        job = Job.from_bytes(file.read_bytes())
        if job.plan != digest:
            raise DataError(
                f"{out} holds an interrupted publish with other options",
                code="E_EXISTS",
                hint="repeat that one, remove the folder, or name another with --out",
            )
        for folder in (out, out / "shards", out / JOB_FOLDER):
            sweep_parts(folder)
        return job
    if (out / manifest.FILE_NAME).exists():
        hint = f"--replaces {out} makes a new edition of it; --out DIR publishes beside it"
        raise DataError(f"{out} holds a published data set", code="E_EXISTS", hint=hint)
    out.mkdir(parents=True, exist_ok=True, mode=0o750)
    (out / "shards").mkdir(exist_ok=True, mode=0o750)
    (out / JOB_FOLDER).mkdir(mode=0o700, exist_ok=True)
    job = Job(digest, dataset or entropy(16).hex(), entropy(32), created)
    write_whole(file, job.to_bytes(), mode=0o600)
    return job


def _order(seed: bytes, rows: int) -> Rows:
    """A random order of all rows: ``(rows,)`` int64. Sorts 64-bit draws, so that a tie is out of the question."""
    draws = np.frombuffer(Stream(seed, "rows").bytes(8 * rows), dtype="<u8")
    return np.argsort(draws, kind="stable").astype(np.int64)


def _shard_rows(plan: Plan, order: Rows) -> Iterator[tuple[int, Rows]]:
    per_shard = max(1, plan.shard_bytes // plan.row_bytes)
    for number, first in enumerate(range(0, len(order), per_shard)):
        yield number, order[first : first + per_shard]


def _write_shard(work: Work, job: Job, number: int, rows: Rows) -> dict[str, Any]:
    """Write one shard and say how the manifest lists it."""
    plan, path = work.plan, f"shards/{number:05d}.safetensors"
    first = sum(entry["rows"] for entry in job.shards)
    head = ShardHead(
        job.dataset, plan.log.fed, plan.epoch.number, plan.descriptor.digest, first_row=first, rows=len(rows)
    )
    digest, size = hashlib.sha256(), 0
    with contextlib.ExitStack() as whole:
        file = whole.enter_context(replacing(work.out / path, mode=0o640))
        for piece in _pieces(work, job, head, rows):
            with work.watch.timing("write"):
                file.write(piece)
                digest.update(piece)
            size += len(piece)
        with work.watch.timing("write"):
            whole.close()
    return {"path": path, "rows": len(rows), "bytes": size, "sha256": digest.hexdigest()}


def _pieces(work: Work, job: Job, head: ShardHead, rows: Rows) -> Iterator[bytes | memoryview]:
    """A shard's bytes in order: head, labels (the wider items come first), images."""
    plan = work.plan
    yield shard.layout(head, plan.descriptor.encrypted_shape, labelled=plan.labelled).head
    if plan.split.labels is not None:
        yield plan.split.labels[rows // plan.views.count].astype("<i8").tobytes()
    batch = max(1, BATCH_BYTES // int(np.prod(plan.descriptor.shape)))
    for start in range(0, len(rows), batch):
        chosen = rows[start : start + batch]
        ids = [image_id(job.dataset, head.first_row + start + place, work.serial) for place in range(len(chosen))]
        images = _plain_rows(work, job, chosen)
        with work.watch.timing("encrypt"):
            encrypted = plan.cipher.encrypt(images, ids)
        yield encrypted.reshape(-1).data
        work.advance(len(chosen))


def image_id(dataset: str, row: int, serial: int = 1) -> str:
    """The name of a row for schemes whose key depends on the image; other editions are other images."""
    return f"{dataset}/{row}" if serial == 1 else f"{dataset}/{serial}/{row}"


def _plain_rows(work: Work, job: Job, rows: Rows) -> Images:
    """The views that stand in these rows, before encryption."""
    plan, count = work.plan, work.plan.views.count
    numbers, wanted = rows // count, rows % count
    with work.watch.timing("read"):
        read = plan.split.read if plan.split.shape == plan.descriptor.shape else plan.split.each
        images = geometry.apply_all(plan.fit, read(numbers), plan.descriptor.shape)
    with work.watch.timing("views"):
        seed, ids = expand(job.seed, "views"), [str(number) for number in numbers]
        options = {name: value for name, value in asdict(plan.views).items() if name != "count"}
        return view_of_each(images, wanted, count, seed=seed, ids=ids, **options)


def _predicate(plan: Plan, edition: Edition, job: Job, holder: str) -> dict[str, Any]:
    from importlib.metadata import version

    descriptor = plan.descriptor
    description = f"{plan.views.words()}; fit {plan.fit.policy}; {len(plan.split)} images; labels are plain"
    dataset = {"id": job.dataset, "name": plan.name, "version": edition.version, "split": plan.split_name}
    dataset |= {"license": edition.license} if edition.license else {}
    return {
        "v": 1,
        "dataset": {**dataset, "description": description + edition.remark},
        "holder": holder,
        "fed": plan.log.fed,
        "head": plan.log.head,
        "epoch": plan.epoch.number,
        "record": plan.epoch.record,
        "kcv": plan.epoch.kcv,
        "scheme": descriptor.to_json(),
        "scheme_digest": descriptor.digest,
        "scv": check_value(descriptor, plan.key, plan.cipher.encrypt),
        "task": manifest.task_of(plan.classes) if plan.labelled else {"kind": "none"},
        "tensors": dict(shard.tensors_of(descriptor.encrypted_shape, labelled=plan.labelled)),
        "rows": plan.rows,
        "shards": list(job.shards),
        "serial": edition.serial,
        "supersedes": edition.supersedes,
        "created": job.created,
        "software": {"blindsight": version("blindsight")},
    }
