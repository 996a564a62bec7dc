"""The relay over real sockets: opaque bytes in, the same bytes out, limits while bytes arrive."""

import contextlib
import hashlib
import json
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed, so there is no relay")

from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.errors import DataError
from blindsight.relay import server
from blindsight.relay.limits import Rate
from blindsight.relay.tokens import Tokens
from tests.protocol import worlds
from tests.relay import serving

TOKEN = "correct-horse-battery-staple"
BYTES = b"\x00\xffopaque"


def sha(data):
    return hashlib.sha256(data).hexdigest()


def target(data, name="a/x.json", room="ward-7"):
    return f"/v1/{room}/m/{sha(data)}?name={name}"


def put(relay, data, name="a/x.json", room="ward-7", **headers):
    return relay.ask("PUT", target(data, name, room), data, **headers)


def listed(relay, query="", room="ward-7"):
    return json.loads(relay.ask("GET", f"/v1/{room}/m{query}").data)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serving.serving(tmp_path_factory.mktemp("relay") / "store", document=100_000, rate=Rate(10**6)) as found:
        yield found


@pytest.fixture
def relay(running):
    """A relay with empty rooms."""
    yield running
    for name in list(running.store._rooms):
        shutil.rmtree(running.store._rooms.pop(name).folder)


def test_it_runs(relay):
    assert relay.ask("GET", "/healthz").status == 200


def test_a_document_comes_back_as_it_was(relay):
    assert put(relay, BYTES).status == 201
    answer = relay.ask("GET", f"/v1/ward-7/m/{sha(BYTES)}")
    assert (answer.status, answer.data, answer.getheader("Content-Type")) == (200, BYTES, "application/octet-stream")
    assert answer.getheader("X-Content-Type-Options") == "nosniff"


def test_the_second_put_of_the_same_changes_nothing(relay):
    first, second = put(relay, BYTES), put(relay, BYTES)
    assert (first.status, second.status, first.data) == (201, 200, second.data)
    assert len(listed(relay)["entries"]) == 1


def test_the_list_says_name_digest_and_size(relay):
    put(relay, BYTES)
    entry = {"cursor": 1, "name": "a/x.json", "digest": sha(BYTES), "bytes": len(BYTES)}
    assert listed(relay) == {"entries": [entry], "next": 1, "more": False}


def test_another_content_under_a_name_leaves_the_first_where_it_is(relay):
    put(relay, b"one")
    put(relay, b"two")
    assert [entry["digest"] for entry in listed(relay)["entries"]] == [sha(b"one"), sha(b"two")]
    assert relay.ask("GET", f"/v1/ward-7/m/{sha(b'one')}").data == b"one"


@pytest.mark.parametrize("method", ["DELETE", "POST", "PATCH"])
def test_nobody_can_remove_anything(relay, method):
    put(relay, BYTES)
    assert relay.ask(method, f"/v1/ward-7/m/{sha(BYTES)}").status == 405
    assert len(listed(relay)["entries"]) == 1


def test_rooms_are_apart(relay):
    put(relay, BYTES, room="ward-7")
    assert listed(relay, room="ward-8") == {"entries": [], "next": 0, "more": False}
    assert relay.ask("GET", f"/v1/ward-8/m/{sha(BYTES)}").status == 404


def test_a_long_list_comes_in_pages(relay):
    for number in range(5):
        put(relay, b"%d" % number, f"a/{number}.json")
    seen, after, more = [], 0, True
    while more:
        page = listed(relay, f"?after={after}&limit=2")
        seen += [entry["name"] for entry in page["entries"]]
        after, more = page["next"], page["more"]
    assert seen == [f"a/{number}.json" for number in range(5)]
    assert listed(relay, "?after=99") == {"entries": [], "next": 99, "more": False}


def test_a_page_has_an_end_whatever_is_asked_for(relay, monkeypatch):
    monkeypatch.setattr("blindsight.relay.service.PAGE", 2)
    for number in range(3):
        put(relay, b"%d" % number, f"a/{number}.json")
    assert [len(listed(relay, f"?limit={limit}")["entries"]) for limit in ("999999", "0", "1")] == [2, 1, 1]


@pytest.mark.parametrize("query", ["?after=-1", "?after=x", "?limit=x", "?after=" + "9" * 16, "?after=%C2%B2"])
def test_a_query_that_is_no_number_is_refused(relay, query):
    assert relay.ask("GET", f"/v1/ward-7/m{query}").status == 400


def test_a_body_of_another_digest_is_refused(relay):
    assert relay.ask("PUT", target(b"one"), b"two").status == 400
    assert listed(relay)["entries"] == []


@pytest.mark.parametrize("digest", ["x", "AB" * 32, "ab" * 33, "..%2f..%2fetc%2fpasswd"])
def test_a_digest_that_is_none_is_refused(relay, digest):
    assert relay.ask("PUT", f"/v1/ward-7/m/{digest}?name=x.json", b"x").status in (400, 404)
    assert relay.ask("GET", f"/v1/ward-7/m/{digest}").status in (400, 404)


