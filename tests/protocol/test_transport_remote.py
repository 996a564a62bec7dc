"""What fsspec reaches: no credentials in a place, nothing half-written, one sentence for every library's errors."""

import importlib
import secrets
import sys

import pytest

from blindsight.protocol import transport
from blindsight.protocol.errors import BlindsightError, DataError, FormatError, MissingExtraError
from blindsight.protocol.transport.remote import Remote

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")

SECRET = "hunter2secret"


@pytest.fixture
def box():
    return Remote(f"memory://{secrets.token_hex(6)}")


@pytest.mark.parametrize(
    "url",
    [f"s3://key:{SECRET}@bucket/box", f"s3://{SECRET}@bucket/box", f"sftp://anna:{SECRET}@host/box",
     f"s3://bucket/box?secret={SECRET}", f"s3://bucket/box#{SECRET}", f"simplecache::s3://{SECRET}@bucket/box"],
)  # fmt: skip
def test_a_place_with_a_secret_in_it_is_refused_without_repeating_it(url):
    with pytest.raises(DataError) as caught:
        transport.at(url)
    assert SECRET not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("url", ["memory://a*", "memory://a[b]", "memory://{a,b}", "s3://[bad/box", "memory://a?b"])
def test_a_place_that_libraries_take_for_a_pattern_is_refused(url):
    with pytest.raises(DataError):
        transport.at(url)


def test_a_kind_that_nobody_knows_is_refused():
    with pytest.raises(DataError, match="nothing-known"):
        transport.at("nothing-known://box")


def test_a_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtraError) as caught:
        transport.at("memory://box")
    assert "blindsight[remote]" in caught.value.hint


def test_a_missing_library_of_one_kind_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, "s3", raising=False)
    with pytest.raises(MissingExtraError, match="s3://") as caught:
        transport.at("s3://bucket/box")
    assert "blindsight[remote]" in caught.value.hint


class LibraryError(Exception):
    """Such as libraries raise."""


def failing(*words, **options):
    raise LibraryError(f"GET https://key:{SECRET}@host failed")


def use(box, folder):
    box.send(folder / "source", "a/two.bin")
    box.put("a/one.json", b"2")
    box.fetch("a/one.json", folder / "target", 2**20)
    list(box.documents("a"))


@pytest.mark.parametrize("step", ["ls", "pipe_file", "put_file", "mv", "open", "info"])
def test_an_error_of_the_library_is_one_sentence_without_its_words(monkeypatch, tmp_path, box, step):
    (tmp_path / "source").write_bytes(b"x")
    box.put("a/one.json", b"1")
    monkeypatch.setattr(box._files, step, failing)
    with pytest.raises(FormatError) as caught:
        use(box, tmp_path)
    assert (caught.value.code, caught.value.__cause__) == ("E_IO", None)
    assert "LibraryError" in caught.value.message
    assert SECRET not in caught.value.message + caught.value.hint


def test_one_document_that_cannot_be_read_does_not_hide_the_others(monkeypatch, box):
    for name in ("a", "b", "c"):
        box.put(f"f/{name}.json", name.encode())
    whole = box._files.cat_file
    monkeypatch.setattr(
        box._files, "cat_file", lambda path, **o: failing() if path.endswith("b.json") else whole(path, **o)
    )
    faults = [piece.fault.code if piece.fault else piece.data for piece in box.documents("f")]
    assert faults == [b"a", "E_IO", b"c"]


def test_what_is_half_written_is_never_seen(monkeypatch, tmp_path, box):
    (tmp_path / "source").write_bytes(b"new" * 1000)
    box.put("a/one.json", b"old")
    seen = []
    whole = box._files.put_file

    def half(source, target, **options):
        whole(source, target, **options)
        seen.append((box.files("a"), [piece.data for piece in box.documents("a")]))
        raise OSError(5, SECRET)

    monkeypatch.setattr(box._files, "put_file", half)
    with pytest.raises(FormatError, match="Input/output error"):
        box.send(tmp_path / "source", "a/one.json")
    assert seen == [(["one.json"], [b"old"])]
    assert [about["name"].rpartition("/")[2] for about in box._files.ls(f"{box._root}/a")] == ["one.json"]


def test_names_that_are_not_safe_are_passed_over(box):
    box.put("a/one.json", b"x")
    for name in ("ä.json", ".hidden.json", "back\\slash.json", "line\nbreak.json"):
        box._files.pipe_file(f"{box._root}/a/{name}", b"x")
    assert box.files("a") == ["one.json"]
    assert len(list(box.documents("a"))) == 1


def test_a_store_that_cannot_be_reached_is_a_sentence(monkeypatch):
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SECRET)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(BlindsightError) as caught:
        Remote("s3://bucket/box").put("a/one.json", b"x")
    assert caught.value.code == "E_IO"
    assert SECRET not in caught.value.message + caught.value.hint
