"""The table says what the results say: means, spreads, differences seed by seed, and what is missing."""

from __future__ import annotations

import statistics
import sys

import pytest

from blindsight.trainer.experiments import plot, report, table
from blindsight.trainer.experiments.results import Results
from blindsight.trainer.experiments.rows import rows_of
from blindsight.trainer.experiments.spread import Spread, standard_error
from blindsight.trainer.experiments.summary import lines_of
from tests.trainer import experiment_samples as samples

ACCURACY = {"scheme": (0.80, 0.83, 0.84), "unit": (0.81, 0.83, 0.85), "reference": (0.85, 0.86, 0.87)}
PUBLISHED = [
    {"row": "le", "accuracy": 0.863, "source": "Somebody, Table I"},
    {"row": "le", "network": "vit", "accuracy": 0.5, "source": "Somebody else"},
]
OPTIONS = {"seeds": [0, 1, 2], "controls": ["unit", "reference"], "published": PUBLISHED}


class Bench:
    """An experiment in a folder, with results made by hand."""

    def __init__(self, folder, **changes):
        self.experiment = samples.experiment(folder, **changes)
        self.rows = rows_of(self.experiment)
        self.runs = samples.runs(folder, **changes)
        self.results = Results(folder, samples.base(self.experiment))
        self.folder = folder

    def add(self, name, accuracy, **changes):
        self.results.add(samples.result(self.runs[name], name, samples.base(self.experiment), accuracy, **changes))

    def table(self):
        return table.render(self.experiment, lines_of(self.rows, self.results))

    def cells(self, label="le"):
        """The cells of the accuracy table's line, by head."""
        lines = [line.strip("| ").split(" | ") for line in self.table().splitlines() if line.startswith("|")]
        return dict(zip(lines[0], next(line for line in lines if line[0] == label), strict=True))


@pytest.fixture
def bench(tmp_path):
    """Three seeds of three variants."""
    made = Bench(tmp_path, **OPTIONS)
    for variant, shares in ACCURACY.items():
        for seed, share in enumerate(shares):
            made.add(f"le/small/{variant}/{seed}", share)
    return made


def test_accuracies_are_means_in_percent_with_their_sample_standard_deviation(bench):
    cells = bench.cells()
    for variant, head in (("scheme", "under the scheme"), ("unit", "unit control"), ("reference", "plain reference")):
        shares = [100 * share for share in ACCURACY[variant]]
        assert cells[head] == f"{statistics.mean(shares):.2f} ± {statistics.stdev(shares):.2f} (3)"


def test_costs_are_differences_in_points_seed_by_seed(bench):
    cells = bench.cells()
    assert cells["key"] == "−0.67 ± 0.58 (3)"  # -1, 0, -1
    assert cells["stem"] == "−3.00 ± 1.00 (3)"  # -4, -3, -2
    assert "views" not in cells  # nobody asked for fresh


def test_figures_of_others_stand_in_their_row_with_their_source(bench):
    assert bench.cells()["published"] == "86.30 [1]"  # the second is for another network
    assert "* [1] as published: Somebody, Table I." in bench.table()


def test_one_run_has_no_spread(tmp_path):
    made = Bench(tmp_path)
    made.add("le/small/scheme/0", 0.8125)
    assert made.cells()["under the scheme"] == "81.25 (1)"
    assert "not run yet" not in made.table()


def test_what_is_not_run_is_a_dash_and_what_is_run_in_part_says_so(tmp_path):
    made = Bench(tmp_path, **OPTIONS)
    assert "No run is finished." in made.table()
    assert made.cells()["under the scheme"] == "–"
    made.add("le/small/scheme/0", 0.80)
    made.add("le/small/scheme/1", 0.82)
    made.add("le/small/unit/1", 0.85)
    cells = made.cells()
    assert cells["under the scheme"] == "81.00 ± 1.41 (2 of 3)"
    assert cells["key"] == "−3.00 (1 of 3)"  # of the one seed that both have
    assert (cells["plain reference"], cells["stem"]) == ("–", "–")
    assert "not run yet" in made.table()


