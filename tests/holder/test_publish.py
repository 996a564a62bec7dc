"""Publishing writes the same shards whatever interrupts it, and nothing of itself stays behind."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from blindsight.holder.ciphers import cipher_for
from blindsight.holder.edition import Edition
from blindsight.holder.plan import Views
from blindsight.holder.publish import JOB_FOLDER, STAGES, Job, image_id, interrupted, offer
from blindsight.holder.stopwatch import Stopwatch
from blindsight.protocol import manifest, shard
from blindsight.protocol.admission import verify_federation
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.errors import DataError, FormatError
from blindsight.protocol.scheme import SCHEMES
from tests.holder import plans
from tests.protocol import worlds

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def world():
    return worlds.world(2)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return plans.save(tmp_path_factory.mktemp("source") / "pets.npz")


def rows_of(folder: Path, world: worlds.World) -> tuple[np.ndarray, np.ndarray | None]:
    """All encrypted rows of a data set and their labels, in manifest order."""
    stated = manifest.load(folder, world.log)
    opened = [shard.opened(folder / entry["path"]) for entry in stated.predicate["shards"]]
    labels = None if opened[0].labels is None else np.concatenate([one.labels for one in opened])
    return np.concatenate([one.images for one in opened]), labels


def decrypted(folder: Path, world: worlds.World) -> np.ndarray:
    stated = manifest.load(folder, world.log)
    images, _ = rows_of(folder, world)
    ids = [image_id(stated.predicate["dataset"]["id"], row) for row in range(len(images))]
    return cipher_for(stated.descriptor, world.scheme_key(stated.descriptor)).decrypt(images, ids)


def as_set(images: np.ndarray) -> list[bytes]:
    return sorted(image.tobytes() for image in images)


class StopError(Exception):
    """Stands for whatever ends a publish."""


def stopping(after: int):
    """An ``advance`` that raises at its ``after``-th call; the first reports what was there already."""
    calls = iter(range(after))

    def advance(rows: int) -> None:
        if next(calls, None) is None:
            raise StopError

    return advance


def test_equal_plan_and_chance_give_equal_shards_and_manifests(world, file, tmp_path):
    plan = plans.plan_of(world, file)
    plans.written(plan, world, tmp_path / "a")
    plans.written(plan, world, tmp_path / "b")
    assert plans.digests(tmp_path / "a") == plans.digests(tmp_path / "b")


def test_other_chance_gives_another_order_and_another_data_set(world, file, tmp_path):
    plan = plans.plan_of(world, file)
    for draws in ("a", "b"):
        plans.written(plan, world, tmp_path / draws, draws)
    assert not np.array_equal(decrypted(tmp_path / "a", world), decrypted(tmp_path / "b", world))
    ids = {manifest.load(tmp_path / draws, world.log).predicate["dataset"]["id"] for draws in ("a", "b")}
    assert len(ids) == 2


def test_what_is_published_is_a_manifest_and_its_shards_and_nothing_else(world, file, tmp_path):
    plans.written(plans.plan_of(world, file), world, tmp_path)
    shards = [f"shards/0000{number}.safetensors" for number in range(3)]
    assert sorted(plans.digests(tmp_path)) == [manifest.FILE_NAME, *shards]
    assert not (tmp_path / JOB_FOLDER).exists()


def test_the_manifest_verifies_and_its_shards_too(world, file, tmp_path):
    plans.written(plans.plan_of(world, file), world, tmp_path)
    stated = manifest.load(tmp_path, world.log)
    assert manifest.shard_faults(stated, tmp_path) == []
    assert (stated.holder, stated.predicate["rows"]) == (world.keys[0].entry.label, 24)


def test_shards_hold_as_many_rows_as_their_size_allows(world, file, tmp_path):
    plans.written(plans.plan_of(world, file, shard_rows=7), world, tmp_path)
    stated = manifest.load(tmp_path, world.log)
    assert [entry["rows"] for entry in stated.predicate["shards"]] == [7, 7, 7, 3]


def test_a_shard_holds_one_row_at_least(world, file, tmp_path):
    plans.written(plans.plan_of(world, file, shard_rows=0), world, tmp_path)
    assert len(manifest.load(tmp_path, world.log).predicate["shards"]) == 24


def test_the_shards_hold_the_images_and_no_others(world, file, tmp_path):
    plans.written(plans.plan_of(world, file), world, tmp_path)
    assert as_set(decrypted(tmp_path, world)) == as_set(plans.images(24))


def test_no_image_stands_plain_in_a_shard(world, file, tmp_path):
    plans.written(plans.plan_of(world, file), world, tmp_path)
    content = b"".join(path.read_bytes() for path in (tmp_path / "shards").iterdir())
    assert not any(image[:4, :4].tobytes() in content or image.tobytes() in content for image in plans.images(24))


def test_rows_stand_in_another_order_than_the_source_has(world, file, tmp_path):
    plans.written(plans.plan_of(world, file), world, tmp_path)
    assert not np.array_equal(decrypted(tmp_path, world), plans.images(24))


def test_a_label_stands_with_its_image(world, file, tmp_path):
    plans.written(plans.plan_of(world, file, views=Views(2, 0)), world, tmp_path)
    _, labels = rows_of(tmp_path, world)
    assert labels is not None
    assert np.array_equal(labels, plans.labels_of(decrypted(tmp_path, world)))


def test_without_a_shift_every_view_is_the_image(world, file, tmp_path):
    plans.written(plans.plan_of(world, file, views=Views(3, 0)), world, tmp_path)
    assert as_set(decrypted(tmp_path, world)) == as_set(np.repeat(plans.images(24), 3, axis=0))


def test_shifted_views_keep_the_image_and_add_others(world, file, tmp_path):
    plans.written(plans.plan_of(world, file, views=Views(3, 2)), world, tmp_path)
    found = as_set(decrypted(tmp_path, world))
    assert len(found) == 72
    assert set(as_set(plans.images(24))) < set(found)


def test_every_second_view_is_mirrored_when_that_is_asked_for(world, file, tmp_path):
    plans.written(plans.plan_of(world, file, views=Views(2, 0, mirror=True)), world, tmp_path)
    both = np.concatenate([plans.images(24), plans.images(24)[:, :, ::-1]])
    assert as_set(decrypted(tmp_path, world)) == as_set(both)


def test_changed_colours_and_squares_are_published_and_stated(world, file, tmp_path):
    views = Views(3, 2, mirror=True, jitter=0.4, cutout=3)
    plans.written(plans.plan_of(world, file, views=views), world, tmp_path)
    found = as_set(decrypted(tmp_path, world))
    assert (len(found), set(as_set(plans.images(24))) < set(found)) == (72, True)
    stated = manifest.load(tmp_path, world.log).predicate["dataset"]["description"]
    assert stated == f"{views.words()}; fit refuse; 24 images; labels are plain"


def test_images_without_labels_are_published_without_a_task(world, tmp_path):
    source = plans.save(tmp_path / "bare.npz", labelled=False)
    plans.written(plans.plan_of(world, source), world, tmp_path / "out")
    stated = manifest.load(tmp_path / "out", world.log)
    assert (stated.predicate["task"], stated.classes) == ({"kind": "none"}, ())
    assert rows_of(tmp_path / "out", world)[1] is None


def test_a_folder_with_a_data_set_is_left_alone(world, file, tmp_path):
    plan = plans.plan_of(world, file)
    plans.written(plan, world, tmp_path)
    before = plans.digests(tmp_path)
    with pytest.raises(DataError, match="holds a published data set") as caught:
        plans.written(plan, world, tmp_path)
    assert (caught.value.code, plans.digests(tmp_path)) == ("E_EXISTS", before)


def test_a_split_without_images_is_refused_and_writes_nothing(world, file, tmp_path):
    plan = plans.plan_of(world, file)
    empty = replace(plan, split=plan.split.part(np.arange(0)))
    with pytest.raises(DataError, match="split train of pets has no images"):
        plans.written(empty, world, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_interrupted_publish_goes_on_only_with_the_same_options(world, file, tmp_path):
    with pytest.raises(StopError):
        plans.written(plans.plan_of(world, file), world, tmp_path, advance=stopping(2))
    with pytest.raises(DataError, match="interrupted publish with other options") as caught:
        plans.written(plans.plan_of(world, file, views=Views(2, 1)), world, tmp_path)
    assert caught.value.code == "E_EXISTS"


@pytest.mark.parametrize("after", range(1, 4))
def test_an_interrupted_publish_keeps_its_chance_and_its_time(world, file, tmp_path, after):
    plan = plans.plan_of(world, file)
    plans.written(plan, world, tmp_path / "whole")
    with pytest.raises(StopError):
        plans.written(plan, world, tmp_path / "part", advance=stopping(after))
    plans.written(plan, world, tmp_path / "part", draws="other chance")
    assert plans.digests(tmp_path / "part") == plans.digests(tmp_path / "whole")


def test_what_was_written_already_counts_as_progress(world, file, tmp_path):
    plan = plans.plan_of(world, file)
    with pytest.raises(StopError):
        plans.written(plan, world, tmp_path, advance=stopping(2))
    seen: list[int] = []
    plans.written(plan, world, tmp_path, advance=seen.append)
    assert (seen[0], sum(seen)) == (10, 24)


def test_the_job_file_is_for_its_owner_alone(world, file, tmp_path):
    with pytest.raises(StopError):
        plans.written(plans.plan_of(world, file), world, tmp_path, advance=stopping(2))
    job = tmp_path / JOB_FOLDER / "job.json"
    assert (job.stat().st_mode & 0o777, job.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_job_shows_nothing_of_its_seed():
    assert repr(Job("aa", "bb", b"secret", "now")) == "Job(bb)"


def test_a_job_survives_its_file():
    job = Job("aa", "bb", bytes(32), worlds.CREATED, ({"path": "shards/00000.safetensors", "rows": 3},))
    assert Job.from_bytes(job.to_bytes()) == job


def test_what_a_killed_writer_left_anywhere_is_swept_up(world, file, tmp_path):
    plan = plans.plan_of(world, file)
    with pytest.raises(StopError):
        plans.written(plan, world, tmp_path, advance=stopping(2))
    for folder in (tmp_path, tmp_path / "shards", tmp_path / JOB_FOLDER):
        (folder / ".left.0123456789ab.part").write_bytes(b"half")
    plans.written(plan, world, tmp_path)
    assert not list(tmp_path.rglob("*.part"))


def test_an_offer_is_the_manifest_alone(world, file, tmp_path):
    plans.written(plans.plan_of(world, file), world, tmp_path / "pets-train")
    place = offer(tmp_path / "pets-train", DropBox(tmp_path / "box"), "here")
    assert place == str(tmp_path / "box" / "here" / "pets-train" / manifest.FILE_NAME)
    assert list(plans.digests(tmp_path / "box")) == [f"here/pets-train/{manifest.FILE_NAME}"]


def test_an_unsealed_offer_verifies_where_it_lies(world, file, tmp_path):
    plans.written(plans.plan_of(world, file), world, tmp_path / "pets-train")
    place = Path(offer(tmp_path / "pets-train", DropBox(tmp_path / "box"), "here", unsealed=True)).parent
    assert manifest.shard_faults(manifest.load(place, world.log), place) == []


# Editions.


def stated(folder: Path, world: worlds.World) -> dict:
    return manifest.load(folder, world.log).predicate


def test_a_first_edition_has_serial_one_and_replaces_nothing(world, file, tmp_path):
    plans.written(plans.plan_of(world, file), world, tmp_path)
    found = stated(tmp_path, world)
    assert (found["serial"], found["supersedes"], found["dataset"]["version"]) == (1, None, "1")
    assert "license" not in found["dataset"]


def test_the_next_edition_keeps_the_data_set_and_names_what_it_replaces(world, file, tmp_path):
    plan = plans.plan_of(world, file)
    plans.written(plan, world, tmp_path / "a")
    former = manifest.load(tmp_path / "a", world.log)
    plans.written(plan, world, tmp_path / "b", "other chance", edition=Edition.after(former, license="CC-BY-4.0"))
    found = stated(tmp_path / "b", world)
    assert found["dataset"]["id"] == former.predicate["dataset"]["id"]
    assert (found["serial"], found["supersedes"], found["dataset"]["version"]) == (2, former.envelope.mid, "2")
    assert found["dataset"]["license"] == "CC-BY-4.0"
    assert manifest.shard_faults(manifest.load(tmp_path / "b", world.log), tmp_path / "b") == []


def test_editions_never_share_the_key_of_an_image():
    first, second = (image_id("ab" * 16, row, serial) for serial, row in ((1, 21), (2, 1)))
    assert first == "ab" * 16 + "/21"
    assert len({first, second, *(image_id("ab" * 16, row, 2) for row in range(30))}) == 31


def test_an_interrupted_publish_is_not_continued_as_another_edition(world, file, tmp_path):
    plan = plans.plan_of(world, file)
    with pytest.raises(StopError):
        plans.written(plan, world, tmp_path, advance=stopping(2))
    with pytest.raises(DataError, match="interrupted publish with other options"):
        plans.written(plan, world, tmp_path, edition=Edition("2", "CC0"))


def test_a_warning_that_comes_while_publishing_does_not_keep_it_from_going_on(world, file, tmp_path):
    plan = plans.plan_of(world, file)
    with pytest.raises(StopError):
        plans.written(plan, world, tmp_path, advance=stopping(2))
    plans.written(plan, world, tmp_path, edition=Edition(despite="a drill"))
    assert stated(tmp_path, world)["dataset"]["description"].endswith("in spite of a warning: a drill")


def test_a_manifest_that_may_have_been_offered_is_not_made_again(world, file, tmp_path):
    plan = plans.plan_of(world, file)

    def stop():
        raise StopError

    with pytest.raises(StopError):
        plans.written(plan, world, tmp_path, deliver=stop)
    before = (tmp_path / manifest.FILE_NAME).read_bytes()
    plans.written(plan, world, tmp_path, edition=Edition(despite="a drill"))
    assert (tmp_path / manifest.FILE_NAME).read_bytes() == before
    assert not interrupted(tmp_path)


@pytest.mark.parametrize(
    "text", [{"version": "v" * 41}, {"license": "l" * 201}, {"license": "a\nb"}, {"despite": "r" * 1001}], ids=str
)
def test_what_no_manifest_can_state_is_refused_before_encrypting(text):
    with pytest.raises(FormatError):
        Edition(**text)


# Killed at every moment: before each change of a folder, and while a shard is being written.

KILLER = """
from blindsight.protocol.errors import DataError
import itertools, os, signal, sys
from pathlib import Path
from tests.holder import plans
from tests.protocol import worlds

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir"}
world = worlds.world(2)
plan = plans.plan_of(world, Path(sys.argv[1]))

