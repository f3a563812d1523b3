"""What the report shows beside the figures, as plain values: sentences, numbers, rows of tables."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raysim.analysis.budgets import Budget, budgets
from raysim.analysis.reached_models import IN_TURN, OWN
from raysim.analysis.results import Row, RunResults
from raysim.analysis.scores import SCORES, Score
from raysim.analysis.statistics import wilson
from raysim.report.figures.overview import owner_cells

NUM_EVIDENCE = 12
NUM_CANDIDATES = 5000
"""Longest matches to choose the evidence from; a large run has millions, and most repeat each other."""
NUM_OPEN = 3
"""Pieces of evidence beside the matrix of owners; the others are behind a click."""
NUM_LISTED = 30
"""Names that one sentence holds; of more it says `NUM_NAMED`."""
NUM_NAMED = 3
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True)
class Shown:
    """One cell of a table: its text, a smaller line below it, and the length of a bar from 0 to 1."""

    text: str
    spread: str = ""
    bar: float | None = None


NO_PROMPTS = "Memorization was not measured: no organization has a prompt of the kinds that were asked for."


def scoreboard(results: RunResults) -> tuple[list[Score], list[tuple[Row, list[Shown]]]]:
    """The scores that were measured, and a row a setting."""
    rows = results.final_rows()
    scores = [score for score in SCORES if any((score.name, "") in row.cells for row in rows)]
    return scores, [(row, cells) for row, cells in zip(rows, shown_cells(rows, scores), strict=True)]


def owner_matrix(results: RunResults) -> list[tuple[Row, list[str]]]:
    """Covered lines per eligible prompt by model and owner, as text (see `owner_cells`)."""
    return [(row, texts) for row, _, texts in owner_cells(results)]


def why_no_owners(results: RunResults) -> str:
    """Why nothing is said of whose code models gave away."""
    if not results.run.setting("measure", "memorization"):
        return "Memorization was not measured. Add `measure: {memorization: {}}` and run again: the models are kept."
    if results.prompts.empty:
        return NO_PROMPTS
    return "No prompt is eligible: none has enough lines to come that were trained on."


def evidence(results: RunResults) -> list[dict[str, Any]]:
    """The longest matches, those of final models first: a fragment once, with a setting that emits it, and how many."""
    matches = results.run.table("matches")
    if not matches.num_rows:
        return []
    labels: dict[str, str] = {}
    for reached in results.reached_models:
        by_order = reached.family in (*OWN, *IN_TURN)
        name = f"{reached.strategy}: {reached.order}" if by_order else reached.strategy
        labels.setdefault(reached.model, name if reached.final else f"{name}, {reached.moment} {reached.index}")
    final = sorted({reached.model for reached in results.reached_models if reached.final})
    spread = matches.group_by("fragment").aggregate([("model", "count_distinct"), ("owner", "distinct")])
    fragments = {row["fragment"]: row for row in spread.to_pylist()}
    is_final = pc.is_in(matches.column("model"), pa.array(final, pa.string()))  # type: ignore[attr-defined]
    order = [("final", "descending"), ("lines", "descending")]
    order += [(name, "ascending") for name in ("fragment", "owner", "file", "model", "prompt", "sample")]
    ranked = matches.append_column("final", is_final).sort_by(order).slice(0, NUM_CANDIDATES).to_pylist()
    # One fragment a file: the tails of one long match would fill the list otherwise.
    shown: dict[tuple[str, str], dict[str, Any]] = {}
    for row in ranked:
        shown.setdefault((row["owner"], row["file"]), row)
    return [
        {
            **row,
            "label": labels.get(row["model"], row["model"]),
            "models": fragments[row["fragment"]]["model_count_distinct"],
            "owners": sorted(fragments[row["fragment"]]["owner_distinct"]),
        }
        for row in list(shown.values())[:NUM_EVIDENCE]
    ]


def spent(results: RunResults) -> list[dict[str, Any]]:
    """A row a setting: what its final models have cost; `seen_of` says what its tokens are of."""
    names = results.organizations

    def tokens(seen: Mapping[str, float]) -> list[str]:
        if len(names) <= NUM_LISTED:
            return [quantity(count) if (count := seen.get(name)) else "–" for name in names]
        counts = [count for count in seen.values() if count]
        return [quantity(value) if value else "–" for value in (len(counts), sum(counts), max(counts, default=0))]

    return [
        {
            "label": _budget_label(budget, len(results.organizations)),
            "tokens": tokens(budget.tokens_seen),
            "steps": quantity(budget.steps),
            "in_sequence": quantity(budget.steps_in_sequence),
            "training_loss": "–" if budget.training_loss is None else f"{budget.training_loss:.2f}",
            "rate_sum": f"{budget.learning_rate_sum:.3g}",
            "rate_mean": f"{budget.mean_rate:.2e}",
            "dropout": f"{budget.dropout:g}",
            "parameters": quantity(budget.parameters),
        }
        for budget in budgets(results.reached_models, results.training_loss)
    ]


def seen_of(results: RunResults) -> list[str]:
    """What the tokens of a row of `spent` are of: each organization, or, where they are very many, all."""
    names = results.organizations
    return list(names) if len(names) <= NUM_LISTED else ["Organizations", "All of them", "Most of one"]


def transfers(results: RunResults) -> list[dict[str, Any]]:
    """The ledger by sender, receiver and kind: how often, and how many bytes; very many organizations count as one."""
    ledger = results.run.table("ledger")
    if not ledger.num_rows:
        return []
    if len(results.organizations) > NUM_LISTED:
        known, all_of_them = set(results.organizations), f"{len(results.organizations):,} organizations"
        for column in ("sender", "receiver"):
            # What an organization keeps with itself has its name, and what it is in brackets.
            parts = [name.partition(" (") for name in ledger.column(column).to_pylist()]
            named = ["".join((all_of_them if name in known else name, *rest)) for name, *rest in parts]
            ledger = ledger.set_column(ledger.column_names.index(column), column, pa.array(named, pa.string()))
    grouped = ledger.group_by(["sender", "receiver", "kind"]).aggregate([("bytes", "sum"), ("bytes", "count")])
    order = [("bytes_sum", "descending"), ("sender", "ascending"), ("receiver", "ascending"), ("kind", "ascending")]
    rows = grouped.sort_by(order).to_pylist()
    top = rows[0]["bytes_sum"] or 1
    return [
        {**row, "size": quantity(row["bytes_sum"], "B"), "bar": row["bytes_sum"] / top, "times": row["bytes_count"]}
        for row in rows
    ]


def times(results: RunResults) -> list[dict[str, Any]]:
    """Where the time went: a row a kind of stage, longest first."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for stage in results.run.stages:
        groups.setdefault(str(stage.get("kind", "other")), []).append(stage)
    total = {kind: sum(float(s.get("seconds") or 0) for s in stages) for kind, stages in groups.items()}
    top = max(total.values(), default=0.0) or 1.0
    rows: list[dict[str, Any]] = []
    for kind in sorted(groups, key=lambda kind: (-total[kind], kind)):
        stages = groups[kind]
        rates = sorted(float(s["tokens_per_s"]) for s in stages if s.get("tokens_per_s"))
        rows.append(
            {
                "kind": kind,
                "stages": len(stages),
                "cached": sum(s.get("status") == "cached" for s in stages),
                "retried": sum(int(s.get("attempts") or 1) > 1 for s in stages),
                "time": duration(total[kind]),
                "rate": f"{quantity(rates[len(rates) // 2])} tokens/s" if rates else "",
                "bar": total[kind] / top,
            }
        )
    return rows


