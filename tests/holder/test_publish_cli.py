"""``holder publish`` and ``seal``: what leaves a site, to whom, under which epoch, and as which edition."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from blindsight.cli import main
from blindsight.holder import ceremony, federation, membership, notices
from blindsight.protocol import keystore, manifest
from blindsight.protocol.clock import now
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import people_code
from tests.holder import plans
from tests.protocol import worlds

ROOT = Path(__file__).parents[2]
ROLES = {"anna": "holder", "bert": "holder", "lab": "trainer", "rival": "trainer", "ward": "operator"}
HOLDERS = ("anna", "bert")
FAR = datetime(2090, 1, 1, tzinfo=UTC)
WAITING, USAGE = 75, 2
STILL = ("--scheme", "restricted", "--block", "8", "--param", "fixed_pixels=192")
SCHEMES = tuple({"id": name, "v": 1} for name in ("le", "pixel", "restricted", "plain", "patch-mix"))
QUALITY = {"unchanged_pixels", "fixed_points", "reversals", "keyspace_bits", "note"}


class Desk:
    """The sites of one federation, a drop-box and a terminal below one folder."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.box, self._capsys = root, DropBox(root / "box"), capsys
        self.file = root / "pets.npz"

    def run(self, name: str, verb: str, *words: object) -> tuple[int, str, str]:
        """Exit status, stdout and stderr of a command at one site."""
        self._capsys.readouterr()
        try:
            status = main(words_of(self.root, name, verb, *words))
        except SystemExit as stop:
            status = int(stop.code or 0)
        said = self._capsys.readouterr()
        return status, said.out, said.err

    def json(self, name: str, verb: str, *words: object) -> dict:
        status, out, err = self.run(name, verb, "--json", *words)
        assert status == 0, err
        return json.loads(out.splitlines()[-1])

    def refused(self, name: str, verb: str, *words: object) -> tuple[str, str]:
        """Code and what was said of a refusal."""
        status, out, err = self.run(name, verb, "--json", *words)
        assert status == 1, err
        return json.loads(out.splitlines()[-1])["error"]["code"], err

    def publish(self, *words: object) -> Path:
        """Publish as anna: the data set's folder."""
        return Path(self.json("anna", "publish", self.file, *words)["dataset"])

    def opened(self, name: str):
        return keystore.opened(self.root / name / "keystore.json", worlds.PASSPHRASE)

    def act(self, name: str, deed, *words):
        """Do something of a member's: ``deed(store, box, log, …)``."""
        with self.opened(name) as store:
            log = federation.follow(store, self.box, federation.choose(store, None))
            return deed(store, self.box, log, *words)

    def warn(self) -> None:
        self.act("bert", notices.warn, 1, "laptop stolen", now())

    def retire(self) -> None:
        record = self.act("anna", membership.retire, [1], "spent")
        self.act("bert", membership.approve, record.mid)

    def unseal(self, name: str) -> int:
        return self.run(name, "unseal", "--out", self.root / name / "data")[0]

    def received(self, name: str) -> list[Path]:
        return sorted(path.parent for path in (self.root / name / "data").rglob(manifest.FILE_NAME))

    def stated(self, folder: Path) -> dict:
        return manifest.load(folder, self.box.log()).predicate

    def offered(self) -> list[str]:
        """Everything about data sets in the drop-box."""
        base = self.root / "box"
        return sorted(str(path.relative_to(base)) for path in base.glob("*/data/**/*") if path.is_file())


def words_of(root: Path, name: str, verb: str, *words: object) -> list[str]:
    site = root / name
    options = [
        "--keystore",
        site / "keystore.json",
        "--passphrase-file",
        site / "passphrase",
        "--dropbox",
        root / "box",
    ]
    return [str(word) for word in (ROLES[name], *verb.split(), *options, *words)]


