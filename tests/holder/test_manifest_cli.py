"""``blindsight holder manifest``: a holder checks a manifest against its own log, and describes the data set."""

from __future__ import annotations

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from blindsight.cli.arguments import Verbs
from blindsight.holder import federation, manifest_cli
from blindsight.protocol import manifest
from blindsight.protocol.clock import now, to_text
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import BlindsightError, DataError, FormatError
from blindsight.protocol.scheme import Descriptor
from tests.protocol import worlds
from tests.protocol.worlds import World

NAMES = ("anna", "bert")
SHARD = "shards/00000.safetensors"


class Desk:
    """Two members' keystores, their drop-box, an agreed epoch, and the verbs."""

    def __init__(self, root: Path, world: World) -> None:
        self.root, self.world = root, world
        self.verbs = Verbs("holder", "for tests", "blindsight holder manifest verify set --dropbox box")
        manifest_cli.add_verbs(self.verbs)

    @property
    def anna(self):
        return next(key for key in self.world.keys if key.entry.name == "anna")

    def run(self, verb, *words):
        keys = ["--keystore", self.root / "anna/keystore.json", "--passphrase-file", self.root / "passphrase"]
        return self.verbs.main(
            [str(word) for word in ("manifest", verb, *words, *keys, "--dropbox", self.root / "box")]
        )

    def publish(self, name="set", **changes):
        return self.world.publish(self.root / name, self.anna, **changes).parent

    def refused(self, verb, *words):
        with pytest.raises(BlindsightError) as caught:
            self.run(verb, *words)
        return caught.value


def agreed(root: Path, lifetime: timedelta) -> World:
    """Two sites that have founded a federation and agreed on an epoch; records lie in the drop-box."""
    box = DropBox(root / "box")
    stores = [worlds.keystore_of(root, name) for name in NAMES]
    options = {"name": "ward", "policy": "all", "nonce": os.urandom(32), "created": worlds.CREATED}
    genesis = federation.create(stores[0], box, cards=[store.key.entry for store in stores], **options)
    federation.sign(stores[1], box, None)
    founded = federation.follow(stores[0], box, genesis.mid)
    keys = sorted((store.key for store in stores), key=lambda key: key.entry.fpr)
    times = {"created": worlds.CREATED, "deadline": worlds.DEADLINE, "not_after": to_text(now() + lifetime)}
    log, secret = worlds.agreed(keys, founded, worlds.proposal(keys[0], founded, **times))
    for key in keys:
        box.put_record(log.records[-1], log.fed, 1, key.entry.fpr)
    (root / "passphrase").touch(mode=0o600)
    (root / "passphrase").write_bytes(worlds.PASSPHRASE)
    return World(keys, log, secret)


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    root = tmp_path_factory.mktemp("ward")
    return root, agreed(root, timedelta(days=365))


@pytest.fixture
def desk(ward, tmp_path):
    root, world = ward
    shutil.copytree(root, tmp_path / "desk")
    return Desk(tmp_path / "desk", world)


@pytest.fixture
def ended(tmp_path):
    """The same in a federation whose epoch has ended."""
    return Desk(tmp_path, agreed(tmp_path, -timedelta(days=1)))


def facts_of(capsys):
    (line,) = capsys.readouterr().out.splitlines()
    return json.loads(line)


def changed(folder, **changes):
    """The manifest in a folder with other statements under the old signature."""
    path = folder / manifest.FILE_NAME
    sound = Envelope.from_bytes(path.read_bytes())
    body = sound.body()
    body["predicate"] |= changes
    path.write_bytes(Envelope(sound.type, Envelope.of(sound.type, body).payload, sound.signatures).to_bytes())
    return folder


# Verify.


def test_a_published_data_set_verifies_with_its_shards(desk, capsys):
    assert desk.run("verify", desk.publish(), "--json") == 0
    facts = facts_of(capsys)
    assert (facts["verifies"], facts["shards_checked"], facts["signed_by"]) == ("yes", "yes", desk.anna.entry.label)
    assert (facts["rows"], facts["epoch"], facts["kcv"]) == (8, 1, desk.world.log.epoch(1).kcv)


def test_people_read_plain_words(desk, capsys):
    assert desk.run("verify", desk.publish()) == 0
    out = capsys.readouterr().out
    for words in (
        "pets (train)",
        "ward (",
        "hidden from people who look, not from people who compute",
        "Labels are plain",
    ):
        assert words in out


def test_the_manifest_file_may_be_named_instead_of_its_folder(desk, capsys):
    assert desk.run("verify", desk.publish() / manifest.FILE_NAME, "--json") == 0
    assert facts_of(capsys)["shards_checked"] == "yes"


def test_a_manifest_without_its_shards_verifies_as_far_as_checked(desk, capsys):
    folder = desk.publish()
    shutil.rmtree(folder / "shards")
    assert desk.run("verify", folder, "--json") == 0
    facts = facts_of(capsys)
    assert facts["verifies"] == "as far as checked"
    assert facts["shards_checked"].startswith("no")


def test_a_shard_of_another_content_is_refused_naming_it(desk):
    folder = desk.publish()
    data = (folder / SHARD).read_bytes()
    (folder / SHARD).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    error = desk.refused("verify", folder)
    assert (error.code, SHARD in error.message, desk.anna.entry.label in error.message) == ("E_SHA", True, True)


