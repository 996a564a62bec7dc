"""How much a relay takes from whom, and from how many."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass

from blindsight.protocol.encoding import MAX_DOCUMENT_BYTES

MAX_CLIENTS = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a relay takes.

    Args:
        document: bytes of one document.
        room: bytes of one room; a content that stands under several names counts once.
        entries: names and versions in one room.
        versions: contents under one name.
        rooms: rooms in the store.
        rate: requests a minute from one client.
        uploads: bytes in memory of documents that are just arriving, all clients together.
        seconds: for one document to arrive.
    """

    document: int = MAX_DOCUMENT_BYTES
    room: int = 2**30
    entries: int = 20_000
    versions: int = 16
    rooms: int = 64
    rate: int = 1200
    uploads: int = 256 * 2**20
    seconds: float = 60.0


class Rate:
    """A bucket of permissions for each client, refilled steadily.

    Args:
        per_minute: permissions in a full bucket, and how many flow in within a minute.
        clock: seconds, never running backwards.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = per_minute, clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait(self, client: str) -> float:
        """Take a permission: 0 seconds, or how long until there is one."""
        now = self._clock()
        left = self._level(client, now)
        if left < 1:
            return (1 - left) * 60 / self._most
        self._forget(now)
        self._buckets[client] = (left - 1, now)
        return 0.0

    def _level(self, client: str, now: float) -> float:
        left, then = self._buckets.get(client, (float(self._most), now))
        return min(self._most, left + (now - then) * self._most / 60)

    def _forget(self, now: float) -> None:
        """Drop full buckets when there are many, and all when that is not enough: memory has an end."""
        if len(self._buckets) >= MAX_CLIENTS:
            self._buckets = {c: b for c, b in self._buckets.items() if self._level(c, now) < self._most}
        if len(self._buckets) >= MAX_CLIENTS:
            self._buckets.clear()


def client_of(host: str) -> str:
    """Who counts as one client: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 6 and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address.ipv4_mapped if address.version == 6 else address)
