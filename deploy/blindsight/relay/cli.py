"""``blindsight relay``: run a relay."""

from __future__ import annotations

import argparse
import ipaddress
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from blindsight.cli.arguments import at_least
from blindsight.cli.output import emit_json, say
from blindsight.protocol.encoding import MAX_DOCUMENT_BYTES
from blindsight.protocol.errors import DataError
from blindsight.relay.limits import Limits

SUMMARY = """Run a relay: rooms in which parties leave documents for one another. It stores opaque bytes and understands
none. Whoever runs it learns names, sizes, times, addresses and the roster, and can keep documents back; it cannot
change one unnoticed. A room is made when somebody first puts a document into it."""
EXAMPLE = "blindsight relay --store relay --port 8040"
UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = re.compile(rf"([1-9][0-9]{{0,11}})({'|'.join(UNITS)})")


def main(words: Sequence[str]) -> int:
    """Run a relay until SIGTERM or SIGINT.

    Args:
        words: the words after ``blindsight relay``.

    Returns:
        0; refusals are raised as ``BlindsightError``.
    """
    options = _parser().parse_args(words)
    _demand_guarded(options)
    from blindsight.relay import server, service
    from blindsight.relay.store import Store
    from blindsight.relay.tokens import Tokens

    tokens = Tokens.read(options.token_file) if options.token_file else None
    store = Store(options.store, _limits(options))
    try:
        running = server.server(service.application(store, tokens), options.tls_cert, options.tls_key)
        with server.bound(options.host, options.port) as listening, server.ending_well(running):
            _announce(options, listening.getsockname()[1])
            running.run(sockets=[listening])
    finally:
        store.close()
    say("the relay has ended")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="blindsight relay",
        description=SUMMARY,
        epilog=f"example:\n  {EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--store", type=Path, metavar="DIR", required=True, help="where documents lie")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="default: 127.0.0.1")
    parser.add_argument("--port", type=_port, default=8040, metavar="N", help="default: 8040; 0 takes a free one")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate chain, PEM")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its key, PEM, not encrypted")
    parser.add_argument("--insecure", action="store_true", help="serve other machines without TLS")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="'ROOM TOKEN' a line, mode 0600; other rooms do not exist then"
    )
    _add_limits(parser)
    parser.add_argument("--json", action="store_true", help="print the address as JSON when the relay listens")
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    usual = Limits()
    sizes = {"max-bytes": ("one document", "16MiB"), "room-bytes": ("one room", "1GiB")}
    for name, (what, default) in sizes.items():
        about = f"of {what}, at most (default: {default})"
        parser.add_argument(f"--{name}", type=size, default=size(default), metavar="SIZE", help=about)
    counts = {
        "rate": ("requests a minute from one client", usual.rate),
        "rooms": ("rooms", usual.rooms),
        "room-entries": ("names and versions in one room", usual.entries),
        "versions": ("versions of one name", usual.versions),
    }
    for name, (what, count) in counts.items():
        about = f"{what}, at most (default: {count})"
        parser.add_argument(f"--{name}", type=at_least(1), default=count, metavar="N", help=about)


def size(text: str) -> int:
    """A number of bytes: ``16MiB``, ``1GiB``, ``4096``."""
    found = _SIZE.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f"expected a size like 16MiB, got {text[:20]!r}")
    return int(found[1]) * UNITS[found[2]]


def _port(text: str) -> int:
    if not text.isdecimal() or len(text) > 5 or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text[:20]!r}")
    return int(text)


def _limits(options: argparse.Namespace) -> Limits:
    return Limits(
        document=options.max_bytes,
        room=options.room_bytes,
        entries=options.room_entries,
        versions=options.versions,
        rooms=options.rooms,
        rate=options.rate,
    )


def _demand_guarded(options: argparse.Namespace) -> None:
    if options.tls_key and not options.tls_cert:
        raise DataError("--tls-key without --tls-cert", hint="--tls-cert FILE")
    if options.max_bytes > MAX_DOCUMENT_BYTES:
        raise DataError(f"no document is larger than {MAX_DOCUMENT_BYTES // 2**20} MiB", hint="--max-bytes 16MiB")
    if not (options.tls_cert or options.insecure or _is_loopback(options.host)):
        raise DataError(
            f"{options.host} can be reached from other machines and there is no certificate",
            hint="--tls-cert FILE --tls-key FILE, or --insecure behind something that speaks TLS",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _announce(options: argparse.Namespace, port: int) -> None:
    scheme = "https" if options.tls_cert else "http"
    host = f"[{options.host}]" if ":" in options.host else options.host
    url = f"{scheme}://{host}:{port}"
    if options.json:
        emit_json({"url": url, "store": str(options.store)})
        sys.stdout.flush()
    say(f"the relay listens on {url} and keeps documents in {options.store}; parties use relay+{url}/ROOM")
