"""All orders of an incremental setting as one tree: a block a model, from the initial one to the final ones.

Orders that begin alike share their first blocks, as they share their models. A heatmap draws it, with a row an order
and a column a stage, since its cells may be unknown and it stays quick with hundreds of models.
"""

from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from raysim.analysis.orders import BITS, EXCLUSIVE, Order, Orders, incremental_orders, outcomes, pareto
from raysim.analysis.results import Measure, RunResults
from raysim.report.figures.kit import (
    COLORSCALE,
    MUTED,
    PAPER,
    UNKNOWN,
    Figure,
    checked_figure,
    empty_layout,
    on_cell,
    plain_text,
    shortened,
)

ROOT_WIDTH = 0.42
"""Of the initial model's column, in columns."""
MAX_HEIGHT = 1500
ROW_HEIGHTS = (11, 36)
"""Pixels of an order; below the first its name and number are left out."""


@dataclass(frozen=True)
class Node:
    """The model that orders with the same beginning share.

    Attributes:
        prefix: the organizations that it was trained on, in their order.
        first, last: rows of the first and the last order that begin with it.
        measures: averaged over the seeds that measured them.
    """

    prefix: Order
    first: int
    last: int
    measures: dict[Measure, float]


def tree_nodes(results: RunResults, orders: Orders) -> list[Node]:
    """Every model of the tree, by number of stages and then by row."""
    names = orders.names
    nodes: list[Node] = []
    for depth in range(len(orders.organizations) + 1):
        for prefix, group in groupby(enumerate(names), key=lambda row, depth=depth: row[1][:depth]):
            rows = [row for row, _ in group]
            members = {names[row] for row in rows}
            # One model a seed: which of the orders that share it names it makes no difference.
            keys = {
                seed: next((path[depth] for order, path in paths.items() if order in members), None)
                for seed, paths in orders.paths.items()
            }
            found = [results.measures(key) for key in keys.values() if key is not None]
            taken = sorted({measure for measures in found for measure in measures})
            means = {m: float(np.mean([measures[m] for measures in found if m in measures])) for m in taken}
            nodes.append(Node(prefix, rows[0], rows[-1], means))
    return nodes


def order_trees(results: RunResults) -> list[Figure]:
    """A tree for each incremental setting of which at least one model was probed; named tree_0, tree_1, ..."""
    found = [_tree(results, number, orders) for number, orders in enumerate(incremental_orders(results))]
    return [figure for figure in found if figure]


def _tree(results: RunResults, number: int, orders: Orders) -> Figure | None:
    nodes = tree_nodes(results, orders)
    if not any(EXCLUSIVE in node.measures for node in nodes):
        return None
    num_rows, num_columns = len(orders.names), len(orders.organizations) + 1
    height = min(max(ROW_HEIGHTS[0], min(ROW_HEIGHTS[1], 640 / num_rows)), MAX_HEIGHT / num_rows)
    edges = [0.0, *(ROOT_WIDTH + i for i in range(num_columns))]
    z: list[list[float | None]] = [[None] * num_columns for _ in range(num_rows)]
    hovers = [[""] * num_columns for _ in range(num_rows)]
    for node in nodes:
        for row in range(node.first, node.last + 1):
            z[row][len(node.prefix)] = node.measures.get(EXCLUSIVE)
            hovers[row][len(node.prefix)] = _hover(node, orders)
    top = max(node.measures.get(EXCLUSIVE, 0.0) for node in nodes) or 1.0
    cells = {
        "type": "heatmap",
        "x": edges,
        "y": list(range(num_rows)),
        "z": z,
        "zmin": 0,
        "zmax": top,
        "customdata": hovers,
        "hovertemplate": "%{customdata}<extra></extra>",
        "hoverongaps": True,
        "colorscale": COLORSCALE,
        "colorbar": {
            "title": {"text": "exclusive lines a prompt", "font": {"size": 11}, "side": "top"},
            "orientation": "h",
            "thickness": 8,
            "len": 0.3,
            "x": 0,
            "xanchor": "left",
            "y": 0,
            "yanchor": "top",
            "ypad": 16,
            "outlinewidth": 0,
        },
    }
    layout = empty_layout()
    layout.update(plot_bgcolor=UNKNOWN, shapes=_gaps(orders.names, edges), showlegend=False)
    layout["margin"].update(t=34, b=76)
    quiet = {"showgrid": False, "zeroline": False, "ticks": "", "showline": False, "automargin": True}
    middles = [(left + right) / 2 for left, right in pairwise(edges)]
    heads = ["initial", *(f"after stage {i}" for i in range(1, num_columns - 1)), "final"]
    layout["xaxis"] = {**quiet, "side": "top", "tickvals": middles, "ticktext": heads, "range": [0, edges[-1]]}
    legible = height >= ROW_HEIGHTS[0]
    layout["yaxis"] = {
        **quiet,
        "side": "right",
        "range": [num_rows - 0.5, -0.5],
        "tickvals": list(range(num_rows)) if legible else [],
        "ticktext": _ends(results, orders) if legible else [],
        "tickfont": {"size": min(12.0, 0.75 * height), "color": MUTED},
    }
    spec = {"data": [cells, _names(nodes, middles, top, height)], "layout": layout}
    about = f"Tree of {num_rows} orders of {orders.strategy}, coloured by exclusive lines a prompt"
    return checked_figure(f"tree_{number}", spec, round(110 + height * num_rows), about)