def agree(box: DropBox, stores: list, fed: str) -> None:
    for turn in range(6):
        for store in stores:
            log = federation.follow(store, box, fed)
            if turn == 0 and store is stores[0]:
                times = {"moment": now(), "deadline": FAR, "not_after": FAR}
                ceremony.propose(store, box, log, schemes=SCHEMES, **times)
            ceremony.step(store, box, log, now())


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    """Two holders who have agreed on an epoch, two trainers and an operator; lab and ward offer keys."""
    root = tmp_path_factory.mktemp("founded")
    box, stores = DropBox(root / "box"), {name: worlds.keystore_of(root, name, role) for name, role in ROLES.items()}
    cards = [store.key.entry for store in stores.values()]
    options = {"name": "clinic", "policy": "all", "nonce": os.urandom(32), "created": worlds.CREATED}
    genesis = federation.create(stores["anna"], box, cards=cards, **options)
    federation.sign(stores["bert"], box, None)
    agree(box, [stores[name] for name in HOLDERS], genesis.mid)
    for name in ROLES:
        path = root / name / "passphrase"
        path.touch(mode=0o600)
        path.write_bytes(worlds.PASSPHRASE)
    for name in ("lab", "ward"):
        assert main(words_of(root, name, "recipient new")) == 0
    plans.save(root / "pets.npz")
    return root


@pytest.fixture
def desk(founded, tmp_path, capsys):
    shutil.copytree(founded, tmp_path / "clinic")
    return Desk(tmp_path / "clinic", capsys)