def test_a_shard_of_another_size_is_refused(desk):
    folder = desk.publish()
    (folder / SHARD).write_bytes((folder / SHARD).read_bytes() + b"\0")
    assert desk.refused("verify", folder).code == "E_SHARD"


def test_a_changed_statement_under_the_old_signature_is_refused(desk):
    error = desk.refused("verify", changed(desk.publish(), serial=2))
    assert (error.code, desk.anna.entry.name in error.message) == ("E_SIG", True)


def test_a_manifest_of_another_federation_is_refused(desk):
    stranger = worlds.world(1)
    path = stranger.publish(desk.root / "foreign", stranger.keys[0])
    assert desk.refused("verify", path).code == "E_ROSTER"


def test_a_signed_manifest_that_names_another_federation_is_refused(desk):
    assert desk.refused("verify", desk.publish(fed="00" * 32)).code == "E_FED"


def test_all_faults_are_named_at_once_each_with_its_code(desk):
    error = desk.refused("verify", desk.publish(kcv="00" * 32, head={"seq": 9, "id": "00" * 32}))
    assert error.code == "E_KCV"
    assert "[E_KCV]" in error.message
    assert "[E_HEAD]" in error.message


def test_a_scheme_that_the_epoch_does_not_allow_is_refused(desk):
    plain = Descriptor("plain", 1, (8, 8, 3), {"block": 4})
    folder = desk.publish(scheme=plain.to_json(), scheme_digest=plain.digest)
    assert desk.refused("verify", folder).code == "E_SCHEME"


def test_a_manifest_of_an_ended_epoch_does_not_verify(ended):
    assert ended.refused("verify", ended.publish()).code == "E_EXPIRED"


@pytest.mark.parametrize("verb", [["verify"], ["export", "--croissant"]], ids=["verify", "export"])
def test_a_folder_without_a_manifest_is_refused(desk, verb):
    error = desk.refused(*verb, desk.root / "nothing")
    assert (type(error), error.code) == (FormatError, "E_IO")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[" * 10_000], ids=["empty", "object", "bytes", "deep"])
def test_a_manifest_that_is_none_is_refused_without_a_traceback(desk, content):
    path = desk.root / "odd.json"
    path.write_bytes(content)
    assert desk.refused("verify", path).code in {"E_FORMAT", "E_CANON"}


# Export.


@pytest.mark.parametrize(("kind", "place"), [("--croissant", "distribution"), ("--datapackage", "resources")])
def test_a_description_is_printed_and_holds_the_digest_of_the_shard(desk, capsys, kind, place):
    folder = desk.publish()
    assert desk.run("export", folder, kind) == 0
    document = json.loads(capsys.readouterr().out)
    (shard,) = document[place]
    (entry,) = manifest.load(folder, desk.world.log).predicate["shards"]
    assert entry["sha256"] in json.dumps(shard)


def test_with_json_the_description_stands_on_one_line(desk, capsys):
    assert desk.run("export", desk.publish(), "--croissant", "--json") == 0
    assert facts_of(capsys)["@type"] == "sc:Dataset"


def test_a_description_is_written_into_a_new_file(desk, capsys):
    folder = desk.publish()
    assert desk.run("export", folder, "--datapackage", "--out", folder / "datapackage.json", "--json") == 0
    assert facts_of(capsys)["written"] == str(folder / "datapackage.json")
    assert json.loads((folder / "datapackage.json").read_bytes())["name"] == "pets-train"
    assert list(folder.glob(".*")) == []


def test_a_description_of_the_manifest_in_the_drop_box_needs_no_shards(desk, capsys):
    folder = desk.publish()
    shutil.rmtree(folder / "shards")
    assert desk.run("export", folder, "--croissant") == 0
    assert json.loads(capsys.readouterr().out)["distribution"]


@pytest.mark.parametrize("link", [False, True], ids=["file", "dangling link"])
def test_nothing_is_overwritten(desk, link):
    out = desk.root / "there.json"
    if link:
        out.symlink_to(desk.root / "nowhere")
    else:
        out.write_text("mine")
    error = desk.refused("export", desk.publish(), "--croissant", "--out", out)
    assert (type(error), error.code, "--out" in error.hint) == (DataError, "E_EXISTS", True)
    assert out.is_symlink() == link
    assert link or out.read_text() == "mine"
    assert not (desk.root / "nowhere").exists()


def test_a_manifest_that_does_not_verify_is_not_described(desk):
    out = desk.root / "new.json"
    assert desk.refused("export", desk.publish(kcv="00" * 32), "--croissant", "--out", out).code == "E_KCV"
    assert not out.exists()


def test_a_data_set_of_an_ended_epoch_is_described_and_it_is_said(ended, capsys):
    assert ended.run("export", ended.publish(), "--croissant") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["name"] == "pets (train)"
    assert "epoch 1 ended on" in said.err


@pytest.mark.parametrize("kinds", [[], ["--croissant", "--datapackage"]], ids=["none", "both"])
def test_exactly_one_kind_must_be_named(desk, kinds):
    with pytest.raises(SystemExit) as stop:
        desk.run("export", desk.root, *kinds)
    assert stop.value.code == 2


@pytest.mark.parametrize("verb", ["verify", "export"])
def test_every_help_ends_with_an_example_of_the_verb(desk, capsys, verb):
    with pytest.raises(SystemExit):
        desk.run(verb, "--help")
    assert capsys.readouterr().out.rstrip().splitlines()[-1].startswith(f"  blindsight holder manifest {verb}")
