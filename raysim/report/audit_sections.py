"""What the report says of audits: exposure of canaries, and membership inference beside a guess without a model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any

from raysim.report.attacks import NOTHING, SCORES, SHOWS, UNKNOWN
from raysim.report.points import Point, finals
from raysim.report.sections import Shown
from raysim.report.summary import Row, Study

_FIT_TRUSTED = 0.1
"""The Secret Sharer's bound for the p of a fit."""

_NAMES = {"loss": "Loss", "min_k": "Min-K%", "min_k_plus_plus": "Min-K%++", "zlib": "zlib"}


@dataclass(frozen=True)
class Exposure:
    """The table of exposures.

    Attributes:
        scale: how high an exposure can be.
        columns: name and what it is, a column each.
        rows: label of a setting, and its cells.
        note: what to know of extrapolated exposures; '' where there are none.
    """

    scale: str
    columns: list[tuple[str, str]]
    rows: list[tuple[str, list[Shown]]]
    note: str


@dataclass(frozen=True)
class InferenceRow:
    """Attacks on one organization's members by the final models of one setting."""

    label: str
    organization: str
    cells: list[Shown]
    says: str


@dataclass(frozen=True)
class Inference:
    """The table of attacks, and what they show in a sentence or two."""

    verdict: str
    columns: list[tuple[str, str]]
    rows: list[InferenceRow]


def exposure(study: Study) -> Exposure | None:
    """Mean exposure by setting and number of repeats; None where no canary was ranked."""
    of_model: dict[str, list[dict[str, Any]]] = {}
    for row in study.run.table("canaries").to_pylist():
        of_model.setdefault(row["model"], []).append(row)
    if not of_model:
        return None
    every = [row for rows in of_model.values() for row in rows]
    repeats = sorted({row["repeats"] for row in every})
    columns = [(f"{n} times" if n != 1 else "once", "of its own training data") for n in repeats if n]
    columns = [("Never", "planted nowhere")] * (0 in repeats) + columns + [("Others'", "no part in its training")]
    top = max(log2(row["candidates"]) for row in every)
    rows = []
    for setting, points in _settings(study):
        cells = [
            _exposed(points, of_model, top, lambda p, row, n=number: row["repeats"] == n and _took_part(p, row))
            for number in repeats
        ]
        cells.append(_exposed(points, of_model, top, lambda p, row: row["repeats"] > 0 and not _took_part(p, row)))
        if any(cell.text != "–" for cell in cells):
            rows.append((setting.label, cells))
    enumerated = all(row["enumerated"] for row in every)
    how = "all secrets that there are" if enumerated else "a sample of secrets"
    return Exposure(f"Ranked among {how}, it can be {top:.1f} at most.", columns, rows, _note(every))


def _took_part(point: Point, row: dict[str, Any]) -> bool:
    return row["organization"] in point.organizations


def _exposed(points: Sequence[Point], of_model: dict[str, list[dict[str, Any]]], top: float, chosen: Any) -> Shown:
    """Mean over the chosen canaries of each model, then over models; below it the extrapolated one."""
    means, beyond = [], []
    for point in points:
        rows = [row for row in of_model.get(point.model, ()) if chosen(point, row)]
        if rows:
            means.append((point, sum(row["exposure"] for row in rows) / len(rows)))
        known = [row["exposure_extrapolated"] for row in rows if row["exposure_extrapolated"] is not None]
        if known:
            beyond.append((point, sum(known) / len(known)))
    if not means:
        return Shown("–")
    mean = over_orders_and_seeds(means)
    spread = [f"{min(v for _, v in means):.1f}–{max(v for _, v in means):.1f}"] if len(means) > 1 else []
    if beyond:
        spread.append(f"extrapolated {over_orders_and_seeds(beyond):.1f}")
    return Shown(f"{mean:.1f}", "\n".join(spread), mean / top)


def _note(rows: Iterable[dict[str, Any]]) -> str:
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


