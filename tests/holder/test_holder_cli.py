"""``blindsight holder`` as three people use it: keys, federation, ceremony and publishing over one shared folder."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from blindsight.cli import main
from blindsight.holder import federation
from blindsight.protocol import keystore, manifest
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.identity import SigningKey
from tests.holder import plans
from tests.protocol import worlds

ROOT = Path(__file__).parents[2]
NAMES = ("anna", "bert", "cleo")
WAITING, LOCKED = 75, 3


class Desk:
    """Three sites, a drop-box and a terminal below one folder."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.box, self._capsys = root, DropBox(root / "box"), capsys

    def keys(self, name: str, passphrase: str = "passphrase") -> list[str]:
        site = self.root / name
        return ["--keystore", str(site / "keystore.json"), "--passphrase-file", str(site / passphrase)]

    def run(self, *words: object) -> tuple[int, str, str]:
        """Exit status, stdout and stderr of a command."""
        self._capsys.readouterr()
        try:
            status = main([str(word) for word in words])
        except SystemExit as stop:
            status = int(stop.code or 0)
        said = self._capsys.readouterr()
        return status, said.out, said.err

    def holder(self, name: str, verb: str, *words: object) -> tuple[int, str, str]:
        return self.run("holder", *verb.split(), *self.keys(name), "--dropbox", self.box.transport.root, *words)

    def json(self, name: str, verb: str, *words: object) -> dict:
        """A verb that must succeed or wait, and its one JSON object."""
        status, out, err = self.holder(name, verb, "--json", *words)
        assert status in (0, WAITING), err
        (line,) = out.splitlines()
        return json.loads(line)

    def step(self, name: str) -> tuple[int, dict, str]:
        status, out, err = self.holder(name, "epoch step", "--json")
        return status, json.loads(out), err

    def round(self) -> list[int]:
        return [self.step(name)[0] for name in NAMES]

    def kcvs(self) -> set[str]:
        return {self.step(name)[1]["kcv"] for name in NAMES}

    def key(self, name: str) -> SigningKey:
        with keystore.opened(
            self.root / name / "keystore.json", (self.root / name / "passphrase").read_bytes()
        ) as store:
            return store.key

    @property
    def sessions(self) -> Path:
        (folder,) = self.root.glob("box/*/sessions")
        return folder

    def message(self, kind: str, name: str) -> Path:
        (path,) = self.sessions.glob(f"*/{kind}-{self.key(name).entry.fpr[:12]}.json")
        return path


