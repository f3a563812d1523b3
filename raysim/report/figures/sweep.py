"""The figures of a sweep's report: settings over points, and along each swept number."""

from typing import Any

from raysim.analysis.sweep import SweepResults, Trial
from raysim.report.figures.kit import (
    GRID,
    LINES,
    SYMBOLS,
    Figure,
    add_panel,
    checked_figure,
    empty_layout,
    marks,
    plain_axis,
    plain_text,
)

_LOGARITHMIC_FROM = 5.0
"""Ratio of the largest to the smallest positive value from which an axis is logarithmic."""

_PANELS = (("bits_per_byte", "bits per byte, joint"), ("exclusive", "exclusive lines a prompt"))


def frontier(sweep: SweepResults) -> Figure | None:
    """Utility against leakage: a mark for every setting at every point, in the colour of its setting."""
    data: list[dict[str, Any]] = []
    for label, trials in _settings(sweep).items():
        places = [
            ((x, y), trial)
            for trial in trials
            if (x := trial.row.mean("bits_per_byte")) is not None and (y := trial.row.mean("exclusive")) is not None
        ]
        if not places:
            continue
        color, symbol = _style(sweep, label)
        marker = {"symbol": symbol, "size": 11, "color": color, "line": {"color": GRID, "width": 1}}
        names = [_described(sweep, trial) for _, trial in places]
        named = {"name": plain_text(label), "showlegend": True}
        data.append(marks([xy for xy, _ in places], color, names, marker=marker, **named))
    if sum(len(trace["x"]) for trace in data) < 2:
        return None
    layout = empty_layout()
    layout.update(
        xaxis=plain_axis("bits per byte on the joint validation split (better to the left)"),
        yaxis={**plain_axis("exclusive covered lines a prompt"), "rangemode": "tozero"},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    )
    layout["margin"]["t"] = 60
    about = "Utility against leakage by setting, over the points of the sweep"
    return checked_figure("frontier", {"data": data, "layout": layout}, 470, about)


def along(sweep: SweepResults, path: str) -> Figure | None:
    """Quality and leakage along a swept number: a pale line for each value of the others, a full one for their mean."""
    numbers = sweep.numbers(path)
    panels = [panel for panel in _PANELS if any(trial.row.mean(panel[0]) is not None for trial in sweep.trials)]
    if not numbers or not panels:
        return None
    layout = empty_layout()
    data: list[dict[str, Any]] = []
    positive = min(numbers.values()) > 0
    logarithmic = positive and max(numbers.values()) / min(numbers.values()) >= _LOGARITHMIC_FROM
    for panel, (measure, title) in enumerate(panels):
        axis = add_panel(layout, panel, len(panels), 1, title)
        layout[f"xaxis{axis}"].update(
            title={"text": plain_text(sweep.parameters[path]), "font": {"size": 11}},
            tickvals=list(numbers.values()),
            ticktext=list(numbers),
            type="log" if logarithmic else "linear",
        )
        layout[f"yaxis{axis}"]["rangemode"] = "normal" if measure == "bits_per_byte" else "tozero"
        for label, trials in _settings(sweep).items():
            lines = _lines(sweep, path, measure, trials)
            color, symbol = _style(sweep, label)
            places = {"xaxis": f"x{axis}", "yaxis": f"y{axis}", "legendgroup": label, "name": plain_text(label)}
            if len({tuple(line) for line in lines}) > 1:
                for line in lines:
                    faint = {"mode": "lines", "line": {"color": color, "width": 1}, "opacity": 0.4, "showlegend": False}
                    data.append(marks(line, color, [""] * len(line), **faint, **places))
            values = {x: [y for line in lines for at, y in line if at == x] for x in numbers.values()}
            means = [(x, sum(known) / len(known)) for x, known in sorted(values.items()) if known]
            style = {"line": {"color": color, "width": 2}, "marker": {"color": color, "size": 8, "symbol": symbol}}
            if means:
                trace = marks(means, color, None, mode="lines+markers", showlegend=panel == 0, **style, **places)
                trace["hovertemplate"] = "%{x}: %{y:.3f}<extra>%{fullData.name}</extra>"
                data.append(trace)
    layout["legend"] = {"orientation": "h", "x": 0, "y": 1.14, "yanchor": "bottom"}
    layout["margin"]["t"] = 80
    about = f"Quality and memorization along {sweep.parameters[path]}"
    return checked_figure(figure_name(sweep, path), {"data": data, "layout": layout}, 340, about)


def sweep_figures(sweep: SweepResults) -> dict[str, Figure]:
    """Every figure that the points allow, by name."""
    made = [frontier(sweep), *(along(sweep, path) for path in sweep.parameters)]
    return {figure.name: figure for figure in made if figure}


def _lines(sweep: SweepResults, path: str, measure: str, trials: list[Trial]) -> list[list[tuple[float, float]]]:
    """A measure along the swept `path`: a line for each combination of the other parameters."""
    numbers = sweep.numbers(path)
    found: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for trial in trials:
        value = trial.row.mean(measure)
        if value is None:
            continue
        for point in trial.points:
            others = tuple(text for other, text in point.values.items() if other != path)
            found.setdefault(others, []).append((numbers[point.values[path]], value))
    return [sorted(line) for line in found.values()]


def figure_name(sweep: SweepResults, path: str) -> str:
    """Names the figure along the swept `path` on the page."""
    return f"along{list(sweep.parameters).index(path)}"


def _settings(sweep: SweepResults) -> dict[str, list[Trial]]:
    """The trials of each setting; federations without an organization are counterfactuals, no settings to choose."""
    found: dict[str, list[Trial]] = {}
    for trial in sweep.trials:
        if trial.row.family == "single" or not trial.row.partial:
            found.setdefault(trial.row.label, []).append(trial)
    return found


def _style(sweep: SweepResults, label: str) -> tuple[str, str]:
    """Colour and symbol of a setting."""
    labels = list(_settings(sweep))
    family = _settings(sweep)[label][0].row.family
    return LINES[labels.index(label) % len(LINES)], SYMBOLS[family]


def _described(sweep: SweepResults, trial: Trial) -> str:
    given = [f"{short} {sweep.shown(path, trial.values(path))}" for path, short in sweep.parameters.items()]
    return f"{trial.row.label}: {', '.join(given)}"
