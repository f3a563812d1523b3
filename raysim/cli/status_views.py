"""What `raysim watch` shows of a run: in place on a terminal, or line by line."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raysim.cli.progress import time_left
from raysim.experiment.run_status import Row, RunStatus

_BARS = "▁▂▃▄▅▆▇█"
_POINTS = 24
_MOST_ROWS = 12
_MOST_NOTES = 3


def status_view(status: RunStatus) -> RenderableType:
    """A run as it is, for a terminal."""
    head = Text(f"{_where(status)}\n", "bold").append(f"{_bar(status.share)} {how_far(status)}", "not bold")
    parts: list[RenderableType] = [head, _settings_table(status)] if status.settings else [head]
    curves = {label: sparkline(losses) for label, losses in status.losses.items()}
    parts += [Text(f"  {work_line(one)}  {curves.get(one['label'], '')}", "cyan") for one in status.under_way]
    if status.more:
        parts.append(Text(f"  and {status.more} more", "dim"))
    if status.scores:
        parts.append(_scores_table(status.scores))
    return Group(*parts, *(Text(f"note: {note}", "yellow") for note in status.notes[-_MOST_NOTES:]))


def lines_of(status: RunStatus) -> Iterator[str]:
    """Lines that are worth being shown once: phases, scores of models, notes."""
    yield _where(status)
    for row in status.scores:
        yield f"measured {row['name']}, {row['organization']}: {_values(row['values'])}"
    for note in status.notes:
        yield f"note: {note}"


def how_far(status: RunStatus) -> str:
    """How much of a run is done, in a line."""
    found = {what: [one[what] for one in status.settings.values() if what in one] for what in ("stages", "rounds")}
    counts = [
        f"{sum(done for done, _ in pairs)} of {sum(planned for _, planned in pairs)} {what}"
        for what, pairs in found.items()
        if pairs
    ]
    return ", ".join([f"{100 * status.share:.0f} % of the run", *counts, status.ended or time_left(status.left_s)])


def work_line(one: Row) -> str:
    """A piece of work that is under way, in a line."""
    loss = "" if one["loss"] is None else f", loss {one['loss']:.2f}"
    return f"{one['kind']} {one['label']}: {100 * one['share']:.0f} %{loss}"


def sparkline(values: Sequence[float]) -> str:
    """A curve in a line of text, of `_POINTS` values at most, the last one among them."""
    step = -(-len(values) // _POINTS) or 1
    chosen = values[::-1][::step][::-1]
    low, high = min(chosen, default=0.0), max(chosen, default=0.0)
    top = len(_BARS) - 1
    return "".join(_BARS[round(top * (value - low) / ((high - low) or 1.0))] for value in chosen)


def _where(status: RunStatus) -> str:
    return f"{status.name}: {', '.join(filter(None, [status.point, status.phase.lower()]))}"


def _values(values: dict[str, float]) -> str:
    return ", ".join(f"{_heading(name)} {value:.3g}" for name, value in values.items())


def _heading(score: str) -> str:
    return score.replace("_", " ")


def _bar(share: float, width: int = 24) -> str:
    full = round(share * width)
    return "━" * full + "─" * (width - full)


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="dim", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in left:
        table.add_column(name, header_style="dim")
    for name in right:
        table.add_column(name, header_style="dim", justify="right")
    return table


def _settings_table(status: RunStatus) -> Table:
    table = _table("", ["setting"], ["stages", "rounds"])
    for label, counts in list(status.settings.items())[:_MOST_ROWS]:
        table.add_row(label, *(f"{counts[w][0]} / {counts[w][1]}" if w in counts else "" for w in ("stages", "rounds")))
    return table


def _scores_table(rows: Sequence[Row]) -> Table:
    """The last that is known of each setting, order and seed, with its way there; those that leak most come first."""
    latest: dict[tuple[Any, ...], dict[str, float]] = {}
    names: dict[tuple[Any, ...], str] = {}
    curves: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        about = row["run"], row["seed"], row["organization"]
        latest.setdefault(about, {}).update(row["values"])
        names[about] = row["name"]
        if (lines := row["values"].get("exclusive_lines")) is not None:
            curves.setdefault(about, []).append(lines)
    columns = list(dict.fromkeys(name for values in latest.values() for name in values))
    table = _table("measured so far", ["model", "organization"], [*map(_heading, columns), ""])
    for about in sorted(latest, key=lambda one: -latest[one].get("exclusive_lines", 0.0))[:_MOST_ROWS]:
        cells = (f"{latest[about][c]:.3g}" if c in latest[about] else "" for c in columns)
        table.add_row(names[about], about[2], *cells, sparkline(curves.get(about, ())))
    return table
