"""Sealing for travel: shards first, the sealing last; whatever interrupts it, no sealing names what is not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from blindsight.holder import sealing as holder_sealing
from blindsight.holder.sealing import JOB_FOLDER, Job, interrupted, recipients_in, seal_dataset
from blindsight.protocol import manifest, sealing
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import BlindsightError, DataError, MembershipError, PolicyError, SignatureError
from blindsight.protocol.recipient import FOLDER
from blindsight.protocol.sealedfile import Stamp, unseal_file
from blindsight.protocol.transport.folder import Folder
from tests.protocol import sealings, worlds
from tests.protocol.sealings import LAB, RIVAL, WARD, offered, recipient, seed_of
from tests.protocol.worlds import CREATED, NOW

ROOT = Path(__file__).parents[2]


class StopError(Exception):
    """Stands for whatever ends a sealing."""


@dataclass(frozen=True)
class Stopping:
    """A folder that fails at the n-th thing put into it; what comes earlier is really there."""

    folder: Folder
    calls: list[str]
    after: int

    def __getattr__(self, name):
        return getattr(self.folder, name)

    def _count(self, name):
        self.calls.append(name)
        if len(self.calls) > self.after:
            raise StopError

    def put(self, name, data):
        self._count(name)
        return self.folder.put(name, data)

    def send(self, source, name):
        self._count(name)
        self.folder.send(source, name)


@pytest.fixture(scope="module")
def world():
    return sealings.federation()


@pytest.fixture
def site(world, tmp_path):
    """A published data set of three shards and an empty drop-box."""
    sealings.publish(tmp_path / "pets-train", world, world.keys[0], shards=3)
    return tmp_path / "pets-train", DropBox(tmp_path / "box")


def to(world, *keys):
    return [recipient(key, world.log) for key in keys or (LAB,)]


def seal(site, world, recipients=None, advance=lambda shards: None, box=None):
    folder, own_box = site
    people = recipients or to(world)
    return seal_dataset(folder, box or own_box, world.log, world.keys[0], people, CREATED, advance)


def place_of(site, world):
    folder, box = site
    return f"{box.data(world.log.fed, world.keys[0].entry.fpr)}/{folder.name}"


def sealings_in(site, world):
    """Every verified sealing in the box."""
    folder, box = site
    offer = manifest.load(folder, world.log)
    found = box.envelopes(place_of(site, world))
    return [sealing.read_sealing(e, world.log, offer) for e in found if e.type == sealing.SEALING]


def opens(site, world, key, out):
    """Whether the one sealing in the box gives that recipient every shard."""
    folder, box = site
    (found,) = sealings_in(site, world)
    data_key = found.data_key(key.entry.fpr, recipient(key, world.log).mid, seed_of(key))
    for shard in found.shards(data_key):
        source = Path(box.transport.place) / place_of(site, world) / shard.sealed_path
        out.mkdir(exist_ok=True)
        unseal_file(source, out / Path(shard.path).name, shard.key, shard.context, shard.sealed, shard.plain)
    return all(p.read_bytes() == (out / p.name).read_bytes() for p in (folder / "shards").iterdir())


def test_every_named_recipient_opens_every_shard(site, world, tmp_path):
    done = []
    seal(site, world, to(world, LAB, WARD), done.append)
    assert sum(done) == 3
    assert opens(site, world, LAB, tmp_path / "lab")
    assert opens(site, world, WARD, tmp_path / "ward")


def test_nobody_else_does(site, world, tmp_path):
    seal(site, world)
    (found,) = sealings_in(site, world)
    assert set(found.recipients.values()) == {LAB.entry.fpr}


def test_the_box_gets_manifest_sealing_and_sealed_shards_and_no_plain_one(site, world, tmp_path):
    folder, _ = site
    envelope = seal(site, world)
    there = sorted(path for path in (tmp_path / "box").rglob("*") if path.is_file())
    name = envelope.body()["id"]
    expected = ["manifest.dsse.json", *(f"sealed/{name}/0000{n}.cobblestone" for n in range(3))]
    expected.append(f"sealing-{envelope.mid[:12]}.json")
    base = tmp_path / "box" / place_of(site, world)
    assert [str(path.relative_to(base)) for path in there] == expected
    plain = [path.read_bytes()[5000:5032] for path in (folder / "shards").iterdir()]
    assert not any(piece in path.read_bytes() for path in there for piece in plain)


def test_nothing_stays_beside_the_data_set(site, world):
    before = sorted(site[0].rglob("*"))
    seal(site, world)
    assert sorted(site[0].rglob("*")) == before


@pytest.mark.parametrize("after", range(5))
def test_an_interrupted_sealing_names_nothing_and_goes_on(site, world, tmp_path, after):
    stopping = Stopping(Folder(tmp_path / "box"), [], after)
    with pytest.raises(StopError):
        seal(site, world, box=DropBox(stopping))
    assert sealings_in(site, world) == []
    assert interrupted(site[0])
    counted = Stopping(Folder(tmp_path / "box"), [], 99)
    seal(site, world, box=DropBox(counted))
    assert len(counted.calls) == 5 - min(after, 3)
    assert not interrupted(site[0])
    assert opens(site, world, LAB, tmp_path / "lab")


def test_a_sealing_killed_after_its_last_step_is_not_made_twice(site, world, monkeypatch):
    monkeypatch.setattr(holder_sealing.shutil, "rmtree", lambda *arguments, **options: None)
    first = seal(site, world)
    monkeypatch.undo()
    assert interrupted(site[0])
    assert seal(site, world).mid == first.mid
    assert len(sealings_in(site, world)) == 1
    assert not interrupted(site[0])


KILLED = """
import sys, os, signal
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.holder import test_sealing as t
from tests.protocol import sealings
world = sealings.federation()
here = Path({here!r})
def advance(shards):
    if shards and any((here / "box").rglob("00001.cobblestone")):
        os.kill(os.getpid(), signal.SIGKILL)
