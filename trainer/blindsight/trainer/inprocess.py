"""The in-process engine: the same ServerApp and ClientApp as everywhere, in this process and without Ray.

Messages go through Flower's own copy, so a ClientApp cannot share memory with the server; clients run side by side in
threads, each computing with one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.task_identity import TaskIdentity  # private: flwr is pinned, tests/trainer covers it

from blindsight.protocol.errors import BlindsightError

FIRST_NODE = 2  # Flower's server is node 1
CLIENT_FAILED = 2


class InProcessGrid(Grid):
    """A Grid whose nodes are calls.

    Args:
        client_app: the ClientApp that every node runs.
        node_configs: one per node.
        run_config: the run configuration.
        workers: how many nodes work at a time.
    """

    def __init__(
        self,
        client_app: ClientApp,
        node_configs: Sequence[Mapping[str, Any]],
        run_config: Mapping[str, Any],
        workers: int,
    ) -> None:
        self._client_app = client_app
        self._workers = workers
        self._replies: dict[str, Message] = {}
        self._contexts = {
            node: Context(1, node, dict(config), RecordDict(), dict(run_config))
            for node, config in enumerate(node_configs, FIRST_NODE)
        }

    def get_node_ids(self) -> list[int]:
        """All nodes."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Let the addressed nodes answer."""
        sent = list(messages)
        pool = ThreadPoolExecutor(self._workers)
        try:
            replies = list(pool.map(self._answer, sent))
        finally:
            pool.shutdown(cancel_futures=True)  # interrupted, only the nodes at work finish
        ids = [_identify(message) for message in sent]
        self._replies |= dict(zip(ids, replies, strict=True))
        return ids

    def _answer(self, message: Message) -> Message:
        head = message.metadata
        context = self._contexts[head.dst_node_id]
        copy = Message(message.content.copy(), head.dst_node_id, head.message_type, group_id=head.group_id)
        try:
            reply = self._client_app(copy, context)
        except BlindsightError as error:
            return Message(Error(CLIENT_FAILED, f"{error.message} [{error.code}]"), reply_to=message)
        _identify(reply)
        return reply

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """The answers at hand."""
        return [self._replies.pop(name) for name in list(message_ids) if name in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Let nodes answer and return what they say; a call has no timeout."""
        return self.pull_messages(self.push_messages(messages))

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Write a message; the base class asks for it."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def set_run(self, run: Any) -> None:
        """There is one run only."""

    @property
    def run(self) -> Any:
        """There is no record of the run.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("an in-process run has no record")


def run(
    server_app: ServerApp,
    client_app: ClientApp,
    *,
    node_configs: Sequence[Mapping[str, Any]],
    run_config: Mapping[str, Any],
    state: Path,
    workers: int,
) -> None:
    """Run a ServerApp over ClientApps in this process.

    Args:
        server_app: the server.
        client_app: what every node runs.
        node_configs: one per node.
        run_config: seen by both.
        state: the server's folder.
        workers: how many nodes work at a time.
    """
    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
    grid = InProcessGrid(client_app, node_configs, run_config, workers)
    context = Context(1, 1, {"state-dir": str(state)}, RecordDict(), dict(run_config))
    with _quiet_flower():
        server_app(grid, context)


@contextmanager
def _quiet_flower() -> Iterator[None]:
    """Flower reports every step of a strategy; the command reports rounds."""
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _identify(message: Message) -> str:
    name = str(uuid4())
    message.metadata.__dict__["_message_id"] = name
    return name
