"""What the report says of the output filter: how often it ended samples, for whom, and what it took for copies."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from raysim.analysis.results import RunResults, over_orders_and_seeds
from raysim.matching.study_counts import ANY
from raysim.measures.base import Section, SectionTable


def section(results: RunResults) -> Section | None:
    """The section of the report on what the output filter did; None without one."""
    table = results.run.table("filter_blocks")
    if not table.num_rows:
        return None
    by_model: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in table.to_pylist():
        by_model[row["model"]].append(row)
    judging = set(table["owner"].to_pylist())
    owners = [owner for owner in (ANY, *results.organizations) if owner in judging]
    rows = []
    for row, models in results.final_groups():
        known = [reached for reached in models if reached.model in by_model]
        for owner in owners if known else ():
            shares = [(reached, _shares(by_model[reached.model], owner)) for reached in known]
            cells = (over_orders_and_seeds([(reached, found[n]) for reached, found in shares]) for n in range(3))
            stopped, blocks, lost = cells
            blocked = sum(_total(by_model[reached.model], owner, "blocks") for reached in known)
            wrong = sum(_total(by_model[reached.model], owner, "false_blocks") for reached in known)
            rows.append(
                (
                    row.label,
                    "all together" if owner == ANY else owner,
                    f"{stopped:.1%}",
                    f"{blocks:.2f}",
                    f"{wrong} of {blocked}",
                    f"{lost:.1%}",
                )
            )
    lines = results.run.setting("measure", "memorization", "output_filter", "lines")
    return Section(
        "output-filter",
        "What the output filter did",
        "Output filter",
        842,
        lead=f"Before a model would write {lines} lines that stand so in a training split, its sample ends or is drawn"
        " anew. Windows of lines are looked up in every organization's filter.",
        tables=[
            SectionTable(
                ("Setting", "Owner", "Samples ended", "Blocks a sample", "Blocks by mistake", "Tokens taken back"), rows
            )
        ],
        note="Means over orders and seeds, blocks by mistake in sum: windows that a filter holds and the owner has"
        " nowhere. Whoever may ask a filter for lines of their own learns from what is blocked which lines were trained"
        " on (arXiv 2210.17546): it protects text, not membership.",
    )


def _shares(rows: Sequence[Mapping[str, Any]], owner: str) -> tuple[float, float, float]:
    """Of the samples of a model: the share that was ended, blocks a sample, and the share of tokens taken back."""
    samples, stopped, blocks, tokens, lost = (
        _total(rows, owner, name) for name in ("samples", "stopped", "blocks", "tokens", "lost_tokens")
    )
    return stopped / samples, blocks / samples, lost / max(1, tokens + lost)


def _total(rows: Sequence[Mapping[str, Any]], owner: str, name: str) -> int:
    return sum(row[name] for row in rows if row["owner"] == owner)
