"""Lines that models gave away under other names, beside those that are equal, and what chance gives of either."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raysim.tables.results import Results


@dataclass(frozen=True)
class RenamedLines:
    """Of one model and one kind of prompts, over all samples, a prompt.

    Attributes:
        verbatim: exclusive lines of any organization that are equal to its own.
        renamed: exclusive lines but for names, literals and layout.
        hidden: those of them that no verbatim match holds.
        chance: how many of those hidden would be as many in held-out code of other organizations; None where no other
            organization has any.
    """

    verbatim: float
    renamed: float
    hidden: float
    chance: float | None


def renamed_lines(run: Results) -> dict[tuple[str, str], RenamedLines]:
    """By model and kind of prompts; empty where it was not measured."""
    renamed = run.table("renamed")
    if not renamed.num_rows:
        return {}
    rates = {owner: rate["hidden"] for owner, rate in chance_rates(run).items()}
    kinds = run.table("prompts").select(["prompt", "kind"])
    verbatim = {
        (row["model"], row["kind"]): row["exclusive_sum"]
        for row in _summed(run.table("samples"), kinds, ["model", "kind"], ["exclusive"])
    }
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in _summed(renamed, kinds, ["model", "kind", "owner"], ["lines", "exclusive", "hidden"]):
        found.setdefault((row["model"], row["kind"]), []).append(row)
    counts = {(row["model"], row["kind"]): row["prompt_count_distinct"] for row in _prompts(renamed, kinds)}
    lines = {}
    for place, rows in sorted(found.items()):
        prompts = counts[place]
        known = all(row["owner"] in rates for row in rows)
        expected = sum(row["lines_sum"] * rates.get(row["owner"], 0.0) for row in rows)
        lines[place] = RenamedLines(
            verbatim[place] / prompts,
            sum(row["exclusive_sum"] for row in rows) / prompts,
            sum(row["hidden_sum"] for row in rows) / prompts,
            expected / prompts if known else None,
        )
    return lines


def exclusive_under_any_names(run: Results, prompts: Sequence[str]) -> dict[str, float]:
    """Exclusive lines but for names, literals and layout, by model, a prompt; empty where it was not measured.

    Args:
        run: whose table `renamed` it is.
        prompts: that count.
    """
    table = run.table("renamed")
    used = table.filter(pc.field("prompt").isin(pa.array(prompts, pa.string())))
    sums = used.group_by("model").aggregate([("exclusive", "sum"), ("prompt", "count_distinct")]).to_pylist()
    return {row["model"]: row["exclusive_sum"] / row["prompt_count_distinct"] for row in sums}


def chance_rates(run: Results) -> dict[str, dict[str, float]]:
    """Of each owner the share of other organizations' held-out lines that match: covered, exclusive and hidden."""
    table = run.table("renamed_chance")
    others = table.filter(pc.field("organization") != pc.field("owner"))
    columns = ["covered", "exclusive", "hidden"]
    rows = others.group_by("owner").aggregate([(name, "sum") for name in ("lines", *columns)]).to_pylist()
    return {
        row["owner"]: {name: row[f"{name}_sum"] / row["lines_sum"] for name in columns}
        for row in sorted(rows, key=lambda row: row["owner"])
        if row["lines_sum"]
    }


def _summed(table: pa.Table, kinds: pa.Table, by: list[str], columns: list[str]) -> list[dict[str, Any]]:
    return table.join(kinds, "prompt").group_by(by).aggregate([(name, "sum") for name in columns]).to_pylist()


def _prompts(table: pa.Table, kinds: pa.Table) -> list[dict[str, Any]]:
    joined = table.select(["model", "prompt"]).join(kinds, "prompt")
    return joined.group_by(["model", "kind"]).aggregate([("prompt", "count_distinct")]).to_pylist()
