"""The comparison of a sweep, over run folders that no run has made."""

import io
import json
import re
import shutil
from html.parser import HTMLParser
from math import exp

import pyarrow as pa
import pytest
from rich.console import Console

from raysim.analysis.reached_models import finals
from raysim.analysis.results import RunResults
from raysim.analysis.sweep import is_sweep, open_sweep
from raysim.core.errors import InputError
from raysim.report.figures.sweep import along, frontier, sweep_figures
from raysim.report.sections.sweep import comparison, headline, key_numbers, points
from raysim.report.sweep_page import write_sweep_page
from raysim.report.terminal import sweep_summary
from raysim.tables.io import read_table, schema, table_hash, write_table
from raysim.tables.results import open_run

HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def build_sweep(build_run, tmp_path_factory):
    """A function that writes the folder of a sweep: for each point its values as JSON, and what its run is like."""

    def make(parameters, runs):
        folder = tmp_path_factory.mktemp("sweeps") / "sweep"
        facts = []
        for number, (values, settings) in enumerate(runs, 1):
            name = f"point-{number}"
            if settings is not None:
                (folder / "points").mkdir(parents=True, exist_ok=True)
                shutil.copytree(build_run(**settings), folder / "points" / name)
                (folder / "points" / name / "report.html").write_text("")
            facts.append(
                {"name": name, "folder": f"points/{name}", "values": dict(zip(parameters, values, strict=True))}
            )
        manifest = {"name": "swept", "parameters": parameters, "points": facts, "experiment": {}, "command": "raysim"}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return make


@pytest.fixture(scope="module")
def folder(build_sweep):
    """Four points: the leak follows the rate, and nothing follows the tau."""
    runs = [
        ((rate, tau), {"leak": leak, "prompts": 4, "files": 2})
        for rate, leak in (("0.001", 0.4), ("0.01", 1.0))
        for tau in ('"small"', '"large"')
    ]
    return build_sweep({"trainer.learning_rate": "learning_rate", "strategies.fedyogi.tau": "tau"}, runs)


@pytest.fixture(scope="module")
def sweep(folder):
    return open_sweep(folder)


def test_points_at_which_a_setting_is_the_same_are_one_trial(sweep):
    # 3 alone, centralized, incremental, 2 federations: at two rates each, whatever the tau.
    assert len(sweep.trials) == 2 * 7
    assert {tuple(point.name for point in trial.points) for trial in sweep.trials} == {
        ("point-1", "point-2"),
        ("point-3", "point-4"),
    }
    _, lines = comparison(sweep)
    assert [line.values for line in lines[:2]] == [["0.001", "any"], ["0.01", "any"]]
    assert [line.first for line in lines[:4]] == [True, False, True, False]


def test_equal_models_that_are_measured_otherwise_stay_apart(build_sweep):
    runs = [((f'"{leak}"',), {"leak": leak, "prompts": 2, "files": 2}) for leak in (0.4, 1.0)]
    centralized = [t for t in open_sweep(build_sweep({"a": "a"}, runs)).trials if t.row.family == "centralized"]
    assert [len(trial.points) for trial in centralized] == [1, 1]


def test_equal_trials_at_some_combinations_alone_stay_apart(build_sweep):
    leaks = {("1", "1"): 1.0, ("1", "2"): 0.0, ("2", "1"): 0.0, ("2", "2"): 1.0}
    runs = [(values, {"leak": leak, "prompts": 2, "files": 2}) for values, leak in leaks.items()]
    trials = open_sweep(build_sweep({"a": "a", "b": "b"}, runs)).trials
    assert [len(t.points) for t in trials if t.row.family == "centralized"] == [1, 1, 1, 1]
    assert [t.points[0].name for t in trials if t.row.family == "centralized"] == [f"point-{n}" for n in (1, 2, 3, 4)]


def test_the_measures_are_those_of_the_points_own_study(folder, sweep):
    trial = next(t for t in sweep.trials if t.row.strategy == "fedavg" and t.points[0].name == "point-3")
    own = next(r for r in RunResults(open_run(folder / "points/point-3")).final_rows() if r.strategy == "fedavg")
    assert trial.row.cells == own.cells
    assert trial.tokens == (14_600 + 14_100 + 14_300) * 10