def attempt(out, left):
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    def count(rows=0):
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(lambda event, arguments: count() if event in CHANGES else None)
    try:
        plans.written(plan, world, out, advance=count)
    except DataError as error:
        sys.stderr.write(error.code + "\\n")
        os._exit(9)
    os._exit(0)

for moment in itertools.count(1):
    out = Path(sys.argv[2]) / f"{moment:02}"
    if attempt(out, moment) == 0:
        break
    print(moment, attempt(out, 0), flush=True)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory, file):
    """A folder for every moment at which publish was killed and then repeated; the last was not killed."""
    root = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(file), str(root)],
        capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    statuses = [int(line.split()[1]) for line in done.stdout.splitlines()]
    return root, statuses


def test_it_was_killed_at_many_moments(killed):
    assert len(killed[1]) > 12


def test_a_killed_publish_goes_on_or_had_ended(killed):
    _, statuses = killed
    ended = [status for status in statuses if status]
    assert set(ended) <= {9}
    assert statuses[: len(statuses) - len(ended)] == [0] * (len(statuses) - len(ended))


def test_a_killed_publish_gives_the_same_shards_as_one_that_was_not(killed):
    root, _ = killed
    *others, whole = sorted(root.iterdir())
    for folder in others:
        assert plans.digests(folder) == plans.digests(whole), folder.name