def _names(nodes: list[Node], middles: list[float], top: float, height: float) -> dict[str, Any]:
    """Names and numbers in the middle of their blocks, where they have room; in a colour that shows on the block."""
    shown = [n for n in nodes if n.prefix and (n.last - n.first + 1) * height >= ROW_HEIGHTS[0]]
    values = [node.measures.get(EXCLUSIVE) for node in shown]
    numbers = ["" if value is None else f"  {value:.2f}" for value in values]
    return {
        "type": "scatter",
        "mode": "text",
        "x": [middles[len(node.prefix)] for node in shown],
        "y": [(node.first + node.last) / 2 for node in shown],
        "text": [shortened(n.prefix[-1], 18) + number for n, number in zip(shown, numbers, strict=True)],
        "textfont": {
            "size": [min(12.0, 0.75 * (n.last - n.first + 1) * height) for n in shown],
            "color": [on_cell(value, top) for value in values],
        },
        "hoverinfo": "skip",
    }


def _gaps(names: list[Order], edges: list[float]) -> list[dict[str, Any]]:
    """Lines between blocks: between neighbouring orders from where they part, and between stages."""
    width = 3 if len(names) <= 24 else 1
    line = {"color": PAPER, "width": width}
    shapes: list[dict[str, Any]] = []
    for row, (one, other) in enumerate(pairwise(names)):
        parted = next(depth for depth in range(len(one)) if one[depth] != other[depth])
        # The block of a common beginning of `parted` organizations is in column `parted`; they part in the next one.
        ends = {"x0": edges[parted + 1], "x1": edges[-1], "y0": row + 0.5, "y1": row + 0.5}
        shapes.append({"type": "line", "line": line, **ends})
    full = {"type": "line", "line": line, "y0": -0.5, "y1": len(names) - 0.5}
    return shapes + [{**full, "x0": edge, "x1": edge} for edge in edges[1:-1]]


def _ends(results: RunResults, orders: Orders) -> list[str]:
    """Bits per byte at the end of each order; bold where no other order beats it."""
    bits = orders.finals(results, BITS)
    unbeaten = pareto(outcomes(results, orders))
    ends: list[str] = []
    for order in orders.names:
        known = [values[order] for values in bits.values() if order in values]
        text = f"{np.mean(known):.3f} bits/byte" if known else ""
        ends.append("  " + (f"<b>{text}</b>" if order in unbeaten else text))
    return ends


def _hover(node: Node, orders: Orders) -> str:
    lines = [f"<b>{plain_text(' > '.join(node.prefix) or 'initial model')}</b>"]
    bits, exclusive = node.measures.get(BITS), node.measures.get(EXCLUSIVE)
    lines.append("bits per byte not measured" if bits is None else f"{bits:.3f} bits per byte")
    lines.append("not probed" if exclusive is None else f"{exclusive:.2f} exclusive lines a prompt")
    for owner in orders.organizations:
        covered = node.measures.get(("covered_eligible", owner))
        if covered is not None:
            lines.append(f"{plain_text(owner)}: {covered:.2f} covered lines an eligible prompt")
    return "<br>".join(lines)