def write_passphrase(path: Path, text: bytes = worlds.PASSPHRASE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(text)


@pytest.fixture
def desk(tmp_path, capsys):
    for name in NAMES:
        write_passphrase(tmp_path / name / "passphrase")
    return Desk(tmp_path, capsys)


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    """Three sites of a founded and compared federation, with cheap keystores."""
    root = tmp_path_factory.mktemp("founded")
    box = DropBox(root / "box")
    stores = [worlds.keystore_of(root, name) for name in NAMES]
    options = {"name": "ward", "policy": "all", "nonce": os.urandom(32), "created": worlds.CREATED}
    genesis = federation.create(stores[0], box, cards=[store.key.entry for store in stores], **options)
    for store in stores[1:]:
        federation.sign(store, box, None)
    for store in stores:
        log = federation.follow(store, box, genesis.mid)
        federation.verify(store, log, log.code)
        write_passphrase(root / store.path.parent.name / "passphrase")
    return root


@pytest.fixture
def ward(founded, tmp_path, capsys):
    shutil.copytree(founded, tmp_path / "ward")
    return Desk(tmp_path / "ward", capsys)


@pytest.fixture
def agreed(ward):
    """The same with an agreed epoch."""
    ward.json("anna", "epoch propose")
    for _ in range(4):
        ward.round()
    return ward


# The whole way, with the real cost of a passphrase.


def test_three_people_come_from_nothing_to_published_data(desk):
    for name in NAMES:
        assert desk.json(name, "key init", "--name", name)["name"] == name
    code = desk.json("anna", "federation create", "--name", "ward")["code"]
    assert {desk.json(name, "federation sign")["code"] for name in NAMES[1:]} == {code}
    assert desk.json("cleo", "federation show")["signatures_missing"] == []
    assert [desk.holder(name, "federation verify", code)[0] for name in NAMES] == [0, 0, 0]
    assert desk.json("bert", "epoch propose", "--scheme", "le")["epoch"] == 1
    assert desk.round() == [WAITING, WAITING, WAITING]
    for _ in range(3):
        statuses = desk.round()
    assert statuses == [0, 0, 0]
    (kcv,) = desk.kcvs()
    facts = desk.json(
        "anna", "publish", plans.save(desk.root / "pets.npz"), "--block", "4", "--views", "2", "--crop", "1"
    )
    assert (facts["rows"], facts["scheme"], facts["epoch"]) == (48, "le", 1)
    assert (facts["dataset"], Path(facts["dataset"]).name) == (
        str(desk.root / "anna/datasets/pets-train"),
        "pets-train",
    )
    log = desk.box.log()
    assert manifest.load(Path(facts["offered"]), log).holder == desk.key("anna").entry.label
    status = desk.json("cleo", "epoch status")
    assert (status["epoch"], status["kcv"], status["secret"]) == (1, kcv, "active")
    assert desk.json("anna", "decrypt", facts["dataset"], "--out", desk.root / "plain", "--limit", "5")["images"] == 5


# Keys.


def test_a_new_identity_is_sealed_for_its_owner_alone_and_shows_no_secret(desk):
    status, out, err = desk.holder("anna", "key init", "--name", "anna")
    assert (status, (desk.root / "anna/keystore.json").stat().st_mode & 0o777) == (0, 0o600)
    assert "fingerprint" in out
    assert "without its passphrase it is lost" in err


def test_a_second_identity_never_replaces_the_first(desk):
    worlds.keystore_of(desk.root, "anna")
    before = (desk.root / "anna/keystore.json").read_bytes()
    status, out, err = desk.holder("anna", "key init", "--name", "anna")
    assert (status, out) == (1, "")
    assert "[E_EXISTS]" in err
    assert (desk.root / "anna/keystore.json").read_bytes() == before


def test_a_wrong_passphrase_is_told_from_a_damaged_keystore(ward):
    write_passphrase(ward.root / "anna/wrong", b"wrong")
    status, _, err = ward.run("holder", "key", "show", *ward.keys("anna", "wrong"))
    assert (status, "[E_PASSPHRASE]" in err) == (1, True)


def test_a_passphrase_file_that_others_can_read_is_refused_with_the_remedy(ward):
    (ward.root / "anna/passphrase").chmod(0o644)
    status, _, err = ward.run("holder", "key", "show", *ward.keys("anna"))
    assert (status, "[E_PERMS]" in err, "hint: chmod 600" in err) == (1, True, True)


def test_a_line_end_after_the_passphrase_does_not_count(ward):
    (ward.root / "anna/passphrase").write_bytes(worlds.PASSPHRASE + b"\n")
    assert ward.holder("anna", "key show")[0] == 0


def test_an_empty_passphrase_is_refused(ward):
    (ward.root / "anna/passphrase").write_bytes(b"\n")
    status, _, err = ward.holder("anna", "key show")
    assert (status, "empty" in err) == (1, True)


def test_without_a_passphrase_and_a_terminal_the_status_says_so(ward, monkeypatch):
    for name in ("BLINDSIGHT_PASSPHRASE_FILE", "CREDENTIALS_DIRECTORY", "BLINDSIGHT_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    status, _, err = ward.run("holder", "key", "show", "--keystore", ward.root / "anna/keystore.json")
    assert (status, "[E_LOCKED_KEY]" in err, "--passphrase-file" in err) == (LOCKED, True, True)


def test_the_passphrase_may_come_over_a_file_descriptor(ward):
    with (ward.root / "anna/passphrase").open("rb") as file:
        words = ("--keystore", ward.root / "anna/keystore.json", "--passphrase-fd", file.fileno())
        status, _, _ = ward.run("holder", "key", "show", *words)
    assert status == 0


def test_a_passphrase_in_the_environment_works_and_warns(ward, monkeypatch):
    monkeypatch.setenv("BLINDSIGHT_PASSPHRASE", worlds.PASSPHRASE.decode())
    status, _, err = ward.run("holder", "key", "show", "--keystore", ward.root / "anna/keystore.json")
    assert (status, "a passphrase file is better" in err) == (0, True)


def test_a_missing_keystore_is_named_with_the_way_to_make_one(desk):
    status, _, err = desk.holder("anna", "key show")
    assert (status, "[E_MISSING]" in err, "hint: make one with key init" in err) == (1, True, True)


def test_a_refusal_under_json_is_one_object_on_stdout(desk):
    status, out, err = desk.holder("anna", "key show", "--json")
    assert (status, json.loads(out)["error"]["code"]) == (1, "E_MISSING")
    assert "error:" in err


# Federation.


def test_nobody_proposes_before_the_code_was_compared(ward):
    store = worlds.keystore_of(ward.root, "dora")
    write_passphrase(ward.root / "dora/passphrase")
    box = ward.root / "other-box"
    DropBox(box).put_card(store.key, worlds.CREATED)
    create = ["holder", "federation", "create", "--name", "solo", *ward.keys("dora"), "--dropbox", box]
    assert ward.run(*create)[0] == 0
    status, _, err = ward.run("holder", "epoch", "propose", *ward.keys("dora"), "--dropbox", box)
    assert (status, "[E_UNVERIFIED]" in err, "federation verify CODE" in err) == (1, True, True)


def test_another_code_does_not_verify(ward):
    status, _, err = ward.holder("anna", "federation verify", "0000-" * 9 + "0000")
    assert (status, "[E_FED]" in err) == (1, True)


def test_a_federation_shows_who_has_not_signed(desk):
    stores = [worlds.keystore_of(desk.root, name) for name in NAMES]
    for store in stores:
        desk.box.put_card(store.key, worlds.CREATED)
    desk.json("anna", "federation create", "--name", "ward")
    desk.json("bert", "federation sign")
    assert desk.json("anna", "federation show")["signatures_missing"] == [stores[2].key.entry.label]


def test_an_identity_that_no_genesis_names_has_nothing_to_sign(ward):
    worlds.keystore_of(ward.root, "dora")
    write_passphrase(ward.root / "dora/passphrase")
    status, _, err = ward.holder("dora", "federation sign")
    assert (status, "no genesis in the drop-box names this identity" in err) == (1, True)


# The ceremony, and what others put into its folder.


def test_a_step_without_a_ceremony_is_idle_and_done(ward):
    status, facts, _ = ward.step("anna")
    assert (status, facts["phase"], facts["refused"]) == (0, "idle", [])


def test_a_step_says_whom_it_waits_for(ward):
    ward.json("anna", "epoch propose")
    status, facts, _ = ward.step("bert")
    assert (status, facts["waiting_for"]) == (WAITING, f"commit of {ward.key('cleo').entry.label}")


def test_a_second_proposal_is_refused_while_one_is_open(ward):
    ward.json("anna", "epoch propose")
    status, _, err = ward.holder("anna", "epoch propose")
    assert (status, "[E_EXISTS]" in err) == (1, True)


def demand_progress(ward: Desk, rounds: int = 4) -> None:
    """Whatever lies in the folder, honest sites come to one secret."""
    for _ in range(rounds):
        ward.round()
    (kcv,) = ward.kcvs()
    assert kcv


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("kind", ["propose", "commit", "reveal"])
def test_a_flipped_byte_is_refused_naming_the_file_until_the_message_comes_whole(ward, kind, place):
    ward.json("bert", "epoch propose")
    if kind == "reveal":
        for name in ("cleo", "anna", "bert"):
            ward.step(name)
    path = ward.message(kind, "bert")
    good = path.read_bytes()
    spot = int(len(good) * place)
    path.write_bytes(good[:spot] + bytes([good[spot] ^ 1]) + good[spot + 1 :])
    reader = "cleo" if kind == "reveal" else "anna"
    status, facts, err = ward.step(reader)
    refused = {refusal["file"] for refusal in facts["refused"]}
    assert (status, refused) == (1, {f"{path.parent.name}/{path.name}"})
    assert f"refused: {path.parent.name}/{path.name}: " in err
    assert "[E_" in err
    path.write_bytes(good)
    demand_progress(ward)


def test_a_second_message_by_one_author_is_refused_with_evidence_and_the_first_one_counts(ward):
    ward.json("bert", "epoch propose")
    ward.step("anna")
    first = ward.message("commit", "bert")
    second = worlds.resigned(Envelope.from_bytes(first.read_bytes()), [ward.key("bert")], com="00" * 32)
    (first.parent / "commit-second.json").write_bytes(second.to_bytes())
    status, facts, err = ward.step("anna")
    assert (status, [refusal["code"] for refusal in facts["refused"]]) == (1, ["E_EQUIVOCATION"])
    assert ward.key("bert").entry.label in err
    assert len(list((ward.root / "anna/evidence").iterdir())) == 2
    (first.parent / "commit-second.json").unlink()
    demand_progress(ward)


def test_a_strangers_message_is_refused_and_does_not_stop_the_others(ward):
    ward.json("bert", "epoch propose")
    stranger = worlds.identity("mallory")
    path = ward.message("commit", "bert")
    commit = Envelope.from_bytes(path.read_bytes())
    forged = worlds.resigned(commit, [stranger], **{"from": stranger.entry.fpr})
    (path.parent / "commit-mallory.json").write_bytes(forged.to_bytes())
    status, _, err = ward.step("anna")
    assert (status, "commit-mallory.json" in err, "[E_ROSTER]" in err) == (1, True, True)
    demand_progress(ward)


def test_a_proposal_of_a_foreign_roster_is_refused_and_does_not_stop_the_others(ward):
    foreign = worlds.proposal(ward.key("bert"), worlds.founded([ward.key("bert"), worlds.identity("mallory")]))
    ward.json("anna", "epoch propose")
    path = ward.message("propose", "anna")
    (path.parent / "propose-foreign.json").write_bytes(foreign.to_bytes())
    status, _, err = ward.step("cleo")
    assert (status, "[E_FED]" in err, ward.key("bert").entry.label in err) == (1, True, True)
    demand_progress(ward)


def test_an_old_ceremony_replayed_into_a_new_one_is_refused_message_by_message(agreed):
    old = list(agreed.sessions.glob("*/*.json"))
    before = {agreed.json(name, "epoch status")["kcv"] for name in NAMES}
    agreed.json("bert", "epoch propose")
    new = newest(agreed)
    for number, path in enumerate(old):
        shutil.copy(path, new / f"old-{number}.json")
    status, facts, err = agreed.step("cleo")
    files = sorted(refusal["file"] for refusal in facts["refused"])
    assert (status, files) == (1, sorted(f"{new.name}/old-{number}.json" for number in range(len(old))))
    assert {refusal["code"] for refusal in facts["refused"]} <= {"E_EPOCH", "E_PREV", "E_SID"}
    assert err.count("refused: ") == len(old)
    for _ in range(4):
        agreed.round()
    assert len(before) == 1
    assert agreed.kcvs().isdisjoint(before)


def newest(desk: Desk) -> Path:
    return max(desk.sessions.iterdir(), key=lambda folder: folder.stat().st_mtime_ns)


# Publishing.


def test_publishing_a_second_time_is_refused_with_a_hint(agreed):
    file = plans.save(agreed.root / "pets.npz")
    assert agreed.holder("anna", "publish", file)[0] == 0
    status, _, err = agreed.holder("anna", "publish", file)
    assert (status, "[E_EXISTS]" in err, "hint: --replaces" in err) == (1, True, True)


def test_a_scheme_that_was_not_agreed_is_refused_with_a_hint(agreed):
    status, _, err = agreed.holder("anna", "publish", plans.save(agreed.root / "pets.npz"), "--scheme", "plain")
    assert (status, "[E_SCHEME]" in err, "propose --scheme le --scheme plain" in err) == (1, True, True)


def test_images_that_do_not_fit_are_refused_with_a_hint_that_works(agreed):
    file = plans.save(agreed.root / "pets.npz")
    status, _, err = agreed.holder("anna", "publish", file, "--block", "5")
    assert (status, "hint: use --fit pad" in err) == (1, True)
    assert agreed.holder("anna", "publish", file, "--block", "5", "--fit", "pad")[0] == 0


@pytest.mark.parametrize("block", ["0", "-4", "300"])
def test_a_block_that_cannot_be_is_refused(agreed, block):
    status, _, err = agreed.holder("anna", "publish", plans.save(agreed.root / "pets.npz"), f"--block={block}")
    assert (status, "error: " in err) == (1, True)


def test_a_split_that_is_not_there_is_refused_naming_those_that_are(agreed):
    status, _, err = agreed.holder("anna", "publish", plans.save(agreed.root / "pets.npz"), "--split", "val")
    assert (status, "it has: train" in err, "--val-share" in err) == (1, True, True)


def test_a_share_of_train_becomes_val_and_both_together_are_all_images(agreed):
    file = plans.save(agreed.root / "pets.npz")
    rows = [
        agreed.json("anna", "publish", file, "--split", split, "--val-share", "0.25")["rows"]
        for split in ("train", "val")
    ]
    assert rows == [18, 6]


@pytest.mark.parametrize("share", ["1", "-0.1", "nan"])
def test_a_share_out_of_range_is_refused(agreed, share):
    status, _, err = agreed.holder("anna", "publish", plans.save(agreed.root / "pets.npz"), f"--val-share={share}")
    assert (status, "--val-share must be from 0 to below 1" in err) == (1, True)


@pytest.mark.parametrize("size", ["8", "x8", "8x", "8x8x8", "-8x8", "axb"])
def test_a_size_must_look_like_one(agreed, size):
    words = ("--fit", "resize", f"--size={size}")
    status, _, err = agreed.holder("anna", "publish", plans.save(agreed.root / "pets.npz"), *words)
    assert (status, "--size must look like 224x224" in err) == (1, True)


def test_a_limit_publishes_the_first_images_only(agreed):
    assert agreed.json("anna", "publish", plans.save(agreed.root / "pets.npz"), "--limit", "7")["rows"] == 7


def test_another_epoch_than_those_agreed_is_refused(agreed):
    status, _, err = agreed.holder("anna", "publish", plans.save(agreed.root / "pets.npz"), "--epoch", "2")
    assert (status, "[E_EPOCH]" in err) == (1, True)


def test_only_the_owner_decrypts(agreed):
    folder = agreed.json("anna", "publish", plans.save(agreed.root / "pets.npz"))["dataset"]
    status, _, err = agreed.holder("bert", "decrypt", folder, "--out", agreed.root / "plain")
    assert (status, "[E_ROSTER]" in err) == (1, True)


KILLED_BEFORE_THE_OFFER = """
import os, signal, sys
from blindsight.cli import main

def kill(event, arguments):
    if event == "os.rename" and "/data/" in str(arguments[1]):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)
sys.exit(main(sys.argv[1:]))
"""


def test_a_publish_killed_before_its_offer_offers_when_it_is_repeated(agreed):
    words = [
        "holder",
        "publish",
        plans.save(agreed.root / "pets.npz"),
        *agreed.keys("anna"),
        "--dropbox",
        agreed.box.transport.root,
    ]
    command = [sys.executable, "-c", KILLED_BEFORE_THE_OFFER, *map(str, words)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == -9
    status, _, err = agreed.run(*words, "--json")
    assert status == 0, err


# Usage.


@pytest.mark.parametrize(
    "words", [["holder"], ["holder", "key"], ["holder", "publish"], ["holder", "nonsense"], ["nobody"]]
)
def test_wrong_usage_has_a_status_of_its_own(desk, words):
    status, out, err = desk.run(*words)
    assert (status, out) == (2, "")
    assert err


@pytest.mark.parametrize(
    "verb", ["key init", "federation create", "epoch propose", "epoch step", "epoch status", "publish", "decrypt"]
)
def test_every_help_ends_with_an_example_of_the_verb(desk, verb):
    status, out, _ = desk.run("holder", *verb.split(), "--help")
    assert status == 0
    assert out.rstrip().splitlines()[-1].startswith(f"  blindsight holder {verb}")


# What a base install has.

FOREIGN = {
    "holder": ("torch", "flwr", "ray", "onnx", "onnxruntime"),
    "protocol": ("torch", "flwr", "ray", "onnx", "onnxruntime"),
    "operator": ("torch", "flwr", "ray", "onnx"),
}
LOADED = """
import importlib, pkgutil, sys
package = importlib.import_module("blindsight." + sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
if sys.argv[1] == "protocol":
    import blindsight.cli.inspect, blindsight.cli.key, blindsight.cli.passphrase
print(*sorted(set(sys.argv[2:]) & {name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("role", FOREIGN)
def test_all_modules_of_a_role_load_without_the_extras_of_others(role):
    done = subprocess.run(
        [sys.executable, "-c", LOADED, role, *FOREIGN[role]], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == []


def test_the_commands_own_help_loads_neither_numpy_nor_torch():
    script = "import sys; from blindsight.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"numpy", "torch", "flwr", "cryptography"} & set(done.stderr.split())
