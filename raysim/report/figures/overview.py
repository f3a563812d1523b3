"""The figures of the report: from the results of a run to Plotly specifications, as plain data."""

from collections.abc import Sequence
from typing import Any

from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import Row, RunResults
from raysim.analysis.zeros import zero_of
from raysim.report.figures.extraction import extraction_curves
from raysim.report.figures.frontier import frontier
from raysim.report.figures.kit import (
    LINES,
    SYMBOLS,
    Figure,
    add_panel,
    checked_figure,
    empty_layout,
    heatmap,
    plain_text,
    rule,
)
from raysim.report.figures.order_tree import order_trees
from raysim.report.figures.orders import forgetting, order_positions
from raysim.tables.names import PUBLIC


def owner_heatmap(results: RunResults) -> Figure | None:
    """Covered lines per eligible prompt: a row a final model, a column an owner."""
    found = owner_cells(results)
    if not found:
        return None
    rows, cells, texts = map(list, zip(*found, strict=True))
    names = [row.label for row in rows]
    hover = "%{customdata[0]}<br>owner %{customdata[1]}: %{text} lines"
    figure = heatmap(names, results.organizations, cells, texts, "lines a prompt", hover)
    figure["data"][0]["showscale"] = False  # every cell has its number, and needs the room
    edges = [i - 0.5 for i in range(1, len(rows)) if rows[i].family != rows[i - 1].family]
    figure["layout"]["shapes"] = [rule(edge) for edge in edges]
    height = 90 + 31 * len(rows)
    return checked_figure("owners", figure, height, "Covered lines per eligible prompt by model and owner")


def curves(results: RunResults) -> Figure | None:
    """Bits per byte and covered lines of each owner along rounds and epochs."""
    paths = _paths(results)
    wanted = [("bits_per_byte", "", "bits per byte, joint"), ("exclusive", "", "exclusive lines a prompt")]
    wanted += [("covered_eligible", owner, f"covered lines owned by {owner}") for owner in results.organizations]
    # A panel that is zero throughout would say less than its absence.
    wanted = [w for w in wanted if any(row.mean(w[0], w[1]) for rows in paths.values() for row in rows)]
    if not paths or not wanted:
        return None
    columns = min(3, len(wanted))
    layout = empty_layout()
    data: list[dict[str, Any]] = []
    num_rows = -(-len(wanted) // columns)
    for panel, (measure, of, title) in enumerate(wanted):
        axis = add_panel(layout, panel, columns, num_rows, plain_text(title))
        layout[f"xaxis{axis}"].update(title={"text": "round or epoch", "font": {"size": 11}}, dtick=_step(paths))
        layout[f"yaxis{axis}"]["rangemode"] = "normal" if measure == "bits_per_byte" else "tozero"
        for number, (label, rows) in enumerate(paths.items()):
            known = [(row.index, cell.mean, cell) for row in rows if (cell := row.cells.get((measure, of)))]
            color = LINES[number % len(LINES)]
            trace = {
                "type": "scatter",
                "mode": "lines+markers",
                "name": plain_text(label),
                "legendgroup": str(number),
                "showlegend": panel == 0,
                "x": [x for x, _, _ in known],
                "y": [y for _, y, _ in known],
                "line": {"color": color, "width": 2, "dash": ("solid", "dash", "dot")[number // len(LINES) % 3]},
                "marker": {"color": color, "size": 5, "symbol": tuple(SYMBOLS.values())[-1 - number % 4]},
                "xaxis": f"x{axis}",
                "yaxis": f"y{axis}",
                "hovertemplate": "%{x}: %{y:.3f}<extra>%{fullData.name}</extra>",
            }
            if any(row.num_seeds > 1 for row in rows):
                above, below = [c.high - y for _, y, c in known], [y - c.low for _, y, c in known]
                trace["error_y"] = {"array": above, "arrayminus": below, "color": color, "thickness": 1, "width": 0}
            data.append(trace)
    layout["legend"] = {"orientation": "h", "x": 0, "y": 1.0 + 0.22 / num_rows, "yanchor": "bottom"}
    layout["margin"]["t"] = 70
    height = 90 + 250 * num_rows
    about = "Quality and memorization over rounds and epochs"
    return checked_figure("curves", {"data": data, "layout": layout}, height, about)


def clone_matrix(results: RunResults) -> Figure | None:
    """Share of one organization's lines that are found in another's training split, before any training."""
    shares = {(r["organization"], r["other"]): r["share"] for r in results.run.table("clones").to_pylist()}
    if not shares:
        return None
    others = [o for o in [*results.organizations, PUBLIC] if any(other == o for _, other in shares)]
    owners = [o for o in results.organizations if any(organization == o for organization, _ in shares)]
    cells = [[shares.get((owner, other)) for other in others] for owner in owners]
    texts = [["" if value is None else f"{100 * value:.1f} %" for value in line] for line in cells]
    hover = "%{text} of the lines of %{customdata[0]}<br>stand in %{customdata[1]}"
    names = [name if name != PUBLIC else "public references" for name in others]
    figure = heatmap(owners, names, cells, texts, "share of lines", hover)
    figure["data"][0]["colorbar"]["tickformat"] = ".0%"
    return checked_figure("clones", figure, 100 + 42 * len(owners), "Share of lines in common, before training")


def owner_cells(results: RunResults) -> list[tuple[Row, list[float], list[str]]]:
    """Covered lines per eligible prompt: a row a final model, a cell an owner, as numbers and as text.

    A text is in brackets where the owner's data took no part in the training; elsewhere what it is worth
    stands in place of a zero.
    """
    found: list[tuple[Row, list[float], list[str]]] = []
    for row, models in results.final_groups(by_order=True):
        values = [row.mean("covered_eligible", owner) for owner in results.organizations]
        if all(value is None for value in values):
            continue
        cells = [value or 0.0 for value in values]
        trained = models[0].organizations
        texts = [
            _owner_text(results, models, owner, value, owner in trained)
            for owner, value in zip(results.organizations, cells, strict=True)
        ]
        found.append((row, cells, texts))
    return found


def _owner_text(results: RunResults, models: Sequence[ReachedModel], owner: str, value: float, trained: bool) -> str:
    text = f"{value:.2f}" if value < 9.95 else f"{value:.1f}"
    if not trained:
        return f"({text})"
    if value:
        return text
    arrays = results.prompts
    return f"{zero_of(results, models, [owner], arrays.eligible & arrays.from_training).mark}"


def _paths(results: RunResults) -> dict[str, list[Row]]:
    """Settings that were looked at more than once on their way, by label: federated rounds, epochs."""
    whole = len(results.organizations)
    models = [
        m
        for m in results.reached_models
        if m.family in ("federated", "centralized") and m.moment in ("round", "epoch") and len(m.organizations) == whole
    ]
    paths: dict[str, list[Row]] = {}
    for row in sorted(results.rows(models), key=lambda row: row.index):
        if row.cells:
            paths.setdefault(row.label, []).append(row)
    return {label: rows for label, rows in paths.items() if len(rows) > 1}


def _step(paths: dict[str, list[Row]]) -> int:
    return max(1, -(-max(row.index for rows in paths.values() for row in rows) // 10)) * 2


def all_figures(results: RunResults) -> dict[str, Figure]:
    """Every figure that the tables allow, by name."""
    makers = (owner_heatmap, order_positions, forgetting, curves, frontier, clone_matrix, extraction_curves)
    made = [*(make(results) for make in makers), *order_trees(results)]
    return {figure.name: figure for figure in made if figure}
