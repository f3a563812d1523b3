"""Curves of extraction over the number of samples."""

from typing import Any

import pytest
from measured_tables import recited

from raysim.analysis.extraction import (
    CHANCES,
    extraction_rows,
)
from raysim.analysis.results import RunResults
from raysim.report.figures.extraction import extraction_curves


@pytest.fixture(scope="module")
def results(build_run) -> RunResults:
    return recited(build_run(seeds=(1, 2), prompts=4))


def even(trace: dict[str, Any]) -> bool:
    """Whether it stands in a panel of p = 0.5, the second in a row of four."""
    return trace["xaxis"] in ("x2", "x6")


def test_curves_are_those_of_the_table(results: RunResults) -> None:
    figure = extraction_curves(results)
    assert figure is not None
    settings = len(extraction_rows(results))
    traces = figure.spec["data"]
    assert len(traces) == settings * len(CHANCES) * 2
    first = next(trace for trace in traces if trace["name"] == "fedavg")  # p = 0.1
    shown = dict(zip(first["x"], first["y"], strict=True))
    assert (shown[1.0], shown[100.0], shown[126.0]) == (0.5, 0.5, 1.0)  # 0.001 takes 106
    # By the other scheme each suffix is less likely by a factor of e: at even odds 4 samples instead of one.
    sampled, plain = (dict(zip(t["x"], t["y"], strict=True)) for t in traces if t["name"] == "fedavg" and even(t))
    assert [sampled[n] for n in (1.0, 3.0, 4.0)] == [0.5] * 3
    assert [plain[n] for n in (1.0, 3.0, 4.0)] == [0.0, 0.0, 0.5]
