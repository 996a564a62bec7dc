"""Whatever strangers write, readers answer or refuse: no other exception comes out of any parser.

Bytes of no shape at all; sound documents with parts replaced, signed anew by whom they name, so that what lies behind
the signature is reached, too; and the inputs in ``tests/vectors/corpus``.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blindsight.protocol import (
    agreement,
    bundle,
    delegate,
    fields,
    grant,
    keystore,
    logfile,
    manifest,
    recipient,
    records,
    sealing,
    shard,
    tensorfile,
)
from blindsight.protocol.clock import is_past
from blindsight.protocol.dropbox import read_card
from blindsight.protocol.encoding import canonical, parse_canonical, parse_json, to_b64
from blindsight.protocol.envelope import IN_TOTO, Envelope, payload_type
from blindsight.protocol.errors import BlindsightError
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.keystore import marker, recovery
from blindsight.protocol.log import Log
from blindsight.protocol.scheme import Descriptor
from blindsight.protocol.tag import Tag, read_stream_tag
from tests.protocol import sealings, worlds
from tests.protocol.worlds import CREATED, LE, NOW

CORPUS = Path(__file__).parents[1] / "vectors" / "corpus"
LARGEST = 8_192
ALIKE = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
BRIEFLY, LONGER = settings(ALIKE, max_examples=60), settings(ALIKE, max_examples=300)

# What an author may write: values at the edges of every check, and any JSON besides.
NUMBERS = [None, True, False, 0, 1, -1, 2**31, 2**53 - 1, -(2**53), 2**53, 2**64, 10**400, 1.5, 1e308]
WORDS = ["0", "١", "²", "\x1b[2J", "\x00", "�", "\u202e", "../x", "E_FORMAT", "E_BOX", "le", "holder", "device"]
MOMENTS = ("2026-02-30T00:00:00", "2026-11-20T24:00:00", "9999-12-31T23:59:59", "2026-11-20T13:00:60")
TIMES = [f"{time}Z" for time in MOMENTS]
YEARS = ["0001-01-01T00:00:00Z", "0000-01-01T00:00:00Z"]
LONG = ["", "a" * 5_000, "/" * 300, "00" * 16, "00" * 32, "ff" * 32, "AB" * 32]
KEYS = [to_b64(bytes([byte]) * size) for byte in (0, 255) for size in (32, 1168, 1216)]
TREES: list[Any] = [[], {}, [[]], [{}], {"": ""}, {"\u00e9": 1}]
EDGES = [*NUMBERS, *WORDS, *TIMES, *YEARS, *LONG, *KEYS, *TREES]
SCALARS = st.sampled_from(EDGES).map(copy.deepcopy) | st.integers() | st.text(max_size=12) | st.floats()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
DEEP = st.builds(
    lambda n, pair: pair[0] * n + pair[1] * n,
    st.sampled_from([15, 16, 17, 900, 100_000]),
    st.sampled_from(["[]", ('{"a":', "}")]),
)
JSON_TEXT = st.builds(lambda value: json.dumps(value).encode(), VALUES) | DEEP.map(str.encode)
DIGITS = st.builds(lambda n: b"1" * n, st.sampled_from([15, 16, 17, 18, 4_301, 100_000]))
ANYTHING = st.binary(max_size=300) | JSON_TEXT | DIGITS | st.text(max_size=40).map(lambda text: text.encode())


def answers_or_refuses(read: Callable[..., Any], *given: Any) -> None:
    with contextlib.suppress(BlindsightError):
        read(*given)


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterable[tuple[Any, ...]]:
    """The path to every value inside a document."""
    inside = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, value in inside:
        yield (*path, name)
        yield from places(value, (*path, name))


@st.composite
def twisted(draw: st.DrawFn, document: Any) -> Any:
    """A document with one to three of its parts replaced, removed, doubled or moved."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        paths = list(places(changed))
        if not paths:
            return draw(VALUES)
        *above, name = draw(st.sampled_from(paths))
        holder = changed
        for step in above:
            holder = holder[step]
        act = draw(st.sampled_from(["replace", "replace", "borrow", "remove", "add"]))
        if act == "remove":
            del holder[name]
        elif act == "add" and isinstance(holder, list):
            holder.append(draw(VALUES | st.just(holder[name])))
        elif act == "add":
            holder[draw(st.sampled_from(["x", "v", "type", "\u00e9", "a" * 90]))] = draw(VALUES)
        elif act == "borrow":
            holder[name] = copy.deepcopy(_at(changed, draw(st.sampled_from(paths))))
        else:
            holder[name] = draw(VALUES)
    return changed