def test_the_best_of_a_setting_is_marked_and_equal_ones_are_not(sweep):
    columns, lines = comparison(sweep)
    exclusive = [column[0] for column in columns].index("exclusive")
    quality = [column[0] for column in columns].index("bits_per_byte")
    for label in {line.trial.row.label for line in lines}:
        mine = [line for line in lines if line.trial.row.label == label]
        values = [line.trial.row.mean("exclusive") or 0.0 for line in mine]
        assert [line.cells[exclusive][1] for line in mine] == [v == min(values) != max(values) for v in values]
        assert not any(line.cells[quality][1] for line in mine)


def test_the_table_has_a_row_a_point_and_final_model(folder, sweep):
    write_sweep_page(folder)
    rows = read_table(folder, "sweep").to_pylist(maps_as_pydicts="strict")
    assert len(rows) == 4 * (3 + 1 + 6 + 2)
    row = next(r for r in rows if (r["point"], r["strategy"]) == ("point-4", "centralized"))
    results = RunResults(open_run(folder / "points/point-4"))
    end = next(p for p in finals(results.reached_models) if p.strategy == "centralized")
    measures = results.measures(end.model)
    assert row["parameters"] == {"trainer.learning_rate": "0.01", "strategies.fedyogi.tau": '"large"'}
    assert row["perplexity"] == exp(measures["log_perplexity", ""])
    assert (row["exclusive"], row["matched_share"]) == (measures["exclusive", ""], measures["matched_share", ""])


def test_solutions_are_compared_where_problems_were_given(build_sweep):
    runs = [((rate,), {"prompts": 2, "files": 2}) for rate in ("0.1", "0.2")]
    folder = build_sweep({"rate": "rate"}, runs)
    outcomes = dict.fromkeys(("wrong", "error", "timeout", "memory", "ended", "too_long"), 0)
    for number, passed in ((1, 1), (2, 3)):
        point = folder / f"points/point-{number}"
        models = sorted({end.model for end in finals(RunResults(open_run(point)).reached_models)})
        rows = [
            {"model": m, "problem": "P/0", "samples": 4, "passed": passed, **outcomes, "wrong": 4 - passed, "walls": ""}
            for m in models
        ]
        write_table(point, "executions", pa.Table.from_pylist(rows, schema("executions")))
    columns, lines = comparison(open_sweep(folder))
    column = [name for name, *_ in columns].index("passes")
    assert [line.cells[column][0].text for line in lines[:2]] == ["25.0 %", "75.0 %"]
    assert [line.cells[column][1] for line in lines[:2]] == [False, True]
    write_sweep_page(folder)
    assert set(read_table(folder, "sweep").column("passes").to_pylist()) == {0.25, 0.75}


def test_a_line_runs_along_a_number_for_every_setting(sweep):
    figure = along(sweep, "trainer.learning_rate")
    assert figure is not None
    full = [trace for trace in figure.spec["data"] if trace["mode"] == "lines+markers"]
    assert len(full) == 2 * 7
    assert all(trace["x"] == [0.001, 0.01] for trace in full)
    assert figure.spec["layout"]["xaxis"]["type"] == "log"


def test_pale_lines_hold_the_other_parameters(build_sweep):
    leaks = {("1", "1"): 0.1, ("1", "2"): 0.4, ("2", "1"): 0.7, ("2", "2"): 1.0}
    runs = [(values, {"leak": leak, "prompts": 2, "files": 2}) for values, leak in leaks.items()]
    swept = open_sweep(build_sweep({"a": "a", "b": "b"}, runs))
    figure = along(swept, "b")
    assert figure is not None
    mine = [t for t in figure.spec["data"] if t["name"] == "fedavg" and t["xaxis"] == "x2"]
    at = {
        tuple(p.values.values()): next(t for t in swept.trials if p in t.points and t.row.label == "fedavg")
        for p in swept.points
    }
    values = {place: trial.row.mean("exclusive") or 0.0 for place, trial in at.items()}
    pale = sorted(t["y"] for t in mine if t["mode"] == "lines")
    assert pale == sorted([[values["1", "1"], values["1", "2"]], [values["2", "1"], values["2", "2"]]])
    (full,) = (t["y"] for t in mine if t["mode"] == "lines+markers")
    assert full == pytest.approx([(values["1", b] + values["2", b]) / 2 for b in "12"])