def inference(study: Study, attacks: Sequence[dict[str, Any]]) -> Inference | None:
    """Attacks by setting and organization, from the rows of `attacks`; None where there are none."""
    found: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in attacks:
        found.setdefault((row["model"], row["organization"]), {})[row["score"]] = row
    rows: list[InferenceRow] = []
    shows: list[bool] = []
    unknown = False
    for setting, points in _settings(study):
        for organization in study.organizations:
            taken = [
                (point, found[point.model, organization]) for point in points if (point.model, organization) in found
            ]
            if not taken:
                continue
            inside = [organization in point.organizations for point, _ in taken]
            rows.append(_inferred(setting, organization, taken, inside=all(inside)))
            for (_, by_score), took_part in zip(taken, inside, strict=True):
                verdicts = {row["verdict"] for row in by_score.values()}
                unknown |= UNKNOWN in verdicts
                if took_part and UNKNOWN not in verdicts:
                    shows.append(SHOWS in verdicts)
    if not rows:
        return None
    columns = [(_NAMES[name], "AUC") for name in SCORES] + [("At 1 %", "members found"), ("Blind", "AUC, no model")]
    return Inference(_in_words(shows, unknown), columns, rows)


def _inferred(
    setting: Row, organization: str, taken: list[tuple[Point, dict[str, dict[str, Any]]]], inside: bool
) -> InferenceRow:
    cells = [_cell([(point, by_score[name]) for point, by_score in taken], "") for name in SCORES]
    best = [max(by_score.values(), key=lambda row: row["auc"]) for _, by_score in taken]
    at = [(point, row["tpr_at_1_fpr"]) for (point, _), row in zip(taken, best, strict=True)]
    cells.append(Shown(f"{100 * over_orders_and_seeds(at):.0f} %"))
    cells.append(_cell([(point, row) for (point, _), row in zip(taken, best, strict=True)], "blind_"))
    if not inside:
        cells = [Shown(f"({cell.text})" if cell.text != "–" else "–", cell.spread) for cell in cells]
    verdicts = [{row["verdict"] for row in by_score.values()} for _, by_score in taken]
    telling = sum(SHOWS in found for found in verdicts)
    if all(UNKNOWN in found for found in verdicts):
        says = UNKNOWN
    elif len(taken) == 1:
        says = SHOWS if telling else NOTHING
    else:
        says = f"{SHOWS} in {telling} of {len(taken)} models"
    return InferenceRow(setting.label, organization, cells, says)


def _cell(rows: Sequence[tuple[Point, dict[str, Any]]], prefix: str) -> Shown:
    """An AUC: with its interval where there is one value, with the range of several."""
    known = [(point, row[f"{prefix}auc"]) for point, row in rows if row[f"{prefix}auc"] is not None]
    if not known:
        return Shown("–")
    if len({value for _, value in known}) == 1:
        low, high = rows[0][1][f"{prefix}low"], rows[0][1][f"{prefix}high"]
        spread = "no interval" if low is None else f"{low:.2f}–{high:.2f}"
    else:
        spread = f"{min(v for _, v in known):.2f}–{max(v for _, v in known):.2f}"
    return Shown(f"{over_orders_and_seeds(known):.2f}", spread)


def _in_words(shows: Sequence[bool], unknown: bool) -> str:
    """Whether the attacks show anything, for someone who reads this alone."""
    parts: list[str] = []
    if shows and not any(shows):
        parts.append(
            "The blind guess, without a model, is as good as every attack: these attacks show nothing of what"
            " the models remember."
        )
    elif shows:
        parts.append(
            f"In {sum(shows)} of {len(shows)} cases of a final model and an organization that it was trained on, an"
            " attack beats the guess without a model."
        )
        if not all(shows):
            parts.append("In the others the blind guess is as good: there the attack shows nothing.")
    if unknown:
        parts.append(
            "Where an organization has fewer than two files in a split there is no blind guess to hold an attack"
            " against, and it shows nothing either."
        )
    return " ".join(parts)


def _settings(study: Study) -> list[tuple[Row, list[Point]]]:
    """Each setting with its final models, over orders and seeds."""
    ends = finals(study.points)
    return [
        (row, [p for p in ends if p.strategy == row.strategy and row.order in ("", p.order)])
        for row in study.final_rows()
    ]


def over_orders_and_seeds(values: Sequence[tuple[Point, float]]) -> float:
    """Mean over orders within a seed, then over seeds."""
    by_seed: dict[int, list[float]] = {}
    for point, value in values:
        by_seed.setdefault(point.seed, []).append(value)
    means = [sum(found) / len(found) for found in by_seed.values()]
    return sum(means) / len(means)