def training_speed(results: RunResults) -> list[tuple[str, str]]:
    """What was measured of training loops that this run folder saw: a name and what there is to say."""
    loops = [stage["training"] for stage in results.run.stages if stage.get("training")]
    if not loops:
        return []
    seconds = sum(loop["seconds"] for loop in loops)
    waited = sum(loop["data_seconds"] for loop in loops)
    shares = sorted(loop["flop_utilization"] for loop in loops if "flop_utilization" in loop)
    rates = sorted(loop["tokens_per_s"] for loop in loops)
    found = [
        ("Rate", f"{quantity(rates[len(rates) // 2])} tokens/s, median of {len(loops)} training loops"),
        ("Peak memory", quantity(max(loop["peak_memory_bytes"] for loop in loops), "B") + " of a rank"),
        ("Waiting for data", f"{duration(waited)}, {100 * waited / (seconds or 1.0):.1f} % of {duration(seconds)}"),
    ]
    if shares:
        share = f"{100 * shares[len(shares) // 2]:.1f} % of the devices' bf16 peak, at 6 FLOP a parameter and token"
        found.insert(1, ("Utilization", share))
    return found


def quantity(number: float, unit: str = "") -> str:
    """A count or a number of bytes with three digits: 14,600, 1.18 M, 473 MB."""
    steps = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")) if unit else ((1e12, "T"), (1e9, "B"), (1e6, "M"))
    for size, letter in steps:
        if abs(number) >= size:
            return f"{number / size:.3g} {letter}{unit}"
    return f"{number:,.0f}{' ' + unit if unit else ''}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 8.2 s, 14 min, 2 h 05 min."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def shown_cells(rows: Sequence[Row], scores: Sequence[Score]) -> list[list[Shown]]:
    """For each row the cells of `scores`; bars are parts of the largest mean."""
    tops = {score.name: max((row.mean(score.name) or 0.0 for row in rows), default=0.0) for score in scores}
    return [[_shown(row, score, tops[score.name]) for score in scores] for row in rows]


def _shown(row: Row, score: Score, top: float) -> Shown:
    cell = row.cells.get((score.name, ""))
    if cell is None:
        return Shown("–")
    mean, *spread = (score.scale * score.transform(value) for value in astuple(cell))
    text = f"{mean:.{score.digits}f}{score.unit}"
    if score.spread == "wilson":
        low, high = wilson(row.matched, row.samples)
        return Shown(text, _range(score.scale * low, score.scale * high, score.digits))
    low, high, orders_low, orders_high = spread
    parts = [_range(low, high, score.digits)] * (row.num_seeds > 1)
    parts += [_range(orders_low, orders_high, score.digits)] * (row.num_orders > 1)
    return Shown(text, "\n".join(parts), (cell.mean / top if top else 0.0) if score.bar else None)


def _range(low: float, high: float, digits: int) -> str:
    return f"{low:.{digits}f}–{high:.{digits}f}"


def _budget_label(budget: Budget, whole: int) -> str:
    partial = budget.family != "single" and len(budget.tokens_seen) < whole
    return f"{budget.strategy} ({budget.order})" if partial else budget.label


def counted(number: int, noun: str) -> str:
    word = WORDS[number] if number < len(WORDS) else str(number)
    return f"{word} {noun}{'s' * (number != 1)}"


def listed(names: Sequence[str]) -> str:
    """Names as a person says them; of very many, the first."""
    if len(names) > NUM_LISTED:
        return f"{', '.join(names[:NUM_NAMED])} and {len(names) - NUM_NAMED:,} others"
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1] if names else "none named"