def test_texts_have_no_axis(sweep):
    assert along(sweep, "strategies.fedyogi.tau") is None
    assert set(sweep_figures(sweep)) == {"frontier", "along0"}


def test_the_frontier_has_a_mark_a_trial_in_the_colour_of_its_setting(sweep):
    figure = frontier(sweep)
    assert figure is not None
    assert [len(trace["x"]) for trace in figure.spec["data"]] == [2] * 7
    assert len({(t["marker"]["color"], t["marker"]["symbol"]) for t in figure.spec["data"]}) == 7


def test_stages_that_points_share_count_once(sweep):
    asked = {s["key"] for s in sweep.points[0].results.run.stages if s["kind"] == "train"}
    number = next(n for n in key_numbers(sweep) if n.name == "Trained")
    assert (number.value, f"the {4 * len(asked)} that" in number.detail) == (str(len(asked)), True)


def test_points_that_are_to_come_are_said_to_be(build_sweep):
    folder = build_sweep({"seed": "seed"}, [(("1",), {"prompts": 2, "files": 2}), (("2",), None)])
    sweep = open_sweep(folder)
    assert headline(sweep) == "Two points: every value of seed (1, 2). One of them finished; the same command goes on."
    assert [(row["state"], row["report"]) for row in points(sweep)] == [
        ("finished", "points/point-1/report.html"),
        ("to come", ""),
    ]
    assert write_sweep_page(folder).is_file()


def test_nothing_measured_is_said(build_sweep):
    settings = {"memorization": False, "perplexity": False}
    folder = build_sweep({"seed": "seed"}, [(("1",), settings), (("2",), None)])
    assert "No final model was measured" in write_sweep_page(folder).read_text()
    assert read_table(folder, "sweep").column("exclusive").null_count == 12


class _Tags(HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.addresses = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]


def test_foreign_text_never_becomes_a_tag(build_sweep):
    runs = [((json.dumps(value),), {"organizations": (HOSTILE, "b"), "prompts": 2}) for value in (HOSTILE, "[red]")]
    folder = build_sweep({HOSTILE: HOSTILE}, runs)
    page = _Tags(write_sweep_page(folder).read_text())
    assert "img" not in page.tags
    assert page.tags.count("script") == 4
    out = io.StringIO()
    Console(file=out, width=100, color_system=None).print(sweep_summary(folder))
    assert "[red]" in out.getvalue()


def test_the_page_needs_no_network_and_links_to_the_points(folder):
    page = _Tags(write_sweep_page(folder).read_text())
    outside = [address for address in page.addresses if not address.startswith(("#", "data:"))]
    assert outside == [f"points/point-{number}/report.html" for number in (1, 2, 3, 4)]


def test_every_figure_on_the_page_is_drawn(folder, sweep):
    named = re.findall(r'data-figure="(\w+)"', write_sweep_page(folder).read_text())
    assert sorted(named) == sorted(sweep_figures(sweep))


def test_the_page_and_the_table_are_the_same_again(folder):
    first, table = write_sweep_page(folder).read_text(), table_hash(read_table(folder, "sweep"))
    assert write_sweep_page(folder).read_text() == first
    assert table_hash(read_table(folder, "sweep")) == table


def test_the_summary_fits_into_100_columns(folder):
    out = io.StringIO()
    Console(file=out, width=100, color_system=None).print(sweep_summary(folder))
    lines = [line for line in out.getvalue().splitlines() if not line.startswith("Report:")]
    assert max(map(len, lines)) <= 100
    assert any(re.match(r"0\.001 +any +single: meta", line) for line in lines)


def test_a_run_is_no_sweep(run, folder):
    assert (is_sweep(run), is_sweep(folder)) == (False, True)
    with pytest.raises(InputError, match="not of a sweep"):
        open_sweep(run)
