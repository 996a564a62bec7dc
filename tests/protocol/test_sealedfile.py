"""Sealed files: they open whole under one key and context, and what does not open whole leaves nothing behind."""

import hashlib
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.protocol import sealedfile
from blindsight.protocol.errors import BlindsightError, FormatError, SignatureError
from blindsight.protocol.sealedfile import CHUNK_BYTES, HEAD_BYTES, PIECE_BYTES, TAG_BYTES, Stamp

KEY, CONTEXT = hashlib.sha256(b"key").digest(), b"context"
SEALED_CHUNK = CHUNK_BYTES + TAG_BYTES
PLAIN = random.Random(0).randbytes(5 * CHUNK_BYTES + 100)
BRIEFLY = settings(deadline=None, max_examples=30)


def sealed_of(plain=PLAIN, key=KEY, context=CONTEXT):
    return b"".join(sealedfile.seal([plain], key, context))


def opened(data, key=KEY, context=CONTEXT, step=PIECE_BYTES):
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    return b"".join(sealedfile.unseal(pieces, key, context))


def stamp_of(data):
    return Stamp(len(data), hashlib.sha256(data).hexdigest())


SEALED = sealed_of()


@BRIEFLY
@given(st.integers(0, 3 * CHUNK_BYTES), st.integers(1, 2 * CHUNK_BYTES))
def test_unsealing_inverts_sealing_however_the_stream_is_cut(size, step):
    data = sealed_of(PLAIN[:size])
    assert len(data) == sealedfile.sealed_bytes(size)
    assert opened(data, step=step) == PLAIN[:size]


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, len(PLAIN)])
def test_the_size_of_a_sealed_file_follows_from_the_plain_one(size):
    assert len(sealed_of(PLAIN[:size])) == sealedfile.sealed_bytes(size)


def test_the_same_file_sealed_twice_differs():
    assert sealed_of() != SEALED


def test_no_piece_of_the_plain_file_stands_in_the_sealed_one():
    assert not any(PLAIN[start : start + 16] in SEALED for start in range(0, len(PLAIN), 997))


