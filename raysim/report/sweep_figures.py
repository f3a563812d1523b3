"""The figures of a sweep's report: settings over points, and along each swept number."""

from typing import Any

from raysim.report.figures import (
    GRID,
    LINES,
    SYMBOLS,
    Figure,
    _axis,
    _figure,
    _layout,
    _marks,
    _panel,
    plain_text,
)
from raysim.report.points import FAMILIES
from raysim.report.sweep import SweepStudy, Trial

_LOGARITHMIC_FROM = 5.0
"""Ratio of the largest to the smallest positive value from which an axis is logarithmic."""

_PANELS = (("bits_per_byte", "bits per byte, joint"), ("exclusive", "exclusive lines a prompt"))


def frontier(sweep: SweepStudy) -> Figure | None:
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
        data.append(_marks([xy for xy, _ in places], color, names, marker=marker, **named))
    if sum(len(trace["x"]) for trace in data) < 2:
        return None
    layout = _layout()
    layout.update(
        xaxis=_axis("bits per byte on the joint validation split (better to the left)"),
        yaxis={**_axis("exclusive covered lines a prompt"), "rangemode": "tozero"},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    )
    layout["margin"]["t"] = 60
    about = "Utility against leakage by setting, over the points of the sweep"
    return _figure("frontier", {"data": data, "layout": layout}, 470, about)


def along(sweep: SweepStudy, path: str) -> Figure | None:
    """Quality and leakage along a swept number: a dot a point, a line a setting through the means over the others."""
    numbers = sweep.numbers(path)
    panels = [panel for panel in _PANELS if any(trial.row.mean(panel[0]) is not None for trial in sweep.trials)]
    if not numbers or not panels:
        return None
    layout = _layout()
    data: list[dict[str, Any]] = []
    positive = min(numbers.values()) > 0
    logarithmic = positive and max(numbers.values()) / min(numbers.values()) >= _LOGARITHMIC_FROM
    for panel, (measure, title) in enumerate(panels):
        axis = _panel(layout, panel, len(panels), 1, title)
        layout[f"xaxis{axis}"].update(
            title={"text": plain_text(sweep.parameters[path]), "font": {"size": 11}},
            tickvals=list(numbers.values()),
            ticktext=list(numbers),
            type="log" if logarithmic else "linear",
        )
        layout[f"yaxis{axis}"]["rangemode"] = "normal" if measure == "bits_per_byte" else "tozero"
        for label, trials in _settings(sweep).items():
            dots = [
                (numbers[point.values[path]], value)
                for trial in trials
                if (value := trial.row.mean(measure)) is not None
                for point in trial.points
            ]
            color, symbol = _style(sweep, label)
            places = {"xaxis": f"x{axis}", "yaxis": f"y{axis}", "legendgroup": label, "name": plain_text(label)}
            groups = {x: [y for at, y in dots if at == x] for x in sorted({x for x, _ in dots})}
            if any(len(set(values)) > 1 for values in groups.values()):
                faint = {"color": color, "size": 5, "opacity": 0.45}
                data.append(_marks(dots, color, [""] * len(dots), marker=faint, showlegend=False, **places))
            means = [(x, sum(values) / len(values)) for x, values in groups.items()]
            style = {"line": {"color": color, "width": 2}, "marker": {"color": color, "size": 8, "symbol": symbol}}
            if means:
                trace = _marks(means, color, None, mode="lines+markers", showlegend=panel == 0, **style, **places)
                trace["hovertemplate"] = "%{x}: %{y:.3f}<extra>%{fullData.name}</extra>"
                data.append(trace)
    layout["legend"] = {"orientation": "h", "x": 0, "y": 1.14, "yanchor": "bottom"}
    layout["margin"]["t"] = 80
    number = list(sweep.parameters).index(path)
    about = f"Quality and memorization along {sweep.parameters[path]}"
    return _figure(f"along{number}", {"data": data, "layout": layout}, 340, about)


def sweep_figures(sweep: SweepStudy) -> dict[str, Figure]:
    """Every figure that the points allow, by name."""
    made = [frontier(sweep), *(along(sweep, path) for path in sweep.parameters)]
    return {figure.name: figure for figure in made if figure}


def _settings(sweep: SweepStudy) -> dict[str, list[Trial]]:
    """The trials of each setting; federations without an organization are counterfactuals, no settings to choose."""
    found: dict[str, list[Trial]] = {}
    for trial in sweep.trials:
        if trial.row.family == "single" or not trial.row.partial:
            found.setdefault(trial.row.label, []).append(trial)
    return found


def _style(sweep: SweepStudy, label: str) -> tuple[str, str]:
    """Colour and symbol of a setting."""
    labels = list(_settings(sweep))
    family = _settings(sweep)[label][0].row.family
    return LINES[labels.index(label) % len(LINES)], SYMBOLS[FAMILIES[FAMILIES.index(family)]]


def _described(sweep: SweepStudy, trial: Trial) -> str:
    given = [f"{short} {sweep.shown(path, trial.values(path))}" for path, short in sweep.parameters.items()]
    return f"{trial.row.label}: {', '.join(given)}"
