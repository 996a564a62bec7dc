"""A changed byte is refused: mutations of every kind of document, each with the codes that its reader may answer with.

Every kind is tried in a process of its own, which may take 256 MiB more than it has when the document is ready and
two seconds a reading; another exception than a refusal fails the test. The command for one kind, from the root:

    python -m tests.protocol.test_mutations manifest 1000 1

Ceremony messages and the log's records are tried with their own tests; what lies inside an opened keystore is trusted.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from blindsight.protocol import bundle, delegate, grant, keystore, logfile, manifest, recipient, sealedfile
from blindsight.protocol import shard as shards
from blindsight.protocol.dropbox import read_card
from blindsight.protocol.encoding import canonical
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import BlindsightError
from blindsight.protocol.keystore import Unlock
from blindsight.protocol.log import Log
from blindsight.protocol.scheme import Descriptor
from blindsight.protocol.tag import Tag
from tests.protocol import sealings, worlds
from tests.protocol.worlds import CREATED, LE, NOW

ROOT = Path(__file__).parents[2]
COUNT = 1_000
MOST_MIB, MOST_SECONDS = 256, 2
FORM = {"E_FORMAT", "E_CANON"}
SIGNED = FORM | {"E_QUORUM", "E_SIG", "E_ROSTER"}


@dataclass(frozen=True)
class Kind:
    """A document, its reader, and what the reader may answer when a byte of it was changed.

    Args:
        document: the sound bytes.
        read: reads bytes in its place, or refuses them.
        codes: of the refusals that are right.
        same: whether a change that was not refused may stand, given the bytes, what was read, and what ought to be.
        share: it is tried with one in so many of the mutations, because there are so many documents of its kind.
    """

    document: bytes
    read: Callable[[bytes], Any]
    codes: set[str]
    same: Callable[[bytes, Any, Any], bool] = lambda changed, found, sound: False
    share: int = 1


def of_envelope(envelope: Envelope, read: Callable[[Envelope], Any], codes: set[str]) -> Iterator[Kind]:
    """A signed document, changed in its file and changed below its signature."""
    yield Kind(envelope.to_bytes(), lambda data: _read_whole(data, read), codes, _spelt_otherwise)
    yield Kind(envelope.payload, lambda data: read(replace(envelope, payload=data)), codes)


def _read_whole(data: bytes, read: Callable[[Envelope], Any]) -> bytes:
    found = Envelope.from_bytes(data)
    read(found)
    return found.to_bytes()


def _spelt_otherwise(changed: bytes, found: bytes, sound: bytes) -> bool:
    """Readers take any JSON spelling of an envelope (A.4): blanks outside strings, and a backslash before a slash."""
    return found == sound and json.loads(changed) == json.loads(sound)


def of_card(folder: Path) -> Iterator[Kind]:
    key = worlds.identity("anna")
    body = {"v": 1, "type": "identity", "entry": key.entry.to_json(), "created": CREATED}
    return of_envelope(Envelope.of("identity", body).signed(key), read_card, SIGNED - {"E_ROSTER"} | {"E_FPR", "E_KEY"})


def of_manifest(folder: Path) -> Iterator[Kind]:
    world = worlds.world(2)
    codes = SIGNED | {"E_SCHEME", "E_TASK"}  # a digest and what it names are compared before the signature
    return of_envelope(world.manifest(world.keys[0]), lambda found: manifest.read(found, world.log), codes)


def of_shard(folder: Path) -> Iterator[Kind]:
    """Beside its manifest, and by itself."""
    world = worlds.world(1)
    offer = manifest.load(world.publish(folder / "data", world.keys[0]), world.log)
    path = folder / "data" / offer.predicate["shards"][0]["path"]
    sound = path.read_bytes()

    def beside_manifest(data: bytes) -> None:
        path.write_bytes(data)
        for fault in manifest.shard_faults(offer, folder / "data"):
            raise fault

    def alone(data: bytes) -> tuple[Any, ...]:
        path.write_bytes(data)
        found = shards.opened(path)
        return found.images.shape[0], found.images.sum(), None if found.labels is None else found.labels.sum()

    yield Kind(sound, beside_manifest, {"E_SHARD", "E_SHA"})
    yield Kind(sound, alone, {"E_SHARD"}, _of_that_size)


def _of_that_size(changed: bytes, found: tuple[Any, ...], sound: tuple[Any, ...]) -> bool:
    """A tensor file has no checksum of its own (I.1).

    Another pixel, another id in its head and another spelling of the head are found by the manifest's SHA-256 only. Its
    rows and its size are bound to each other.
    """
    return found[0] == sound[0]


def of_keystore(folder: Path) -> Iterator[Kind]:
    path = worlds.keystore_of(folder, "anna").path
    sound = path.read_bytes()

    def read(data: bytes) -> None:
        path.write_bytes(data)
        with keystore.opened(path, Unlock(passphrase=lambda: _passphrase(data == sound))):
            pass

    # format and version are looked at first, so that a keystore of the future is not called damaged
    yield Kind(sound, read, {"E_CORRUPT", "E_FORMAT", "E_VERSION"})


def _passphrase(whole: bool) -> bytes:
    assert whole, "the passphrase was asked for although the file is damaged"
    return worlds.PASSPHRASE


def of_summed_keystore(folder: Path) -> Iterator[Kind]:
    """By somebody who can write the file and makes its sum anew, but has no passphrase. Every reading tries one."""
    path = worlds.keystore_of(folder, "anna").path
    document = json.loads(path.read_bytes())

    def changing(put: Callable[[dict[str, Any], str], None]) -> Callable[[bytes], None]:
        def read(data: bytes) -> None:
            changed = json.loads(json.dumps(document))
            put(changed, data.decode("latin-1"))
            whole = canonical({name: value for name, value in changed.items() if name != "sum"})
            path.write_bytes(canonical(changed | {"sum": hashlib.sha256(whole).hexdigest()}) + b"\n")
            with keystore.opened(path, worlds.PASSPHRASE):
                pass

        return read

    salt, wrap = (document["slots"][0]["kdf"]["salt"], document["slots"][0]["wrap"])
    slot_codes = {"E_FORMAT", "E_PASSPHRASE"}
    yield Kind(document["body"].encode(), changing(lambda d, text: d.update(body=text)), {"E_FORMAT", "E_TAMPERED"})
    yield Kind(wrap.encode(), changing(lambda d, text: d["slots"][0].update(wrap=text)), slot_codes)
    yield Kind(salt.encode(), changing(lambda d, text: d["slots"][0]["kdf"].update(salt=text)), slot_codes)
    yield Kind(document["id"].encode(), changing(lambda d, text: d.update(id=text)), slot_codes)


def of_bundle(folder: Path) -> Iterator[Kind]:
    """The statement in its file and below its signature, and each of the four files."""
    from tests.vectors import statements

    world, place = statements.WORLD, folder / "model"
    bundle.make(place, statements.LAB, statements.BUNDLE, statements.FILES)

    def put(name: str) -> Callable[[bytes], Any]:
        def read(data: bytes) -> Any:
            (place / name).write_bytes(data)
            return bundle.load(place, world.log, NOW).envelope

        return read

    envelope, codes = bundle.read_statement(place), SIGNED | {"E_SCHEME", "E_TASK"}
    in_file = put(bundle.STATEMENT)
    yield Kind(envelope.to_bytes(), lambda data: in_file(data).to_bytes(), codes, _spelt_otherwise)
    yield Kind(envelope.payload, lambda data: in_file(replace(envelope, payload=data).to_bytes()), codes)
    in_file(envelope.to_bytes())
    for name in bundle.REQUIRED:
        yield Kind((place / name).read_bytes(), put(name), {"E_SHA"}, share=len(bundle.REQUIRED))
        (place / name).write_bytes(statements.FILES[name])


def _asked(world: worlds.World, role: str) -> tuple[Any, Envelope, grant.Join]:
    key = world.keys[1] if role == "holder" else worlds.identity("camera", role)
    times = {"created": CREATED, "expires": worlds.NOT_AFTER}
    asked = grant.make_join(key, world.log.fed, kem_seed=sealings.seed_of(key), nonce=bytes(32), **times)
    return key, asked, grant.read_join(asked, world.log.fed, NOW)


def of_join(folder: Path) -> Iterator[Kind]:
    world = worlds.world(2)
    _, asked, _ = _asked(world, "holder")
    codes = SIGNED - {"E_ROSTER"} | {"E_FPR", "E_KEY"}
    return of_envelope(asked, lambda found: grant.read_join(found, world.log.fed, NOW), codes)


def of_grant(folder: Path) -> Iterator[Kind]:
    world = worlds.world(2)
    key, asked, join = _asked(world, "holder")
    given = grant.make_grant(world.keys[0], world.log, join, {1: world.secret})
    mine = {"me": key.entry.fpr, "join": asked.mid, "kem_seed": sealings.seed_of(key)}
    return of_envelope(given, lambda found: grant.open_grant(found, world.log, **mine), SIGNED)


def of_delegate(folder: Path) -> Iterator[Kind]:
    world = worlds.world(2)
    key, asked, join = _asked(world, "device")
    tag, descriptor = Tag.of(world.predicate(world.keys[0])), Descriptor.from_json(LE.to_json())
    lent = delegate.make_delegate(world.keys[0], world.log, join, descriptor, tag, world.scheme_key())
    mine = {"me": key.entry.fpr, "join": asked.mid, "kem_seed": sealings.seed_of(key)}
    return of_envelope(lent, lambda found: delegate.open_delegate(found, world.log, **mine), SIGNED)


def of_recipient(folder: Path) -> Iterator[Kind]:
    world = sealings.federation()
    document = sealings.offered(sealings.LAB, world.log)
    read = lambda found: recipient.read_recipient(found, world.log, NOW)  # noqa: E731
    return of_envelope(document, read, SIGNED | {"E_FPR", "E_KEY"})


def of_sealing(folder: Path) -> Iterator[Kind]:
    sealed = sealings.sealed(folder / "data")
    return of_envelope(sealed.envelope(), sealed.read, SIGNED)


def of_sealed_shard(folder: Path) -> Iterator[Kind]:
    """As a file that its sealing names, and as a stream of which nothing is known but the key."""
    sealed = sealings.sealed(folder / "data")
    found = sealed.read(sealed.envelope()).shards(sealings.DATA_KEY)[0]
    path, target = sealed.folder / found.sealed_path, folder / "opened"

    def in_file(data: bytes) -> None:
        path.write_bytes(data)
        try:
            sealedfile.unseal_file(path, target, found.key, found.context, found.sealed, found.plain)
        finally:
            assert target.exists() == (data == sound), "what was refused has got its name"
            target.unlink(missing_ok=True)

    sound = path.read_bytes()
    yield Kind(sound, in_file, {"E_SHARD", "E_TAMPERED"})
    yield Kind(sound, lambda data: b"".join(sealedfile.unseal([data], found.key, found.context)), {"E_TAMPERED"})


def of_log(folder: Path) -> Iterator[Kind]:
    """An exported log; and the copy of somebody who follows it is not moved by any change."""
    world = worlds.world(2)
    log = worlds.grown(
        world.log, worlds.retire_record(world.log, [1], world.keys), worlds.notice_of(world.log, world.keys[0])
    )
    path, copy, sound = folder / "exported.log", folder / "followed.log", logfile.log_bytes(log)

    def read(data: bytes) -> list[str]:
        path.write_bytes(data)
        found = _mids(logfile.read_log(path, log.code))
        copy.write_bytes(sound)
        assert _mids(logfile.import_log(path, copy)[0]) == _mids(log), "the copy of a follower was moved"
        return found

    yield Kind(sound, read, FORM | {"E_FED", "E_QUORUM", "E_ROSTER", "E_FPR", "E_KEY", "E_SUITE"}, _cut_short)


def _mids(log: Log) -> list[str]:
    return [envelope.mid for envelope in (*log.records, *log.notices)]


def _cut_short(changed: bytes, found: list[str], sound: list[str]) -> bool:
    """Records and notices that do not verify are passed over (C.3): what is left is the beginning of the same chain.

    That a record is withheld shows in the heads that manifests and bundles carry (E_HEAD), and to whoever follows.
    """
    return [mid for mid in sound if mid in found] == found and found[0] == sound[0]


KINDS: dict[str, Callable[[Path], Iterator[Kind]]] = {
    "card": of_card,
    "manifest": of_manifest,
    "shard": of_shard,
    "keystore": of_keystore,
    "bundle": of_bundle,
    "join": of_join,
    "grant": of_grant,
    "delegate": of_delegate,
    "recipient": of_recipient,
    "sealing": of_sealing,
    "sealed shard": of_sealed_shard,
    "log": of_log,
}
EXPENSIVE = {"keystore with a new sum": of_summed_keystore}  # each reading is a guess at the passphrase


def mutations(document: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Changed copies: most with one byte replaced, inserted or removed, some cut short, some made longer."""
    rng, done = random.Random(seed), 0
    while done < count:
        place = rng.randrange(len(document))
        byte = bytes(
            [rng.choice(document) if rng.random() < 1 / 2 else rng.randrange(256)]
        )  # half stay in the alphabet
        longer = document + rng.choice((b"\0", b"\n", byte, rng.randbytes(64), document))
        changed = rng.choices(
            (
                document[:place] + byte + document[place + 1 :],
                document[:place] + byte + document[place:],
                document[:place] + document[place + 1 :],
                document[:place],
                longer,
            ),
            (10, 4, 3, 1, 1),
        )[0]
        if changed != document:
            done += 1
            yield changed