@pytest.mark.parametrize("room", ["ab", "a" * 65, "a_b", "..", "%2e%2e", "a%2fb", "w%C3%A4rd", ".lock"])
def test_a_room_that_is_none_is_refused(relay, room):
    assert put(relay, BYTES, room=room).status in (400, 404)
    assert relay.ask("GET", f"/v1/{room}/m").status in (400, 404)


@pytest.mark.parametrize("query", [
    "", "?name=", "?name=/x", "?name=../x", "?name=a/../x", "?name=a//x", "?name=.x", "?name=%C3%A4", "?name=a%0Ab",
    "?name=a%00", "?name=" + "x" * 256, "?name=a&name=b", "?name=a%5Cb",
])  # fmt: skip
def test_a_name_that_is_not_safe_is_refused(relay, query):
    assert relay.ask("PUT", f"/v1/ward-7/m/{sha(BYTES)}{query}", BYTES).status == 400
    assert listed(relay)["entries"] == []


@pytest.fixture
def brief(monkeypatch):
    """Hang up soon after a refusal."""
    monkeypatch.setattr(server, "LINGER_SECONDS", 0.3)


@pytest.mark.usefixtures("brief")
def test_what_is_said_to_be_too_large_is_refused_before_it_comes(relay):
    answer = raw(relay, f"PUT {target(b'x')} HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.usefixtures("brief")
def test_what_turns_out_too_large_is_given_up_midway(relay):
    head = f"PUT {target(b'x')} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert raw(relay, head, endless=True).startswith(b"HTTP/1.1 413")
    assert listed(relay)["entries"] == []


def raw(relay, text, *, endless=False):
    """Everything the relay says until it hangs up."""
    parts = urlsplit(relay.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(text.encode())
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(40 if endless else 0):
                connection.sendall(b"2710\r\n" + bytes(10_000) + b"\r\n")
        return all_of(connection)


@pytest.mark.usefixtures("brief")
def test_a_body_that_is_too_slow_is_given_up_and_forgotten(tmp_path):
    with serving.serving(tmp_path / "store", seconds=0.2) as relay:
        said = raw(relay, f"PUT {target(b'x')} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nslow")
        assert said.startswith(b"HTTP/1.1 408")
        assert put(relay, BYTES).status == 201


@pytest.mark.parametrize("text", ["", "GET /healthz HTT", f"PUT {target(b'x')} HTTP/1.1\r\nHost: x\r\nX-"])
def test_who_does_not_ask_is_hung_up_on(relay, monkeypatch, text):
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.2)
    assert raw(relay, text) == b""


def test_who_does_not_ask_a_second_time_is_hung_up_on(relay, monkeypatch):
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.2)
    assert raw(relay, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /hea").startswith(b"HTTP/1.1 200")


def test_who_does_not_read_is_hung_up_on(tmp_path, monkeypatch):
    large = bytes(16 * 2**20)
    with serving.serving(tmp_path / "store") as relay:
        with contextlib.closing(relay.party()) as party:
            party.put("a/x.json", large)
        monkeypatch.setattr(server, "REQUEST_SECONDS", 0.3)
        parts = urlsplit(relay.url)
        with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
            connection.sendall(f"GET /v1/ward-7/m/{sha(large)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert connection.recv(9) == b"HTTP/1.1 "
            wait_until_nobody_is_connected(relay)
            assert len(all_of(connection)) < len(large)


def wait_until_nobody_is_connected(relay):
    for _ in range(2000):
        if not relay.connections:
            return
        time.sleep(0.01)
    raise AssertionError("a line stays open")


def test_what_a_client_sent_before_it_hung_up_takes_no_room(tmp_path):
    with serving.serving(tmp_path / "store", uploads=100) as relay:
        parts = urlsplit(relay.url)
        with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
            head = f"PUT {target(b'x')} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\nExpect: 100-continue\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(12) == b"HTTP/1.1 100"  # the body is waited for now
            connection.sendall(bytes(98))
        wait_until_nobody_is_connected(relay)
        assert put(relay, bytes(100)).status == 201


def all_of(connection):
    said = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65536):
            said += data
    return said


def test_who_sends_more_than_is_taken_still_reads_why(tmp_path):
    with (
        serving.serving(tmp_path / "store", document=1000) as relay,
        contextlib.closing(relay.party()) as party,
        pytest.raises(DataError, match="smaller documents"),
    ):
        party.put("a/x.json", bytes(8_000_000))


def test_two_requests_at_once_on_one_line_are_both_answered(relay):
    one = "GET /healthz HTTP/1.1\r\nHost: x\r\n"
    assert raw(relay, f"{one}\r\n{one}Connection: close\r\n\r\n").count(b"200 OK") == 2


def test_a_client_with_too_many_lines_is_hung_up_on(relay, monkeypatch):
    monkeypatch.setattr(server, "MAX_CONNECTIONS_OF_ONE", 2)
    parts = urlsplit(relay.url)
    with contextlib.ExitStack() as lines:
        for _ in range(2):
            line = lines.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=20))
            line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert line.recv(15) == b"HTTP/1.1 200 OK"
        assert raw(relay, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") == b""


def test_a_client_that_asks_too_often_is_told_when_to_come_back(tmp_path):
    with serving.serving(tmp_path / "store", rate=Rate(3, clock=lambda: 0.0)) as relay:
        answers = [relay.ask("GET", "/v1/ward-7/m") for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        assert answers[-1].getheader("Retry-After") == "20"
        assert relay.ask("GET", "/healthz").status == 200


def test_a_name_has_so_many_versions(tmp_path):
    with serving.serving(tmp_path / "store", versions=2) as relay:
        assert [put(relay, b"%d" % number).status for number in range(3)] == [201, 201, 409]
        assert put(relay, b"0").status == 200
        assert put(relay, b"2", "a/other.json").status == 201


@pytest.mark.parametrize("limit", [{"room": 10}, {"entries": 2}])
def test_a_room_has_an_end(tmp_path, limit):
    with serving.serving(tmp_path / "store", **limit) as relay:
        assert [put(relay, b"%04d" % number, f"{number}").status for number in range(3)] == [201, 201, 507]
        assert put(relay, b"0000", "0").status == 200
        assert put(relay, b"0000", room="ward-8").status == 201


def test_a_store_has_so_many_rooms(tmp_path):
    with serving.serving(tmp_path / "store", rooms=1) as relay:
        assert put(relay, BYTES).status == 201
        assert put(relay, BYTES, room="ward-8").status == 507
        assert not (tmp_path / "store" / "ward-8").exists()


def test_too_much_at_once_is_put_off(tmp_path):
    with serving.serving(tmp_path / "store", uploads=100) as relay:
        answer = put(relay, bytes(101))
        assert (answer.status, answer.getheader("Retry-After")) == (503, "2")
        assert put(relay, bytes(100)).status == 201
        assert put(relay, bytes(99)).status == 201


def test_a_full_disk_is_said_and_not_shown(tmp_path, monkeypatch, capfd):
    def full(*words):
        raise OSError(28, "No space left on device", "/secret/path")

    with serving.serving(tmp_path / "store") as relay:
        monkeypatch.setattr("blindsight.relay.store.write_whole", full)
        answer = put(relay, BYTES)
        assert answer.status == 507
        assert b"secret" not in answer.data
    assert "No space left" in capfd.readouterr().err


def test_a_broken_disk_is_said_and_the_relay_goes_on(relay, monkeypatch, capfd):
    def broken(*words):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("blindsight.relay.store.write_whole", broken)
        assert put(relay, BYTES).status == 500
    assert put(relay, BYTES).status == 201
    assert "Input/output error" in capfd.readouterr().err


def test_a_document_that_vanished_from_the_disk_is_not_found(relay):
    put(relay, BYTES)
    relay.store.room("ward-7").path(sha(BYTES)).unlink()
    assert relay.ask("GET", f"/v1/ward-7/m/{sha(BYTES)}").status == 404


def test_a_room_with_a_token_opens_with_it_and_with_nothing_else(tmp_path):
    with serving.serving(tmp_path / "store", tokens=Tokens({"ward-7": TOKEN})) as relay:
        for header in ({}, {"Authorization": TOKEN}, {"Authorization": f"Basic {TOKEN}"},
                       {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN}x"},
                       {"Authorization": "Bearer \xe4"}):  # fmt: skip
            answer = put(relay, BYTES, **header)
            assert (answer.status, answer.getheader("WWW-Authenticate")) == (401, "Bearer")
        assert put(relay, BYTES, Authorization=f"Bearer {TOKEN}").status == 201
        assert put(relay, BYTES, room="ward-8", Authorization=f"Bearer {TOKEN}").status == 401
        for path in ("/v1/ward-7/m", f"/v1/ward-7/m/{sha(BYTES)}"):
            assert relay.ask("GET", path).status == 401
            assert relay.ask("GET", path, Authorization=f"Bearer {TOKEN}").status == 200


def test_many_parties_at_once_lose_nothing_and_get_one_list(relay):
    def party(number):
        with contextlib.closing(relay.party()) as site:
            for place in range(10):
                site.put(f"s/{place}.json", b"%d by %d" % (place, number % 4))
            return [(piece.name, piece.data) for piece in site.documents("s")]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(party, range(8)))
    page = listed(relay)
    assert [entry["cursor"] for entry in page["entries"]] == list(range(1, 41))
    assert len({(entry["name"], entry["digest"]) for entry in page["entries"]}) == 40


def test_a_ceremony_goes_over_it(relay):
    keys = worlds.holders(3)
    log = worlds.founded(keys)
    sessions = worlds.sessions(keys, log)
    boxes = {key.entry.fpr: DropBox(relay.party()) for key in keys}
    for fpr, session in sessions.items():
        for number, message in enumerate(session.outbox):
            boxes[fpr].put_message(message, log.fed, session.sid, f"kind{number}", fpr)
    seen = [sorted(found.name for found in box.messages(log.fed)) for box in boxes.values()]
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == sum(len(session.outbox) for session in sessions.values())
