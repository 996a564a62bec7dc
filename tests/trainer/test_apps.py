"""ServerApp and ClientApp over the in-process engine: who is admitted, what is sent, what comes back."""

from __future__ import annotations

import dataclasses
import os
import shutil

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict

from blindsight.protocol.errors import FederationError
from blindsight.protocol.manifest import FILE_NAME
from blindsight.trainer import client_app, inprocess, server_app, weights, whitening
from blindsight.trainer.checkpoint import resume
from blindsight.trainer.inprocess import InProcessGrid
from blindsight.trainer.job import Job
from blindsight.trainer.model import model_for
from blindsight.trainer.node import load
from tests.trainer import sites
from tests.trainer.sites import CONFIG


@pytest.fixture
def job(box, folders, tmp_path):
    """A folder with the job over both holders' data."""
    made = Job.of(box, sites.verified(box, folders).manifests, CONFIG)
    made.save(tmp_path)
    return tmp_path


def node(*folders):
    return {"datasets": os.pathsep.join(map(str, folders))}


def served(job, nodes, config=CONFIG):
    inprocess.run(
        server_app.app, client_app.app, node_configs=nodes, run_config=config.to_flower(), state=job, workers=1
    )


def asked(folders, kind, record, config=CONFIG):
    """The answer of one node to one message."""
    grid = InProcessGrid(client_app.app, [node(*folders)], config.to_flower(), 1)
    (number,) = grid.get_node_ids()
    (reply,) = grid.send_and_receive([Message(record, number, kind)])
    return reply


def order(folders, **changes):
    data = load(tuple(folders))
    flat = weights.pack(model_for(data.descriptor, data.classes, CONFIG).state_dict())
    asked_for = {"server-round": 1, "rate-start": 0.2, "rate-end": 0.1} | changes
    return RecordDict({"arrays": ArrayRecord({"weights": Array(flat)}), "config": ConfigRecord(asked_for)})


def test_a_node_answers_with_its_manifests(folders):
    reply = asked(folders[:2], "query.manifest", RecordDict({"config": ConfigRecord({"v": 1})}))
    sent = reply.content.config_records["manifests"]["manifests"]
    assert sent == [(folder / FILE_NAME).read_bytes() for folder in folders[:2]]


def test_training_sends_back_weights_and_counts_and_nothing_else(folders):
    reply = asked(folders[:2], "train", order(folders[:2]))
    assert set(reply.content) == {"arrays", "metrics"}
    assert set(reply.content.array_records["arrays"]) == {"weights"}
    metrics = reply.content.metric_records["metrics"]
    assert set(metrics) == {"num-examples", "val-rows", "val-correct", "val-loss", "train-loss"}
    assert (metrics["num-examples"], metrics["val-rows"]) == (16, 7)


def test_training_changes_the_weights(folders):
    sent = order(folders[:2])
    reply = asked(folders[:2], "train", sent)
    before = sent.array_records["arrays"]["weights"].numpy()
    after = reply.content.array_records["arrays"]["weights"].numpy()
    assert after.shape == before.shape
    assert not np.array_equal(after, before)


def test_the_same_order_gives_the_same_weights(folders):
    first, second = [asked(folders[:2], "train", order(folders[:2])) for _ in range(2)]
    digests = {weights.digest(r.content.array_records["arrays"]["weights"].numpy()) for r in (first, second)}
    assert len(digests) == 1


def test_another_round_trains_in_another_order(folders):
    replies = [asked(folders[:2], "train", order(folders[:2], **{"server-round": number})) for number in (1, 2)]
    digests = {weights.digest(r.content.array_records["arrays"]["weights"].numpy()) for r in replies}
    assert len(digests) == 2


def test_evaluating_sends_counts_only(folders):
    reply = asked(folders[:2], "evaluate", order(folders[:2]))
    assert set(reply.content) == {"metrics"}
    assert reply.content.metric_records["metrics"]["val-rows"] == 7