def pieces(folder: Path) -> list[bytes]:
    """Parts of every shard of a data set that stand nowhere by chance."""
    found = [path.read_bytes() for path in (folder / "shards").iterdir()]
    return [data[start : start + 24] for data in found for start in range(len(data) // 2, len(data) - 24, 400)]


def lies_plain(desk: Desk, folder: Path) -> bool:
    """Whether any part of a shard of that data set can be read in the drop-box."""
    there = [path.read_bytes() for path in (desk.root / "box").rglob("*") if path.is_file()]
    assert pieces(folder)
    return any(piece in data for data in there for piece in pieces(folder))


# What leaves the site.


def test_without_an_option_only_the_manifest_leaves(desk):
    folder = desk.publish()
    assert [name.split("/", 3)[-1] for name in desk.offered()] == [f"pets-train/{manifest.FILE_NAME}"]
    assert not lies_plain(desk, folder)


def test_what_is_sealed_arrives_whole_at_whom_it_is_sealed_to_and_nowhere_else(desk):
    folder = desk.publish("--seal-to", "lab")
    assert (desk.unseal("lab"), desk.unseal("ward")) == (0, WAITING)
    (arrived,) = desk.received("lab")
    assert plans.digests(arrived) == plans.digests(folder)
    assert desk.received("ward") == []


def test_sealed_shards_cannot_be_read_in_the_drop_box(desk):
    folder = desk.publish("--seal-to", "lab")
    kinds = [name.split("/", 4)[-1].split("/")[0].split("-")[0] for name in desk.offered()]
    assert kinds == [manifest.FILE_NAME, "sealed", "sealing"]
    assert not lies_plain(desk, folder)


def test_several_are_sealed_to_at_once_by_name_or_code(desk):
    with desk.opened("ward") as store:
        code = people_code(bytes.fromhex(store.key.entry.fpr))[:9]
    facts = desk.json("anna", "publish", desk.file, "--seal-to", "lab", "--seal-to", code)
    assert len(facts["sealed_to"]) == 2
    assert (desk.unseal("lab"), desk.unseal("ward")) == (0, 0)


@pytest.mark.parametrize(("who", "code"), [("rival", "E_DATA"), ("nobody", "E_ROSTER"), ("bert", "E_ROSTER")])
def test_who_cannot_be_sealed_to_is_refused_before_anything_is_encrypted(desk, who, code):
    assert desk.refused("anna", "publish", desk.file, "--seal-to", "lab", "--seal-to", who)[0] == code
    assert not (desk.root / "anna" / "datasets").exists()
    assert desk.offered() == []


def test_unsealed_shards_are_put_there_with_a_warning(desk):
    status, out, err = desk.run("anna", "publish", desk.file, "--unsealed", "--json")
    assert status == 0
    assert "whoever reads it can compute the scenes" in err
    place = Path(json.loads(out)["offered"])
    assert manifest.shard_faults(manifest.load(place, desk.box.log()), place) == []
    assert lies_plain(desk, Path(json.loads(out)["dataset"]))


@pytest.mark.parametrize(
    "words", [("--unsealed", "--seal-to", "lab"), ("--with-shards",), ("--seal-to",)], ids=" ".join
)
def test_how_shards_travel_is_said_in_one_way(desk, words):
    assert desk.run("anna", "publish", desk.file, *words)[0] == USAGE


# Later trainers.


def test_a_data_set_published_earlier_is_sealed_to_a_later_trainer(desk):
    folder = desk.publish()
    desk.json("rival", "recipient new")
    facts = desk.json("anna", "seal", folder, "--seal-to", "rival")
    assert (facts["shards"], len(facts["sealed_to"])) == (1, 1)
    assert desk.unseal("rival") == 0
    (arrived,) = desk.received("rival")
    assert plans.digests(arrived) == plans.digests(folder)


def test_sealing_to_one_more_leaves_what_others_can_open(desk):
    folder = desk.publish("--seal-to", "lab")
    desk.json("anna", "seal", folder, "--seal-to", "ward")
    assert (desk.unseal("lab"), desk.unseal("ward")) == (0, 0)


def test_only_who_published_a_data_set_seals_it(desk):
    folder = desk.publish()
    assert desk.refused("bert", "seal", folder, "--seal-to", "lab")[0] == "E_ROSTER"
    assert not any("sealing" in name for name in desk.offered())


def test_what_is_not_published_is_not_sealed(desk):
    assert desk.refused("anna", "seal", desk.root / "nothing", "--seal-to", "lab")[0] == "E_IO"
    assert desk.run("anna", "seal", desk.publish())[0] == USAGE


def test_shards_of_a_warned_epoch_are_not_sealed_any_more_unless_a_person_says_why(desk):
    folder = desk.publish()
    desk.warn()
    assert desk.refused("anna", "seal", folder, "--seal-to", "lab")[0] == "E_NOTICE"
    desk.json("anna", "seal", folder, "--seal-to", "lab", "--despite-notice", "a drill")
    assert [line["verb"] for line in overrides(desk)] == ["holder seal"]


# Epochs that should not be used.


def overrides(desk: Desk) -> list[dict]:
    path = desk.root / "anna" / "overrides.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_manifest_states_how_views_differ(desk):
    folder = desk.publish("--views", "3", "--crop", "1", "--jitter", "0.4", "--cutout", "2")
    stated = desk.stated(folder)
    assert stated["rows"] == 3 * 24
    words = (
        "shifts of up to 1 pixels, colour jitter of strength 0.4, a square of 2 pixels covered with the mean colour;"
    )
    assert words in stated["dataset"]["description"]


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (("--views", 2, "--jitter", 2), "--jitter must be 0 or from 0.01 to 1, got 2.0"),
        (("--views", 2, "--cutout", -1), "--cutout must be 0 or the side of a square in pixels, got -1"),
        (("--views", 2, "--cutout", 8), "8x8 images are too small for a cutout of 8 pixels"),
        (("--jitter", 0.4), "jitter and cutout change all views but the first, and there is only 1"),
    ],
    ids=str,
)
def test_views_that_cannot_be_made_are_refused_before_anything_is_written(desk, words, refusal):
    assert f"error: {refusal}" in desk.refused("anna", "publish", desk.file, *words)[1]
    assert not (desk.root / "anna" / "datasets").exists()


def test_an_epoch_that_somebody_warns_of_is_refused_with_what_to_type(desk):
    desk.warn()
    code, err = desk.refused("anna", "publish", desk.file)
    assert code == "E_NOTICE"
    assert "laptop stolen" in err
    assert "--despite-notice" in err
    assert not (desk.root / "anna" / "datasets").exists()