def _at(document: Any, path: tuple[Any, ...]) -> Any:
    with contextlib.suppress(LookupError, TypeError):
        for step in path:
            document = document[step]
    return document


def written(document: Any) -> bytes:
    """The document as a payload: canonical if it has such a form."""
    try:
        return canonical(document)
    except BlindsightError:
        return json.dumps(document).encode()


@dataclass(frozen=True)
class Reader:
    """A signed document, who signs it, and its reader."""

    envelope: Envelope
    signers: tuple[SigningKey, ...]
    read: Callable[[Envelope], Any]

    def signed(self, payload: bytes) -> Envelope:
        return worlds.signed_by(Envelope(self.envelope.type, payload, {}), self.signers)


def read_by(log: Log, read: Callable[[Log], Any]) -> Callable[[Envelope], Any]:
    """Read a record as a part of a chain, then what the chain says."""
    return lambda envelope: (records.read_record(envelope), read(Log.build([*log.records, envelope])))


def say_all(log: Log) -> None:
    for number in log.epochs:
        log.objections(number, NOW)
        log.epoch(number).allows(LE)
    log.pending(log.records)
    log.demand_code(log.code)


@cache
def readers() -> dict[str, Reader]:
    """Every kind of signed document."""
    world = worlds.world(2)
    one, two = world.keys
    lab, camera = worlds.identity("lab", "trainer"), worlds.identity("camera", "device")
    fresh = worlds.founded(world.keys, [lab.entry])
    found = {
        "genesis": Reader(fresh.records[0], (one, two), lambda e: say_all(Log.build([e]))),
        "epoch": Reader(worlds.record(fresh, [], seq=1, epoch=1), (one, two), read_by(fresh, say_all)),
        "roster": Reader(worlds.roster_record(world.log, [one.entry], []), (one,), read_by(world.log, say_all)),
        "retire": Reader(worlds.retire_record(world.log, [1], []), (one, two), read_by(world.log, say_all)),
        "notice": Reader(worlds.notice_of(world.log, one), (one,), read_by(world.log, say_all)),
    }
    return found | _of_ceremony(fresh, one, two) | _of_secrets(world, camera) | _of_data(world, lab)


def _of_ceremony(log: Log, one: SigningKey, two: SigningKey) -> dict[str, Reader]:
    open_ones = worlds.sessions([one, two], log)
    before = dict(open_ones)
    for _ in range(2):
        worlds.exchange(open_ones, [one, two])
    mine, theirs = before[one.entry.fpr], open_ones[two.entry.fpr]
    commit, reveal, confirm = theirs.outbox
    revealed = agreement.advance(agreement.receive(mine, commit), one)
    complaint = {"v": 1, "type": "complaint", "sid": mine.sid, "from": two.entry.fpr, "about": one.entry.fpr}
    complaint |= {"code": "E_BOX", "kem_seed": to_b64(theirs.kem_seed or bytes(32))}
    abort = {"v": 1, "type": "abort", "sid": mine.sid, "from": two.entry.fpr, "reason": "person"}
    take = lambda session: lambda e: agreement.advance(agreement.receive(session, e), one)  # noqa: E731
    return {
        "propose": Reader(mine.proposal, (one,), partial(agreement.read_proposal, log)),
        "commit": Reader(commit, (two,), take(mine)),
        "reveal": Reader(reveal, (two,), take(revealed)),
        "confirm": Reader(confirm, (two,), take(revealed)),
        "complaint": Reader(Envelope.of("complaint", complaint), (two,), take(revealed)),
        "abort": Reader(Envelope.of("abort", abort), (two,), take(revealed)),
    }


def _of_secrets(world: worlds.World, camera: SigningKey) -> dict[str, Reader]:
    one, two = world.keys
    times = {"created": CREATED, "expires": worlds.NOT_AFTER}
    asked, lent_to = (
        grant.make_join(key, world.log.fed, kem_seed=sealings.seed_of(key), nonce=bytes(32), **times)
        for key in (two, camera)
    )
    joins = [grant.read_join(envelope, world.log.fed, NOW) for envelope in (asked, lent_to)]
    given = grant.make_grant(one, world.log, joins[0], {1: world.secret})
    descriptor = Descriptor.from_json(LE.to_json())
    lent = delegate.make_delegate(
        one, world.log, joins[1], descriptor, Tag.of(world.predicate(one)), world.scheme_key()
    )
    mine, its = (
        {"me": key.entry.fpr, "join": envelope.mid, "kem_seed": sealings.seed_of(key)}
        for key, envelope in ((two, asked), (camera, lent_to))
    )
    card = Envelope.of("identity", {"v": 1, "type": "identity", "entry": one.entry.to_json(), "created": CREATED})
    return {
        "card": Reader(card, (one,), read_card),
        "join": Reader(asked, (two,), lambda e: grant.read_join(e, world.log.fed, NOW)),
        "grant": Reader(given, (one,), lambda e: (grant.granted_to(e), grant.open_grant(e, world.log, **mine))),
        "delegate": Reader(lent, (one,), lambda e: delegate.open_delegate(e, world.log, **its)),
    }


