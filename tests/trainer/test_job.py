"""A job is what was verified when a run was begun, whatever folder it lies in."""

from __future__ import annotations

import dataclasses
import json

import pytest

from blindsight.protocol.errors import FederationError
from blindsight.trainer.job import FILE_NAME, Job, read_nodes
from tests.trainer import sites
from tests.trainer.sites import CONFIG


@pytest.fixture(scope="module")
def manifests(box, folders):
    return sites.verified(box, folders).manifests


@pytest.fixture(scope="module")
def job(box, manifests):
    return Job.of(box, manifests, CONFIG)


def test_a_job_counts_holders_and_names_manifests(world, job, manifests):
    assert (job.fed, job.holders) == (world.log.fed, 2)
    assert job.manifests == tuple(sorted(manifest.envelope.mid for manifest in manifests))


def test_the_digest_does_not_depend_on_paths_or_on_the_order_of_manifests(job, manifests, tmp_path):
    assert Job.of(tmp_path, manifests[::-1], CONFIG).digest == job.digest


def test_the_digest_changes_with_the_manifests(box, job, manifests):
    assert Job.of(box, manifests[:2], CONFIG).digest != job.digest


@pytest.mark.parametrize("key", sorted(set(CONFIG.to_flower()) - {"timeout", "strategy"}))
def test_the_digest_changes_with_every_key_that_decides_the_result(box, job, manifests, key):
    values = CONFIG.to_flower()
    chosen = {
        "precision": "bf16",
        "upsample": 4,
        "optimizer": "muon",
        "stem": "pixels",
        "unit": "bit",
        "network": "fast",
    }
    by_type = {bool: True, int: 1, float: 0.25}
    other = chosen.get(key, by_type.get(type(values[key])))
    assert other != values[key]
    config = type(CONFIG).from_flower(values | {key: other})
    assert Job.of(box, manifests, config).digest != job.digest


def test_the_digest_does_not_change_with_the_patience(box, job, manifests):
    assert Job.of(box, manifests, dataclasses.replace(CONFIG, timeout=5.0)).digest == job.digest


def test_a_job_survives_its_file(job, tmp_path):
    job.save(tmp_path)
    found = Job.load(tmp_path)
    assert (found, found.digest) == (job, job.digest)


def test_the_same_job_may_be_saved_again(job, tmp_path):
    job.save(tmp_path)
    job.save(tmp_path)


def test_another_job_in_the_folder_is_refused_and_left_as_it_is(box, job, manifests, tmp_path):
    job.save(tmp_path)
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(FederationError, match="other settings or manifests") as caught:
        Job.of(box, manifests[:2], CONFIG).save(tmp_path)
    assert caught.value.hint == "name another folder with --out"
    assert (tmp_path / FILE_NAME).read_bytes() == before


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff"])
def test_a_folder_without_a_job_says_so(tmp_path, content):
    if content is not None:
        (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(FederationError, match="holds no training job"):
        Job.load(tmp_path)


def test_the_differing_keys_of_a_configuration_are_named(job):
    with pytest.raises(FederationError, match="in: rounds, lr"):
        job.demand_config(dataclasses.replace(CONFIG, rounds=9, recipe=dataclasses.replace(CONFIG.recipe, lr=0.5)))


def test_all_manifests_of_the_job_must_be_offered(job, manifests):
    job.demand_manifests(manifests)
    with pytest.raises(FederationError, match="2 manifest"):
        job.demand_manifests(manifests[2:])


def test_a_manifest_outside_the_job_is_refused_naming_its_holder(box, manifests):
    with pytest.raises(FederationError, match=f"not part of the job: {manifests[2].holder.split()[0]}"):
        Job.of(box, manifests[:2], CONFIG).demand_manifests(manifests)


def test_folders_are_read_from_the_node_table(tmp_path):
    (tmp_path / "nodes.json").write_text(json.dumps([["/a"], ["/b", "/c"]]))
    assert [str(path) for path in read_nodes(tmp_path / "nodes.json")] == ["/a", "/b", "/c"]


def test_a_missing_node_table_says_what_to_do(tmp_path):
    with pytest.raises(FederationError) as caught:
        read_nodes(tmp_path / "nodes.json")
    assert caught.value.hint == "blindsight trainer fit"