def test_a_node_without_val_rows_says_so(folders):
    metrics = asked(folders[:1], "evaluate", order(folders[:1])).content.metric_records["metrics"]
    assert (metrics["val-rows"], metrics["val-correct"]) == (0, 0)


def test_weights_of_another_network_are_refused_by_the_node(folders):
    record = RecordDict({"arrays": ArrayRecord({"weights": Array(np.zeros(3, np.float32))}), "config": ConfigRecord()})
    reply = asked(folders[:2], "evaluate", record)
    assert reply.has_error()
    assert "expected weights of" in reply.error.reason


def test_a_configuration_out_of_range_is_refused_by_the_node(folders):
    grid = InProcessGrid(client_app.app, [node(*folders[:2])], CONFIG.to_flower() | {"lr": 1e9}, 1)
    (reply,) = grid.send_and_receive([Message(order(folders[:2]), grid.get_node_ids()[0], "evaluate")])
    assert "lr must be from" in reply.error.reason


def test_a_node_cannot_reach_into_the_servers_memory(folders):
    sent = order(folders[:2])
    before = weights.digest(sent.array_records["arrays"]["weights"].numpy())
    asked(folders[:2], "train", sent)
    assert weights.digest(sent.array_records["arrays"]["weights"].numpy()) == before


def test_a_server_runs_a_job_to_its_end(job, folders):
    served(job, [node(*folders[:2]), node(*folders[2:])])
    assert {path.name for path in job.iterdir()} == {"job.json", "best.safetensors", "last.safetensors"}


def test_the_order_of_nodes_does_not_matter(job, folders, tmp_path):
    shutil.copytree(job, tmp_path / "other")
    served(job, [node(*folders[:2]), node(*folders[2:])])
    served(tmp_path / "other", [node(*folders[2:]), node(*folders[:2])])
    assert (job / "last.safetensors").read_bytes() == (tmp_path / "other" / "last.safetensors").read_bytes()


def test_a_server_runs_no_other_configuration_than_the_jobs(job, folders):
    other = dataclasses.replace(CONFIG, seed=9, rounds=3)
    with pytest.raises(FederationError, match="differs from the job's in: rounds, seed"):
        served(job, [node(*folders[:2]), node(*folders[2:])], other)


def test_a_server_without_a_job_refuses_to_start(tmp_path, folders):
    with pytest.raises(FederationError, match="holds no training job"):
        served(tmp_path, [node(*folders)])


def test_a_server_that_does_not_know_its_folder_refuses_to_start(monkeypatch):
    monkeypatch.delenv(server_app.STATE_VARIABLE, raising=False)
    with pytest.raises(FederationError, match="the server does not know its folder"):
        server_app._state_folder(Context(1, 1, {}, RecordDict(), {}))


def test_a_node_that_speaks_for_two_holders_is_refused(job, folders):
    with pytest.raises(FederationError, match="several holders"):
        served(job, [node(folders[0], folders[3]), node(*folders[2:])])


def test_a_node_that_offers_what_is_not_part_of_the_job_is_refused_by_name(job, world, folders, tmp_path):
    other = sites.published(world, 1, tmp_path / "elsewhere" / "train")
    with pytest.raises(FederationError, match="not part of the job: site") as caught:
        served(job, [node(*folders[:2]), node(other)])
    assert world.keys[1].entry.label in caught.value.message


def test_a_node_whose_shards_are_damaged_is_refused_before_the_first_round(job, folders, tmp_path):
    copy = tmp_path / "copy" / "train"
    shutil.copytree(folders[0], copy)
    shard = next((copy / "shards").iterdir())
    shard.write_bytes(shard.read_bytes()[:-1] + b"\0")
    with pytest.raises(FederationError, match="train split: shards/"):
        served(job, [node(copy, folders[1]), node(*folders[2:])])
    assert not (job / "last.safetensors").exists()


# Second moments for the first layer.

WHITENED = dataclasses.replace(CONFIG, whiten=True)


@pytest.fixture
def few(monkeypatch):
    """As if a few images were many."""
    monkeypatch.setattr(whitening, "LEAST", 16)