def _of_data(world: worlds.World, lab: SigningKey) -> dict[str, Reader]:
    from tests.vectors import statements

    clinic = sealings.federation()
    one, _ = clinic.keys
    offer = manifest.read(clinic.manifest(one), clinic.log)
    to = [sealings.recipient(key, clinic.log) for key in (sealings.LAB, sealings.WARD)]
    sizes = [sealings.Stamp(sealings.sealing.sealed_bytes(4096), "ab" * 32)]
    parts = {"name": sealings.NAME, "data_key": sealings.DATA_KEY, "files": sizes, "created": CREATED}
    sealed = sealing.make_sealing(one, offer, clinic.log.head, to, **parts)
    stated = statements.BUNDLE
    digests = statements.DIGESTS
    model = sealings.manifest.statement.make(bundle.PREDICATE_TYPE, digests, stated)

    def read_bundle(envelope: Envelope) -> None:
        _, predicate = bundle.parse_unsigned(envelope)
        bundle.demand_signed(envelope, predicate, statements.AGREED)
        bundle.demand_contents(predicate, statements.FILES)

    def read_manifest(envelope: Envelope) -> None:
        found = manifest.read(envelope, world.log)
        found.descriptor.check()
        manifest.shard_faults(found, CORPUS)

    return {
        "manifest": Reader(world.manifest(world.keys[0]), (world.keys[0],), read_manifest),
        "bundle": Reader(model, (statements.LAB,), read_bundle),
        "recipient": Reader(
            sealings.offered(sealings.LAB, clinic.log),
            (sealings.LAB,),
            lambda e: recipient.read_recipient(e, clinic.log, NOW),
        ),
        "sealing": Reader(sealed, (one,), lambda e: sealing.read_sealing(e, clinic.log, offer)),
    }


NAMES = (
    *("genesis", "epoch", "roster", "retire", "notice", "propose", "commit", "reveal", "confirm", "complaint", "abort"),
    *("card", "join", "grant", "delegate", "manifest", "bundle", "recipient", "sealing"),
)


def test_every_kind_of_document_has_a_reader_that_takes_the_sound_one():
    assert tuple(readers()) == NAMES
    for name in set(NAMES) - {"complaint"}:  # a false one is refused, and a true one needs a cheat
        reader = readers()[name]
        reader.read(reader.signed(reader.envelope.payload))


@pytest.mark.parametrize("name", NAMES)
def test_a_document_with_parts_replaced_and_signed_anew_is_answered_or_refused(name):
    reader = readers()[name]

    @BRIEFLY
    @given(twisted(reader.envelope.body()))
    def check(document):
        answers_or_refuses(reader.read, reader.signed(written(document)))

    check()


@pytest.mark.parametrize("name", NAMES)
def test_any_payload_signed_by_a_member_is_answered_or_refused(name):
    reader = readers()[name]

    @BRIEFLY
    @given(ANYTHING)
    def check(payload):
        answers_or_refuses(reader.read, reader.signed(payload))

    check()


def from_bytes(data: bytes, folder: Path) -> None:
    """Give bytes to everything that reads bytes of strangers."""
    text = data.decode(errors="surrogateescape")
    for read in (partial(parse_json, what="it"), partial(parse_canonical, what="it"), bundle.read_labels):
        answers_or_refuses(read, data)
    answers_or_refuses(partial(of_envelope, data))
    for read in (read_stream_tag, recovery.read_code, sealings_code, _person, _time):
        answers_or_refuses(read, text)
    (folder / "input").write_bytes(data)
    (folder / "input").chmod(0o600)
    for read in (_shard, keystore.examine, _marker, logfile.read_log):
        answers_or_refuses(read, folder / "input")
    answers_or_refuses(tensorfile.parse_layout, data, len(data), "it")


def of_envelope(data: bytes) -> None:
    envelope = Envelope.from_bytes(data)
    assert Envelope.from_bytes(envelope.to_bytes()) == envelope
    for reader in readers().values():
        answers_or_refuses(reader.read, envelope)
        answers_or_refuses(reader.read, reader.signed(envelope.payload))


def sealings_code(text: str) -> None:
    worlds.founded(worlds.holders(1)).demand_code(text)


