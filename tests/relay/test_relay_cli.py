"""The command that runs a relay: it announces itself, survives a kill, ends when told, and says no contents."""

import contextlib
import json
import signal
import subprocess
import sys

import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed, so there is no relay")

from blindsight.protocol.errors import BlindsightError
from blindsight.protocol.transport.relay import Relay
from blindsight.relay import cli
from blindsight.relay.tokens import Tokens

PROGRAM = "import sys; from blindsight.relay.cli import main; sys.exit(main(sys.argv[1:]))"
MARK = b"a-content-that-nobody-may-log"


@contextlib.contextmanager
def process(root, *words):
    """A relay of its own: the process and its URL; what it said is in ``log``."""
    with (root.parent / "log").open("wb") as log:
        command = [sys.executable, "-P", "-W", "error", "-c", PROGRAM, "--store", str(root), "--port", "0", "--json"]
        running = subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=log)
        with running:
            yield running, json.loads(running.stdout.readline())["url"]
            running.kill()


def shown(party):
    with contextlib.closing(party):
        return [(piece.name, piece.data) for piece in party.documents("a")]


def test_what_was_acknowledged_survives_a_kill(tmp_path):
    expected = [(f"a/{number}.json", MARK + b"%d" % number) for number in range(5)]
    with process(tmp_path / "store") as (running, url):
        for name, data in expected:
            Relay(f"{url}/ward-7").put(name, data)
        running.kill()
        running.wait(20)
    with process(tmp_path / "store") as (_, url):
        assert shown(Relay(f"{url}/ward-7")) == expected


def test_it_ends_when_told_with_status_0_and_has_said_no_contents(tmp_path):
    with process(tmp_path / "store") as (running, url):
        party = Relay(f"{url}/ward-7")
        party.put("a/x.json", MARK)
        assert shown(party) == [("a/x.json", MARK)]
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0
    said = (tmp_path / "log").read_bytes()
    assert b"listens on http://127.0.0.1:" in said
    assert b"has ended" in said
    assert MARK not in said
    assert b"Traceback" not in said


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "relay.example"])
def test_other_machines_are_not_served_without_tls_unless_asked_for(tmp_path, host):
    with pytest.raises(BlindsightError, match="other machines") as caught:
        cli.main(["--store", str(tmp_path / "store"), "--host", host])
    assert "--insecure" in caught.value.hint
    assert not (tmp_path / "store").exists()


def test_an_address_that_is_not_ours_is_a_sentence(tmp_path):
    with pytest.raises(BlindsightError, match=r"192\.0\.2\.1"):
        cli.main(["--store", str(tmp_path / "store"), "--host", "192.0.2.1", "--insecure"])


def test_a_port_that_is_taken_is_a_sentence(tmp_path):
    with process(tmp_path / "one") as (_, url), pytest.raises(BlindsightError, match="cannot be used"):
        cli.main(["--store", str(tmp_path / "two"), "--port", url.rpartition(":")[2]])


def test_a_store_that_is_in_use_is_a_sentence(tmp_path):
    with process(tmp_path / "one"), pytest.raises(BlindsightError, match="another relay"):
        cli.main(["--store", str(tmp_path / "one"), "--port", "0"])


@pytest.mark.parametrize("content", [None, "no PEM"])
def test_a_certificate_that_is_none_is_a_sentence(tmp_path, content):
    if content:
        (tmp_path / "cert.pem").write_text(content)
    with pytest.raises(BlindsightError, match="certificate"):
        cli.main(["--store", str(tmp_path / "store"), "--port", "0", "--tls-cert", str(tmp_path / "cert.pem")])


@pytest.mark.parametrize("words", [["--tls-key", "k"], ["--max-bytes", "17MiB"]])
def test_options_that_do_not_fit_are_a_sentence(tmp_path, words):
    with pytest.raises(BlindsightError):
        cli.main(["--store", str(tmp_path / "store"), *words])


@pytest.mark.parametrize("words", [
    [], ["--store", "s", "--port", "65536"], ["--store", "s", "--max-bytes", "0"], ["--store", "s", "--rate", "0"],
    ["--store", "s", "--room-bytes", "1 GB"],
])  # fmt: skip
def test_wrong_usage_ends_with_status_2(words):
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2


@pytest.mark.parametrize(("text", "size"), [("1", 1), ("16MiB", 2**24), ("2GiB", 2**31), ("3KiB", 3072)])
def test_sizes_have_units(text, size):
    assert cli.size(text) == size


def test_the_help_ends_with_an_example(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert cli.EXAMPLE in capsys.readouterr().out.partition("example:")[2]


def token_file(folder, text, mode=0o600):
    path = folder / "tokens"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_token_file_names_rooms_and_their_tokens(tmp_path):
    tokens = Tokens.read(
        token_file(tmp_path, "# rooms\n\nward-7 0123456789abcdef  # theirs\nward-8 fedcba9876543210\n")
    )
    assert tokens.fits("ward-7", "Bearer 0123456789abcdef")
    assert tokens.fits("ward-8", "bearer fedcba9876543210")
    assert not tokens.fits("ward-7", "Bearer fedcba9876543210")
    assert not tokens.fits("ward-9", "Bearer ")


@pytest.mark.parametrize(("text", "mode", "code"), [
    ("ward-7 0123456789abcdef", 0o640, "E_PERMS"), ("ward-7 shorttoken", 0o600, "E_DATA"), ("ward-7", 0o600, "E_DATA"),
    ("w 0123456789abcdef", 0o600, "E_DATA"), ("ward-7 0123456789abcdef\n" * 2, 0o600, "E_DATA"),
])  # fmt: skip
def test_a_token_file_that_is_wrong_is_refused_without_repeating_a_token(tmp_path, text, mode, code):
    with pytest.raises(BlindsightError) as caught:
        Tokens.read(token_file(tmp_path, text, mode))
    assert caught.value.code == code
    assert "0123456789abcdef" not in caught.value.message + caught.value.hint


def test_a_token_file_that_is_missing_is_refused(tmp_path):
    with pytest.raises(BlindsightError) as caught:
        cli.main(["--store", str(tmp_path / "store"), "--token-file", str(tmp_path / "none")])
    assert caught.value.code == "E_IO"
