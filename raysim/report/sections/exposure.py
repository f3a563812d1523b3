"""What the report says of canaries: exposure by setting, and how often they occur in the training data."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any

from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import RunResults, over_orders_and_seeds
from raysim.analysis.statistics import exposure_by_chance
from raysim.measures.base import Section
from raysim.report.sections.overview import Shown

Rows = Mapping[str, list[dict[str, Any]]]
"""By model its rows of the table `canaries`."""

_FIT_TRUSTED = 0.1
"""The Secret Sharer's bound for the p of a fit."""


@dataclass(frozen=True)
class ExposureTable:
    """The table of exposures.

    Attributes:
        scale: how high an exposure can be.
        columns: name and what it is, a column each.
        rows: label of a setting, and its cells; the last says what chance alone stays below.
        note: what chance does, and what to know of extrapolated exposures.
    """

    scale: str
    columns: list[tuple[str, str]]
    rows: list[tuple[str, list[Shown]]]
    note: str


def exposure(results: RunResults) -> ExposureTable | None:
    """Mean exposure by setting and number of repeats; None where no canary was ranked."""
    of_model: dict[str, list[dict[str, Any]]] = {}
    for row in results.run.table("canaries").to_pylist():
        of_model.setdefault(row["model"], []).append(row)
    if not of_model:
        return None
    every = [row for rows in of_model.values() for row in rows]
    repeats = sorted({row["repeats"] for row in every})
    columns = [(f"{n} times" if n != 1 else "once", "of its own training data") for n in repeats if n]
    columns = [("Never", "planted nowhere")] * (0 in repeats) + columns
    columns += [("Others'", "no part in its training"), ("By chance", "below, 19 times in 20")]
    candidates = max(row["candidates"] for row in every)
    top = log2(candidates)
    rows: list[tuple[str, list[Shown]]] = []
    likelier: list[str] = []
    for setting, models in results.final_groups():
        cells = [
            _exposed(models, of_model, top, lambda m, row, n=number: row["repeats"] == n and _took_part(m, row))
            for number in repeats
        ]
        others = _exposed(models, of_model, top, lambda m, row: row["repeats"] > 0 and not _took_part(m, row))
        if not any(cell.text != "–" for cell in (*cells, others)):
            continue
        bound = _chance_bound(models, of_model, repeats, candidates)
        rows.append((setting.label, [*cells, others, Shown("–" if bound is None else f"{bound:.1f}")]))
        if bound is not None and 0 in repeats and (cells[0].bar or 0) > bound / top:
            likelier.append(setting.label)
    enumerated = all(row["enumerated"] for row in every)
    how = "all secrets that there are" if enumerated else "a sample of secrets"
    finals = {reached.model for _, models in results.final_groups() for reached in models}
    note = [_chance(of_model, finals, candidates), _likelier(likelier), _fits(every)]
    return ExposureTable(
        f"Ranked among {how}, it can be {top:.1f} at most.", columns, rows, " ".join(filter(None, note))
    )


def _chance_bound(
    models: Sequence[ReachedModel], of_model: Rows, repeats: Sequence[int], candidates: int
) -> float | None:
    """What chance alone stays below, for the fewest secrets behind a column: models rank the same ones, which is why
    more models make no more secrets."""
    secrets: dict[int, set[tuple[str, str]]] = {number: set() for number in repeats}
    for reached in models:
        for row in of_model.get(reached.model, ()):
            if _took_part(reached, row):
                secrets[row["repeats"]].add((row["organization"], row["canary"]))
    fewest = min(map(len, secrets.values()))
    return exposure_by_chance(fewest, candidates)[1] if fewest else None


def _chance(of_model: Rows, models: Iterable[str], candidates: int) -> str:
    """What secrets that occur nowhere reach by chance, and how many reached the highest exposure here."""
    never = [row for model in models for row in of_model.get(model, ()) if row["repeats"] == 0]
    text = (
        f"A secret that a model never saw has {exposure_by_chance(1, candidates)[0]:.1f} bits on average by chance, and"
        f" the mean over as few as a column has stays below the last column's bits 19 times in 20. One in"
        f" {candidates:,} ranks first by chance and has the highest exposure that there is"
    )
    if not never:
        return f"{text}."
    first = {(row["organization"], row["canary"]) for row in never if row["rank"] == 1}
    every = {(row["organization"], row["canary"]) for row in never}
    return f"{text}; of the {len(every)} that stand nowhere {len(first) or 'none'} did, in one model or more."


def _likelier(settings: Sequence[str]) -> str:
    if not settings:
        return ""
    return (
        f"Secrets that stand nowhere are above that in {', '.join(settings)}: they are likelier than others by"
        " themselves, or by chance, so hold the other columns against theirs."
    )


def _took_part(reached: ReachedModel, row: dict[str, Any]) -> bool:
    return row["organization"] in reached.organizations


def _exposed(models: Sequence[ReachedModel], of_model: Rows, top: float, chosen: Any) -> Shown:
    """Mean over the chosen canaries of each model, then over models; below it the extrapolated one."""
    means, beyond = [], []
    for reached in models:
        rows = [row for row in of_model.get(reached.model, ()) if chosen(reached, row)]
        if rows:
            means.append((reached, sum(row["exposure"] for row in rows) / len(rows)))
        known = [row["exposure_extrapolated"] for row in rows if row["exposure_extrapolated"] is not None]
        if known:
            beyond.append((reached, sum(known) / len(known)))
    if not means:
        return Shown("–")
    mean = over_orders_and_seeds(means)
    spread = [f"{min(v for _, v in means):.1f}–{max(v for _, v in means):.1f}"] if len(means) > 1 else []
    if beyond:
        spread.append(f"extrapolated {over_orders_and_seeds(beyond):.1f}")
    return Shown(f"{mean:.1f}", "\n".join(spread), mean / top)


def _fits(rows: Iterable[dict[str, Any]]) -> str:
    """What to know of extrapolated exposures; '' where there are none."""
    fits = [row["fit_p"] for row in rows if row["fit_p"] is not None]
    if not fits:
        return ""
    doubtful = sum(p < _FIT_TRUSTED for p in fits) / len(fits)
    text = "Extrapolated: an estimate beyond the sample's size, from a skew-normal distribution fitted to it"
    return (
        f"{text}; the fit is doubtful (p below {_FIT_TRUSTED}) for {doubtful:.0%} of the rows."
        if doubtful
        else f"{text}."
    )


def section(results: RunResults) -> Section | None:
    """The section of the report on canaries."""
    found = exposure(results)
    if found is None:
        return None
    return Section("exposure", "Canaries", "Canaries", 1000, template="exposure.html.j2", values={"exposure": found})
