"""What the report says of predictions made before training: the bound beside what was given away, and copies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raysim.analysis.predictions import Items, items_of, places_of
from raysim.analysis.reached_models import ReachedModel, finals
from raysim.analysis.results import Row, RunResults, over_orders_and_seeds
from raysim.analysis.statistics import wilson
from raysim.measures.base import Section
from raysim.report.sections.overview import Shown, listed

_CHANCE = 0.5


@dataclass(frozen=True)
class PredictionRow:
    """One setting: its bound and what was given away, by organization never trained on; prompts by copies; the AUC."""

    label: str
    cells: list[Shown]


@dataclass(frozen=True)
class Predictions:
    """What was predicted and what came.

    Attributes:
        bound, copies, duplicates: what was found, a sentence or two each.
        rows: of the table, settings in their order.
    """

    bound: str
    copies: str
    duplicates: str
    rows: list[PredictionRow]


COLUMNS = (
    ("Predicted", "lines of organizations it was not trained on, at most"),
    ("Given away", "of these lines"),
    ("Seen before", "of the lines given away"),
    ("No place", "prompts given away"),
    ("One place", "prompts given away"),
    ("More places", "prompts given away"),
    ("Ranking", "AUC, all prompts"),
    ("Among its own", "AUC, prompts of organizations it was trained on"),
)


def predictions(results: RunResults, rows: Sequence[dict[str, Any]]) -> Predictions | None:
    """The section, from the rows of `predictions`; None where nothing was measured or predicted."""
    if not rows:
        return None
    ends = {reached.model for reached in finals(results.reached_models)}
    facts = {(row["model"], row["organization"]): row for row in rows if row["model"] in ends}
    if not facts:
        return None
    places = places_of(results)
    every = items_of(results, finals(results.reached_models), places)
    table = []
    for setting, models in results.final_groups():
        measured = [reached for reached in models if (reached.model, "") in facts]
        if measured:
            table.append(_row(results, setting, measured, facts, items_of(results, measured, places)))
    unique = list({row["model"]: row for row in facts.values()})
    return Predictions(_bound_in_words(facts, unique), _copies_in_words(every), _duplicates_in_words(every), table)


def _untouched(
    results: RunResults, models: Sequence[ReachedModel], facts: dict[tuple[str, str], dict[str, Any]]
) -> list[tuple[ReachedModel, dict[str, Any]]]:
    pairs = [(reached, facts.get((reached.model, name))) for reached in models for name in results.organizations]
    return [(reached, row) for reached, row in pairs if row and not row["trained"] and row["bound"] is not None]


def _row(
    results: RunResults,
    setting: Row,
    models: Sequence[ReachedModel],
    facts: dict[tuple[str, str], dict[str, Any]],
    items: Items,
) -> PredictionRow:
    untouched = _untouched(results, models, facts)
    cells = [_share([(m, row[name]) for m, row in untouched]) for name in ("bound", "measured")]
    telling = [(m, row["foreseen"] / row["measured"]) for m, row in untouched if row["measured"]]
    cells.append(_share(telling))
    cells += [_given(items, chosen) for chosen in items.bins()]
    cells += [_area(items), _area(items.where(items.trained))]
    return PredictionRow(setting.label, cells)


def _share(values: Sequence[tuple[ReachedModel, float]]) -> Shown:
    """A mean share in percent, and the range where there are several."""
    if not values:
        return Shown("–")
    low, high = min(v for _, v in values), max(v for _, v in values)
    spread = f"{_percent(low)}–{_percent(high)} %" if len(values) > 1 and low != high else ""
    return Shown(f"{_percent(over_orders_and_seeds(values))} %", spread)


def _given(items: Items, chosen: np.ndarray) -> Shown:
    """Share of prompts given away with Wilson's interval; as many trials as distinct prompts, as models share them."""
    if not chosen.any():
        return Shown("–")
    share, low, high = _wilson(items, chosen)
    distinct = len(set(items.prompts[chosen].tolist()))
    return Shown(f"{_percent(share)} %", f"{_percent(low)}–{_percent(high)} %\n{distinct} prompts")


