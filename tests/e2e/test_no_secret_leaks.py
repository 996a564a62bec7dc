"""No secret of a site shows anywhere but inside its sealed keystore.

Three holders, a trainer and a device play a federation through the real command, in processes of their own: keys,
ceremony, sealing, joining, lending, changing passphrases, and being stopped in the middle. Passphrases carry a mark;
every other secret is taken from the keystores after each command, before it is erased again. Then everything that was
said and everything that lies on the disk is searched for all of them, in every usual spelling.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from blindsight.holder import ceremony
from blindsight.holder.sealing import Job
from blindsight.holder.site import Site
from blindsight.protocol import grant, keystore, manifest, sealing
from blindsight.protocol.delegate import Delegated
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import from_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.keystore import Unlock, recovery
from blindsight.protocol.keystream import Stream
from blindsight.protocol.scheme import scheme_key
from blindsight.protocol.tag import Tag
from tests.holder import plans
from tests.protocol import sealings, worlds

WAITING = 75
SITES = {"anna": "holder", "bert": "holder", "cleo": "holder", "lab": "trainer", "camera": "device"}
SECRET_NAMES = {"seed", "secret", "kem_seed", "contribution", "key"}  # wherever they stand in a keystore's content


pytestmark = pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="others see processes in /proc")


def spellings(secret: bytes) -> set[bytes]:
    """How a secret may be written: as it is, in hex, in base64, as Python shows it; and each of these inside base64."""
    plain = {secret, secret.hex().encode(), secret.hex().upper().encode(), repr(secret)[2:-1].encode()}
    plain |= {str(list(secret))[1:-1].encode(), json.dumps(secret.decode("latin-1"))[1:-1].encode()}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        plain.add(encode(secret).rstrip(b"="))
    inside = {
        encode(bytes(shift) + one)[4:-4]
        for one in plain
        for shift in range(3)
        for encode in (base64.b64encode, base64.urlsafe_b64encode)
    }
    return {one for one in plain | inside if len(one) >= 12}


def shown(secrets: Mapping[str, bytes], text: bytes) -> set[str]:
    """Which secrets a text shows."""
    return {name for name, secret in secrets.items() if any(one in text for one in spellings(secret))}


def inside(document: Any, at: str = "") -> Iterator[tuple[str, bytes]]:
    """The secrets in the content of a keystore: place → bytes."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, value in items:
        if name in SECRET_NAMES and isinstance(value, str) and value:
            yield f"{at}/{name}", from_b64(value)
        yield from inside(value, f"{at}/{name}")


@dataclass
class Said:
    """What a command said, and what others could see of its process."""

    words: tuple[str, ...]
    status: int
    out: bytes
    err: bytes
    seen: bytes  # command lines and environments, while it ran
    core: str  # the limit on core dumps while it waited for the passphrase


