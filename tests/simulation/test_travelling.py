"""What travels in a simulation: test images, sealed to the operator; everything else stays where it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from blindsight.cli.unseal import Opener, offers
from blindsight.holder.sealing import recipients_in, seal_dataset
from blindsight.protocol import manifest, recipient
from blindsight.protocol.clock import now, to_text
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.errors import ServingError, SignatureError
from blindsight.simulation import operating, training
from blindsight.simulation.agreeing import OPERATOR, TRAINER, agree, opened
from blindsight.simulation.dealing import deal
from blindsight.simulation.settings import Settings

SETTINGS = Settings(holders=2, limit=60)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A folder in which two holders have published, and its log."""
    out = tmp_path_factory.mktemp("published")
    deal(SETTINGS, out)
    log = agree(SETTINGS, out)
    training.publish_all(SETTINGS, out, log)
    return out, log


@pytest.fixture
def played(first, tmp_path):
    """The same for one test alone."""
    out, log = first
    return shutil.copytree(out, tmp_path / "out", symlinks=True), log


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.safetensors"))}


def parts(data: bytes) -> list[bytes]:
    """Parts of a shard's images that stand nowhere by chance: those with many different bytes."""
    found = [data[start : start + 32] for start in range(len(data) // 4, len(data) - 32, 97)]
    return [part for part in found if len(set(part)) > 12]


def test_nothing_unsealed_lies_in_the_drop_box(played):
    out, _ = played
    there = [path.read_bytes() for path in (out / "dropbox").rglob("*") if path.is_file()]
    for name in SETTINGS.names:
        for split in training.SPLITS:
            for data in shards(out / name / "datasets" / split).values():
                assert len(parts(data)) > 20
                assert not any(part in content for part in parts(data) for content in there)


def test_the_search_finds_what_lies_there_unsealed(played):
    out, _ = played
    (data,) = shards(out / "holder-1" / "datasets" / "test").values()
    assert all(part in data for part in parts(data))


def test_only_test_images_are_sealed(played):
    out, _ = played
    assert {path.parents[2].name for path in (out / "dropbox").rglob("*.cobblestone")} == {"test"}


def test_the_operator_unseals_what_the_holders_have_published(played):
    out, log = played
    folders = operating.unseal_all(out, log)
    with opened(out / "holder-1") as store:
        first = store.key.entry.fpr[:12]
    assert len(folders) == 2
    (mine,) = (folder for folder in folders if folder.parent.name == first)
    assert shards(mine) == shards(out / "holder-1" / "datasets" / "test")
    assert all(folder.is_relative_to(out / OPERATOR) for folder in folders)
    assert not list((out / OPERATOR).rglob("job.json"))


def test_unsealing_again_changes_nothing(played):
    out, log = played
    before = {path: path.stat().st_mtime_ns for folder in operating.unseal_all(out, log) for path in shards_in(folder)}
    after = {path: path.stat().st_mtime_ns for folder in operating.unseal_all(out, log) for path in shards_in(folder)}
    assert before == after


def shards_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


def test_publishing_again_changes_nothing_in_the_drop_box(played):
    out, log = played
    before = {path: path.read_bytes() for path in (out / "dropbox").rglob("*") if path.is_file()}
    training.publish_all(SETTINGS, out, log)
    assert {path: path.read_bytes() for path in (out / "dropbox").rglob("*") if path.is_file()} == before


def test_the_operator_opens_only_what_is_sealed_to_it(played):
    out, log = played
    box = DropBox(out / "dropbox")
    seal_to_trainer(out, box, log)
    with opened(out / OPERATOR) as store:
        operator = Opener.of(store, log.fed)
    (offer,) = (one for one in offers(box, log, dataset="train") if one.sealings)
    assert operator.mine(offer) == []
    (sealed,) = offer.sealings
    with pytest.raises(SignatureError) as caught:
        operator.data_key(sealed)
    assert caught.value.code == "E_BOX"
    ((document, fpr),) = sealed.recipients.items()
    with pytest.raises(SignatureError) as caught:
        sealed.data_key(fpr, document, *operator.seeds.values())
    assert caught.value.code == "E_BOX"
    operating.unseal_all(out, log)
    assert {path.parent.name for path in (out / OPERATOR).rglob(manifest.FILE_NAME)} == {"test"}


def seal_to_trainer(out: Path, box: DropBox, log) -> None:
    """Let the trainer offer a key, and the first holder seal its training images to it."""
    with opened(out / TRAINER) as store:
        stated = {"kem_seed": bytes(31) + b"t", "nonce": bytes(32), "created": to_text(now())}
        document = recipient.make_recipient(store.key, log.fed, **stated, expires="2099-01-01T00:00:00Z")
        box.put_signed(document, log.fed, recipient.FOLDER, store.key.entry.fpr)
    people = recipients_in(box, log, now(), [TRAINER])
    with opened(out / "holder-1") as store:
        folder = out / "holder-1" / "datasets" / "train"
        seal_dataset(folder, box, log, store.key, people, to_text(now()), lambda shards: None)


def test_test_images_that_are_not_sealed_to_the_operator_stop_it(played):
    out, log = played
    next((out / "dropbox").rglob("sealing-*.json")).unlink()
    with pytest.raises(ServingError, match="not sealed to the operator"):
        operating.unseal_all(out, log)


def test_a_sealed_shard_that_was_changed_stops_the_operator(played):
    out, log = played
    path = next((out / "dropbox").rglob("*.cobblestone"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(SignatureError) as caught:
        operating.unseal_all(out, log)
    assert caught.value.code == "E_TAMPERED"


def test_the_operators_keystore_holds_no_secret_of_the_epoch(played):
    out, _ = played
    with opened(out / OPERATOR) as store:
        assert store.data["feds"] == {}
        assert len(store.data["recipients"]) == 1


def test_the_operators_key_follows_from_the_seed_and_is_offered_once(played):
    out, log = played
    assert agree(SETTINGS, out).head == log.head
    assert len(DropBox(out / "dropbox").signed(log.fed, "recipients")) == 1
