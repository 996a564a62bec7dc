"""``recipient`` and ``unseal`` as a trainer and an operator use them, over one shared folder with holders' sealings."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import types
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from blindsight import cli
from blindsight.cli import recipient as verbs_of_recipient
from blindsight.cli.arguments import Verbs
from blindsight.cli.unseal import folder_of
from blindsight.holder.sealing import recipients_in, seal_dataset
from blindsight.protocol import keystore, manifest
from blindsight.protocol.clock import now, to_text
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.errors import FormatError
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.transport.folder import Folder
from tests.protocol import sealings, worlds

WAITING = 75
ROLES = {"lab": "trainer", "rival": "trainer", "ward": "operator"}


class Desk:
    """A federation's drop-box, the sites of those who are sealed to, and a terminal."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.box, self._capsys = root, DropBox(root / "box"), capsys
        self.keys: dict[str, SigningKey] = {}
        for name, role in ROLES.items():
            self.keys[name] = worlds.keystore_of(root, name, role).key
            path = root / name / "passphrase"
            path.touch(mode=0o600)
            path.write_bytes(worlds.PASSPHRASE)
        self.world = sealings.federation((self.keys["lab"], self.keys["rival"]), (self.keys["ward"],))
        for record in self.world.log.records:
            for fpr in record.signatures:
                self.box.put_record(record, self.world.log.fed, 0, fpr)

    def run(self, name: str, verb: str, *words: object) -> tuple[int, str, str]:
        """Exit status, stdout and stderr of a command at one site."""
        site = ["--keystore", self.root / name / "keystore.json", "--passphrase-file", self.root / name / "passphrase"]
        self._capsys.readouterr()
        try:
            status = cli.main([str(word) for word in (ROLES[name], *verb.split(), *site, *words)])
        except SystemExit as stop:
            status = int(stop.code or 0)
        said = self._capsys.readouterr()
        return status, said.out, said.err

    def json(self, name: str, verb: str, *words: object) -> dict:
        status, out, err = self.run(name, verb, "--json", *words)
        assert status == 0, err
        return json.loads(out)

    def new(self, name: str, *words: object) -> dict:
        return self.json(name, "recipient new", "--dropbox", self.box.transport.place, *words)

    def unseal(self, name: str, *words: object) -> tuple[int, str, str]:
        return self.run(
            name, "unseal", "--dropbox", self.box.transport.place, "--out", self.root / name / "data", *words
        )

    def publish(self, dataset: str, *names: str, holder: int = 0, shards: int = 2) -> Path:
        """Publish a data set of one holder and seal it to the named."""
        folder = self.root / f"site-{holder}" / dataset
        if not folder.exists():
            sealings.publish(folder, self.world, self.world.keys[holder], shards)
        people = recipients_in(self.box, self.world.log, now(), names)
        key = self.world.keys[holder]
        seal_dataset(folder, self.box, self.world.log, key, people, to_text(now()), lambda shards: None)
        return folder

    def arrived(self, name: str, dataset: str, holder: int = 0) -> Path:
        return self.root / name / "data" / self.world.keys[holder].entry.fpr[:12] / dataset

    def kept(self, name: str) -> dict:
        with keystore.opened(self.root / name / "keystore.json", worlds.PASSPHRASE) as store:
            return store.data.get("recipients", {})

    def expire(self, name: str, key: str) -> None:
        """Let time pass for one key."""
        with keystore.opened(self.root / name / "keystore.json", worlds.PASSPHRASE) as store:
            (one,) = (one for mid, one in store.data["recipients"].items() if mid.startswith(key))
            one["expires"] = to_text(now() - timedelta(days=1))
            store.save()