@dataclass
class Answers:
    """How often each answer came, and in full those that must not come."""

    codes: dict[str, int]
    wrong: list[str]


def try_all(kind: Kind, count: int, seed: int) -> Answers:
    """Read every mutation of a document."""
    sound, answers = kind.read(kind.document), Answers({}, [])
    for number, changed in enumerate(mutations(kind.document, count, seed)):
        signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
        try:
            found = kind.read(changed)
            code, said = ("same" if kind.same(changed, found, sound) else "accepted"), ""
        except BlindsightError as error:
            code, said = error.code, error.message
        except Exception as error:  # whatever it is, no reader may raise it
            code, said = type(error).__name__, str(error)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        answers.codes[code] = answers.codes.get(code, 0) + 1
        if code not in kind.codes | {"same"}:
            answers.wrong.append(f"mutation {number}: {code} {said}")
    return answers


def _limit_memory() -> None:
    if not Path("/proc/self/statm").exists():
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + MOST_MIB * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _too_long(*_: object) -> None:
    raise TimeoutError(f"a reading took more than {MOST_SECONDS} seconds")


def main(name: str, count: int, seed: int) -> list[Answers]:
    """Try one kind: the answers for each of its documents."""
    signal.signal(signal.SIGALRM, _too_long)
    answers = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in (KINDS | EXPENSIVE)[name](Path(folder)):
            kind.read(kind.document)
            if not answers:
                _limit_memory()
            answers.append(try_all(kind, count // kind.share, seed))
    return answers


def tried(name: str, count: int, seed: int = 1) -> list[dict[str, Any]]:
    """The same in a process of its own, within the limits."""
    words = [sys.executable, "-m", "tests.protocol.test_mutations", name, str(count), str(seed)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def demand_refused(name: str, count: int) -> None:
    found = tried(name, count)
    assert [answers["wrong"] for answers in found if answers["wrong"]] == []
    assert sum(sum(answers["codes"].values()) for answers in found) >= count
    assert all(set(answers["codes"]) - {"same"} for answers in found)


@pytest.mark.parametrize("name", KINDS)
def test_every_mutation_is_refused_with_a_code_of_its_kind(name):
    demand_refused(name, COUNT)


@pytest.mark.parametrize("name", EXPENSIVE)
def test_a_few_mutations_of_what_is_expensive_to_read_are_refused(name):
    demand_refused(name, 30)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPENSIVE)
def test_every_mutation_of_what_is_expensive_to_read_is_refused(name):
    demand_refused(name, COUNT)


def test_a_reader_that_accepts_a_change_is_found_out():
    answers = try_all(Kind(b'{"a":1}', lambda data: None, FORM), 5, 1)
    assert (answers.codes, len(answers.wrong)) == ({"accepted": 5}, 5)


def test_a_reader_that_crashes_or_refuses_with_another_code_is_found_out():
    assert "JSONDecodeError" in try_all(Kind(b'{"a":1}', json.loads, FORM), 50, 1).codes
    genesis = worlds.genesis(worlds.holders(1)).to_bytes()
    assert any("E_FORMAT" in wrong for wrong in try_all(Kind(genesis, Envelope.from_bytes, {"E_SIG"}), 50, 1).wrong)


if __name__ == "__main__":
    sys.stdout.write(json.dumps([asdict(answers) for answers in main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))]))
