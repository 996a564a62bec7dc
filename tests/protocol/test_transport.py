"""Every transport keeps one contract: a folder, fsspec's memory, S3 and a relay."""

import os
import re
import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest

from blindsight.protocol import transport
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import MAX_DOCUMENT_BYTES
from blindsight.protocol.errors import BlindsightError, DataError
from blindsight.protocol.transport.folder import Folder
from tests.protocol import worlds

KINDS = ("folder", "memory", "local", "s3", "relay")
KEYS = worlds.holders(3)
GENESIS = worlds.genesis(KEYS)


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """A real S3 server on this machine: a bucket's URL."""
    pytest.importorskip("s3fs", reason="s3fs is not installed, so there is nothing to ask S3 with")
    pytest.importorskip("moto", reason="moto is not installed, so there is no S3 server on this machine")
    pytest.importorskip("flask_cors", reason="moto's server is not installed")
    log = tmp_path_factory.mktemp("s3") / "log"
    with log.open("wb") as file, pytest.MonkeyPatch.context() as environment:
        process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        environment.setenv("AWS_ENDPOINT_URL", _address(log, process))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "test")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        environment.setenv("AWS_CONFIG_FILE", os.devnull)
        environment.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        import fsspec

        fsspec.filesystem("s3").mkdir("box")
        yield "s3://box"
        process.terminate()
        process.wait(20)


def _address(log, process):
    for _ in range(600):
        if found := re.search(rb"http://127\.0\.0\.1:\d+", log.read_bytes()):
            return found[0].decode()
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    """A running relay."""
    pytest.importorskip("uvicorn", reason="uvicorn is not installed, so there is no relay")
    pytest.importorskip("starlette", reason="starlette is not installed, so there is no relay")
    from tests.relay import serving

    with serving.serving(tmp_path_factory.mktemp("relay") / "store") as found:
        yield found


@pytest.fixture(params=KINDS)
def place(request, tmp_path):
    """An empty box of each kind: what a person types."""
    name = secrets.token_hex(6)
    if request.param == "folder":
        return str(tmp_path / "box")
    if request.param == "s3":
        return f"{request.getfixturevalue('s3')}/{name}"
    if request.param == "relay":
        return f"relay+{request.getfixturevalue('relay').url}/{name}"
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    return f"memory://{name}" if request.param == "memory" else f"file://{tmp_path}/box"


@pytest.fixture
def box(place):
    return transport.at(place)


def shown(box, folder):
    return [(piece.name, piece.data) for piece in box.documents(folder)]


def test_a_place_that_nobody_used_is_empty(box):
    assert (box.folders(""), box.files("a"), shown(box, "a/b")) == ([], [], [])


def test_a_place_is_what_a_person_typed(place, box):
    assert box.place == place
    assert place in repr(box) or isinstance(box, Folder)


def test_what_one_party_puts_another_reads(place, box):
    box.put("a/b/one.json", b"1")
    box.put("a/b/two.json", b"22")
    assert shown(transport.at(place), "a/b") == [("a/b/one.json", b"1"), ("a/b/two.json", b"22")]


def test_what_is_put_later_is_seen_by_who_has_looked_before(place, box):
    other = transport.at(place)
    for count in range(3):
        assert len(shown(other, "a")) == count
        box.put(f"a/{count}.json", b"x")


def test_documents_come_in_the_order_of_their_names(box):
    for name in ("c", "a", "b"):
        box.put(f"f/{name}.json", name.encode())
    assert [name for name, _ in shown(box, "f")] == ["f/a.json", "f/b.json", "f/c.json"]


def test_a_document_put_twice_is_there_once(box):
    assert box.put("a/one.json", b"1") == box.put("a/one.json", b"1")
    assert shown(box, "a") == [("a/one.json", b"1")]


def test_another_content_under_a_name_is_shown(box):
    box.put("a/one.json", b"old")
    box.put("a/one.json", b"new")
    assert ("a/one.json", b"new") in shown(box, "a")


def test_the_same_content_under_two_names_is_two_documents(box):
    box.put("a/one.json", b"same")
    box.put("a/two.json", b"same")
    assert len(shown(box, "a")) == 2


def test_an_empty_document_is_a_document(box):
    box.put("a/one.json", b"")
    box.put("a/one.json", b"")
    assert shown(box, "a") == [("a/one.json", b"")]


def test_folders_and_files_are_told_apart(box):
    for name in ("top.json", "a/one.json", "a/data.bin", "a/b/two.json", "a/c/d/three.json"):
        box.put(name, b"x")
    assert box.folders("") == ["a"]
    assert box.folders("a") == ["b", "c"]
    assert box.files("a") == ["data.bin", "one.json"]
    assert shown(box, "") == [("top.json", b"x")]
    assert [name for name, _ in shown(box, "a")] == ["a/one.json"]


def test_a_folder_whose_name_begins_like_another_is_another(box):
    box.put("ab/one.json", b"x")
    assert shown(box, "a") == []