def test_going_on_in_spite_of_a_warning_is_said_written_down_and_signed(desk):
    desk.warn()
    status, out, err = desk.run("anna", "publish", desk.file, "--despite-notice", " a drill ", "--json")
    assert status == 0
    assert "in spite of warnings about epoch 1: a drill" in err
    (line,) = overrides(desk)
    assert set(line) == {"time", "verb", "epoch", "reason"}
    assert (line["verb"], line["epoch"], line["reason"]) == ("holder publish", 1, "a drill")
    assert (desk.root / "anna" / "overrides.jsonl").stat().st_mode & 0o777 == 0o600
    description = desk.stated(Path(json.loads(out)["dataset"]))["dataset"]["description"]
    assert description.endswith("in spite of a warning: a drill")


@pytest.mark.parametrize("reason", ["", "  ", "a\nb", "r" * 1001], ids=["empty", "blank", "two lines", "long"])
def test_a_reason_must_be_one(desk, reason):
    desk.warn()
    desk.refused("anna", "publish", desk.file, "--despite-notice", reason)
    assert overrides(desk) == []
    assert desk.offered() == []


def test_without_a_warning_there_is_nothing_to_write_down(desk):
    folder = desk.publish("--despite-notice", "a drill")
    assert overrides(desk) == []
    assert "warning" not in desk.stated(folder)["dataset"]["description"]


def test_a_decision_is_not_written_down_for_a_publish_that_is_refused(desk):
    desk.warn()
    desk.refused("anna", "publish", desk.file, "--despite-notice", "a drill", "--seal-to", "rival")
    assert overrides(desk) == []


def test_a_retired_epoch_is_refused_whatever_is_said(desk):
    desk.retire()
    for words in ((), ("--despite-notice", "a drill")):
        assert desk.refused("anna", "publish", desk.file, *words)[0] == "E_RETIRED"
    assert overrides(desk) == []
    assert desk.offered() == []


def test_an_epoch_that_has_ended_is_refused_whatever_is_said(desk, monkeypatch):
    monkeypatch.setattr("blindsight.holder.override.now", lambda: FAR.replace(year=2091))
    for words in ((), ("--despite-notice", "a drill")):
        assert desk.refused("anna", "publish", desk.file, *words)[0] == "E_EXPIRED"
    assert not (desk.root / "anna" / "datasets").exists()


# Names.


@pytest.mark.parametrize("name", ["möwen", ".pets", "pets?", "pets*", "a:b"])
def test_a_name_that_no_drop_box_carries_is_refused_before_encrypting(desk, name):
    code, err = desk.refused("anna", "publish", desk.file, "--name", name)
    assert code == "E_DATA"
    assert "--out" in err
    assert not (desk.root / "anna" / "datasets").exists()


def test_such_a_data_set_travels_from_a_folder_with_another_name(desk):
    folder = desk.publish("--name", "möwen", "--out", desk.root / "anna" / "gulls", "--seal-to", "lab")
    assert desk.stated(folder)["dataset"]["name"] == "möwen"
    assert desk.unseal("lab") == 0


# Editions.


def test_the_licence_stands_in_the_manifest(desk):
    assert desk.stated(desk.publish("--license", "CC-BY-4.0"))["dataset"]["license"] == "CC-BY-4.0"


def test_what_was_offered_before_is_not_offered_again_as_something_new(desk):
    desk.publish()
    code, err = desk.refused("anna", "publish", desk.file, "--out", desk.root / "other")
    assert (code, "--replaces" in err) == ("E_EXISTS", True)
    assert not (desk.root / "other").exists()


def test_another_name_or_split_or_holder_is_another_data_set(desk):
    desk.publish("--val-share", "0.25")
    desk.publish("--val-share", "0.25", "--split", "val")
    desk.publish("--name", "cats")
    desk.json("bert", "publish", desk.file)


