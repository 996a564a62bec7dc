"""The benchmark of training runs from end to end, and its table says what its JSON says. Nothing about speed."""

from __future__ import annotations

import json
from statistics import median

import pytest

from blindsight.trainer.networks import NETWORKS
from tests.benchmarks.training import __main__ as benchmark
from tests.benchmarks.training import contestants, tables
from tests.trainer.samples import one_thread, stem_of

NAMES = ["small", "vit"]
TINY = ["--seconds", "0", "--batch", "2", "--edge", "8"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return tmp_path_factory.mktemp("benchmark") / "figures.json"


@pytest.fixture(scope="module")
def printed(written):
    patch = pytest.MonkeyPatch()
    said: list[str] = []
    patch.setattr("sys.stdout.write", said.append)
    try:
        with one_thread():
            assert benchmark.main([*NAMES, *TINY, "--json", str(written)]) == 0
    finally:
        patch.undo()
    return said[0]


@pytest.fixture(scope="module")
def document(printed, written):
    return json.loads(written.read_text())


def test_every_network_is_measured_plain_and_encrypted_in_every_precision(document):
    found = [(row["network"], row["domain"], row["stem"]) for row in document["contestants"]]
    assert found == [
        ("small", "plain", "pixels"),
        ("small", "encrypted", "block"),
        ("vit", "plain", "patch"),
        ("vit", "encrypted", "patch"),
    ]
    for row in document["contestants"]:
        for figures in (row["steps"], row["stem_passes"]):
            assert list(figures) == document["settings"]["precisions"]
            assert all(len(one["cpu_seconds"]) == len(one["seconds"]) >= 3 for one in figures.values())


def test_the_table_says_what_the_json_says(printed, document):
    assert printed == tables.markdown(document) + "\n"
    row = next(line for line in printed.splitlines() if line.startswith("| small"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    plain, encrypted = (one["steps"]["fp32"] for one in document["contestants"][:2])
    assert cells[3].startswith(f"{2 / median(plain['cpu_seconds']):,.0f} (")
    assert cells[5] == f"{100 * (median(encrypted['cpu_seconds']) / median(plain['cpu_seconds']) - 1):+.0f} %"


def test_steps_are_the_same_work_each_time():
    workload = contestants.Workload(batch=2, edge=8, block=4, upsample=2)
    (job,) = contestants.contestant("small", "encrypted", workload, ("fp32",)).jobs.values()
    assert job.run() == job.run()


@pytest.mark.parametrize("name", NETWORKS)
def test_encrypted_images_get_the_stem_that_training_gives_them(name):
    assert contestants.first_layer(name, "encrypted") == (stem_of(name), "nibble")


def test_an_unknown_network_is_refused_before_anything_is_measured(capsys):
    with pytest.raises(SystemExit) as ended:
        benchmark.main(["large"])
    assert ended.value.code == 2
    assert "unknown networks: large" in capsys.readouterr().err