# Memory.

HUNGER = """
import sys
from pathlib import Path
from tests.holder import plans
from tests.protocol import worlds

world = worlds.world(2)
plan = plans.plan_of(world, Path(sys.argv[1]), shard_rows=20_000)
plans.written(plan, world, Path(sys.argv[2]))
(peak,) = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
print(plan.rows, peak)  # not ru_maxrss, which starts with the peak of the process that started this one
"""


def peak(count: int, folder: Path) -> float:
    """Peak memory in MiB of a process that publishes so many CIFAR-10 images."""
    source = folder / "cifar-10-batches-bin"
    source.mkdir(parents=True)
    rows = np.random.default_rng(1).integers(0, 256, (count // 5, 3073), dtype=np.uint8)
    rows[:, 0] %= 10
    for number in range(1, 6):
        rows.tofile(source / f"data_batch_{number}.bin")
    rows[:10].tofile(source / "test_batch.bin")
    (source / "batches.meta.txt").write_text("\n".join(f"class-{n}" for n in range(10)) + "\n")
    done = subprocess.run(
        [sys.executable, "-c", HUNGER, str(source), str(folder / "out")],
        capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    rows_written, kibibytes = map(int, done.stdout.split())
    assert rows_written == count
    return kibibytes / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from Linux's /proc")
def test_peak_memory_does_not_grow_with_the_number_of_images(tmp_path):
    few, many = peak(1_000, tmp_path / "few"), peak(50_000, tmp_path / "many")
    assert many - few < 24, f"{few:.0f} MiB for 1,000 images, {many:.0f} MiB for 50,000"


# Every scheme.

ALL = tuple({"id": name, "v": 1} for name, _ in SCHEMES)
INVERTIBLE = [name for (name, _), traits in SCHEMES.items() if traits.invertible]


@pytest.fixture(scope="module")
def wide():
    """A world whose epoch allows every scheme."""
    keys = worlds.holders(2)
    founded = worlds.founded(keys)
    return worlds.World(keys, *worlds.agreed(keys, founded, worlds.proposal(keys[0], founded, schemes=ALL)))


@pytest.mark.parametrize("name", [name for name, _ in SCHEMES])
def test_what_is_published_under_any_scheme_verifies(wide, file, tmp_path, name):
    plans.written(plans.plan_of(wide, file, scheme=(name, {})), wide, tmp_path)
    stated = manifest.load(tmp_path, wide.log)
    assert manifest.shard_faults(stated, tmp_path) == []
    _, faults = verify_federation(wide.log, {"anna": stated.envelope}, worlds.NOW)
    assert faults == []
    images, _ = rows_of(tmp_path, wide)
    assert images.shape == (24, *stated.descriptor.encrypted_shape)


@pytest.mark.parametrize("name", INVERTIBLE)
def test_what_is_published_under_an_invertible_scheme_is_the_images(wide, file, tmp_path, name):
    plans.written(plans.plan_of(wide, file, scheme=(name, {}), views=Views(2, 1)), wide, tmp_path)
    assert set(as_set(decrypted(tmp_path, wide))) >= set(as_set(plans.images(24)))


@pytest.mark.parametrize("name", ["le", "patch-mix", "restricted"])
def test_threads_do_not_change_the_shards(wide, file, tmp_path, name):
    for workers in (1, 3):
        plan = plans.plan_of(wide, file, scheme=(name, {}), workers=workers)
        plans.written(plan, wide, tmp_path / str(workers))
    assert plans.digests(tmp_path / "1") == plans.digests(tmp_path / "3")


# How long it takes.


def test_seconds_are_counted_for_every_stage(world, file, tmp_path):
    ticks = itertools.count()
    watch = Stopwatch(STAGES, clock=lambda: float(next(ticks)))
    plans.written(plans.plan_of(world, file), world, tmp_path, watch=watch)
    taken = watch.seconds()
    pieces = 3 * (1 + 1 + 1)  # of three shards: head, labels, images
    expected = {"read": 3, "views": 3, "encrypt": 3, "write": pieces + 3, "deliver": 1}
    assert {stage: taken[stage] for stage in STAGES} == expected
    assert taken["total"] == next(ticks) - 1


def test_what_was_written_before_a_publish_was_interrupted_takes_no_time(world, file, tmp_path):
    plan = plans.plan_of(world, file)
    with pytest.raises(StopError):
        plans.written(plan, world, tmp_path, advance=stopping(3))
    ticks = itertools.count()
    watch = Stopwatch(STAGES, clock=lambda: float(next(ticks)))
    plans.written(plan, world, tmp_path, watch=watch)
    assert watch.seconds()["encrypt"] < 3


def test_the_same_image_in_two_editions_is_encrypted_under_two_keys(wide, file, tmp_path):
    plan = plans.plan_of(wide, file, scheme=("logistic-xor", {"scope": "image"}))
    rows = []
    for serial in (1, 2):
        place = tmp_path / str(serial)
        plans.written(plan, wide, place, edition=Edition(serial=serial, dataset="ab" * 16))
        rows.append(rows_of(place, wide)[0])
    pads = {(first ^ second).tobytes() for first, second in zip(*rows, strict=True)}
    assert len(pads) == len(rows[0])  # one key for both would leave the XOR of equal images: zeros