@dataclass
class Play:
    """The sites below a folder, what they said, and the secrets they had."""

    root: Path
    secrets: dict[str, bytes] = field(default_factory=dict)
    said: list[Said] = field(default_factory=list)
    passphrases: dict[str, bytes] = field(default_factory=dict)
    ended: list[int] = field(default_factory=list)  # statuses of the commands that were stopped
    traceback: str = ""  # of the command that crashed

    def environment(self) -> dict[str, str]:
        places = {"HOME": "home", "TMPDIR": "tmp", "XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache"}
        for name in places.values():
            (self.root / name).mkdir(exist_ok=True)
        mine = {name: str(self.root / place) for name, place in places.items()}
        theirs = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        return {**theirs, "PYTHONFAULTHANDLER": "1", "PYTHONSAFEPATH": "1", "TERM": "dumb", **mine}

    def start(self, site: str, verb: str, *words: object) -> subprocess.Popen[bytes]:
        """A command that waits for its passphrase on a descriptor."""
        role = {"device": "holder"}.get(SITES[site], SITES[site])
        place = ["--keystore", self.root / site / "keystore.json", "--passphrase-fd", 0]
        line = [sys.executable, "-m", "blindsight.cli", role, *verb.split(), *place, *words]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(list(map(str, line)), cwd=self.root / "cwd", env=self.environment(), **pipes)

    def run(self, site: str, verb: str, *words: object, typed: tuple[bytes, ...] = (), file_bytes: int = 0) -> Said:
        """A command from its first to its last word, watched; it may be typed more than the passphrase, or another."""
        process = self.start(site, verb, *words)
        core = waiting_core_limit(process)
        if file_bytes:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
        seen: list[bytes] = []
        watch = threading.Thread(target=lambda: seen.extend(looks(process)))
        watch.start()
        out, err = process.communicate(b"\n".join(typed or (self.passphrases[site],)) + b"\n", timeout=120)
        watch.join()
        said = Said((site, verb, *map(str, words)), process.returncode, out, err, b"\n".join(seen), core)
        self.said.append(said)
        if typed and not process.returncode:
            self.passphrases[site] = typed[-1]
        self.learn(site)
        return said

    def well(self, site: str, verb: str, *words: object, **options: Any) -> dict[str, Any]:
        """A command that does what it should, and its one JSON object."""
        said = self.run(site, verb, "--json", *words, **options)
        assert said.status in (0, WAITING), said.err.decode()
        return json.loads(said.out)

    def opened(self, site: str) -> Any:
        return keystore.opened(self.root / site / "keystore.json", self.passphrases[site])

    def learn(self, site: str) -> None:
        """Take note of every secret in a site's keystore as it is now."""
        self.secrets[f"{site}: passphrase {len(self.passphrases[site])}"] = self.passphrases[site]
        if not (self.root / site / "keystore.json").exists():
            return
        with self.opened(site) as store:
            self.secrets[f"{site}: data key"] = store._data_key
            for place, secret in inside(store.data):
                self.secrets.setdefault(f"{site}: {place} {secret.hex()[:4]}", secret)

    def files(self) -> Iterator[Path]:
        return (path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink())


def waiting_core_limit(process: subprocess.Popen[bytes]) -> str:
    """The limit on core dumps of a process that reads its passphrase, or that nothing more is awaited of."""
    found = ""
    for _ in range(2_000):
        with contextlib.suppress(OSError):
            waits = "pipe" in Path(f"/proc/{process.pid}/wchan").read_text()  # looked at first
            limits = Path(f"/proc/{process.pid}/limits").read_text()
            found = "".join(re.findall(r"Max core file size +(\S+)", limits)) or found
            if waits or found == "0":
                break
        if process.poll() is not None:
            break
        time.sleep(0.01)
    return found


