"""A relay's client, and relays that lie, stall, flood or send elsewhere: a sentence or a skipped document, no more."""

import contextlib
import datetime
import hashlib
import ipaddress
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from blindsight.protocol import transport
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import MAX_DOCUMENT_BYTES
from blindsight.protocol.errors import BlindsightError, DataError, FormatError, KeystoreError
from blindsight.protocol.transport import line
from blindsight.protocol.transport import relay as client
from blindsight.protocol.transport.relay import Relay

TOKEN = "correct-horse-battery-staple"


def sha(data):
    return hashlib.sha256(data).hexdigest()


def entry(name, data, **changes):
    return {"cursor": 1, "name": name, "digest": sha(data), "bytes": len(data)} | changes


def page(*entries, after=1, more=False):
    return 200, json.dumps({"entries": entries, "next": after, "more": more}).encode(), {}


class Liar(ThreadingHTTPServer):
    """An HTTP server that answers whatever a test says, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.asked, self.slept = answer, [], []

    def relay(self, seconds=20):
        return Relay(f"http://127.0.0.1:{self.server_port}/ward-7", seconds=seconds, sleep=self.slept.append)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, body, dict(self.headers)))
        answer = self.server.answer(self.command, self.path)
        if answer is None:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, data, headers = answer
        self.send_response(status)
        for name, value in ({"Content-Length": len(data)} | headers).items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(data)

    do_PUT = do_GET  # noqa: N815

    def log_message(self, *words):
        pass


@contextlib.contextmanager
def lying(answer):
    with Liar(answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()


@contextlib.contextmanager
def raw(talk):
    """A TCP server that does whatever a test says with each connection."""
    over = threading.Event()

    def one(connection):
        with connection, contextlib.suppress(OSError):
            talk(connection, over)

    def run(listening):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=run, args=(listening,), daemon=True).start()
        yield listening.getsockname()[1]
        over.set()


def documents(relay, folder="a"):
    return [(piece.name, piece.data, piece.fault.code if piece.fault else "") for piece in relay.documents(folder)]


def test_a_document_that_is_not_what_was_listed_is_reported_and_the_others_are_read():
    def answer(method, path):
        if "/m?" in path:
            return page(entry("a/one.json", b"1"), entry("a/two.json", b"2"), entry("a/three.json", b"3"))
        return {sha(b"1"): (200, b"1", {}), sha(b"2"): (200, b"lie", {})}.get(path[-64:], (404, b"", {}))

    with lying(answer) as server:
        assert documents(server.relay()) == [
            ("a/one.json", b"1", ""),
            ("a/three.json", b"", "E_IO"),
            ("a/two.json", b"", "E_IO"),
        ]


@pytest.mark.parametrize(
    "name", ["../a/x.json", "/a/x.json", "a/../a/x.json", "a/\x1b[2J.json", "a/ä.json", "", "a/.x"]
)
def test_names_that_are_not_safe_are_passed_over(name):
    with lying(lambda method, path: page(entry(name, b"1")) if "?" in path else (200, b"1", {})) as server:
        relay = server.relay()
        assert (documents(relay), relay.files("a"), relay.folders("")) == ([], [], [])


@pytest.mark.parametrize("digest", ["", "x" * 64, "AB" * 32, "../" * 21 + "a"])
def test_digests_that_are_none_are_passed_over(digest):
    with lying(lambda method, path: page(entry("a/x.json", b"1", digest=digest))) as server:
        assert documents(server.relay()) == []


BAD_PAGES = {
    "no JSON": b"<html>",
    "nothing": b"",
    "no object": b"[]",
    "null": b"null",
    "deep": b"[" * 100_000,
    "no entries": b'{"next": 1, "more": false}',
    "entries that are none": b'{"entries": [1], "next": 1, "more": false}',
    "an entry without a name": b'{"entries": [{"digest": "a", "bytes": 1}], "next": 1, "more": false}',
    "a size that is none": json.dumps({"entries": [entry("a", b"", bytes="1")], "next": 1, "more": False}).encode(),
    "a cursor that is none": b'{"entries": [], "next": "1", "more": false}',
    "a number without end": b'{"entries": [], "next": ' + b"9" * 5000 + b', "more": false}',
    "more that is none": b'{"entries": [], "next": 1, "more": 1}',
    "no UTF-8": b'{"entries": "\xff"}',
    "larger than a page": b'{"entries": [], "next": 1, "more": false}' + b" " * 2**20,
}


@pytest.mark.parametrize("body", BAD_PAGES.values(), ids=BAD_PAGES.keys())
def test_a_list_that_cannot_be_read_is_a_sentence(body):
    with lying(lambda method, path: (200, body, {})) as server, pytest.raises(FormatError) as caught:
        documents(server.relay())
    assert caught.value.code == "E_IO"


def test_a_list_that_does_not_go_on_is_a_sentence():
    with lying(lambda *_: page(more=True, after=0)) as server, pytest.raises(FormatError, match="does not go on"):
        documents(server.relay())


def test_a_list_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(client, "MAX_ENTRIES", 5)
    count = iter(range(1, 10**6))

    def answer(method, path):
        number = next(count)
        return page(entry(f"a/{number}.json", b"1"), after=number, more=True)

    with lying(answer) as server, pytest.raises(FormatError, match="lists more than 5"):
        documents(server.relay())


def test_a_list_that_repeats_itself_without_end_is_given_up():
    count = iter(range(1, 10**9))
    with (
        lying(lambda *_: page(entry("a/x.json", b"1"), after=next(count), more=True)) as server,
        pytest.raises(FormatError, match="too long"),
    ):
        documents(server.relay(seconds=0.1))


def test_a_folder_that_somebody_fills_shows_what_is_small(monkeypatch):
    monkeypatch.setattr(client, "MAX_FOLDER_BYTES", 100)
    bodies = {"a/0.json": bytes(90), "a/1.json": b"record", "a/2.json": bytes(80)}
    by_digest = {hashlib.sha256(body).hexdigest(): body for body in bodies.values()}
    entries = [entry(name, body) for name, body in bodies.items()]
    with lying(
        lambda method, path: page(*entries) if "?" in path else (200, by_digest[path.rpartition("/")[2]], {})
    ) as server:
        pieces = list(server.relay().documents("a"))
    assert [piece.data for piece in pieces] == [b"", b"record", bytes(80)]
    assert "in one folder" in pieces[0].fault.message


def test_a_folder_that_is_larger_than_listed_is_given_up(monkeypatch):
    monkeypatch.setattr(client, "MAX_FOLDER_BYTES", 100)
    entries = [entry(f"a/{number}.json", bytes(60)) | {"bytes": 1} for number in range(3)]
    with lying(lambda method, path: page(*entries) if "?" in path else (200, bytes(60), {})) as server:
        found = server.relay().documents("a")
        assert len(next(found).data) == 60
        with pytest.raises(FormatError, match="in one folder"):
            next(found)


@pytest.mark.parametrize("listed", [MAX_DOCUMENT_BYTES + 1, 3])
def test_a_document_that_is_too_large_is_not_kept(listed):
    large = bytes(MAX_DOCUMENT_BYTES + 2)

    def answer(method, path):
        return page(entry("a/x.json", large, bytes=listed)) if "?" in path else (200, large, {})

    with lying(answer) as server:
        relay = server.relay()
        if listed > 3:
            assert documents(relay) == [("a/x.json", b"", "E_FORMAT")]
            assert len(server.asked) == 1
        else:
            with pytest.raises(FormatError):
                documents(relay)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n"


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX-", HEAD, b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_an_answer_that_drips_is_given_up(start):
    def talk(connection, over):
        connection.recv(9999)
        connection.sendall(start)
        while not over.wait(0.02):
            connection.sendall(start if b"100" in start else b"x")

    with raw(talk) as port, pytest.raises(FormatError, match="too long"):
        documents(Relay(f"http://127.0.0.1:{port}/ward-7", seconds=0.4))


def test_a_relay_that_does_not_take_what_is_put_is_given_up():
    def talk(connection, over):
        connection.recv(9999)
        connection.sendall(HEAD.replace(b"40", b"99") + page()[1].ljust(99))
        over.wait(20)

    with raw(talk) as port, pytest.raises(FormatError, match="too long"):
        Relay(f"http://127.0.0.1:{port}/ward-7", seconds=1.0).put("a/x.json", bytes(MAX_DOCUMENT_BYTES))


@pytest.mark.parametrize(
    "bytes_sent",
    [b"\x00" * 100_000, b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 999 + b"\r\n",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", HEAD + b"short", b"HTTP/1.1 200 OK\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_http_is_a_sentence(bytes_sent):
    def talk(connection, over):
        connection.recv(9999)
        connection.sendall(bytes_sent)

    with raw(talk) as port, pytest.raises(FormatError) as caught:
        documents(Relay(f"http://127.0.0.1:{port}/ward-7", seconds=5, sleep=lambda seconds: None))
    assert caught.value.code == "E_IO"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_nobody_is_sent_elsewhere(status):
    with lying(lambda *_: page(entry("a/x.json", b"1"))) as elsewhere:
        there = {"Location": f"http://127.0.0.1:{elsewhere.server_port}/v1/ward-7/m"}
        with lying(lambda *_: (status, b"", there)) as server, pytest.raises(FormatError, match="elsewhere"):
            documents(server.relay())
        assert elsewhere.asked == []


def test_a_busy_relay_is_asked_again_as_late_as_it_wants_but_not_later_than_we_want():
    answers = iter([(429, b"", {"Retry-After": "7"}), (503, b"", {"Retry-After": "99999999999"}), None, page()])
    with lying(lambda *_: next(answers)) as server:
        assert documents(server.relay()) == []
        assert server.slept == [7.0, 1.0, 2.0]


def test_the_longest_wait_is_bounded():
    answers = iter([(429, b"", {"Retry-After": "86400"}), page()])
    with lying(lambda *_: next(answers)) as server:
        assert documents(server.relay()) == []
        assert server.slept == [line.MAX_PAUSE]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_relay_that_stays_busy_is_given_up(status):
    with lying(lambda *_: (status, b"", {})) as server:
        with pytest.raises(FormatError, match=str(status)) as caught:
            documents(server.relay())
        assert (len(server.asked), caught.value.code) == (1 + len(line.PAUSES), "E_IO")


def test_a_line_that_always_breaks_is_given_up():
    with lying(lambda *_: None) as server:
        with pytest.raises(FormatError, match="breaks the connection"):
            documents(server.relay())
        assert len(server.asked) == 1 + len(line.PAUSES)


def test_a_closed_port_is_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(FormatError) as caught:
        Relay(f"http://127.0.0.1:{port}/ward-7", sleep=lambda seconds: None).put("a/x.json", b"1")
    assert caught.value.code == "E_IO"


@pytest.mark.parametrize(
    ("status", "said"), [(401, "refuses"), (404, "404"), (507, "full"), (418, "418"), (413, "smaller")]
)
def test_a_refusal_is_a_sentence(status, said):
    with lying(lambda method, path: page() if "?after" in path else (status, b"x" * 99, {})) as server:
        with pytest.raises(BlindsightError, match=said):
            server.relay().put("a/x.json", b"1")
        assert len(server.asked) == 2


def test_a_document_is_asked_for_once_and_the_list_read_on():
    lists = iter([page(entry("a/x.json", b"1"), after=5), page(after=5), page(entry("a/y.json", b"1"), after=6)])
    with lying(lambda method, path: next(lists) if "?" in path else (200, b"1", {})) as server:
        relay = server.relay()
        assert [len(documents(relay)) for _ in range(3)] == [1, 1, 2]
        assert [path.partition("/m")[2].partition("&")[0] for _, path, _, _ in server.asked] == [
            "?after=0", f"/{sha(b'1')}", "?after=5", "?after=5",
        ]  # fmt: skip


def test_what_is_kept_in_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(client, "MAX_KEPT_BYTES", 100)
    contents = [bytes([number]) * 60 for number in range(4)]
    entries = [entry(f"a/{number}.json", data) for number, data in enumerate(contents)]

    def answer(method, path):
        return page(*entries) if "?" in path else (200, next(d for d in contents if sha(d) == path[-64:]), {})

    with lying(answer) as server:
        relay = server.relay()
        assert len(documents(relay)) == 4
        assert sum(map(len, relay._kept.values())) <= 100


@pytest.mark.parametrize(
    "url",
    ["relay+https://host", "relay+https://host/", "relay+https://host/ab", "relay+https:///ward-7", "relay+https://host:x/ward",
     "relay+https://host/ward 7", "relay+https://host/ward?x=1", "relay+https://host/a%2f/ward", "relay+https://[::/ward",
     "relay+https://anna:hunter2secret@host/ward-7", "relay+https://host/" + "a" * 65],
)  # fmt: skip
def test_a_url_that_names_no_room_or_holds_a_password_is_refused(url):
    with pytest.raises(DataError) as caught:
        transport.at(url)
    assert "hunter2secret" not in caught.value.message + caught.value.hint


@pytest.fixture
def token(tmp_path, monkeypatch):
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    monkeypatch.setenv("BLINDSIGHT_RELAY_TOKEN_FILE", str(path))
    return path


def test_the_token_goes_to_the_relay_and_into_no_message(token):
    with lying(lambda *_: (401, b"", {})) as server:
        relay = server.relay()
        with pytest.raises(FormatError) as caught:
            documents(relay)
        assert server.asked[0][3]["Authorization"] == f"Bearer {TOKEN}"
        assert TOKEN not in caught.value.message + caught.value.hint + repr(relay) + relay.place


def test_the_token_is_not_sent_in_the_clear_to_another_machine(token):
    with pytest.raises(DataError, match="http://"):
        transport.at("relay+http://relay.example/ward-7")
    transport.at("relay+https://relay.example/ward-7")


@pytest.mark.parametrize(("mode", "text", "code"), [
    (0o644, TOKEN, "E_PERMS"), (0o600, "short", "E_FORMAT"), (0o600, "a b" * 9, "E_FORMAT"), (0o600, "ä" * 20, "E_IO"),
])  # fmt: skip
def test_a_token_file_that_is_none_is_refused_without_repeating_it(token, mode, text, code):
    token.write_text(text)
    token.chmod(mode)
    with pytest.raises(KeystoreError) as caught:
        transport.at("relay+https://relay.example/ward-7")
    assert caught.value.code == code
    assert text not in caught.value.message


def test_a_token_file_that_is_missing_is_refused(token):
    token.unlink()
    with pytest.raises(KeystoreError) as caught:
        transport.at("relay+https://relay.example/ward-7")
    assert caught.value.code == "E_IO"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "relay")])
    now = datetime.datetime.now(datetime.UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, secret = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "cert.pem").write_bytes(built.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, secret, serialization.NoEncryption()))
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def tls(tmp_path, certificate):
    pytest.importorskip("uvicorn", reason="uvicorn is not installed, so there is no relay")
    from tests.relay import serving

    with serving.serving(tmp_path / "store", tls=certificate) as found:
        yield found


def test_a_certificate_that_nobody_vouches_for_is_refused(tls):
    with pytest.raises(FormatError, match="does not verify"):
        tls.party().put("a/x.json", b"1")
    assert tls.store.room("ward-7") is None


def test_lines_that_never_shake_hands_count_too(tls, monkeypatch):
    from blindsight.relay import server

    monkeypatch.setattr(server, "MAX_CONNECTIONS_OF_ONE", 2)
    parts = urlsplit(tls.url)
    with contextlib.ExitStack() as lines:
        silent = [
            lines.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=20)) for _ in range(3)
        ]
        assert silent[2].recv(1) == b""


def test_a_certificate_that_the_machine_knows_is_taken(tls, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    large = bytes(3_000_000)
    tls.party().put("a/x.json", large)
    assert documents(tls.party()) == [("a/x.json", large, "")]


def test_a_proxy_that_the_environment_names_is_used(tls, certificate, monkeypatch):
    asked = []

    def talk(connection, over):
        asked.append(connection.recv(9999))
        host, _, port = asked[0].split()[1].decode().partition(":")
        with socket.create_connection((host, int(port))) as there:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=copy, args=(there, connection), daemon=True)
            back.start()
            copy(connection, there)

    def copy(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    for name in ("no_proxy", "NO_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with raw(talk) as port:
        monkeypatch.setenv("https_proxy", f"http://anna:secret@127.0.0.1:{port}")
        party = tls.party()
        party.put("a/x.json", b"1")
        assert documents(party) == [("a/x.json", b"1", "")]
        party.close()
    assert asked[0].startswith(b"CONNECT 127.0.0.1:")
    assert b"Proxy-Authorization: Basic YW5uYTpzZWNyZXQ=" in asked[0]


def test_who_occupies_a_name_does_not_keep_others_from_putting_theirs(tmp_path):
    pytest.importorskip("uvicorn", reason="uvicorn is not installed, so there is no relay")
    from tests.relay import serving

    with serving.serving(tmp_path / "store", versions=2) as found:
        junk, site = found.party(), found.party()
        for number in range(2):
            junk.put("f/s/commit-anna.json", b"junk%d" % number)
        place = site.put("f/s/commit-anna.json", b"mine")
        assert place == site.put("f/s/commit-anna.json", b"mine")
        assert b"mine" in [piece.data for piece in DropBox(junk).transport.documents("f/s")]