def same(left: Path, right: Path) -> bool:
    files = [{str(p.relative_to(f)): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in (left, right)]
    return files[0] == files[1]


@pytest.fixture
def desk(tmp_path, capsys, monkeypatch):
    for role in ("trainer", "operator"):
        module = types.ModuleType(f"only_{role}")

        def run(words, role=role):
            verbs = Verbs(role, "what is sealed to it", f"blindsight {role} unseal --dropbox box --out data")
            verbs_of_recipient.add_verbs(verbs, role)
            return verbs.main(words)

        module.main = run
        monkeypatch.setitem(sys.modules, f"only_{role}", module)
        monkeypatch.setitem(cli.ROLES, role, (f"only_{role}", "a role"))
    return Desk(tmp_path, capsys)


# Keys.


@pytest.mark.parametrize("name", ["lab", "ward"])
def test_a_new_key_is_kept_and_offered(desk, name):
    facts = desk.new(name)
    (mid,) = desk.kept(name)
    assert facts["key"] == mid[:12]
    (found,) = recipients_in(desk.box, desk.world.log, now(), [name])
    assert (found.mid, found.expires) == (mid, facts["expires"])


def test_the_seed_is_kept_before_the_document_leaves(desk, monkeypatch):
    def full(self, name, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Folder, "put", full)
    status, out, err = desk.run("lab", "recipient new", "--dropbox", desk.box.transport.place)
    assert (status, out) == (1, "")
    assert "E_IO" in err
    assert len(desk.kept("lab")) == 1


def test_no_seed_is_shown(desk):
    status, out, err = desk.run("lab", "recipient new", "--dropbox", desk.box.transport.place)
    (one,) = desk.kept("lab").values()
    listed = desk.run("lab", "recipient list", "--json")
    assert status == 0
    assert not any(one["seed"] in text for text in (out, err, *listed[1:]))


def test_who_is_not_on_the_roster_offers_nothing(desk):
    stranger = worlds.keystore_of(desk.root, "stranger", "trainer")
    shutil.copy(stranger.path, desk.root / "lab" / "keystore.json")
    status, _, err = desk.run("lab", "recipient new", "--dropbox", desk.box.transport.place)
    assert status == 1
    assert "E_ROSTER" in err
    assert desk.kept("lab") == {}
    assert not list((desk.root / "box").rglob("recipients"))


@pytest.mark.parametrize("days", ["0", "367", "-1", "x"])
def test_a_key_lives_from_a_day_to_a_year(desk, days):
    assert desk.run("lab", "recipient new", "--dropbox", "box", "--days", days)[0] == 2


def test_a_federation_code_that_does_not_fit_is_refused(desk):
    place = desk.box.transport.place
    status, _, err = desk.run("lab", "recipient new", "--dropbox", place, "--federation", "0000-0000")
    assert status == 1
    assert "E_FED" in err
    assert desk.new("lab", "--federation", desk.world.log.code)


def test_the_list_shows_each_key_and_whether_it_has_expired(desk):
    first, second = desk.new("lab"), desk.new("lab", "--days", 90)
    desk.expire("lab", first["key"])
    _, out, _ = desk.run("lab", "recipient list", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["key"], line["expired"]) for line in lines] == [(first["key"], "yes"), (second["key"], "no")]
    assert {line["federation"] for line in lines} == {desk.world.log.code[:9]}


def test_an_empty_list_says_so(desk):
    status, out, err = desk.run("lab", "recipient list")
    assert (status, out) == (0, "")
    assert "no key" in err


def test_erasing_forgets_the_named_or_the_expired_and_nothing_else(desk):
    first, second, third = (desk.new("lab") for _ in range(3))
    desk.expire("lab", first["key"])
    assert desk.json("lab", "recipient erase", "--expired") == {"erased": [first["key"]], "kept": 2}
    assert desk.json("lab", "recipient erase", second["key"]) == {"erased": [second["key"]], "kept": 1}
    assert [mid[:12] for mid in desk.kept("lab")] == [third["key"]]
    assert desk.json("lab", "recipient erase", "--expired") == {"erased": [], "kept": 1}


@pytest.mark.parametrize("words", [(), ("ffff",), ("",)])
def test_erasing_needs_to_know_what(desk, words):
    desk.new("lab")
    desk.new("lab")
    status, _, err = desk.run("lab", "recipient erase", *words)
    assert status == 1
    assert "E_DATA" in err
    assert len(desk.kept("lab")) == 2


# Unsealing.


@pytest.mark.parametrize("name", ["lab", "ward"])
def test_what_is_sealed_to_a_site_arrives_as_the_holder_published_it(desk, name):
    desk.new(name)
    published = [desk.publish("pets-train", name, holder=holder) for holder in (0, 1)]
    status, out, _ = desk.unseal(name, "--json")
    assert status == 0
    assert sorted(json.loads(line)["fetched"] for line in out.splitlines()) == [2, 2]
    for holder, folder in enumerate(published):
        assert same(folder, desk.arrived(name, "pets-train", holder))
        offer = manifest.load(folder, desk.world.log)
        assert manifest.shard_faults(offer, desk.arrived(name, "pets-train", holder)) == []