def looks(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """What others see of a process, until it ends."""
    while process.poll() is None:
        for name in ("cmdline", "environ"):
            try:
                yield Path(f"/proc/{process.pid}/{name}").read_bytes()
            except OSError:
                return
        time.sleep(0.005)


def founded(play: Play, box: tuple[object, ...]) -> str:
    """Five keystores, three of them at a price that tests can pay; a federation of two; its code."""
    for site in ("anna", "camera"):
        play.well(site, "key init", "--name", site, *(["--device"] if site == "camera" else []))
    for site in ("bert", "cleo", "lab"):
        who = {"role": SITES[site], "name": site, "created": worlds.CREATED, "cost": worlds.CHEAP}
        keystore.create(play.root / site / "keystore.json", passphrase=play.passphrases[site], **who)
    for site in ("anna", "bert", "lab"):
        play.well(site, "key show", *box)
    code = str(play.well("anna", "federation create", "--name", "ward", *box)["code"])
    play.well("bert", "federation sign", *box)
    for site in ("anna", "bert"):
        play.well(site, "federation verify", code, *box)
    return code


def agreed_on(play: Play, box: tuple[object, ...]) -> None:
    play.run("anna", "epoch propose", "--json", *box)
    for site in ("bert", "anna", "bert", "anna"):
        said = play.well(site, "epoch step", *box)
    assert said["phase"] == "active"


def travelled(play: Play, box: tuple[object, ...]) -> None:
    """Shards are published sealed, opened again by the trainer, decrypted by their owner."""
    play.well("lab", "recipient new", *box)
    digits = ("digits", "--split", "test", "--limit", 20)
    play.well("anna", "publish", *digits, "--out", "../data", "--seal-to", "lab", *box)
    play.well("lab", "unseal", "--out", "../opened", *box)
    play.well("anna", "decrypt", "../data", "--out", "../plain", "--limit", 1, *box)


def joined(play: Play, code: str, box: tuple[object, ...]) -> None:
    """A third holder is admitted and given the secret; a device is lent a key."""
    fingerprint = play.well("cleo", "federation join", code, *box)["your_fingerprint"]
    change = play.well("anna", "federation admit", fingerprint, *box)["change"]
    for site in ("cleo", "bert"):
        play.run(site, "federation approve", change, *box)
    play.well("anna", "federation grant", fingerprint, *box)
    play.run("cleo", "epoch step", *box)
    camera = play.well("camera", "device ask", code, *box)["fingerprint"]
    play.well("anna", "device lend", camera, "--shape", "32x32x1", *box)
    assert play.well("camera", "device take", *box)["taken"]
    play.well("camera", "device encrypt", "digits", "--split", "test", "--limit", 3, "--out", "../frames", *box)


def rekeyed(play: Play) -> None:
    """A recovery code, shown once on the terminal; another passphrase; a backup that only the paper opens."""
    said = play.run("anna", "key slot add recovery", "--json")
    code = json.loads(said.out)["code"]
    said.out = said.out.replace(code.encode(), b"(the code)")
    assert b"(the code)" in said.out
    play.secrets |= {"anna: recovery code": code.encode(), "anna: recovery seed": recovery.read_code(code)}
    play.well("anna", "key backup", "--out", "../backup.json")
    new = b"MARK second passphrase of anna MARK!"
    play.run("anna", "key passwd", "--new-passphrase-fd", 0, typed=(play.passphrases["anna"], new))
    assert play.passphrases["anna"] == new
    assert play.run("anna", "key show").status == 0


def stopped(play: Play, box: tuple[object, ...]) -> list[int]:
    """Commands that fail in the middle: the statuses they ended with."""
    ended = []
    play.run("bert", "epoch propose", *box)
    ended.append(play.run("anna", "epoch step", "--json", *box, file_bytes=4_096).status)  # as on a full disk
    (play.root / "cwd" / "file").write_text("no folder")
    ended.append(play.run("anna", "epoch step", "--dropbox", play.root / "cwd" / "file").status)
    wrong = play.secrets["cleo: wrong passphrase"] = b"MARK a wrong passphrase of cleo MARK"
    ended.append(play.run("cleo", "epoch step", *box, typed=(wrong,)).status)
    return ended + [killed(play, number, box) for number in (signal.SIGINT, signal.SIGABRT, signal.SIGKILL)]


def killed(play: Play, number: int, box: tuple[object, ...]) -> int:
    """A step that is ended by a signal while its passphrase is tried; with SIGABRT the interpreter shows its stack."""
    process = play.start("anna", "epoch step", *box)
    core = waiting_core_limit(process)
    process.stdin.write(play.passphrases["anna"] + b"\n")
    process.stdin.flush()
    time.sleep(0.02)  # trying it takes longer: this keystore was made at its full price
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    play.said.append(Said(("anna", f"killed by {number}"), process.returncode, out, err, b"", core))
    play.learn("anna")
    return process.returncode


def crashed(play: Play, box: tuple[object, ...]) -> str:
    """A command whose keystore holds what no version of it writes: the traceback."""
    with play.opened("cleo") as store:
        (state,) = store.data["feds"].values()
        sound = state["session"]
        state["session"] = {"me": 7, "members": [], "phase": "none", "secret": state["secrets"]}
        store.save()
    said = play.run("cleo", "epoch step", *box)
    with play.opened("cleo") as store:
        (state,) = store.data["feds"].values()
        state["session"] = sound
        store.save()
    return said.err.decode()


@contextlib.contextmanager
def core_dumps_allowed() -> Iterator[int]:
    """The greatest limit on core dumps that there is here; processes started in the block have it."""
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (limits[1], limits[1]))
    try:
        yield limits[1]
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, limits)


