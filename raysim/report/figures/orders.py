"""Figures of incremental training: what the order does to whose code is given away."""

from typing import Any

from raysim.analysis.reached_models import finals
from raysim.analysis.results import RunResults
from raysim.report.figures.kit import (
    ACCENT,
    MUTED,
    Figure,
    add_panel,
    checked_figure,
    empty_layout,
    marks,
    plain_text,
)

MANY_TICKS = 6
"""Above this number of labels, those of a small panel would touch at their usual size."""


def order_positions(results: RunResults) -> Figure | None:
    """Covered lines of each owner in the final incremental models, by its position in the order."""
    models = [m for m in finals(results.reached_models) if m.family == "incremental"]
    samples = {
        owner: [
            (m.members.index(owner) + 1, value)
            for m in models
            if owner in m.members and (value := results.measures(m.model).get(("covered_eligible", owner))) is not None
        ]
        for owner in results.organizations
    }
    last = max((len(m.members) for m in models), default=0)
    ticks = {i: "first" if i == 1 else "last" if i == last else str(i) for i in range(1, last + 1)}
    title = "position in the order"
    return _owner_panels("positions", results, samples, ticks, title, "Covered lines by position in the order")


def forgetting(results: RunResults) -> Figure | None:
    """Covered lines of each owner by the number of stages since its data was trained on; below zero: before."""
    unique = {(m.seed, m.strategy, m.order, m.index): m for m in results.reached_models if m.family == "incremental"}
    models = list(unique.values())
    samples: dict[str, list[tuple[int, float]]] = {owner: [] for owner in results.organizations}
    for reached in models:
        for owner in set(reached.members) & set(samples):
            value = results.measures(reached.model).get(("covered_eligible", owner))
            if value is not None:
                samples[owner].append((reached.index - reached.members.index(owner) - 1, value))
    reach = sorted({x for found in samples.values() for x, _ in found})
    if len(reach) < 3 or {m.model for m in models if not m.final}.isdisjoint(results.prompts.models):
        return None
    ticks = {x: f"{x:+d}".replace("-", "−") if x else "0" for x in reach}
    return _owner_panels(
        "forgetting", results, samples, ticks, "stages since training", "Covered lines by stages since training"
    )


def _owner_panels(
    name: str,
    results: RunResults,
    samples: dict[str, list[tuple[int, float]]],
    ticks: dict[int, str],
    title: str,
    about: str,
) -> Figure | None:
    """A panel an owner: a dot a model, a line through the means."""
    owners = [owner for owner in results.organizations if samples.get(owner)]
    if not owners or len(ticks) < 2:
        return None
    columns = min(4, len(owners))
    num_rows = -(-len(owners) // columns)
    layout = empty_layout()
    data: list[dict[str, Any]] = []
    top = max(value for owner in owners for _, value in samples[owner])
    for panel, owner in enumerate(owners):
        axis = add_panel(layout, panel, columns, num_rows, plain_text(owner))
        layout[f"xaxis{axis}"].update(
            tickvals=list(ticks), ticktext=list(ticks.values()), title={"text": title, "font": {"size": 11}}
        )
        layout[f"xaxis{axis}"].update(tickangle=0, tickfont={"size": 12 if len(ticks) <= MANY_TICKS else 9})
        layout[f"xaxis{axis}"]["range"] = [min(ticks) - 0.4, max(ticks) + 0.4]
        layout[f"yaxis{axis}"]["range"] = [-0.04 * top, 1.1 * top or 1.0]
        if panel % columns == 0:
            layout[f"yaxis{axis}"]["title"] = {"text": "covered lines a prompt", "font": {"size": 11}}
        places = {"xaxis": f"x{axis}", "yaxis": f"y{axis}", "showlegend": False}
        dots = {"color": MUTED, "size": 6, "opacity": 0.55}
        data.append(marks(samples[owner], MUTED, None, marker=dots, **places))
        groups = {x: [v for at, v in samples[owner] if at == x] for x in sorted({x for x, _ in samples[owner]})}
        means = [(x, sum(values) / len(values)) for x, values in groups.items()]
        style = {"line": {"color": ACCENT, "width": 2.5}, "marker": {"color": ACCENT, "size": 8}}
        data.append(marks(means, ACCENT, None, mode="lines+markers", **style, **places))
    return checked_figure(name, {"data": data, "layout": layout}, 60 + 240 * num_rows, about)