def test_what_is_sealed_to_others_is_passed_over_with_a_word(desk):
    desk.new("lab")
    desk.publish("pets-train", "lab")
    status, out, err = desk.unseal("rival")
    assert (status, out) == (WAITING, "")
    assert "pets-train is sealed to others; passed over" in err
    assert not (desk.root / "rival" / "data").exists()


def test_an_empty_box_is_waited_for(desk):
    status, out, err = desk.unseal("lab")
    assert (status, out) == (WAITING, "")
    assert "blindsight trainer recipient new" in err


def test_a_shard_that_is_there_is_not_fetched_again(desk):
    desk.new("lab")
    folder = desk.publish("pets-train", "lab", shards=3)
    assert desk.unseal("lab")[0] == 0
    arrived = desk.arrived("lab", "pets-train")
    (arrived / "shards" / "00001.safetensors").unlink()
    data = bytearray((arrived / "shards" / "00002.safetensors").read_bytes())
    data[-1] ^= 1
    (arrived / "shards" / "00002.safetensors").write_bytes(data)
    _, out, _ = desk.unseal("lab", "--json")
    assert json.loads(out)["fetched"] == 2
    assert same(folder, arrived)
    _, out, _ = desk.unseal("lab", "--json")
    assert json.loads(out)["fetched"] == 0


