"""The nodes that may take part: a Grid around Flower's, so that strategies stay as they are.

A cohort knows which node speaks for which holder, passes messages to admitted nodes only, and hands replies on in the
order of the holders' fingerprints: a sum of floats depends on its order, and so would the model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from blindsight.protocol.errors import FederationError

Admit = Callable[[Mapping[int, tuple[bytes, ...]]], Mapping[int, str]]
MANIFEST_QUERY = "query.manifest"
MOMENTS_QUERY = "query.moments"
POLL_SECONDS = 0.2


class Cohort(Grid):
    """Admitted nodes behind a Grid.

    Args:
        inner: the engine's own Grid.
        timeout: seconds to wait for the answers to one set of messages.
    """

    def __init__(self, inner: Grid, timeout: float) -> None:
        self._inner = inner
        self._timeout = timeout
        self.holders: dict[int, str] = {}
        self.metrics: dict[str, dict[str, Any]] = {}

    def admit(self, count: int, decide: Admit) -> None:
        """Ask every node for its manifests and keep those that ``decide`` assigns to a holder.

        Args:
            count: number of nodes to wait for.
            decide: node → manifests as received, to node → holder's fingerprint; raises to refuse.

        Raises:
            FederationError: nodes are missing, or one cannot answer.
        """
        nodes = self._wait_for(count)
        # A query carries a record because Flower passes none on when it is empty.
        queries = [Message(RecordDict({"config": ConfigRecord({"v": 1})}), node, MANIFEST_QUERY) for node in nodes]
        replies = list(self._inner.send_and_receive(queries, timeout=self._timeout))
        self._demand_answers(set(nodes), replies)
        self.holders = dict(decide({reply.metadata.src_node_id: _manifests(reply) for reply in replies}))

    def _wait_for(self, count: int) -> list[int]:
        end = time.monotonic() + self._timeout
        while len(nodes := sorted(self._inner.get_node_ids())) < count:
            if time.monotonic() > end:
                raise FederationError(f"{len(nodes)} of {count} nodes are there after {self._timeout:.0f} seconds")
            time.sleep(POLL_SECONDS)
        return nodes

    def _demand_answers(self, asked: set[int], replies: Iterable[Message]) -> None:
        replies = list(replies)
        failed = [reply for reply in replies if reply.has_error()]
        silent = asked - {reply.metadata.src_node_id for reply in replies}
        names = [self.holders.get(reply.metadata.src_node_id, "a node")[:12] for reply in failed]
        faults = [f"{name}: {reply.error.reason}" for name, reply in zip(names, failed, strict=True)]
        faults += [f"{self.holders.get(node, 'a node')[:12]}: no answer" for node in sorted(silent)]
        if faults:
            raise FederationError("a round cannot be completed: " + "; ".join(faults))

    def ask(self, query: str) -> list[Message]:
        """Put one question to every admitted node.

        Args:
            query: the message type.

        Returns:
            The answers, in the order of the holders' fingerprints.

        Raises:
            FederationError: a node fails or does not answer in time.
        """
        content = RecordDict({"config": ConfigRecord({"v": 1})})
        return self.send_and_receive([Message(content, node, query) for node in self.get_node_ids()])

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Send to admitted nodes; all must answer.

        Raises:
            FederationError: a node fails or does not answer in time.
        """
        sent = list(messages)
        replies = list(self._inner.send_and_receive(sent, timeout=timeout or self._timeout))
        self._demand_answers({message.metadata.dst_node_id for message in sent}, replies)
        replies.sort(key=lambda reply: self.holders[reply.metadata.src_node_id])
        self.metrics = {
            self.holders[r.metadata.src_node_id]: dict(r.content.metric_records["metrics"]) for r in replies
        }
        return replies

    def get_node_ids(self) -> list[int]:
        """The admitted nodes, in the order of their holders' fingerprints."""
        online = set(self._inner.get_node_ids())
        return [node for node, _ in sorted(self.holders.items(), key=lambda item: item[1]) if node in online]

    def set_run(self, run: Any) -> None:
        """Pass on."""
        self._inner.set_run(run)

    @property
    def run(self) -> Any:
        """Pass on."""
        return self._inner.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Write a message; the base class asks for it."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Pass on."""
        return self._inner.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Pass on."""
        return self._inner.pull_messages(message_ids)


def _manifests(reply: Message) -> tuple[bytes, ...]:
    record = reply.content.config_records["manifests"]["manifests"]
    return tuple(part for part in record if isinstance(part, bytes)) if isinstance(record, list) else ()
