"""What the report says of solutions to programming problems: pass@k, outcomes, risky patterns, licences."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import RunResults, over_orders_and_seeds
from raysim.measures.base import Section
from raysim.report.sections.overview import Shown

_OUTCOMES = ("passed", "wrong", "error", "timeout", "memory", "ended", "too_long")
_SHOWN_PATTERNS = 8


@dataclass(frozen=True)
class SolvingTable:
    """The section about solutions.

    Attributes:
        problems: how many.
        samples: solutions of each.
        columns: name and what it is, a column each.
        rows: label of a setting, and its cells.
        walls: the layers of isolation in force while solutions were executed.
        patterns: rule, its name, and in how many of all solutions of final models.
        linted: those solutions that parse.
        licences: organization, licence, whether it is allowed, and solutions, lines and files that final models repeat.
    """

    problems: int
    samples: int
    columns: list[tuple[str, str]]
    rows: list[tuple[str, list[Shown]]]
    walls: list[str]
    patterns: list[tuple[str, str, int]]
    linted: int
    licences: list[dict[str, Any]]


def solving(results: RunResults, rates: Sequence[dict[str, Any]]) -> SolvingTable | None:
    """The section, from the rows of `pass_at_k` and the tables of the run; None where nothing was to be solved."""
    executions = results.run.table("executions").to_pylist()
    if not executions:
        return None
    of_model = {(row["model"], row["k"]): row for row in rates}
    counts: dict[str, Counter[str]] = {}
    for row in executions:
        counts.setdefault(row["model"], Counter()).update({name: row[name] for name in _OUTCOMES})
    tries = sorted({row["k"] for row in rates})
    outcomes = [name for name in _OUTCOMES[1:] if any(count[name] for count in counts.values())]
    rows = []
    finals: set[str] = set()
    for setting, models in results.final_groups():
        taken = [reached for reached in models if reached.model in counts]
        if not taken:
            continue
        finals |= {reached.model for reached in taken}
        cells = [_rate([(reached, of_model[reached.model, k]) for reached in taken]) for k in tries]
        for name in outcomes:
            shares = [(m, counts[m.model][name] / max(1, counts[m.model].total())) for m in taken]
            cells.append(Shown(f"{100 * over_orders_and_seeds(shares):.1f} %"))
        rows.append((setting.label, cells))
    columns = [(f"pass@{k}", "of 1, mean over problems") for k in tries]
    columns += [(name.replace("_", " ").capitalize(), "of the solutions") for name in outcomes]
    asked = sum(counts[model].total() - counts[model]["too_long"] for model in finals)
    patterns, unparsable = _patterns(results, finals)
    return SolvingTable(
        problems=len({row["problem"] for row in executions}),
        samples=max(row["samples"] for row in executions),
        columns=columns,
        rows=rows,
        walls=sorted({row["walls"] for row in executions if row["walls"]}),
        patterns=patterns[:_SHOWN_PATTERNS],
        linted=asked - unparsable,
        licences=_licences(results, finals),
    )


def _rate(rows: Sequence[tuple[ReachedModel, dict[str, Any]]]) -> Shown:
    """A rate: with its interval where there is one value, with the range of several."""
    values = [(reached, row["value"]) for reached, row in rows]
    if len({value for _, value in values}) == 1:
        low, high = rows[0][1]["low"], rows[0][1]["high"]
        spread = "no interval" if low is None else f"{low:.3f}–{high:.3f}"
    else:
        spread = f"{min(v for _, v in values):.3f}–{max(v for _, v in values):.3f}"
    mean = over_orders_and_seeds(values)
    return Shown(f"{mean:.3f}", spread, mean)


def _patterns(results: RunResults, models: set[str]) -> tuple[list[tuple[str, str, int]], int]:
    """Rules by how many solutions show them, and how many solutions do not parse."""
    found: Counter[tuple[str, str]] = Counter()
    unparsable = 0
    for row in results.run.table("patterns").to_pylist():
        if row["model"] in models:
            if row["rule"] == "invalid-syntax":
                unparsable += row["samples"]
            else:
                found[row["rule"], row["about"]] += row["samples"]
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [(rule, about, samples) for (rule, about), samples in ranked], unparsable


def _licences(results: RunResults, models: set[str]) -> list[dict[str, Any]]:
    """Sums over final models; of files the most of any model."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in results.run.table("licences").to_pylist():
        if row["model"] in models:
            place = row["organization"], row["licence"]
            total = found.setdefault(place, {**row, "samples": 0, "lines": 0, "files": 0})
            total["samples"] += row["samples"]
            total["lines"] += row["lines"]
            total["files"] = max(total["files"], row["files"])
    return [found[place] for place in sorted(found)]


def section(results: RunResults) -> Section | None:
    """The section of the report on solutions to programming problems."""
    found = solving(results, results.run.table("pass_at_k").to_pylist())
    if found is None:
        return None
    return Section(
        "solving", "Solving problems", "Solving", 1200, template="pass_at_k.html.j2", values={"solving": found}
    )
