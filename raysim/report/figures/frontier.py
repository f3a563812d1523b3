"""Utility against leakage: what each setting's models are worth and what they give away, in one picture."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from raysim.analysis.arms import FULL, exclusive_lines, given, is_whole, measured
from raysim.analysis.reached_models import OWN, ReachedModel, finals
from raysim.analysis.results import RunResults
from raysim.report.figures.kit import (
    GRID,
    LINES,
    MUTED,
    SYMBOLS,
    Figure,
    checked_figure,
    empty_layout,
    marks,
    plain_axis,
    plain_text,
)

Place = tuple[float, float]
"""Bits per byte on the joint validation split, exclusive covered lines a prompt."""


def frontier(results: RunResults) -> Figure | None:
    """A large mark a setting, a small one each seed and order, a line along rounds or epochs, the counterfactual floor.

    Settings without one of the organizations are counterfactuals and no settings to choose from; models trained alone
    share one name.
    """
    chosen = [m for m in finals(results.reached_models) if m.family == "base" or is_whole(results, m)]
    settings: dict[str, list[ReachedModel]] = {}
    for m in chosen:
        if _place(results, m):
            settings.setdefault(m.strategy, []).append(m)
    if sum(len(models) for models in settings.values()) < 2:
        return None
    data: list[dict[str, Any]] = []
    for number, (label, models) in enumerate(settings.items()):
        color = MUTED if models[0].family in ("single", "base") else LINES[number % len(LINES)]
        data += _setting(results, label, models, color)
    layout = empty_layout()
    layout.update(
        xaxis=plain_axis("bits per byte on the joint validation split (better to the left)"),
        yaxis={**plain_axis("exclusive lines a prompt"), "rangemode": "tozero"},
        legend={
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "yanchor": "bottom",
            "itemclick": False,
            "itemdoubleclick": False,
        },
    )
    layout["margin"]["t"] = 64
    if (floor := counterfactual_floor(results)) is not None:
        line = {"color": MUTED, "width": 1, "dash": "dot"}
        layout["shapes"] = [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": floor, "y1": floor, "line": line}]
        # Named in the legend: on the line itself a label would lie under the marks of settings that leak as little.
        name = f"models that never saw the owner: {floor:.2f}"
        data.append({"type": "scatter", "mode": "lines", "x": [None], "y": [None], "line": line, "name": name})
    return checked_figure("frontier", {"data": data, "layout": layout}, 420, "Utility against leakage by setting")


def counterfactual_floor(results: RunResults) -> float | None:
    """Exclusive lines a prompt of owners that a model has never seen, summed over owners; None where one is lacking."""
    arrays = results.prompts
    whole = set(results.organizations)
    sums: list[float] = []
    for owner in results.organizations:
        without = [m for m in finals(results.reached_models) if set(m.organizations) == whole - {owner}]
        reached = measured(results, without)
        if not reached or owner not in arrays.owners:
            return None
        used = (given(results, reached) > 0) & arrays.from_training
        if not used.any():
            return None
        sums.append(float(exclusive_lines(results, reached, arrays.owners.index(owner))[used].mean()))
    return sum(sums) if sums else None


def _setting(results: RunResults, label: str, models: list[ReachedModel], color: str) -> list[dict[str, Any]]:
    """The traces of one setting."""
    alone = models[0].family in OWN
    symbol, name = SYMBOLS[models[0].family], plain_text(label)
    found: list[dict[str, Any]] = []
    if len(path := _path(results, label)) > 1:
        line = {"color": color, "width": 1.5, "dash": "dot"}
        found.append(marks(path, color, [""] * len(path), mode="lines", line=line, legendgroup=name, showlegend=False))
    each = [(m, place) for m in models if (place := _place(results, m))]
    if len(each) > 1 and not alone:
        marker = {"symbol": f"{symbol}-open", "size": 6, "color": color}
        labels = [f"{label}: {m.order}, seed {m.seed}" for m, _ in each]
        places = [place for _, place in each]
        found.append(marks(places, color, labels, marker=marker, legendgroup=name, showlegend=False))
    large = symbol if models[0].fraction == FULL else f"{symbol}-open-dot"
    marker = {"symbol": large, "size": 12, "color": color, "line": {"color": GRID, "width": 1}}
    if alone:
        by_order: dict[str, list[Place]] = {}
        for m, place in each:
            by_order.setdefault(m.order, []).append(place)
        places = [_mean(of_one) for of_one in by_order.values()]
        labels = [f"{label}: {order}" for order in by_order]
    else:
        places, labels = [_mean_by_seed(each)], [label]
    found.append(marks(places, color, labels, marker=marker, name=name, legendgroup=name, showlegend=True))
    return found


def _path(results: RunResults, label: str) -> list[Place]:
    """The course of a setting over rounds or epochs, averaged over seeds."""
    steps: dict[int, list[Place]] = {}
    for m in results.reached_models:
        along = m.strategy == label and m.family in ("federated", "centralized") and m.moment in ("round", "epoch")
        if along and is_whole(results, m) and (place := _place(results, m)):
            steps.setdefault(m.index, []).append(place)
    return [_mean(places) for _, places in sorted(steps.items())]


def _place(results: RunResults, m: ReachedModel) -> Place | None:
    taken = results.measures(m.model)
    x, y = taken.get(("bits_per_byte", "")), taken.get(("exclusive", ""))
    return None if x is None or y is None or not np.isfinite((x, y)).all() else (x, y)


def _mean(places: Iterable[Place]) -> Place:
    x, y = np.mean(list(places), axis=0)
    return float(x), float(y)


def _mean_by_seed(each: list[tuple[ReachedModel, Place]]) -> Place:
    """Orders are averaged within a seed: they are no replicates."""
    seeds = sorted({m.seed for m, _ in each})
    return _mean(_mean(place for m, place in each if m.seed == seed) for seed in seeds)