def _person(text: str) -> None:
    recipient.person([key.entry for key in worlds.holders(2)], text)


def _time(text: str) -> None:
    fields.demand(fields.time, text, "the time")
    is_past(text, NOW)


def _shard(path: Path) -> None:
    found = shard.opened(path)
    assert found.images.shape[0] == found.head.rows
    found.images.sum()


def _marker(path: Path) -> None:
    path.replace(marker.path_of(path))
    try:
        marker.demand_current(path, {"id": "00" * 16, "gen": 1, "sum": "00" * 32})
    finally:
        marker.path_of(path).replace(path)


@LONGER
@given(ANYTHING)
def test_any_bytes_are_answered_or_refused_by_every_reader(tmp_path, data):
    from_bytes(data, tmp_path)


@LONGER
@given(twisted(json.loads(worlds.genesis(worlds.holders(2)).to_bytes())))
def test_an_envelope_with_parts_replaced_is_answered_or_refused(document):
    answers_or_refuses(of_envelope, json.dumps(document).encode())


@LONGER
@given(st.text(max_size=80) | st.sampled_from([edge for edge in EDGES if isinstance(edge, str)]))
def test_any_text_is_answered_or_refused_by_what_reads_text_of_people(text):
    for read in (read_stream_tag, recovery.read_code, sealings_code, _person, _time):
        answers_or_refuses(read, text)


HEADER = json.loads(tensorfile.plan({"image": ("U8", (1, 8, 8, 3)), "label": ("I64", (1,))}, {"v": 1}).head[8:])
HEADER["__metadata__"]["blindsight"] = json.dumps(
    shard.ShardHead("00" * 16, "00" * 32, 1, "00" * 32, 0, 1).to_json(), sort_keys=True, separators=(",", ":")
)
SIDES = st.sampled_from([0, 1, 2, 8, 192, 2**31, 2**32, 2**52, 2**53 - 1])


@LONGER
@given(twisted(HEADER), st.integers(0, 300))
def test_a_tensor_file_with_parts_of_its_header_replaced_is_answered_or_refused(tmp_path, header, size):
    _write_tensors(tmp_path / "x", json.dumps(header).encode(), size)
    answers_or_refuses(_shard, tmp_path / "x")


@LONGER
@given(st.lists(SIDES, max_size=8), st.sampled_from(sorted(tensorfile.DTYPES)))
def test_a_tensor_of_any_shape_is_answered_or_refused(tmp_path, shape, dtype):
    header = copy.deepcopy(HEADER)
    size = tensorfile.Tensor(dtype, tuple(shape), 0).nbytes
    header |= {"image": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}
    del header["label"]
    header["__metadata__"]["blindsight"] = header["__metadata__"]["blindsight"].replace(
        '"rows":1', f'"rows":{shape[0] if shape else 1}'
    )
    _write_tensors(tmp_path / "x", json.dumps(header).encode(), size if size < 1_000 else 0)
    answers_or_refuses(_shard, tmp_path / "x")


def _write_tensors(path: Path, header: bytes, size: int) -> None:
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))


@LONGER
@given(st.data())
def test_a_keystore_with_parts_replaced_and_its_sum_made_anew_is_answered_or_refused(sealed, data):
    path, document = sealed
    changed = data.draw(twisted({name: value for name, value in document.items() if name != "sum"}))
    with contextlib.suppress(BlindsightError):
        from blindsight.protocol.keystore.document import _checksum, to_bytes

        if isinstance(changed, dict):
            path.write_bytes(to_bytes(changed | {"sum": _checksum(changed)}))
        [keystore.describe(slot) for slot in keystore.examine(path)["slots"]]


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    store = worlds.keystore_of(tmp_path_factory.mktemp("fuzz"), "anna")
    from blindsight.protocol import kem

    store.add(recovery.maker(kem.public_key(bytes(32))), keystore.Unlock(recovery=lambda: bytes(32)))
    return store.path, json.loads(store.path.read_bytes())


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.bin")), ids=lambda path: path.stem)
def test_what_was_interesting_once_is_answered_or_refused(path, tmp_path):
    assert path.stat().st_size <= LARGEST
    data = path.read_bytes()
    from_bytes(data, tmp_path)
    for kind in (*records.SHAPES, *agreement.SHAPES, IN_TOTO, payload_type("identity")):
        of_envelope(Envelope(kind, data, {}).to_bytes())


def test_the_corpus_is_there():
    assert len(list(CORPUS.glob("*.bin"))) >= 20


def test_a_parser_that_lets_another_exception_out_is_found_out():
    with pytest.raises(json.JSONDecodeError):
        answers_or_refuses(json.loads, b"{")