WRONG = {
    "another key": {"key": bytes(32)},
    "another context": {"context": b"other"},
    "empty": {"data": b""},
    "only the head": {"data": SEALED[:HEAD_BYTES]},
    "cut in a chunk": {"data": SEALED[:-1]},
    "cut between chunks": {"data": SEALED[: HEAD_BYTES + 2 * SEALED_CHUNK]},
    "without its last chunk": {"data": SEALED[: HEAD_BYTES + 5 * SEALED_CHUNK]},
    "extended": {"data": SEALED + b"\0"},
    "extended by a chunk": {"data": SEALED + SEALED[HEAD_BYTES : HEAD_BYTES + SEALED_CHUNK]},
    "said twice": {"data": SEALED + SEALED},
    "two chunks swapped": {
        "data": SEALED[:HEAD_BYTES]
        + SEALED[HEAD_BYTES + SEALED_CHUNK : HEAD_BYTES + 2 * SEALED_CHUNK]
        + SEALED[HEAD_BYTES : HEAD_BYTES + SEALED_CHUNK]
        + SEALED[HEAD_BYTES + 2 * SEALED_CHUNK :]
    },
    "a chunk of another file under the same key": {
        "data": SEALED[: HEAD_BYTES + SEALED_CHUNK] + sealed_of()[HEAD_BYTES + SEALED_CHUNK :]
    },
    "a chunk dropped": {"data": SEALED[:HEAD_BYTES] + SEALED[HEAD_BYTES + SEALED_CHUNK :]},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("step", [1000, PIECE_BYTES])
def test_a_stream_that_is_not_the_one_sealed_does_not_open(change, step):
    with pytest.raises(SignatureError) as caught:
        opened(**({"data": SEALED} | change), step=step)
    assert caught.value.code == "E_TAMPERED"


def test_what_comes_out_before_a_fault_is_a_part_of_the_plain_file():
    stream = sealedfile.unseal([SEALED[:50_000], SEALED[50_000:-1]], KEY, CONTEXT)
    got = next(stream) + next(stream)
    assert PLAIN.startswith(got)
    assert 2 * CHUNK_BYTES < len(got) < len(PLAIN)
    with pytest.raises(SignatureError):
        next(stream)


# Files.


@pytest.fixture
def files(tmp_path):
    (tmp_path / "plain").write_bytes(PLAIN)
    stamp = sealedfile.seal_file(tmp_path / "plain", tmp_path / "sealed", KEY, CONTEXT, stamp_of(PLAIN))
    return tmp_path, stamp


def unsealed(folder, sealed, plain=None, **changes):
    keys = {"key": KEY, "context": CONTEXT} | changes
    sealedfile.unseal_file(folder / "sealed", folder / "again", sealed=sealed, plain=plain or stamp_of(PLAIN), **keys)


def test_a_file_comes_back_as_it_was(files):
    folder, stamp = files
    assert stamp == stamp_of((folder / "sealed").read_bytes())
    unsealed(folder, stamp)
    assert (folder / "again").read_bytes() == PLAIN


def test_a_sealed_file_on_its_way_is_the_owners_alone(files):
    assert (files[0] / "sealed").stat().st_mode & 0o077 == 0


def test_a_plain_file_that_was_not_signed_is_not_sealed(files):
    folder, _ = files
    with pytest.raises(SignatureError) as caught:
        sealedfile.seal_file(folder / "plain", folder / "other", KEY, CONTEXT, stamp_of(PLAIN[:-1] + b"?"))
    assert caught.value.code == "E_SHA"
    assert sorted(path.name for path in folder.iterdir()) == ["plain", "sealed"]


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(FormatError) as caught:
        sealedfile.seal_file(tmp_path / "none", tmp_path / "sealed", KEY, CONTEXT, stamp_of(b""))
    assert caught.value.code == "E_IO"


def test_another_plain_file_than_the_manifest_names_gets_no_name(files):
    folder, stamp = files
    with pytest.raises(SignatureError) as caught:
        unsealed(folder, stamp, stamp_of(PLAIN[:-1] + b"?"))
    assert caught.value.code == "E_SHA"
    assert sorted(path.name for path in folder.iterdir()) == ["plain", "sealed"]


def test_the_same_shard_sealed_again_is_not_the_file_that_the_sealing_names(files):
    folder, stamp = files
    (folder / "sealed").write_bytes(sealed_of())
    with pytest.raises(SignatureError) as caught:
        unsealed(folder, stamp)
    assert caught.value.code == "E_TAMPERED"
    assert not (folder / "again").exists()


@pytest.mark.parametrize("data", [b"", SEALED[:-1], SEALED + b"\0"], ids=["empty", "cut", "extended"])
def test_a_sealed_file_of_another_size_is_refused_before_it_is_read(files, data):
    folder, stamp = files
    (folder / "sealed").write_bytes(data)
    with pytest.raises(FormatError, match="its sealing states") as caught:
        unsealed(folder, stamp)
    assert caught.value.code == "E_SHARD"


def test_no_changed_byte_of_a_sealed_file_passes_and_nothing_stays_behind(files):
    folder, stamp = files
    draws, data = random.Random(1), (folder / "sealed").read_bytes()
    for _ in range(300):
        changed = bytearray(data)
        changed[draws.randrange(len(data))] ^= draws.randrange(1, 256)
        (folder / "sealed").write_bytes(changed)
        with pytest.raises(BlindsightError) as caught:
            unsealed(folder, stamp)
        assert caught.value.code == "E_TAMPERED"
        assert sorted(path.name for path in folder.iterdir()) == ["plain", "sealed"]


def test_memory_does_not_grow_with_the_file(tmp_path):
    piece, count = random.Random(2).randbytes(PIECE_BYTES), 64
    digest = hashlib.sha256()
    with (tmp_path / "plain").open("wb") as file:
        for _ in range(count):
            file.write(piece)
            digest.update(piece)
    plain = Stamp(count * PIECE_BYTES, digest.hexdigest())
    tracemalloc.start()
    try:
        stamp = sealedfile.seal_file(tmp_path / "plain", tmp_path / "sealed", KEY, CONTEXT, plain)
        unsealed(tmp_path, stamp, plain)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * PIECE_BYTES
    assert (tmp_path / "again").stat().st_size == plain.bytes


def test_no_error_shows_the_key():
    with pytest.raises(SignatureError) as caught:
        opened(SEALED, context=b"other")
    assert KEY.hex() not in str(caught.value)