@pytest.fixture(scope="module")
def play(tmp_path_factory):
    """The whole play, with core dumps allowed to whoever does not forbid them."""
    play = Play(tmp_path_factory.mktemp("play"))
    (play.root / "cwd").mkdir()
    play.passphrases = {site: f"MARK passphrase of {site:<6} MARK".encode() for site in SITES}
    box = ("--dropbox", play.root / "box")
    with core_dumps_allowed():
        code = founded(play, box)
        agreed_on(play, box)
        travelled(play, box)
        joined(play, code, box)
        rekeyed(play)
        play.ended = stopped(play, box)
        play.traceback = crashed(play, box)
    derive(play)
    return play


def derive(play: Play) -> None:
    """The secrets that follow from others: scheme keys, the data key of the sealing."""
    log = DropBox(play.root / "box").log()
    with play.opened("anna") as store:
        (held,) = [one for one in store.data["feds"][log.fed]["secrets"].values() if one["epoch"] == 1]
        epoch_secret = from_b64(held["secret"])
    offer = manifest.load(play.root / "data", log)
    play.secrets["scheme key"] = scheme_key(epoch_secret, log.fed, 1, offer.descriptor.digest)
    (path,) = play.root.glob("box/*/data/*/*/sealing-*.json")
    sealed = sealing.read_sealing(Envelope.from_bytes(path.read_bytes()), log, offer)
    with play.opened("lab") as store:
        ((recipient, kept),) = store.data["recipients"].items()
        data_key = sealed.data_key(store.key.entry.fpr, recipient, from_b64(kept["seed"]))
    play.secrets |= {"sealing's data key": data_key, "file key": sealed.shards(data_key)[0].key}


def test_the_play_has_had_every_kind_of_secret(play):
    names = " ".join(play.secrets)
    for kind in (
        "anna: passphrase", "data key", "/identity/seed", "/kem_seed", "/contribution", "/secret", "/join/seed",
        "/delegated/", "/recipients/", "recovery code", "scheme key", "file key",
    ):  # fmt: skip
        assert kind in names, kind
    assert len(play.secrets) >= 25
    assert min(map(len, play.secrets.values())) >= 30


def test_commands_have_failed_in_the_middle(play):
    assert 0 not in play.ended
    assert "Traceback" in play.traceback
    assert b"Fatal Python error: Aborted" in b"".join(said.err for said in play.said)


def test_no_secret_lies_in_any_file(play):
    """Drop-box, data sets, evidence, temporary files, caches; the sealed keystores and their copies, too."""
    found = {str(path.relative_to(play.root)): shown(play.secrets, path.read_bytes()) for path in play.files()}
    assert len(found) > 40
    assert {path: names for path, names in found.items() if names} == {}


def test_no_secret_is_said_on_stdout_or_stderr(play):
    found = {said.words[:3]: shown(play.secrets, said.out + b"\n" + said.err) for said in play.said}
    assert {words: names for words, names in found.items() if names} == {}


def test_no_secret_stands_in_a_command_line_or_in_an_environment(play):
    assert sum(len(said.seen) > 0 for said in play.said) > 20
    found = {said.words[:3]: shown(play.secrets, said.seen) for said in play.said}
    assert {words: names for words, names in found.items() if names} == {}


def test_whoever_asks_for_a_passphrase_has_forbidden_core_dumps(play):
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("this machine forbids core dumps to everybody")
    assert {said.words[:3]: said.core for said in play.said if said.core != "0"} == {}
    assert [path for path in play.files() if path.name.startswith("core")] == []


