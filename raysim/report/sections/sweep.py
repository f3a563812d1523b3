"""What the report of a sweep shows beside the figures, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raysim.analysis.scores import SCORES, Score
from raysim.analysis.sweep import SweepPoint, SweepResults, Trial, plain_value
from raysim.report.sections.overview import Shown, duration, quantity, shown_cells


@dataclass(frozen=True)
class Line:
    """One line of the comparison.

    Attributes:
        trial: the setting and its points.
        values: of the swept parameters, in their order.
        cells: a cell a column, and whether it is the best of its setting.
        tokens: that it was trained on.
        first: whether a setting begins here.
    """

    trial: Trial
    values: list[str]
    cells: list[tuple[Shown, bool]]
    tokens: str
    first: bool


def comparison(sweep: SweepResults) -> tuple[list[Score], list[Line]]:
    """The scores that were measured, and a line for every setting at every point, equal ones once."""
    trials = [trial for trial in sweep.trials if trial.row.cells]
    scores = [s for s in SCORES if s.swept and any((s.name, "") in trial.row.cells for trial in trials)]
    lines: list[Line] = []
    before = ""
    for trial, shown in zip(trials, shown_cells([trial.row for trial in trials], scores), strict=True):
        label = trial.row.label
        rivals = [other for other in trials if other.row.label == label]
        best = [_is_best(trial, rivals, score.name, score.better) for score in scores]
        values = [sweep.shown(path, trial.values(path)) for path in sweep.parameters]
        cells = list(zip(shown, best, strict=True))
        lines.append(Line(trial, values, cells, quantity(trial.tokens), label != before))
        before = label
    return scores, lines


def points(sweep: SweepResults) -> list[dict[str, Any]]:
    """A row a point: its values, what it computed, and where its own report is, relative to the sweep's folder."""
    rows = []
    for point in sweep.points:
        stages = point.results.run.stages if point.results else ()
        trained = {stage["key"]: stage for stage in stages if stage.get("kind") == "train"}
        computed = {stage["key"] for stage in stages if stage.get("status") == "computed"}
        rows.append(
            {
                "name": point.name,
                "values": [plain_value(point.values[path]) for path in sweep.parameters],
                "report": f"{point.folder}/report.html"
                if (sweep.run.path / point.folder / "report.html").is_file()
                else "",
                "stages": len(trained),
                "computed": sum(key in computed for key in trained),
                "time": duration(sum(float(stage.get("seconds") or 0) for stage in stages)) if stages else "–",
                "state": _state(point),
            }
        )
    return rows


def _state(point: SweepPoint) -> str:
    if point.diverged:
        return "diverged"
    return "finished" if point.finished else "begun" if point.results else "to come"


def _is_best(trial: Trial, rivals: Sequence[Trial], measure: str, sign: int) -> bool:
    """Whether no rival is better; where all are equal, or nothing is better, nobody is the best."""
    if not sign:
        return False
    values = [value for rival in rivals if (value := rival.row.mean(measure)) is not None]
    own = trial.row.mean(measure)
    return own is not None and min(values) < max(values) and sign * own == max(sign * value for value in values)
