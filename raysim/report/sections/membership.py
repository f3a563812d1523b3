"""What the report says of membership inference, beside a guess without a model."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raysim.analysis.attacks import NOTHING, SCORES, SHOWS, UNKNOWN
from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import Row, RunResults, over_orders_and_seeds
from raysim.measures.base import Section
from raysim.report.sections.overview import Shown

FEW_FILES = 10
"""With fewer files in a split the blind guess learns from next to none: with nine, from eight at most."""

_NAMES = {"loss": "Loss", "min_k": "Min-K%", "min_k_plus_plus": "Min-K%++", "zlib": "zlib"}


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


def inference(results: RunResults, attacks: Sequence[dict[str, Any]]) -> Inference | None:
    """Attacks by setting and organization, from the rows of `attacks`; None where there are none."""
    found: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in attacks:
        found.setdefault((row["model"], row["organization"]), {})[row["score"]] = row
    rows: list[InferenceRow] = []
    shows: dict[tuple[str, str], bool] = {}
    unknown: set[str] = set()
    few: dict[str, tuple[int, int]] = {}
    for setting, models in results.final_groups():
        for organization in results.organizations:
            taken = [(m, found[m.model, organization]) for m in models if (m.model, organization) in found]
            if not taken:
                continue
            inside = [organization in reached.organizations for reached, _ in taken]
            rows.append(_inferred(setting, organization, taken, inside=all(inside)))
            for (reached, by_score), took_part in zip(taken, inside, strict=True):
                verdicts = {row["verdict"] for row in by_score.values()}
                if UNKNOWN in verdicts:
                    unknown.add(organization)
                    continue
                if took_part:
                    shows[reached.model, organization] = SHOWS in verdicts
                files = _files(by_score)
                if min(files) < FEW_FILES:
                    few[organization] = files
    if not rows:
        return None
    columns = [(_NAMES[name], "AUC") for name in SCORES] + [("At 1 %", "members found"), ("Blind", "AUC, no model")]
    return Inference(_in_words(list(shows.values()), unknown, few), columns, rows)


def _inferred(
    setting: Row, organization: str, taken: list[tuple[ReachedModel, dict[str, dict[str, Any]]]], inside: bool
) -> InferenceRow:
    cells = [_cell([(reached, by_score[name]) for reached, by_score in taken], "") for name in SCORES]
    best = [max(by_score.values(), key=lambda row: row["auc"]) for _, by_score in taken]
    at = [(reached, row["tpr_at_1_fpr"]) for (reached, _), row in zip(taken, best, strict=True)]
    blind = [(m, row["blind_tpr_at_1_fpr"]) for (m, _), row in zip(taken, best, strict=True)]
    blind = [(m, share) for m, share in blind if share is not None]
    beside = f"blind {100 * over_orders_and_seeds(blind):.0f} %" if blind else ""
    cells.append(Shown(f"{100 * over_orders_and_seeds(at):.0f} %", beside))
    cells.append(_cell([(reached, row) for (reached, _), row in zip(taken, best, strict=True)], "blind_"))
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
    if says != UNKNOWN and any(min(_files(by_score)) < FEW_FILES for _, by_score in taken):
        says += ", with few files"
    return InferenceRow(setting.label, organization, cells, says)


def _files(by_score: dict[str, dict[str, Any]]) -> tuple[int, int]:
    """Files of members and of non-members: the same for every score."""
    row = next(iter(by_score.values()))
    return row["member_files"], row["non_member_files"]


def _cell(rows: Sequence[tuple[ReachedModel, dict[str, Any]]], prefix: str) -> Shown:
    """An AUC: with its interval where there is one value, with the range of several."""
    rows = [(reached, row) for reached, row in rows if row[f"{prefix}auc"] is not None]
    known = [(reached, row[f"{prefix}auc"]) for reached, row in rows]
    if not known:
        return Shown("–")
    if len({value for _, value in known}) == 1:
        low, high = rows[0][1][f"{prefix}low"], rows[0][1][f"{prefix}high"]
        spread = "no interval" if low is None else f"{low:.2f}–{high:.2f}"
    else:
        spread = f"{min(v for _, v in known):.2f}–{max(v for _, v in known):.2f}"
    return Shown(f"{over_orders_and_seeds(known):.2f}", spread)


def _in_words(shows: Sequence[bool], unknown: Collection[str], few: Mapping[str, tuple[int, int]]) -> str:
    """Whether the attacks show anything, for someone who reads this alone."""
    parts: list[str] = []
    if shows and not any(shows):
        parts.append(
            "No attack is shown to beat the blind guess, without a model: these attacks show nothing of what the models"
            " remember."
        )
    elif shows:
        parts.append(
            f"In {sum(shows)} of {len(shows)} cases of a final model and an organization that it was trained on, an"
            " attack beats the guess without a model."
        )
        if not all(shows):
            parts.append("In the others none is shown to: there the attack shows nothing.")
    if few:
        counts = ", ".join(f"{name}: {members} and {others}" for name, (members, others) in few.items())
        parts.append(
            f"Blind guesses are noisy where a split has fewer than {FEW_FILES} files ({counts}): from so few little is"
            " learned, and an attack that beats such a guess may still feed on how the splits differ."
        )
    if unknown:
        parts.append(
            f"Where an organization has fewer than two files in a split ({', '.join(sorted(unknown))}) there is no"
            " blind guess to hold an attack against, and it shows nothing either."
        )
    return " ".join(parts)


def section(results: RunResults) -> Section | None:
    """The section of the report on membership inference."""
    found = inference(results, results.run.table("attacks").to_pylist())
    if found is None:
        return None
    values = {"inference": found}
    return Section("membership", "Membership", "Membership", 1100, template="membership.html.j2", values=values)