@pytest.mark.parametrize(
    "name",
    ["", "/a.json", "../a.json", "a/../b.json", "a//b.json", "a/.b.json", "a\\b.json", "ä.json", "a\n.json", "a/*.json",
     "x" * 256, "a/"],
)  # fmt: skip
def test_a_name_that_is_not_safe_is_refused(box, name):
    with pytest.raises(BlindsightError) as caught:
        box.put(name, b"x")
    assert caught.value.code == "E_FORMAT"
    assert caught.value.message.isascii()


def test_a_copy_that_a_syncing_program_made_is_read(box):
    box.put("a/one (Anna's conflicted copy 2026-11-20).json", b"x")
    assert len(shown(box, "a")) == 1


def test_a_file_goes_there_and_comes_back(tmp_path, box):
    data = secrets.token_bytes(3_000_000)
    (tmp_path / "source").write_bytes(data)
    box.send(tmp_path / "source", "a/shards/0.bin")
    assert box.files("a/shards") == ["0.bin"]
    box.fetch("a/shards/0.bin", tmp_path / "new" / "target", 2**30)
    assert (tmp_path / "new" / "target").read_bytes() == data
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["target"]


def test_no_more_is_fetched_than_expected(tmp_path, box):
    (tmp_path / "source").write_bytes(bytes(1000))
    box.send(tmp_path / "source", "a/x.bin")
    with pytest.raises(BlindsightError) as caught:
        box.fetch("a/x.bin", tmp_path / "target", 999)
    assert (caught.value.code, (tmp_path / "target").exists()) == ("E_SHARD", False)
    box.fetch("a/x.bin", tmp_path / "target", 1000)


def test_a_file_that_is_not_there_is_a_sentence_and_leaves_nothing(tmp_path, box):
    box.put("a/one.json", b"x")
    with pytest.raises(BlindsightError) as caught:
        box.fetch("a/two.bin", tmp_path / "target", 2**30)
    assert caught.value.code == "E_IO"
    assert not (tmp_path / "target").exists()


def test_a_missing_source_is_a_sentence(tmp_path, box):
    with pytest.raises(BlindsightError) as caught:
        box.send(tmp_path / "nothing", "a/one.bin")
    assert caught.value.code == "E_IO"
    assert box.files("a") == []


def test_a_federation_is_founded_over_it(place):
    for key in KEYS:
        site = DropBox(place)
        site.put_card(key, worlds.CREATED)
        site.put_record(worlds.draft(KEYS).signed(key), GENESIS.mid, 0, key.entry.fpr)
    box = DropBox(place)
    assert box.cards() == [key.entry for key in KEYS]
    assert box.log().records == worlds.founded(KEYS).records


@pytest.mark.parametrize("place", ["folder", "memory", "s3"], indirect=True)
def test_no_more_is_read_than_a_document_may_have(tmp_path, place):
    (tmp_path / "large").write_bytes(bytes(MAX_DOCUMENT_BYTES + 9))
    transport.at(place).send(tmp_path / "large", "a/large.json")
    (piece,) = transport.at(place).documents("a")
    assert len(piece.data) == MAX_DOCUMENT_BYTES + 1


def test_a_pipe_in_a_folder_is_reported_and_makes_nobody_wait(tmp_path):
    (tmp_path / "box" / "a").mkdir(parents=True)
    os.mkfifo(tmp_path / "box" / "a" / "pipe.json")
    (tmp_path / "box" / "a" / "terminal.json").symlink_to("/dev/tty")
    box = Folder(tmp_path / "box")
    box.put("a/zero.json", b"there")
    pieces = list(box.documents("a"))
    assert [piece.fault.code if piece.fault else piece.data for piece in pieces] == ["E_IO", "E_IO", b"there"]
    with pytest.raises(BlindsightError) as caught:
        box.fetch("a/pipe.json", tmp_path / "fetched", 2**30)
    assert caught.value.code == "E_IO"


@pytest.mark.parametrize("place", ["relay"], indirect=True)
def test_a_relay_sends_large_files_elsewhere(tmp_path, box):
    (tmp_path / "large").write_bytes(bytes(MAX_DOCUMENT_BYTES + 1))
    with pytest.raises(DataError, match="up to 16 MiB") as caught:
        box.send(tmp_path / "large", "a/large.bin")
    assert "S3" in caught.value.hint


@pytest.mark.parametrize("place", ["relay"], indirect=True)
def test_a_relay_keeps_every_version(box):
    box.put("a/one.json", b"old")
    box.put("a/one.json", b"new")
    assert shown(box, "a") == [("a/one.json", b"old"), ("a/one.json", b"new")]


@pytest.mark.parametrize("text", ["http://relay.example/ward", "https://relay.example/ward"])
def test_a_web_address_is_no_place_and_the_hint_says_how_it_is_written(text):
    with pytest.raises(DataError) as caught:
        transport.at(text)
    assert f"relay+{text}" in caught.value.hint


def test_a_url_that_was_taken_for_a_path_is_refused_instead_of_becoming_a_folder():
    with pytest.raises(DataError, match="two slashes"):
        transport.at(Path("s3://bucket/box"))