def test_a_later_edition_keeps_the_id_and_names_what_it_replaces(desk):
    first = desk.publish()
    former = manifest.load(first, desk.box.log())
    second = desk.publish("--replaces", first, "--limit", "7", "--seal-to", "lab")
    found = desk.stated(second)
    assert second.name == "pets-train-2"
    assert (found["serial"], found["supersedes"]) == (2, former.envelope.mid)
    assert found["dataset"]["id"] == former.predicate["dataset"]["id"]
    assert found["dataset"]["version"] == "2"
    assert desk.unseal("lab") == 0


def test_a_version_is_for_people_and_names_the_folder(desk):
    second = desk.publish("--replaces", desk.publish("--version", "spring"), "--version", "autumn")
    assert (second.name, desk.stated(second)["dataset"]["version"]) == ("pets-train-autumn", "autumn")


def test_only_the_newest_edition_is_replaced(desk):
    first = desk.publish()
    second = desk.publish("--replaces", first)
    code, err = desk.refused("anna", "publish", desk.file, "--replaces", first, "--version", "again")
    assert (code, "last with serial 2" in err) == ("E_EXISTS", True)
    assert desk.stated(desk.publish("--replaces", second))["serial"] == 3


def test_only_ones_own_data_set_of_that_name_is_replaced(desk):
    folder = desk.publish()
    assert desk.refused("bert", "publish", desk.file, "--replaces", folder)[0] == "E_ROSTER"
    code, err = desk.refused("anna", "publish", desk.file, "--replaces", folder, "--name", "cats")
    assert (code, "pets/train" in err) == ("E_DATA", True)
    assert desk.refused("anna", "publish", desk.file, "--replaces", desk.root / "nothing")[0] == "E_IO"


# Schemes and their parameters.


