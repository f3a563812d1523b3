"""What all figures are made with: colours, axes, small multiples, marks, heatmaps.

Colours are those of the light page; `DARK` maps each to the dark page, which the page's script does. Sequential scales
run through one hue in lightness and lines use Okabe and Ito's colours, so that both survive colour blindness. Text that
comes from outside goes through `plain_text`, since Plotly reads a little HTML.
"""

import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

INK, MUTED, GRID, PAPER, ACCENT = "#1d2327", "#66727b", "#e4e8eb", "#ffffff", "#0f5f87"
UNKNOWN = "#d2d2d0"
SCALE = ("#f4f7f9", "#c9dfeb", "#86b9d3", "#1f6d97", "#0b4a6b")
COLORSCALE = [[part, color] for part, color in zip((0.0, 0.25, 0.5, 0.6, 1.0), SCALE, strict=True)]
"""Quick through the middle, on which neither dark text nor pale text shows well."""
ON_PALE, ON_DEEP, DEEP = "#000000", "#fffffe", 0.58
"""Text on a cell, and the part of the scale beyond which a cell is deep: a contrast of 4.5 at least, in both themes."""
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DARK: dict[str, str] = {
    INK: "#e6eaed",
    MUTED: "#97a4ad",
    GRID: "#2c343a",
    PAPER: "#14181b",
    ACCENT: "#6fb9dc",
    UNKNOWN: "#3d4043",
    ON_PALE: "#ffffff",
    ON_DEEP: "#000000",
    **dict(zip(SCALE, ("#1b2227", "#1f4054", "#2c6b8c", "#387fa5", "#b9e3f7"), strict=True)),
    **dict(zip(LINES, ("#4ba3d9", "#ee8550", "#3cc29a", "#e0a1c5", "#f0bd4c", "#8fd0f5"), strict=True)),
}
SYMBOLS = {
    "base": "x",
    "given": "star",
    "single": "square",
    "centralized": "diamond",
    "incremental": "triangle-up",
    "cyclic": "triangle-down",
    "federated": "circle",
    "personalized": "pentagon",
    "unlearned": "hexagon",
}
CELL_WIDTH = 56
"""The least width of a column of a heatmap, in pixels."""
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: identifies it on the page.
        spec: what Plotly draws: ``data`` and ``layout``.
        height: in pixels.
        description: read aloud instead of the figure.
    """

    name: str
    spec: dict[str, Any]
    height: int
    description: str


def plain_text(text: str) -> str:
    """`text` as Plotly shows it literally, whatever HTML it holds."""
    return html.escape(text, quote=False)


def shortened(text: str, longest: int = 24) -> str:
    """A label for an axis: shortened, since a path-like name would push the figure off the page."""
    return plain_text(text if len(text) <= longest else text[: longest - 1] + "…")


def plain_axis(title: str) -> dict[str, Any]:
    return {
        "title": {"text": title, "font": {"size": 12}, "standoff": 8},
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": GRID,
        "automargin": True,
        "ticks": "",
    }


def empty_layout() -> dict[str, Any]:
    return {
        "font": {"family": FONT, "size": 12, "color": MUTED},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 10, "r": 10, "t": 34, "b": 10},
        "hoverlabel": {"bgcolor": PAPER, "bordercolor": GRID, "font": {"color": INK}},
        "annotations": [],
    }


def add_panel(layout: dict[str, Any], panel: int, columns: int, num_rows: int, title: str) -> str:
    """Adds the axes of one small multiple to a layout and returns their suffix."""
    column, row = panel % columns, panel // columns
    axis = "" if panel == 0 else str(panel + 1)
    gap, above = 0.075, 0.26
    width, height = (1 - gap * (columns - 1)) / columns, (1 - above * (num_rows - 1)) / num_rows
    left, high = column * (width + gap), 1 - row * (height + above)
    low = max(0.0, high - height)
    layout[f"xaxis{axis}"] = {**plain_axis(""), "domain": [left, min(1.0, left + width)], "anchor": f"y{axis}"}
    layout[f"yaxis{axis}"] = {**plain_axis(""), "domain": [low, high], "anchor": f"x{axis}"}
    label = {"text": title, "showarrow": False, "xref": "paper", "yref": "paper", "x": left, "y": high}
    style = {"xanchor": "left", "yanchor": "bottom", "yshift": 6, "font": {"size": 13, "color": INK}}
    layout["annotations"].append({**label, **style})
    return axis


def marks(
    places: Iterable[tuple[float, float]], color: str, labels: Sequence[str] | None, mode: str = "markers", **more: Any
) -> dict[str, Any]:
    xy = list(places)
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": mode,
        "x": [x for x, _ in xy],
        "y": [y for _, y in xy],
        "textfont": {"color": color, "size": 12},
        "cliponaxis": False,
        **more,
    }
    if labels is None:
        trace["hovertemplate"] = "%{y:.2f}<extra></extra>"
    elif any(labels):
        trace["customdata"] = [plain_text(label) for label in labels]
        trace["hovertemplate"] = "%{customdata}<br>%{x:.3f}, %{y:.2f}<extra></extra>"
    else:
        trace["hoverinfo"] = "skip"
    return trace


def on_cell(value: float | None, top: float) -> str:
    """The colour of text on a cell of this value, where `top` is the end of the scale."""
    return ON_DEEP if value is not None and value > DEEP * top else ON_PALE


def heatmap(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Sequence[Sequence[float | None]],
    texts: Sequence[Sequence[str]],
    title: str,
    hover: str,
) -> dict[str, Any]:
    top = max((cell for line in cells for cell in line if cell), default=1)
    bar = {"title": {"text": title, "side": "right"}, "thickness": 10, "outlinewidth": 0, "len": 0.9}
    trace = {
        "type": "heatmap",
        "x": list(range(len(columns))),
        "y": list(range(len(rows))),
        "z": [list(line) for line in cells],
        "text": [list(line) for line in texts],
        "customdata": [[[plain_text(row), plain_text(column)] for column in columns] for row in rows],
        "colorscale": COLORSCALE,
        "zmin": 0,
        "zmax": top,
        "xgap": 3,
        "ygap": 3,
        "colorbar": bar,
        "hovertemplate": f"{hover}<extra></extra>",
        "hoverongaps": False,
    }
    quiet = {"showgrid": False, "zeroline": False, "ticks": "", "showline": False, "automargin": True}
    layout = empty_layout()
    layout["margin"]["t"] = 30
    layout.update(
        xaxis={
            **quiet,
            "side": "top",
            "ticklabelstandoff": 5,
            "range": [-0.5, len(columns) - 0.5],
            "tickvals": list(range(len(columns))),
            "ticktext": [shortened(c) for c in columns],
        },
        yaxis={
            **quiet,
            "range": [len(rows) - 0.5, -0.5],
            "tickvals": list(range(len(rows))),
            "ticktext": [shortened(r, 44) + "  " for r in rows],
        },
    )
    places = [(i, j) for i in range(len(rows)) for j in range(len(columns))]
    # Not by `texttemplate`, which has one colour for all cells, or Plotly's own choice, pale grey on mid blue.
    numbers = {
        "type": "scatter",
        "mode": "text",
        "x": [j for _, j in places],
        "y": [i for i, _ in places],
        "text": [texts[i][j] for i, j in places],
        "textfont": {"color": [on_cell(cells[i][j], top) for i, j in places]},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    # A narrow page scrolls sideways: labels and cells are not to be squeezed out of it.
    layout["meta"] = {"least_width": 7 * min(44, max(map(len, rows), default=0)) + CELL_WIDTH * len(columns)}
    return {"data": [trace, numbers], "layout": layout}


def rule(y: float) -> dict[str, Any]:
    line = {"color": MUTED, "width": 1}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line}


def checked_figure(name: str, spec: dict[str, Any], height: int, description: str) -> Figure:
    """Lets Plotly check the specification; a misspelt property is an error here and not an empty page."""
    import plotly.graph_objects as go

    spec["layout"]["height"] = height
    checked = json.loads(go.Figure(**spec, skip_invalid=False).update_layout(template="none").to_json() or "{}")
    checked["layout"].pop("template", None)
    return Figure(name, checked, height, description)
