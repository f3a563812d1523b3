"""The overlap report as `raysim inspect` prints it for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from raysim.tables.names import OTHERS, PUBLIC

SHOWN = 20
"""Of very many organizations, as many as are listed."""


def overlap_views(inspected: Mapping[str, Any]) -> list[RenderableType]:
    """Tables of what `raysim.experiment.overlap_report.overlap_report` found, and how to read them."""
    found, names = inspected["xray"], list(inspected["organizations"])
    in_force = Text(_in_force(inspected["deduplication"]))
    if any(row["other"] == OTHERS for row in found["clones"]):
        return [_crowd(found, names), _crowd_totals(found), in_force]
    views: list[RenderableType] = [_shared(found, names)]
    if len(names) > 1:
        views += [_bounds(found, names), Text(_how_to_read(found["min_lines"]))]
    views.append(_split_copies(found["split_copies"]))
    if found["prompts"]:
        views.append(_prompts(found["prompts"]))
    if len(names) > 1:
        views += [_policies(found["policies"]), in_force]
    return views


def _crowd(found: Mapping[str, Any], names: Sequence[str]) -> Table:
    """Of very many organizations those that share most with the others, and with whom."""
    rows: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in found["clones"]:
        rows.setdefault(row["organization"], {})[row["other"]] = row
    title = (
        f"Who shares most: significant training lines in runs of {found['min_lines']} and more that others hold;"
        f" {min(SHOWN, len(names))} of {len(names):,} organizations, the others are in --json"
    )
    table = _table(title, "of")
    for column in ("twice in itself", "all others", PUBLIC, "most with"):
        table.add_column(column, justify="left" if column == "most with" else "right")
    for name in sorted(names, key=lambda name: -_share(rows[name][OTHERS]))[:SHOWN]:
        mine = rows[name]
        known = (mine[other] for other in (name, OTHERS, PUBLIC) if other in mine)
        cells = [_lines(row["covered"], row["lines"]) for row in known]
        near = [row for other, row in mine.items() if other not in (name, OTHERS, PUBLIC) and row["covered"]]
        near.sort(key=lambda row: -row["covered"])
        shown = ", ".join(f"{row['other']} {row['covered']:,}" for row in near)
        table.add_row(Text(name), *cells, *([] if PUBLIC in mine else [""]), Text(shown))
    return table


def _crowd_totals(found: Mapping[str, Any]) -> Table:
    """Sums over very many organizations of what the tables for few show for each."""
    table = _table("Over all organizations", "what")
    table.add_column("how many", justify="right")
    table.add_column("of", justify="right")
    others = [row for row in found["clones"] if row["other"] == OTHERS]
    copies = found["split_copies"]
    sums = [
        ("training lines that others hold, too", sum(r["covered"] for r in others), sum(r["lines"] for r in others)),
        ("organizations that share a line", sum(r["covered"] > 0 for r in others), len(others)),
        (
            "held-out files that somebody trains on a copy or near-copy of",
            sum(row["copies"] + row["near"] for row in copies),
            sum(row["files"] for row in copies),
        ),
    ]
    prompts = found["prompts"].values()
    if prompts:
        at_others = sum(sum(row["elsewhere"][1:]) for row in prompts)
        sums.append(("prompts whose continuation others hold", at_others, sum(row["asked"] for row in prompts)))
    kinds = dict.fromkeys((row["across"], row["match"]) for row in found["policies"])
    for across, match in kinds:
        mine = [row for row in found["policies"] if (row["across"], row["match"]) == (across, match)]
        named = f"files that deduplication: {{across: {across}, match: {match}}} would leave out"
        sums.append((named, sum(row["files"] for row in mine), sum(row["of_files"] for row in mine)))
    for what, count, total in sums:
        table.add_row(what, _lines(count, total), f"{total:,}")
    return table


def _share(row: Mapping[str, Any]) -> float:
    return row["covered"] / row["lines"] if row["lines"] else 0.0


def _shared(found: Mapping[str, Any], names: Sequence[str]) -> Table:
    title = f"Who shares what: significant training lines in runs of {found['min_lines']} and more that another holds"
    table = _table(title, "of")
    columns = [*names, *([PUBLIC] if any(row["other"] == PUBLIC for row in found["clones"]) else [])]
    for name in columns:
        table.add_column(Text(name), justify="right")
    cells = {(row["organization"], row["other"]): row for row in found["clones"]}
    for name in names:
        shown = [_lines(row["covered"], row["lines"]) for other in columns if (row := cells[name, other])]
        table.add_row(Text(name), *shown)
    return table


def _bounds(found: Mapping[str, Any], names: Sequence[str]) -> Table:
    """Each other organization alone, and all others; the rest is in the JSON."""
    table = _table("Predicted: lines of an organization that models could have seen that were trained on others", "of")
    for name in names:
        table.add_column(Text(f"on {name}"), justify="right")
    table.add_column("on all others", justify="right")
    table.add_column("of these public", justify="right")
    bounds = {(row["organization"], tuple(row["others"])): row for row in found["bounds"]}
    for name in names:
        alone = [bounds.get((name, (other,))) for other in names]
        all_others = bounds[name, tuple(other for other in names if other != name)]
        shown = [_lines(row["seen"], row["lines"]) if row else "" for row in alone]
        public = f"{all_others['public']:,}"
        table.add_row(Text(name), *shown, _lines(all_others["seen"], all_others["lines"]), public)
    return table


def _split_copies(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("Held-out files that somebody trains on a copy of", "of")
    for column in ("held out", "copies", "near-copies", "of these at others", "share of bytes"):
        table.add_column(column, justify="right")
    for row in rows:
        counts = [row["files"], row["copies"], row["near"], row["others"]]
        share = f"{row['copied_bytes'] / row['num_bytes']:.1%}" if row["num_bytes"] else ""
        table.add_row(Text(row["organization"]), *(f"{count:,}" for count in counts), share)
    return table


def _prompts(prompts: Mapping[str, Mapping[str, Any]]) -> Table:
    table = _table("Predicted: prompts by places of their true continuation; the more, the likelier given away", "of")
    places = ("in no training split", "in one place", "in more", "at others", "at others, in more")
    for column in ("prompts", "too short to tell", *places):
        table.add_column(column, justify="right")
    for name, row in prompts.items():
        _, one, more = row["elsewhere"]
        table.add_row(
            Text(name), str(row["asked"]), str(row["short"]), *map(str, row["everywhere"]), str(one + more), str(more)
        )
    return table


def _policies(policies: Sequence[Mapping[str, Any]]) -> Table:
    """A column a policy, a row an organization: files, and their share of the bytes."""
    table = _table("What 'deduplication' would leave out of the files that pass the filters, before any limit", "of")
    kinds = list(dict.fromkeys((row["across"], row["match"]) for row in policies))
    for across, match in kinds:
        table.add_column(f"{across}, {match}", justify="right")
    rows: dict[str, list[str]] = {}
    for row in policies:
        share = f" ({row['bytes'] / row['of_bytes']:.1%} of bytes)" if row["files"] else ""
        rows.setdefault(row["organization"], []).append(f"{row['files']:,} of {row['of_files']:,}{share}")
    for name, cells in rows.items():
        table.add_row(Text(name), *cells)
    return table


def _how_to_read(min_lines: int) -> str:
    return (
        f"A bound: whatever else such a model writes of them it has not seen, {min_lines} lines on end, in what it was"
        " trained on. Other groups are in --json."
    )


def _in_force(deduplication: Mapping[str, str]) -> str:
    across, match = deduplication["across"], deduplication["match"]
    if across == "keep":
        return "In force: keep. Write for example 'deduplication: {across: first_owner, match: near}' to change it."
    return f"In force: {across}, {match}; what it left out is above, and the corpora are what is left."


def _table(title: str, first: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    return table


def _lines(count: int, total: int) -> str:
    return f"{count:,} ({count / total:.1%})" if total else f"{count:,}"