@pytest.mark.parametrize(
    ("words", "params"),
    [
        ((), {"block": 4}),
        (("--block", "8"), {"block": 8}),
        (("--param", "block=8"), {"block": 8}),
        (("--scheme", "pixel"), {"scope": "common"}),
        (("--scheme", "pixel", "--param", "scope=image"), {"scope": "image"}),
        (
            ("--scheme", "restricted", "--param", "fixed_blocks=1", "--param", "fixed_pixels=0", "--workers", "2"),
            {"block": 4, "fixed_blocks": 1, "fixed_pixels": 0},
        ),
    ],
    ids=" ".join,
)
def test_a_scheme_is_published_with_the_parameters_given_and_the_defaults_of_the_others(desk, words, params):
    assert desk.stated(desk.publish(*words))["scheme"]["params"] == params


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--param", "vortices=8"), "E_SCHEME", "scheme le has no parameter vortices; its parameters: block"),
        (("--scheme", "pixel", "--block", "4"), "E_SCHEME", "scheme pixel has no parameter block"),
        (("--block", "4", "--param", "block=8"), "E_SCHEME", "parameter block is given more than once"),
        (("--block", "none"), "E_FORMAT", "block must be an integer from 1 to 256"),
        (("--block", "3"), "E_DATA", "multiples of 3 pixels"),
        (("--scheme", "pixel", "--param", "scope=holder"), "E_FORMAT", "scope must be"),
        (("--scheme", "etc"), "E_SCHEME", "etc is not allowed in epoch 1"),
        (STILL, "E_SCHEME", "100.0 % of the pixels stay as they are under this key of scheme restricted"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused_before_anything_is_written(desk, words, code, said):
    refused, err = desk.refused("anna", "publish", desk.file, *words)
    assert (refused, said in err) == (code, True)
    assert not (desk.root / "anna" / "datasets").exists()


@pytest.mark.parametrize("words", [("--scheme", "rot13"), ("--param", "scope"), ("--workers", "0")], ids=" ".join)
def test_what_cannot_be_an_option_is_wrong_usage(desk, words):
    assert desk.run("anna", "publish", desk.file, *words)[0] == USAGE


def test_a_decrypted_data_set_is_the_one_that_was_published_with_several_threads(desk):
    folder = desk.publish("--scheme", "restricted", "--workers", "3")
    desk.json("anna", "decrypt", folder, "--out", desk.root / "plain", "--workers", "2")
    found = [Image.open(path).tobytes() for path in (desk.root / "plain").iterdir()]
    assert sorted(found) == sorted(image.tobytes() for image in plans.images(24))


# What is said of the key, and of the time.


def test_the_quality_of_the_key_is_shown_and_that_it_is_not_how_schemes_fall(desk):
    facts = desk.json("anna", "publish", desk.file)
    assert facts.keys() >= QUALITY
    assert facts["note"].startswith("keyspace is not how such schemes fall")
    _, out, _ = desk.run("anna", "publish", desk.file, "--name", "again")
    assert {name.replace("_", " ") for name in QUALITY} <= {line.split("  ")[0] for line in out.splitlines()}


@pytest.mark.parametrize(("scheme", "told"), [("plain", True), ("patch-mix", True), ("pixel", False), ("le", False)])
def test_that_a_scheme_has_no_key_is_spoken_of(desk, scheme, told):
    _, _, err = desk.run("anna", "publish", desk.file, "--scheme", scheme)
    assert (f"scheme {scheme} has no key" in err) == told


def test_the_seconds_of_every_stage_are_shown(desk):
    seconds = desk.json("anna", "publish", desk.file, "--seal-to", "lab")["seconds"]
    assert list(seconds) == ["read", "views", "encrypt", "write", "deliver", "total"]
    assert all(taken >= 0 for taken in seconds.values())
    assert sum(seconds.values()) - seconds["total"] <= seconds["total"] + 0.01
    assert seconds["deliver"] > 0


# Killed at every moment.

KILLER = """
import itertools, os, signal, shutil, sys
from pathlib import Path
from blindsight.protocol import shard
shard.TARGET_BYTES = 2_000  # three shards
from blindsight.cli import main
from blindsight.holder import cli
from blindsight.trainer import cli
from tests.holder.test_publish_cli import words_of

EVENTS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir"}

def attempt(words, left=0):
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    def count(event, arguments):
        nonlocal left
        if event in EVENTS:
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    os.dup2(2, 1)
    os._exit(main(words))

for moment in itertools.count(1):
    here = Path(sys.argv[2]) / f"{moment:02}"
    shutil.copytree(sys.argv[1], here)
    publish = words_of(here, "anna", "publish", here / "pets.npz", "--seal-to", "lab")
    if attempt(publish, moment) == 0:
        break
    again = attempt(publish)
    opened = attempt(words_of(here, "lab", "unseal", "--out", here / "lab" / "data"))
    print(moment, again, opened, flush=True)
"""


@pytest.fixture(scope="module")
def killed(founded, tmp_path_factory):
    """A folder for every moment at which a sealed publish was killed and then repeated; the last was not killed."""
    root = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(founded), str(root)],
        capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return root, [tuple(int(word) for word in line.split()[1:]) for line in done.stdout.splitlines()]


def test_a_sealed_publish_was_killed_at_many_moments(killed):
    assert len(killed[1]) > 30


def test_repeated_it_goes_on_or_had_ended_and_what_was_sealed_opens(killed):
    _, statuses = killed
    ended = [again for again, _ in statuses if again]
    assert set(ended) <= {1}
    assert [again for again, _ in statuses] == [0] * (len(statuses) - len(ended)) + ended
    assert {opened for _, opened in statuses} == {0}


def test_what_arrives_after_a_kill_is_what_was_published_once(killed):
    root, _ = killed
    *folders, _ = sorted(root.iterdir())
    for folder in folders:
        (arrived,) = (path.parent for path in (folder / "lab" / "data").rglob(manifest.FILE_NAME))
        site = folder / "anna" / "datasets" / "pets-train"
        shards = {name: digest for name, digest in plans.digests(site).items() if not name.startswith(".publish")}
        assert plans.digests(arrived) == shards, folder.name
        assert len(shards) == 4
        found = [path.name for path in (folder / "box").glob("*/data/*/*/*.json")]
        assert sorted(name.split("-")[0] for name in found) == [manifest.FILE_NAME, "sealing"], folder.name
        assert not (site / ".sealing").exists()
