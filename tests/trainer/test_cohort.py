"""A cohort passes messages to admitted nodes, in one order, and every one of them must answer."""

from __future__ import annotations

import pytest
from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from blindsight.protocol.errors import FederationError
from blindsight.trainer.cohort import Cohort
from blindsight.trainer.inprocess import InProcessGrid

app = ClientApp()
HOLDERS = {2: "c" * 64, 3: "a" * 64, 4: "b" * 64}


@app.query("manifest")
def manifest(message: Message, context: Context) -> Message:
    if context.node_config.get("deaf"):
        raise FederationError("these shards are damaged")
    manifests = [f"manifest of {context.node_id}".encode()]
    return Message(RecordDict({"manifests": ConfigRecord({"manifests": manifests})}), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    if context.node_config.get("lame"):
        raise FederationError("no memory left")
    return Message(RecordDict({"metrics": MetricRecord({"node": context.node_id})}), reply_to=message)


class Forgetful(InProcessGrid):
    """A grid that loses the answer of node 3."""

    def pull_messages(self, message_ids):
        return [reply for reply in super().pull_messages(message_ids) if reply.metadata.src_node_id != 3]


def cohort(configs=({}, {}, {}), kind=InProcessGrid, timeout=0.0):
    return Cohort(kind(app, configs, {}, 1), timeout)


def admitted(configs=({}, {}, {}), kind=InProcessGrid):
    made = cohort(configs, kind)
    made.holders = dict(HOLDERS)
    return made


def orders(nodes=(2, 3, 4)):
    return [Message(RecordDict({"config": ConfigRecord({"v": 1})}), number, "train") for number in nodes]


def test_every_node_is_asked_for_its_manifests():
    made, seen = cohort(), {}

    def decide(offers):
        seen.update(offers)
        return HOLDERS

    made.admit(3, decide)
    assert seen == {number: (f"manifest of {number}".encode(),) for number in (2, 3, 4)}


def test_nodes_are_listed_in_the_order_of_their_holders():
    assert admitted().get_node_ids() == [3, 4, 2]


def test_only_admitted_nodes_are_listed():
    made = cohort()
    made.admit(3, lambda offers: {2: "c" * 64})
    assert made.get_node_ids() == [2]


def test_answers_come_in_the_order_of_the_holders_whatever_order_they_were_asked_in():
    for nodes in ((2, 3, 4), (4, 3, 2)):
        replies = admitted().send_and_receive(orders(nodes))
        assert [reply.metadata.src_node_id for reply in replies] == [3, 4, 2]


def test_metrics_are_kept_by_holder():
    made = admitted()
    made.send_and_receive(orders())
    assert {holder: metrics["node"] for holder, metrics in made.metrics.items()} == {h: n for n, h in HOLDERS.items()}


def test_too_few_nodes_are_not_waited_for_longer_than_said():
    with pytest.raises(FederationError, match="3 of 4 nodes are there"):
        cohort().admit(4, lambda offers: {})


def test_a_node_that_fails_stops_the_round_and_is_named_by_its_holder():
    with pytest.raises(FederationError, match=f"{'a' * 12}: no memory left"):
        admitted(({}, {"lame": True}, {})).send_and_receive(orders())


def test_all_failing_nodes_are_named():
    with pytest.raises(FederationError) as caught:
        admitted(({"lame": True}, {"lame": True}, {})).send_and_receive(orders())
    assert all(letter * 12 + ": no memory left" in caught.value.message for letter in "ac")


def test_a_silent_node_stops_the_round_and_is_named_by_its_holder():
    with pytest.raises(FederationError, match=f"{'a' * 12}: no answer"):
        admitted(kind=Forgetful).send_and_receive(orders())


def test_a_node_that_cannot_offer_stops_the_admission():
    with pytest.raises(FederationError, match="these shards are damaged"):
        cohort(({}, {"deaf": True}, {})).admit(3, lambda offers: HOLDERS)


def test_what_decides_may_refuse():
    def refuse(offers):
        raise FederationError("not with these")

    with pytest.raises(FederationError, match="not with these"):
        cohort().admit(3, refuse)
