"""The benchmark of the ciphers runs from end to end, and its tables say what its JSON says. Nothing about speed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from blindsight.holder.ciphers import CIPHERS
from tests.benchmarks import peers
from tests.benchmarks.encryption import __main__ as benchmark
from tests.benchmarks.encryption import contestants, rounds, tables, workloads

SCHEMES = {name for name, _ in CIPHERS}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return tmp_path_factory.mktemp("benchmark") / "figures.json"


@pytest.fixture(scope="module")
def printed(written):
    """What the command writes and prints on tiny images, both tables."""
    patch = pytest.MonkeyPatch()
    said: list[str] = []
    patch.setattr("sys.stdout.write", said.append)
    try:
        assert benchmark.main(["--seconds", "0", "--json", str(written)], workloads.tiny()) == 0
    finally:
        patch.undo()
    return said[0]


@pytest.fixture(scope="module")
def document(printed, written):
    return json.loads(written.read_text())


def rows_of(text: str) -> list[list[str]]:
    """The cells of all table rows that are no heads."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith(("|  |", "| --"))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_scheme_with_every_scope_is_measured_on_small_images_and_on_frames(document):
    found = {(row["workload"], row["scheme"], row["scope"]) for row in document["contestants"] if row["kind"] == "ours"}
    assert {scheme for workload, scheme, _ in found if workload == "32"} == SCHEMES
    assert {scheme for workload, scheme, _ in found if workload in ("frames", "square")} == SCHEMES
    for scheme in ("pixel", "logistic-xor"):
        assert {scope for workload, name, scope in found if (workload, name) == ("32", scheme)} == {"common", "image"}


def test_decryption_is_measured_where_there_is_one(document):
    without = {row["scheme"] for row in document["contestants"] if row["kind"] == "ours" and "decrypt" not in row}
    assert without == {"patch-mix", "vortex"}


def test_memory_and_sealing_stand_beside_them_on_every_workload(document):
    for workload in document["workloads"]:
        names = {row["name"] for row in document["contestants"] if row["workload"] == workload["name"]}
        assert {"memcpy", tables.AES, "ChaCha20-Poly1305, an image a call"} <= names


def test_every_figure_follows_from_the_seconds_in_the_json(document):
    workload_of = {workload["name"]: workload for workload in document["workloads"]}
    for row in document["contestants"]:
        plain = workload_of[row["workload"]]["plain_bytes"] / 1e6
        for figures in (*row["encrypt"].values(), *row.get("decrypt", {}).values()):
            assert len(figures["seconds"]) == figures["passes"] >= rounds.FEWEST
            assert figures["mb_s"] == pytest.approx(plain / np.median(figures["seconds"]))
            assert figures["mb_s_best"] == pytest.approx(plain / min(figures["seconds"]))


def test_the_table_says_what_the_json_says(printed, document):
    assert printed == tables.table(document) + "\n"
    rows, contestants = rows_of(printed), document["contestants"]
    assert [row[0] for row in rows] == [one["name"] for one in contestants]
    for row, one in zip(rows, contestants, strict=True):
        assert row[2:4] == [tables.whole(one["encrypt"]["1"][what]) for what in ("mb_s", "mb_s_best")]


def test_ratios_compare_rows_of_the_same_workload(printed, document):
    head = next(line for line in printed.splitlines() if line.startswith("|  |"))
    column = [cell.strip() for cell in head.strip("|").split("|")].index("memcpy/x")
    memory = {
        row["workload"]: row["encrypt"]["1"]["mb_s"] for row in document["contestants"] if row["name"] == "memcpy"
    }
    for row, one in zip(rows_of(printed), document["contestants"], strict=True):
        assert row[column] == tables.ratio(memory[one["workload"]], one["encrypt"]["1"]["mb_s"])


def test_the_short_table_has_a_row_for_each_of_our_schemes(document):
    rows = rows_of(tables.markdown(document))[1:]
    ours = dict.fromkeys(row["name"] for row in document["contestants"] if row["kind"] == "ours")
    assert [row[0] for row in rows] == list(ours)
    small = {row["name"]: row for row in document["contestants"] if row["workload"] == "32"}
    assert all(row[2] == tables.whole(small[row[0]]["encrypt"]["1"]["mb_s"]) for row in rows)


def test_a_cipher_that_does_not_give_back_what_it_encrypted_is_no_contestant():
    with pytest.raises(ValueError, match="does not give back"):
        contestants.demand_equal(np.zeros(3, np.uint8), np.ones(3, np.uint8), "le does not give back what it encrypted")


@pytest.mark.parametrize("words", [["--schemes", "le,rot13"], ["--workers", "2"], ["--workers", "one"]])
def test_wrong_words_are_refused_before_anything_is_measured(words, capsys):
    with pytest.raises(SystemExit) as ended:
        benchmark.main(words)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_the_images_are_the_same_in_every_run():
    first, again = workloads.tiny(), workloads.tiny()
    assert all(np.array_equal(one.images, other.images) for one, other in zip(first, again, strict=True))


@pytest.mark.parametrize("package", peers.MODULES)
def test_other_programs_make_the_same_bytes_under_the_same_key(package):
    pytest.importorskip(package)
    workload = workloads.tiny()[0]
    found = [peer for peer in peers.peers(workload.shape, workload.blocks) if peer.package == package]
    assert found
    for peer in found:
        expected = contestants.SAME if peer.name != "RandomPE" else "not the same bytes: its key means something else"
        assert contestants.peer(workload, peer, seconds=0).bytes == expected, peer.name