def _wilson(items: Items, chosen: np.ndarray) -> tuple[float, float, float]:
    share, distinct = float(items.given_away[chosen].mean()), len(set(items.prompts[chosen].tolist()))
    return share, *wilson(share * distinct, distinct)


def _area(items: Items) -> Shown:
    value, low, high = items.ranking()
    if value is None:
        return Shown("–")
    return Shown(f"{value:.2f}", "no interval" if low is None else f"{low:.2f}–{high:.2f}")


def _bound_in_words(facts: dict[tuple[str, str], dict[str, Any]], models: Sequence[str]) -> str:
    """What models gave away of organizations that they were never trained on, against what they could have seen."""
    rows = [row for row in facts.values() if row["trained"] is False and row["bound"] is not None]
    if not rows:
        return (
            "Every final model was trained on every organization, so nothing was predicted of what others give away;"
            " add `single`, or `leave_one_out: true` to a federated setting."
        )
    bound, measured, seen = (sum(row[name] for row in rows) / len(rows) for name in ("bound", "measured", "foreseen"))
    most = max(row["bound"] for row in rows)
    if not most:
        text = "No line of an organization stands in the code that a final model without it was trained on"
    else:
        text = (
            f"Of an organization's lines, a final model that was never trained on it could on average have seen"
            f" {_percent(bound)} % in others' code ({_percent(most)} % at most)"
        )
    if not measured:
        return f"{text}; none of them was given away."
    rest = 1 - seen / measured
    beyond = "all of that had been seen" if rest == 0 else f"{_percent(rest)} % of that had not been seen there"
    return f"{text}; {_percent(measured)} % were given away, and {beyond}."


def _copies_in_words(items: Items) -> str:
    """Whether places of the continuation rank the prompts that were given away."""
    if not len(items):
        return "No prompt has a continuation long enough to look for copies of it."
    where = ("nowhere in a model's training data", "there once", "there more often")
    shares = [
        f"{_percent(share)} % ({_percent(low)} to {_percent(high)}) of the prompts whose continuation stands {name}"
        for name, chosen in zip(where, items.bins(), strict=True)
        if chosen.any()
        for share, low, high in [_wilson(items, chosen)]
    ]
    return f"{_ranks('all prompts', items)} Given away were {listed(shares)}."


def _duplicates_in_words(items: Items) -> str:
    """The same among prompts of organizations that a model was trained on, all of which it has seen."""
    own, which = items.where(items.trained), "prompts of organizations that a model was trained on"
    if not len(own):
        return "No final model was given prompts of an organization that it was trained on."
    if not (own.places != own.places[0]).any():
        where = "once" if own.places[0] == 1 else f"in {own.places[0]} places"
        return f"Among {which} there are no copies to rank by: each continuation stands {where}."
    return _ranks(which, own)


def _ranks(which: str, items: Items) -> str:
    value, low, high = items.ranking()
    if value is None:
        why = "within each model all or none were" if items.given_away.any() else "none was"
        return f"Among {which}, {why} given away, so there is nothing to rank."
    text = f"Among {which}, places rank those given away with an AUC of {value:.2f}"
    if low is None or high is None:
        return f"{text}; they are too few, or vary too little, for an interval."
    if low > _CHANCE:
        says = "copies predict what is given away"
    else:
        says = "no better than guessing" if high >= _CHANCE else "the fewer copies, the likelier"
    return f"{text} ({low:.2f} to {high:.2f}): {says}."


def _percent(share: float) -> str:
    return f"{100 * share:.2f}" if 0 < share < 0.01 else f"{100 * share:.1f}"


def section(results: RunResults) -> Section:
    """The section of the report on what was predicted before training, beside what was measured."""
    found = predictions(results, results.run.table("predictions").to_pylist())
    values = {"predictions": found, "prediction_columns": COLUMNS}
    return Section("predictions", "Predicted", "Predicted", 900, template="predictions.html.j2", values=values)
