"""What the page of a sweep says of its points."""

import pyarrow as pa
from run_tables import Setting

from raysim.analysis.reached_models import finals
from raysim.analysis.results import RunResults
from raysim.analysis.sweep import open_sweep
from raysim.report.headlines import sweep_headline, sweep_numbers
from raysim.report.sections.sweep import comparison, points
from raysim.report.sweep_page import write_sweep_page
from raysim.tables.io import read_table, schema, write_table
from raysim.tables.results import open_run


def test_the_best_of_a_setting_is_marked_and_equal_ones_are_not(sweep):
    scores, lines = comparison(sweep)
    exclusive = [score.name for score in scores].index("exclusive")
    quality = [score.name for score in scores].index("bits_per_byte")
    for label in {line.trial.row.label for line in lines}:
        mine = [line for line in lines if line.trial.row.label == label]
        values = [line.trial.row.mean("exclusive") or 0.0 for line in mine]
        assert [line.cells[exclusive][1] for line in mine] == [v == min(values) != max(values) for v in values]
        assert not any(line.cells[quality][1] for line in mine)


def test_a_point_is_chosen_on_validation_and_quoted_on_test(build_sweep):
    """The second point is the better one on validation files, and the worse one on the test split."""
    usual = {"memorization": False, "files": 2, "without": ("single", "centralized", "incremental", "fedyogi")}
    worse, better = Setting("f", "fedavg", variant="a"), Setting("f", "fedavg", variant="b", worse=-1.0)
    runs = [
        (("0.1",), usual | {"without": (*usual["without"], "fedavg"), "more": (worse,), "test": {"f": 0.0}}),
        (("0.2",), usual | {"without": (*usual["without"], "fedavg"), "more": (better,), "test": {"f": 2.0}}),
    ]
    sweep = open_sweep(build_sweep({"rate": "rate"}, runs))
    scores, lines = comparison(sweep)
    names = [score.name for score in scores]
    valid, test = names.index("bits_per_byte"), names.index("test_bits_per_byte")
    assert [line.cells[valid][1] for line in lines] == [False, True]
    assert [line.cells[test][1] for line in lines] == [False, False]
    chosen = lines[1].trial.row.mean("test_bits_per_byte")
    other = lines[0].trial.row.mean("test_bits_per_byte")
    assert chosen is not None
    assert other is not None
    assert chosen > other
    number = next(n for n in sweep_numbers(sweep) if n.name == "Quality")
    assert number.value == lines[1].cells[test][0].text == f"{chosen:.3f}"
    assert "on the test split; chosen on validation" in number.detail
    assert "f with rate 0.2" in number.detail
    assert sorted(sweep.table().column("test_bits_per_byte").to_pylist())[1] == chosen


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
    scores, lines = comparison(open_sweep(folder))
    column = [score.name for score in scores].index("passes")
    assert [line.cells[column][0].text for line in lines[:2]] == ["25.0 %", "75.0 %"]
    assert [line.cells[column][1] for line in lines[:2]] == [False, True]
    write_sweep_page(folder)
    assert set(read_table(folder, "sweep").column("passes").to_pylist()) == {0.25, 0.75}


def test_stages_that_points_share_count_once(sweep):
    asked = {s["key"] for s in sweep.points[0].results.run.stages if s["kind"] == "train"}
    number = next(n for n in sweep_numbers(sweep) if n.name == "Trained")
    assert (number.value, f"the {4 * len(asked)} that" in number.detail) == (str(len(asked)), True)


def test_points_that_are_to_come_are_said_to_be(build_sweep):
    folder = build_sweep({"seed": "seed"}, [(("1",), {"prompts": 2, "files": 2}), (("2",), None)])
    sweep = open_sweep(folder)
    assert (
        sweep_headline(sweep)
        == "Two points: every value of seed (1, 2). One of them finished; the same command goes on."
    )
    assert [(row["state"], row["report"]) for row in points(sweep)] == [
        ("finished", "points/point-1/report.html"),
        ("to come", ""),
    ]
    assert write_sweep_page(folder).is_file()