t.seal((here / "pets-train", t.DropBox(here / "box")), world, advance=advance)
"""


def test_a_killed_sealing_goes_on_where_it_was(site, world, tmp_path):
    script = KILLED.format(root=str(ROOT), here=str(tmp_path))
    killed = subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONSAFEPATH": "1"}, check=False)
    assert killed.returncode == -9
    assert (site[0] / JOB_FOLDER / "job.json").stat().st_mode & 0o077 == 0
    sent = {path: path.stat().st_mtime_ns for path in (tmp_path / "box").rglob("*.cobblestone")}
    assert len(sent) == 2
    seal(site, world)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in sent.items())
    assert opens(site, world, LAB, tmp_path / "lab")


def test_a_sealed_shard_that_vanished_meanwhile_is_sealed_again(site, world, tmp_path):
    with pytest.raises(StopError):
        seal(site, world, box=DropBox(Stopping(Folder(tmp_path / "box"), [], 3)))
    next((tmp_path / "box").rglob("00001.cobblestone")).unlink()
    seal(site, world)
    assert opens(site, world, LAB, tmp_path / "lab")


@pytest.mark.parametrize("junk", [b"", b"{}", b"[]", b'{"v":1', b"\xff"])
def test_a_job_that_cannot_be_read_is_begun_anew(site, world, tmp_path, junk):
    (site[0] / JOB_FOLDER).mkdir()
    (site[0] / JOB_FOLDER / "job.json").write_bytes(junk)
    seal(site, world)
    assert opens(site, world, LAB, tmp_path / "lab")


def test_a_job_for_another_place_is_begun_anew(site, world, tmp_path):
    with pytest.raises(StopError):
        seal(site, world, box=DropBox(Stopping(Folder(tmp_path / "elsewhere"), [], 2)))
    seal(site, world)
    assert opens(site, world, LAB, tmp_path / "lab")


def test_sealing_again_to_the_same_keys_does_nothing(site, world, tmp_path):
    first = seal(site, world, to(world, LAB, WARD))
    done = []
    assert seal(site, world, to(world, WARD), done.append).mid == first.mid
    assert done == []


def test_sealing_to_one_more_leaves_the_first_sealing_whole(site, world, tmp_path):
    seal(site, world, to(world, LAB))
    before = {path: path.read_bytes() for path in (tmp_path / "box").rglob("*.cobblestone")}
    seal(site, world, to(world, LAB, RIVAL))
    assert len(sealings_in(site, world)) == 2
    assert all(path.read_bytes() == data for path, data in before.items())
    assert len({found.body["id"] for found in sealings_in(site, world)}) == 2


def test_two_sealings_have_nothing_in_common(site, world):
    seal(site, world, to(world, LAB))
    seal(site, world, to(world, WARD))
    first, second = sealings_in(site, world)
    keys = [
        found.data_key(key.entry.fpr, recipient(key, world.log).mid, seed_of(key))
        for key, found in ((k, f) for f in (first, second) for k in (LAB, WARD) if k.entry.fpr in f.recipients.values())
    ]
    assert len(set(keys)) == 2


def test_files_that_vanished_from_the_box_are_sealed_anew(site, world, tmp_path):
    seal(site, world)
    shutil.rmtree(next((tmp_path / "box").rglob("sealed")))
    seal(site, world)
    whole = [f for f in sealings_in(site, world) if next((tmp_path / "box").rglob(f.body["id"]), None)]
    assert len(whole) == 1


def test_junk_in_the_box_keeps_nobody_from_sealing(site, world, tmp_path):
    place = tmp_path / "box" / place_of(site, world)
    place.mkdir(parents=True)
    (place / "sealing-0.json").write_bytes(b"junk")
    (place / "sealing-1.json").write_bytes(offered(LAB, world.log).to_bytes())
    seal(site, world)
    assert opens(site, world, LAB, tmp_path / "lab")


def test_a_shard_that_changed_since_it_was_published_is_not_sealed(site, world, tmp_path):
    path = site[0] / "shards" / "00001.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(SignatureError) as caught:
        seal(site, world)
    assert caught.value.code == "E_SHA"
    assert sealings_in(site, world) == []
    assert [path.name for path in (tmp_path / "box").rglob("*.cobblestone")] == ["00000.cobblestone"]


def test_only_who_published_a_data_set_seals_it(site, world):
    folder, box = site
    with pytest.raises(MembershipError) as caught:
        seal_dataset(folder, box, world.log, world.keys[1], to(world), CREATED, lambda shards: None)
    assert caught.value.code == "E_ROSTER"


def test_a_job_shows_nothing_of_its_key():
    job = Job("00" * 32, "box", "11" * 16, b"k" * 32, (Stamp(1, "22" * 32),))
    assert Job.from_bytes(job.to_bytes()) == job
    assert "k" * 32 not in repr(job)


# Whom --seal-to means.


@pytest.fixture
def box(world, tmp_path):
    box = DropBox(tmp_path / "box")
    for key in (LAB, WARD):
        box.put_signed(offered(key, world.log), world.log.fed, FOLDER, key.entry.fpr)
    return box


def names(found):
    return sorted(one.entry.name for one in found)


def test_names_and_codes_find_the_keys_that_were_offered(box, world):
    assert names(recipients_in(box, world.log, NOW, ["lab", "ward"])) == ["lab", "ward"]
    assert names(recipients_in(box, world.log, NOW, [LAB.entry.code[:9], "lab"])) == ["lab"]


def test_of_several_keys_the_newest_counts_and_of_expired_ones_none(box, world):
    later = worlds.to_text(NOW + timedelta(hours=1))
    newer = offered(LAB, world.log, "newer", created=later)
    over = offered(LAB, world.log, "over", created=later, expires=CREATED)
    for document in (newer, over):
        box.put_signed(document, world.log.fed, FOLDER, LAB.entry.fpr)
    (found,) = recipients_in(box, world.log, NOW + timedelta(hours=2), ["lab"])
    assert found.mid == newer.mid


def test_who_offers_no_key_is_named_with_what_to_type(box, world):
    with pytest.raises(DataError, match=r"rival \(.*\) offers no key to seal to") as caught:
        recipients_in(box, world.log, NOW, ["lab", "rival"])
    assert "blindsight trainer recipient new" in caught.value.hint


def test_who_offers_expired_keys_only_is_named_with_what_to_type(box, world):
    with pytest.raises(PolicyError, match="expired") as caught:
        recipients_in(box, world.log, NOW + timedelta(days=31), ["ward"])
    assert caught.value.code == "E_EXPIRED"
    assert "blindsight operator recipient new" in caught.value.hint


@pytest.mark.parametrize("name", ["stranger", "site-0"])
def test_neither_strangers_nor_holders_are_sealed_to(box, world, name):
    with pytest.raises(MembershipError) as caught:
        recipients_in(box, world.log, NOW, [name])
    assert caught.value.code == "E_ROSTER"


def test_what_others_put_among_the_recipients_changes_nothing(box, world, tmp_path):
    forged = offered(LAB, world.log, "forged")
    stolen = Envelope(forged.type, forged.payload, {LAB.entry.fpr: forged.signed(RIVAL).signatures[RIVAL.entry.fpr]})
    other = offered(LAB, sealings.federation(name="other").log)
    for document in (stolen, other):
        box.put_signed(document, world.log.fed, FOLDER, LAB.entry.fpr)
    (found,) = recipients_in(box, world.log, NOW, ["lab"])
    assert found.mid == recipient(LAB, world.log).mid


def test_no_refusal_shows_a_key(site, world):
    with pytest.raises(BlindsightError) as caught:
        seal_dataset(site[0], site[1], world.log, world.keys[1], to(world), CREATED, lambda shards: None)
    assert seed_of(LAB).hex() not in repr(caught.value)