def moments(folders, **told):
    """The answer of one node, told so, to the question for second moments."""
    grid = InProcessGrid(client_app.app, [node(*folders) | told], WHITENED.to_flower(), 1)
    (number,) = grid.get_node_ids()
    question = RecordDict({"config": ConfigRecord({"v": 1})})
    (reply,) = grid.send_and_receive([Message(question, number, "query.moments")])
    return reply.content


def test_a_node_answers_with_one_sum_over_its_blocks_and_their_number(folders, few):
    content = moments(folders[:2])
    total = content.array_records["arrays"]["moments"].numpy()
    assert total.shape == (96, 96)
    assert np.array_equal(total, total.T)
    assert content.metric_records["metrics"]["blocks"] == 16 * 4


def test_a_node_that_is_told_to_keeps_its_moments(folders):
    content = moments(folders[:2], **{"share-moments": False})
    assert set(content) == {"metrics"}
    assert content.metric_records["metrics"]["blocks"] == 0


def refusal(folders, config, **told):
    grid = InProcessGrid(client_app.app, [node(*folders) | told], config.to_flower(), 1)
    question = RecordDict({"config": ConfigRecord({"v": 1})})
    (reply,) = grid.send_and_receive([Message(question, grid.get_node_ids()[0], "query.moments")])
    return reply.error.reason


def test_moments_of_few_images_or_of_whole_images_are_not_sent(folders, monkeypatch):
    assert "at least 100 images" in refusal(folders[:2], WHITENED)
    monkeypatch.setattr(whitening, "LEAST", 16)
    assert "no larger than the scheme's" in refusal(folders[:2], dataclasses.replace(WHITENED, block=8))


def test_moments_are_sent_only_in_a_run_that_says_so_and_by_a_clear_yes(folders, few):
    assert "whiten=false" in refusal(folders[:2], CONFIG)
    assert "must be true or false" in refusal(folders[:2], WHITENED, **{"share-moments": "false"})


def begun(box, folders, out, *told):
    """The weights before the first round."""
    out.mkdir()
    config = dataclasses.replace(WHITENED, rounds=1, recipe=dataclasses.replace(CONFIG.recipe, lr=1e-8, least_steps=1))
    Job.of(box, sites.verified(box, folders).manifests, config).save(out)
    nodes = [node(*folders[:2]) | told[0], node(*folders[2:]) | told[1]]
    served(out, nodes, config)
    data = load(tuple(folders[:2]))
    network = model_for(data.descriptor, data.classes, config)
    weights.unpack(resume(out, Job.load(out).digest).weights, network)
    return network.stem.blocks.weight.detach().numpy()


def test_the_first_layer_begins_from_those_who_give_their_moments(box, folders, few, tmp_path):
    kept = {"share-moments": False}
    both, first, nobody = (
        begun(box, folders, tmp_path / f"{place}", *told)
        for place, told in enumerate([({}, {}), ({}, kept), (kept, kept)])
    )
    assert np.allclose(both[:192:2], -both[1:192:2], atol=1e-4)  # after one tiny step
    assert np.allclose(first[:192:2], -first[1:192:2], atol=1e-4)
    assert not np.allclose(both, first, atol=1e-2)
    assert not np.allclose(nobody[:192:2], -nobody[1:192:2], atol=1e-2)


def test_moments_of_other_sizes_or_without_end_are_refused():
    class Reply:
        def __init__(self, total):
            self.content = RecordDict({"metrics": MetricRecord({"blocks": 4})})
            self.content["arrays"] = ArrayRecord({"moments": Array(total)})

    for total in (np.eye(3), np.full((2, 2), np.inf), np.zeros(2), np.eye(2, dtype=np.float32)):
        with pytest.raises(FederationError, match="expected second moments of 2 units"):
            server_app._moments(Reply(total), 2)
    for total in (1e9 * np.eye(2), -np.eye(2)):
        with pytest.raises(FederationError, match="of 4 clipped blocks"):
            server_app._moments(Reply(total), 2)