def test_a_row_that_is_its_own_control_costs_nothing_by_definition(tmp_path):
    made = Bench(tmp_path, schemes=["plain", "le"], controls=["unit"])
    made.add("plain/small/scheme/0", 0.9)
    assert (made.cells("plain")["key"], made.cells("plain")["unit control"]) == ("same run", "90.00 (1)")
    assert made.cells("le")["key"] == "–"


def test_the_budget_of_each_variant_stands_once(tmp_path):
    made = Bench(tmp_path, schemes=["le", "ele"], controls=["reference"], seeds=[0, 1])
    for seed, seconds in ((0, 100.0), (1, 300.0)):
        made.add(f"le/small/reference/{seed}", 0.9, core_seconds=seconds, samples=123_456)
    runs = [line for line in made.table().partition("## Runs")[2].splitlines() if line.startswith("| le")]
    assert len(runs) == 1
    assert "| 123,456 | 200 | 60 | 1,000 |" in runs[0]
    assert "| pooled | pixels, byte | 2 | 90.00 ± 0.00 |" in runs[0]
    assert "| ele | small | reference |" not in made.table()  # the same runs


def test_machines_and_software_are_told_apart(tmp_path):
    made = Bench(tmp_path, seeds=[0, 1, 2])
    for seed in (0, 1):
        made.add(f"le/small/scheme/{seed}", 0.9)
    made.add("le/small/scheme/2", 0.9, versions={"torch": "3.0"}, commit="")
    said = made.table().partition("## Computed with")[2]
    assert "* A, 2 cores, 2 threads, cpu, fp32, python 3.11.0, torch 2.13.0, commit abababababab: 2 runs" in said
    assert "torch 3.0, no commit: 1 run" in said
    assert said.count("`blindsight trainer experiment small`") == 1


def test_it_says_when_test_images_were_looked_at_and_how_much_their_number_means(bench):
    assert "test images were looked at once, afterwards" in bench.table()
    assert "Percent of 10,000 test images" in bench.table()
    assert f"a standard error of up to {100 * standard_error(0.8, 10_000):.2f} points" in bench.table()


def test_a_standard_error_is_that_of_a_share():
    assert standard_error(0.5, 100) == pytest.approx(0.05)
    assert standard_error(1.0, 100) == 0


def test_the_spread_of_nothing_is_nothing():
    assert Spread.of([]) is None
    assert Spread.of([2.0]) == Spread(2.0, None, 1)


def test_the_same_results_give_the_same_table(bench):
    assert bench.table() == bench.table()


# plots


@pytest.fixture
def drawn(bench):
    """The pictures' bytes by name."""
    pytest.importorskip("matplotlib")
    return {
        file.name: file.read_bytes()
        for file in report.write_plots(bench.folder, bench.experiment, bench.rows, bench.results)
    }


def test_the_same_results_give_the_same_pictures(bench, drawn):
    again = report.write_plots(bench.folder, bench.experiment, bench.rows, bench.results)
    assert {file.name: file.read_bytes() for file in again} == drawn
    assert set(drawn) == {"accuracy.svg", "curves.svg"}


def test_pictures_carry_no_date_and_name_what_they_show(drawn):
    for picture in drawn.values():
        assert b"dc:date" not in picture
        for words in (b"Colours", b"le, small", b"under the scheme", b"unit control", b"plain reference"):
            assert words in picture


def test_without_results_nothing_is_drawn(tmp_path):
    made = Bench(tmp_path)
    assert report.write_plots(tmp_path, made.experiment, made.rows, made.results) == []


def test_curves_are_means_over_seeds_at_the_samples_seen(bench):
    results = lines_of(bench.rows, bench.results)[0].results("scheme")
    samples_seen, heights = plot._mean_curve(results)
    assert samples_seen == [0, 2000, 4000]
    assert heights == pytest.approx(
        [0, 100 * statistics.mean(ACCURACY["scheme"]) / 2, 100 * statistics.mean(ACCURACY["scheme"])]
    )


def test_where_matplotlib_is_missing_no_plot_is_drawn(bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert not plot.available()
    assert report.write_plots(bench.folder, bench.experiment, bench.rows, bench.results) == []
