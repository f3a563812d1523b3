"""What the report says of attacks on whole files: LiRA and RMIA beside scores without references and a blind guess."""

from collections.abc import Sequence
from typing import Any

from raysim.analysis.file_attacks import REFUSED
from raysim.analysis.results import RunResults, over_orders_and_seeds
from raysim.measures.base import Section, SectionTable

_SCORES = {"loss": "Loss", "min_k_plus_plus": "Min-K%++", "lira": "LiRA", "rmia": "RMIA"}
_COLUMNS = ("setting", "organization", *_SCORES.values(), "blind guess", "at 1 %: best, blind", "shows membership")


def section(results: RunResults, rows: Sequence[dict[str, Any]]) -> Section | None:
    """The section, from the rows of `file_attacks`, of models that were trained on the organization."""
    found: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in rows:
        if row["trained"]:
            found.setdefault((row["model"], row["organization"]), {})[row["score"]] = row
    if not found:
        return None
    cells = [
        (setting.label, organization, *_cells([(m, found[m.model, organization]) for m in taken]))
        for setting, models in results.final_groups()
        for organization in results.organizations
        if (taken := [m for m in models if (m.model, organization) in found])
    ]
    refused = [row for of_model in found.values() for row in of_model.values() if row["verdict"] == REFUSED]
    why = "; ".join(sorted({row["note"] for row in refused}))
    return Section(
        "file_attacks",
        "Membership of files",
        "Membership of files",
        1110,
        lead="The chance that a file a model was trained on gets a more telling score than one of the same organization"
        " that it was not (AUC; 0.5 is guessing). LiRA and RMIA hold the model against others that were never trained"
        " on the organization.",
        tables=(SectionTable(_COLUMNS, cells),),
        note="Means over orders and seeds, and the range of the models' 95 % intervals."
        + (f" Refused: {len(refused)} of {sum(map(len, found.values()))} ({why})." if refused else ""),
    )


def _cells(taken: Sequence[tuple[Any, dict[str, dict[str, Any]]]]) -> list[str]:
    cells = [_area([(m, by_score[name]) for m, by_score in taken], "") for name in _SCORES]
    cells.append(_area([(m, by_score["loss"]) for m, by_score in taken], "blind_"))
    judged = [(m, [row for row in by_score.values() if row["auc"] is not None]) for m, by_score in taken]
    best = [(m, max(rows, key=lambda row: row["auc"])) for m, rows in judged if rows]
    if not best:
        return [*cells, "–", "–"]
    at = over_orders_and_seeds([(m, row["tpr_at_1_fpr"]) for m, row in best])
    blind = [(m, row["blind_tpr_at_1_fpr"]) for m, row in best if row["blind_tpr_at_1_fpr"] is not None]
    beside = f"{over_orders_and_seeds(blind):.0%}" if blind else "–"
    shows = sum(any(row["verdict"] == "shows membership" for row in rows) for _, rows in judged)
    return [*cells, f"{at:.0%}, {beside}", f"{shows} of {len(taken)} models"]


def _area(rows: Sequence[tuple[Any, dict[str, Any]]], prefix: str) -> str:
    known = [(m, row) for m, row in rows if row[f"{prefix}auc"] is not None]
    if not known:
        return "–"
    value = over_orders_and_seeds([(m, row[f"{prefix}auc"]) for m, row in known])
    lows, highs = ([row[f"{prefix}{end}"] for _, row in known] for end in ("low", "high"))
    if None in lows:
        return f"{value:.2f}"
    return f"{value:.2f} ({min(lows):.2f} to {max(highs):.2f})"