def test_an_interrupted_fetch_leaves_no_manifest_and_goes_on(desk, monkeypatch):
    desk.new("lab")
    folder = desk.publish("pets-train", "lab", shards=3)
    fetch, calls = Folder.fetch, []

    def breaking(self, name, target, most):
        calls.append(name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        fetch(self, name, target, most)

    monkeypatch.setattr(Folder, "fetch", breaking)
    assert desk.unseal("lab")[0] == cli.INTERRUPTED
    arrived = desk.arrived("lab", "pets-train")
    assert [path.name for path in arrived.iterdir()] == ["shards"]
    assert len(list((arrived / "shards").iterdir())) == 2
    monkeypatch.setattr(Folder, "fetch", fetch)
    _, out, _ = desk.unseal("lab", "--json")
    assert json.loads(out)["fetched"] == 1
    assert same(folder, arrived)


def test_a_changed_sealed_file_is_refused_by_name_and_the_others_arrive(desk):
    desk.new("lab")
    desk.publish("bad-train", "lab")
    good = desk.publish("good-train", "lab", holder=1)
    place = desk.box.data(desk.world.log.fed, desk.world.keys[0].entry.fpr)
    (path, *_) = sorted((desk.root / "box" / place).rglob("*.cobblestone"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    status, _, err = desk.unseal("lab")
    assert status == 1
    assert "bad-train" in err
    assert "E_TAMPERED" in err
    assert same(good, desk.arrived("lab", "good-train", 1))
    assert not list(desk.arrived("lab", "bad-train").rglob("*.*"))


def test_a_missing_sealed_file_is_refused(desk):
    desk.new("lab")
    desk.publish("pets-train", "lab")
    next((desk.root / "box").rglob("00001.cobblestone")).unlink()
    status, _, err = desk.unseal("lab")
    assert status == 1
    assert "E_IO" in err
    assert not (desk.arrived("lab", "pets-train") / manifest.FILE_NAME).exists()


def test_an_older_sealing_that_is_whole_serves_when_the_newest_is_not(desk):
    desk.new("lab")
    desk.new("rival")
    folder = desk.publish("pets-train", "lab")
    old = {path.parent for path in (desk.root / "box").rglob("*.cobblestone")}
    desk.publish("pets-train", "lab", "rival")
    new = {path.parent for path in (desk.root / "box").rglob("*.cobblestone")} - old
    shutil.rmtree(new.pop())
    assert desk.unseal("lab")[0] == 0
    assert same(folder, desk.arrived("lab", "pets-train"))
    assert desk.unseal("rival")[0] == 1


def test_an_erased_key_opens_nothing_any_more(desk):
    facts = desk.new("lab")
    desk.publish("pets-train", "lab")
    desk.json("lab", "recipient erase", facts["key"])
    status, _, err = desk.unseal("lab")
    assert status == 1
    assert "E_BOX" in err
    assert "blindsight trainer recipient new" in err


def test_a_sealing_changed_on_the_way_is_refused(desk):
    desk.new("lab")
    desk.publish("pets-train", "lab")
    path = next((desk.root / "box").rglob("sealing-*.json"))
    document = json.loads(path.read_text())
    document["signatures"][0]["sig"] = document["signatures"][0]["sig"][::-1].lstrip("=") + "=="
    path.write_text(json.dumps(document))
    status, _, err = desk.unseal("lab")
    assert status == 1
    assert "refused" in err
    assert not (desk.root / "lab" / "data").exists()


def test_junk_in_the_box_is_reported_and_passed_over(desk):
    desk.new("lab")
    folder = desk.publish("pets-train", "lab")
    place = next((desk.root / "box").rglob("sealing-*.json")).parent
    (place / "junk.json").write_bytes(b"{")
    status, _, err = desk.unseal("lab")
    assert status == 1
    assert "junk.json" in err
    assert same(folder, desk.arrived("lab", "pets-train"))


def test_a_sealing_without_its_manifest_is_refused(desk):
    desk.new("lab")
    desk.publish("pets-train", "lab")
    next((desk.root / "box").rglob(manifest.FILE_NAME)).unlink()
    status, _, err = desk.unseal("lab")
    assert status == 1
    assert "manifest" in err


def test_holder_and_data_set_can_be_named(desk):
    desk.new("lab")
    for holder in (0, 1):
        for name in ("a-train", "b-val"):
            desk.publish(name, "lab", holder=holder)
    name = desk.world.keys[1].entry.name
    _, out, _ = desk.unseal("lab", "--json", "--holder", name, "--dataset", "b-val")
    assert json.loads(out)["dataset"] == str(desk.arrived("lab", "b-val", 1))
    status, _, err = desk.unseal("lab", "--holder", "nobody")
    assert status == 1
    assert "E_ROSTER" in err


def test_another_data_set_of_that_name_is_not_overwritten(desk):
    desk.new("lab")
    folder = desk.publish("pets-train", "lab")
    assert desk.unseal("lab")[0] == 0
    before = (desk.arrived("lab", "pets-train") / manifest.FILE_NAME).read_bytes()
    shutil.rmtree(folder)
    shutil.rmtree(next((desk.root / "box").rglob("pets-train")))
    sealings.publish(folder, desk.world, desk.world.keys[0], shards=1)
    desk.publish("pets-train", "lab")
    status, _, err = desk.unseal("lab")
    assert status == 1
    assert "E_EXISTS" in err
    assert (desk.arrived("lab", "pets-train") / manifest.FILE_NAME).read_bytes() == before


@pytest.mark.parametrize("name", ["..", ".hidden", "a\\b", "a\nb", "x" * 256, ""])
def test_a_folder_name_that_means_something_here_is_refused(tmp_path, name):
    sealed = sealings.sealed(tmp_path)
    found = sealed.read(sealed.envelope())
    with pytest.raises(FormatError):
        folder_of(tmp_path / "out", f"place/{name}", found)
    assert folder_of(tmp_path / "out", "place/pets-train", found).name == "pets-train"


def test_a_shard_that_would_lie_elsewhere_is_refused(tmp_path):
    sealed = sealings.sealed(tmp_path)
    found = sealed.read(sealed.envelope())
    for path in (manifest.FILE_NAME, ".unseal/sealed", "shards"):
        listed = [shard | {"path": path} for shard in found.manifest.predicate["shards"]]
        other = replace(found.manifest, predicate={**found.manifest.predicate, "shards": listed})
        with pytest.raises(FormatError, match="does not lie in the folder shards"):
            folder_of(tmp_path / "out", "place/pets-train", replace(found, manifest=other))


def test_the_keystore_is_free_while_shards_are_fetched(desk, monkeypatch):
    desk.new("lab")
    desk.publish("pets-train", "lab")
    fetch = Folder.fetch

    def looking(self, name, target, most):
        assert len(desk.kept("lab")) == 1
        fetch(self, name, target, most)

    monkeypatch.setattr(Folder, "fetch", looking)
    assert desk.unseal("lab")[0] == 0


def test_nothing_that_opens_shards_is_left_in_the_data_folder(desk):
    desk.new("lab")
    desk.publish("pets-train", "lab")
    desk.unseal("lab")
    left = sorted(str(p.relative_to(desk.root / "lab" / "data")) for p in (desk.root / "lab" / "data").rglob("*"))
    base = desk.world.keys[0].entry.fpr[:12]
    files = ["", "/pets-train", f"/pets-train/{manifest.FILE_NAME}", "/pets-train/shards"]
    assert left == [base + one for one in files] + [f"{base}/pets-train/shards/0000{n}.safetensors" for n in (0, 1)]


def test_naming_the_verbs_imports_no_arrays():
    program = "import sys, blindsight.cli.recipient; assert not {'numpy', 'PIL', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-P", "-c", program], check=True)
