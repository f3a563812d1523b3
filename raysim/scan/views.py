"""What `raysim scan` and `raysim clones` print for people."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from raysim.scan.code_findings import CodeFinding
from raysim.scan.command import ScanFinding
from raysim.scan.excerpts import Excerpt

_SHOWN = 10
_EXCERPT_LINES = 12


def scan_view(finding: ScanFinding, unit: str) -> RenderableType:
    """Totals by owner, the longest matches, and the longest of all side by side."""
    totals = finding.found["totals"]
    all_units = totals[f"significant_{unit}"]
    table = Table(title=f"{totals['samples']:,} files, {all_units:,} {unit}", title_justify="left")
    table.add_column("owner")
    for column in ("covered", "share", "nobody else's"):
        table.add_column(column, justify="right")
    for name, count in sorted(totals[f"covered_{unit}"].items(), key=lambda item: -item[1]):
        table.add_row(Text(name), f"{count:,}", _percent(count, all_units), f"{totals[f'exclusive_{unit}'][name]:,}")
    public = totals[f"public_{unit}"]
    verdict = f"{_percent(totals[f'owned_{unit}'], all_units)} of the {unit} are in somebody's code"
    verdict += f", {public:,} more or the same in the reference." if public else "."
    return Group(table, Text(verdict), *_longest(finding, unit))


def clones_view(finding: ScanFinding, unit: str) -> RenderableType:
    """Who shares how much with whom, the longest matches, and the longest of all side by side."""
    pairs = finding.found["pairs"]
    names = list(dict.fromkeys(pair["org"] for pair in pairs))
    table = Table(title=f"Of the {unit} of each row those that the column has, too", title_justify="left")
    for column in ("", *names, unit):
        table.add_column(Text(column), justify="right" if column else "left")
    for name in names:
        row = {pair["other"]: pair for pair in pairs if pair["org"] == name}
        cells = [_percent(row[other]["covered"], row[other][unit]) for other in names]
        table.add_row(Text(name), *cells, f"{row[name][unit]:,}")
    note = "On the diagonal: what is in two places of one owner."
    return Group(table, Text(note), *_longest(finding, unit))


def check_view(findings: Sequence[CodeFinding], num_files: int) -> RenderableType:
    """A line a finding, as linters print them, and how many there are."""
    lines = [f"{one.path}:{one.start}: {one.level}: {one.rule}: {one.message}" for one in findings]
    total = f"{len(findings):,} finding{'s' * (len(findings) != 1)} in {num_files:,} file{'s' * (num_files != 1)}."
    return Text("\n".join([*lines, total]))


def findings_json(findings: Sequence[CodeFinding]) -> str:
    """Findings for programs."""
    return json.dumps([asdict(one) for one in findings], indent=1)


def _longest(finding: ScanFinding, unit: str) -> Sequence[RenderableType]:
    """The longest matches as a table, the longest one as text, and notes."""
    notes = [Text(f"Note: {sentence}.") for sentence in finding.notes]
    if not finding.excerpts:
        return [Text("No match."), *notes]
    table = Table(title=f"The longest of {len(finding.found['matches']):,} matches", title_justify="left")
    for column in (unit, "from line", "of", "found in", "places"):
        table.add_column(
            column, justify="right" if column in (unit, "from line", "places") else "left", overflow="fold"
        )
    for excerpt in finding.excerpts[:_SHOWN]:
        match = excerpt.match
        for position, owner in enumerate(match.owners):
            head = (f"{match.lines:,}", f"{match.start}", Text(excerpt.file)) if position == 0 else ("", "", "")
            table.add_row(*head, Text(f"{owner.org}: {owner.path}:{owner.start}"), f"{owner.count:,}")
    return [table, _side_by_side(finding.excerpts[0]), *notes]


def _side_by_side(excerpt: Excerpt) -> RenderableType:
    owner = excerpt.match.owners[0]
    grid = Table.grid(expand=True)
    for _ in range(2):
        grid.add_column(ratio=1)
    grid.add_row(
        *(
            Panel(Text("\n".join(lines[:_EXCERPT_LINES]), no_wrap=True, overflow="ellipsis"), title=Text(title))
            for title, lines in (
                (f"{excerpt.file}:{excerpt.match.start}", excerpt.lines),
                (f"{owner.org}: {owner.path}:{owner.start}", excerpt.theirs),
            )
        )
    )
    return grid


def _percent(count: int, total: int) -> str:
    return f"{count / total:.2%}" if total else "–"


def as_json(found: Mapping[str, Any]) -> str:
    """What was found, with a line for each match and each pair."""

    def member(name: str, value: Any) -> str:
        if not isinstance(value, list):
            return f"{json.dumps(name)}: {json.dumps(value)}"
        rows = ",\n".join(map(json.dumps, value))
        return f"{json.dumps(name)}: [\n{rows}\n]"

    return "{\n" + ",\n".join(member(name, value) for name, value in found.items()) + "\n}"


def as_rows(excerpts: Sequence[Excerpt]) -> list[Mapping[str, Any]]:
    """Excerpts as plain values, for a page."""
    return [
        {
            "file": excerpt.file,
            "start": excerpt.match.start,
            "lines": excerpt.match.lines,
            "owners": [
                f"{o.org}: {o.path}:{o.start}" + f" ({o.count:,} places)" * (o.count > 1) for o in excerpt.match.owners
            ],
            "ours": "\n".join(excerpt.lines),
            "theirs": "\n".join(excerpt.theirs),
            "left_out": excerpt.left_out,
        }
        for excerpt in excerpts
    ]