def test_temporary_files_are_gone(play):
    """But for what a killed process was just putting into the drop-box: sealed or public, as all that lies there."""
    assert list((play.root / "tmp").iterdir()) == []
    parts = [path.relative_to(play.root) for path in play.files() if path.name.endswith(".part")]
    assert [path for path in parts if path.parts[0] != "box"] == []


def test_a_secret_that_lies_somewhere_is_found_in_any_spelling(play, tmp_path):
    name, secret = max(play.secrets.items(), key=lambda item: item[0].endswith("scheme key"))
    text = base64.b64encode(b'{"key":"' + base64.urlsafe_b64encode(secret).rstrip(b"=") + b'"}')
    for spelt in (secret, secret.hex().encode(), str(list(secret)).encode(), repr(secret).encode(), text):
        (tmp_path / "planted").write_bytes(b"some text " + spelt + b" more text")
        assert name in shown(play.secrets, (tmp_path / "planted").read_bytes())
    assert shown(play.secrets, b"some text") == set()


def test_a_process_that_does_not_forbid_core_dumps_is_found_out():
    with core_dumps_allowed() as hard:
        if hard == 0:
            pytest.skip("this machine forbids core dumps to everybody")
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.3)"]) as process:
            assert waiting_core_limit(process) != "0"


@pytest.fixture
def held(tmp_path):
    """Every object that holds a secret, and the secrets: by name."""
    world = worlds.world(2)
    store, passphrase = worlds.keystore_of(tmp_path, "anna"), b"MARK a passphrase that an object holds MARK"
    seed = from_b64(store.data["identity"]["seed"])
    offer = worlds.proposal(world.keys[0], worlds.founded(world.keys))
    open_ones = worlds.sessions(world.keys, worlds.founded(world.keys), offer)
    before = next(iter(open_ones.values()))
    for _ in range(2):
        worlds.exchange(open_ones, world.keys)
    after = next(iter(open_ones.values()))
    plan = plans.plan_of(world, plans.save(tmp_path / "pets.npz"))
    box, tag = DropBox(tmp_path / "box"), Tag.of(world.predicate(world.keys[0]))
    sealed = sealings.sealed(tmp_path / "sealed")
    (shard, *_) = sealed.read(sealed.envelope()).shards(sealings.DATA_KEY)
    times = {"created": worlds.CREATED, "expires": worlds.NOT_AFTER}
    asked = grant.make_join(world.keys[1], world.log.fed, kem_seed=seed, nonce=bytes(32), **times)
    secrets = {
        "identity": seed, "data key": store._data_key, "kem seed": before.kem_seed, "contribution": before.contribution,
        "epoch secret": after.secret, "scheme key": plan.key, "sealing": sealings.DATA_KEY, "shard": shard.key,
        "passphrase": passphrase, "permutation": str(plan.cipher.parameters.permutation.tolist()[:8])[1:-1].encode(),
    }  # fmt: skip
    objects = [
        store, store.key, world.keys[0], before, after, plan, plan.cipher, plan.cipher.parameters, shard,
        Stream(plan.key, "perm"), Unlock.of(passphrase), Unlock(recovery=lambda: seed), Site(store, box, world.log),
        Delegated(tag, worlds.LE, plan.key, "anna", worlds.NOT_AFTER), Job("", "", "", sealings.DATA_KEY),
        ceremony.Member(store, box, world.log, worlds.NOW), grant.read_join(asked, world.log.fed, worlds.NOW),
    ]  # fmt: skip
    assert all(secrets.values())
    return objects, secrets


def test_no_object_that_holds_a_secret_shows_it(held):
    objects, secrets = held
    for one in objects:
        for text in (repr(one), str(one), f"{one}", repr([one]), repr(ValueError(one))):
            assert shown(secrets, text.encode()) == set(), type(one)


def test_an_object_that_shows_its_secret_is_found_out(held):
    @dataclass
    class Careless:
        key: bytes

    _, secrets = held
    assert "scheme key" in shown(secrets, repr(Careless(secrets["scheme key"])).encode())
