import dataclasses

import pytest

from raysim.analysis.results import RunResults
from raysim.report.sections import overview as sections
from raysim.tables.results import open_run


@pytest.fixture(scope="module")
def results(run):
    return RunResults(open_run(run))


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [(0, "", "0"), (14_600, "", "14,600"), (1_182_336, "", "1.18 M"), (4_729_344, "B", "4.73 MB"), (512, "B", "512 B")],
)
def test_quantities(number, unit, text):
    assert sections.quantity(number, unit) == text


@pytest.mark.parametrize(("seconds", "text"), [(8.24, "8.2 s"), (840, "14 min"), (7500, "2 h 05 min")])
def test_durations(seconds, text):
    assert sections.duration(seconds) == text


def test_evidence_is_sorted_by_length_and_names_a_file_once(results):
    found = sections.evidence(results)
    assert found
    assert len({(match["owner"], match["file"]) for match in found}) == len(found)
    final = {p.model for p in results.reached_models if p.final}
    lengths = [match["lines"] for match in found if match["model"] in final]
    assert lengths == sorted(lengths, reverse=True)
    longest = max(r["lines"] for r in results.run.table("matches").to_pylist() if r["model"] in final)
    assert lengths[0] == longest


def test_the_ledger_is_summed_by_who_and_what(results):
    rows = {(r["sender"], r["receiver"], r["kind"]): r for r in sections.transfers(results)}
    assert rows["meta", "server", "weights"]["times"] == 20
    assert rows["meta", "server", "weights"]["bytes_sum"] == 20 * 4_729_344
    assert rows["google", "trainer", "code"]["size"] == "40 kB"


def test_times_are_summed_by_kind(results):
    rows = {row["kind"]: row for row in sections.times(results)}
    # 3 single, 10 centralized and 12 further incremental models of the tree; 20 aggregations.
    assert rows["train"]["stages"] == 25
    assert rows["aggregate"]["time"] == "8.0 s"
    assert rows["train"]["retried"] == 1
    assert rows["generate"]["cached"] == 1


def test_how_fast_training_was(run):
    """Three loops, of which one knows the peak of its device; stages of the store have none."""

    def loop(tokens_per_s, data_seconds, **more):
        return {"training": {"tokens_per_s": tokens_per_s, "seconds": 10.0, "data_seconds": data_seconds, **more}}

    stages = (
        loop(2000.0, 0.5, peak_memory_bytes=2_000_000),
        {"kind": "train", "status": "cached"},
        loop(1000.0, 0.1, peak_memory_bytes=9_000_000, flop_utilization=0.4213),
        loop(4000.0, 0.0, peak_memory_bytes=1_000_000),
    )
    found = dict(sections.training_speed(RunResults(dataclasses.replace(open_run(run), stages=stages))))
    assert found["Rate"] == "2,000 tokens/s, median of 3 training loops"
    assert found["Utilization"].startswith("42.1 %")
    assert found["Peak memory"] == "9 MB of a rank"
    assert found["Waiting for data"] == "0.6 s, 2.0 % of 30.0 s"
    assert sections.training_speed(RunResults(dataclasses.replace(open_run(run), stages=stages[1:2]))) == []


def test_columns_that_were_not_measured_are_left_out(build_run):
    scores, rows = sections.scoreboard(RunResults(open_run(build_run(memorization=False))))
    assert [score.name for score in scores] == ["bits_per_byte", "log_perplexity", "accuracy"]
    assert len(rows) == 7


def test_counts_that_say_the_same_are_folded(results):
    scores, _ = sections.scoreboard(results)
    leakage = [score for score in scores if score.name in ("exclusive", "ratio", "ratio_eligible", "matched_share")]
    assert [score.name for score in leakage if not score.folded] == ["exclusive", "matched_share"]
