"""What the report says of copies under other names."""

from collections.abc import Mapping

from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.renamed import RenamedLines, chance_rates, renamed_lines
from raysim.analysis.results import RunResults, over_orders_and_seeds
from raysim.measures.base import Section, SectionTable


def section(results: RunResults) -> Section | None:
    """The section of the report on copies with other names, literals or layout; None where none were looked for."""
    found = renamed_lines(results.run)
    if not found:
        return None
    rows = [
        (row.label, kind, *cells)
        for row, models in results.final_groups()
        for kind in sorted({kind for _, kind in found})
        if (cells := _means(models, kind, found))
    ]
    rates = chance_rates(results.run)
    own = {
        row["owner"]: row["covered"] / row["lines"]
        for row in results.run.table("renamed_chance").to_pylist()
        if row["organization"] == row["owner"] and row["lines"]
    }
    control = [
        (owner, *(f"{rate[name]:.2%}" for name in ("covered", "exclusive", "hidden")), _share(own.get(owner)))
        for owner, rate in rates.items()
    ]
    headings = ("Setting", "Prompts", "Verbatim", "Under any names", "of these hidden from verbatim", "By chance")
    tokens = results.run.setting("measure", "memorization", "renamed", "min_tokens")
    return Section(
        "renamed",
        "Copies under other names",
        "Other names",
        845,
        lead="Exclusive lines a prompt of any organization: word for word, and where runs of tokens are equal but for"
        " names, literals and layout. A model that renames what it repeats hides it from the first column.",
        tables=[
            SectionTable(headings, rows),
            SectionTable(
                (
                    "Owner",
                    "Others' held-out lines covered",
                    "exclusive",
                    "exclusive and hidden",
                    "Its own held-out lines covered",
                ),
                control,
            ),
        ],
        note=f"Means over orders and seeds. A run has {tokens} tokens or more, so copies of too few lines for verbatim"
        " matching are hidden from it under their own names, too. By chance: the hidden lines that as many lines of"
        " other organizations' held-out code have, which nobody was trained on. Hidden lines that do not exceed it show"
        " nothing; code of one organization is more alike than that of several.",
    )


def _means(
    models: list[ReachedModel], kind: str, found: Mapping[tuple[str, str], RenamedLines]
) -> tuple[str, ...] | None:
    """One cell for each number; None where none of the models was measured so."""
    known = [(reached, found[reached.model, kind]) for reached in models if (reached.model, kind) in found]
    if not known:
        return None
    cells = [
        f"{over_orders_and_seeds([(reached, getattr(lines, name)) for reached, lines in known]):.2f}"
        for name in ("verbatim", "renamed", "hidden")
    ]
    chances = [(reached, lines.chance) for reached, lines in known if lines.chance is not None]
    return (*cells, f"{over_orders_and_seeds(chances):.2f}" if chances else "–")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"
