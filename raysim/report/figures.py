"""The figures of the report: from a study to Plotly specifications, as plain data.

Colours are those of the light page; `DARK` maps each to the dark page, which the page's script does. Sequential scales
run through one hue in lightness and lines use Okabe and Ito's colours, so that both survive colour blindness. Text that
comes from outside goes through `plain_text`, since Plotly reads a little HTML.
"""

import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from raysim.report.points import finals
from raysim.report.summary import Row, Study
from raysim.report.tables import PUBLIC

INK, MUTED, GRID, PAPER, ACCENT = "#1d2327", "#66727b", "#e4e8eb", "#ffffff", "#0f5f87"
SCALE = ("#f4f7f9", "#c9dfeb", "#86b9d3", "#3d8ab1", "#0b4a6b")
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DARK: dict[str, str] = {
    INK: "#e6eaed",
    MUTED: "#97a4ad",
    GRID: "#2c343a",
    PAPER: "#14181b",
    ACCENT: "#6fb9dc",
    **dict(zip(SCALE, ("#1b2227", "#1f4054", "#2c6b8c", "#58a6cc", "#b9e3f7"), strict=True)),
    **dict(zip(LINES, ("#4ba3d9", "#ee8550", "#3cc29a", "#e0a1c5", "#f0bd4c", "#8fd0f5"), strict=True)),
}
SYMBOLS = {"single": "square", "centralized": "diamond", "incremental": "triangle-up", "federated": "circle"}
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


def owner_heatmap(study: Study) -> Figure | None:
    """Covered lines per eligible prompt: a row a final model, a column an owner."""
    rows = [row for row in study.final_rows(by_order=True) if _by_owner(row, study.organizations)]
    if not rows:
        return None
    names = [row.label for row in rows]
    members = {(p.strategy, p.order): p.organizations for p in finals(study.points)}
    cells = [[row.mean("covered_eligible", owner) or 0.0 for owner in study.organizations] for row in rows]
    texts = [
        [
            owner_cell(value, owner in members[row.strategy, row.order])
            for value, owner in zip(line, study.organizations, strict=True)
        ]
        for row, line in zip(rows, cells, strict=True)
    ]
    hover = "%{customdata[0]}<br>owner %{customdata[1]}: %{text} lines"
    figure = _heatmap(names, study.organizations, cells, texts, "lines a prompt", hover)
    edges = [i - 0.5 for i in range(1, len(rows)) if rows[i].family != rows[i - 1].family]
    figure["layout"]["shapes"] = [_rule(edge) for edge in edges]
    height = 90 + 31 * len(rows)
    return _figure("owners", figure, height, "Covered lines per eligible prompt by model and owner")


def order_positions(study: Study) -> Figure | None:
    """Covered lines of each owner in the final incremental models, by its position in the order."""
    points = [p for p in finals(study.points) if p.family == "incremental"]
    samples = {
        owner: [
            (p.sequence.index(owner) + 1, value)
            for p in points
            if owner in p.sequence and (value := study.measures(p.model).get(("covered_eligible", owner))) is not None
        ]
        for owner in study.organizations
    }
    last = max((len(p.sequence) for p in points), default=0)
    ticks = {i: "first" if i == 1 else "last" if i == last else str(i) for i in range(1, last + 1)}
    title = "position in the order"
    return _owner_panels("positions", study, samples, ticks, title, "Covered lines by position in the order")


def forgetting(study: Study) -> Figure | None:
    """Covered lines of each owner by the number of stages since its data was trained on; below zero: before."""
    unique = {(p.seed, p.strategy, p.order, p.index): p for p in study.points if p.family == "incremental"}
    points = list(unique.values())
    samples: dict[str, list[tuple[int, float]]] = {owner: [] for owner in study.organizations}
    for point in points:
        for owner in set(point.sequence) & set(samples):
            value = study.measures(point.model).get(("covered_eligible", owner))
            if value is not None:
                samples[owner].append((point.index - point.sequence.index(owner) - 1, value))
    reach = sorted({x for found in samples.values() for x, _ in found})
    if len(reach) < 3 or {p.model for p in points if not p.final}.isdisjoint(study.prompts.models):
        return None
    ticks = {x: "trained" if x == 0 else f"{x:+d}".replace("-", "−") for x in reach}
    return _owner_panels("forgetting", study, samples, ticks, "stages since", "Covered lines by stages since training")


def curves(study: Study) -> Figure | None:
    """Bits per byte and covered lines of each owner along rounds and epochs."""
    paths = _paths(study)
    wanted = [("bits_per_byte", "", "bits per byte, joint"), ("exclusive", "", "exclusive lines a prompt")]
    wanted += [("covered_eligible", owner, f"covered lines owned by {owner}") for owner in study.organizations]
    wanted = [w for w in wanted if any(row.mean(w[0], w[1]) is not None for rows in paths.values() for row in rows)]
    if not paths or not wanted:
        return None
    columns = min(3, len(wanted))
    layout = _layout()
    data: list[dict[str, Any]] = []
    num_rows = -(-len(wanted) // columns)
    for panel, (measure, of, title) in enumerate(wanted):
        axis = _panel(layout, panel, columns, num_rows, plain_text(title))
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
    return _figure("curves", {"data": data, "layout": layout}, height, about)


def frontier(study: Study) -> Figure | None:
    """Utility against leakage: bits per byte against exclusive covered lines a prompt, a mark a setting."""

    def place(row: Row) -> tuple[float, float] | None:
        x, y = row.mean("bits_per_byte"), row.mean("exclusive")
        return None if x is None or y is None else (x, y)

    # Federations without an organization are counterfactuals, no settings to choose from.
    chosen = [row for row in study.final_rows() if row.family == "single" or not row.partial]
    rows = [(row, xy) for row in chosen if (xy := place(row))]
    if len(rows) < 2:
        return None
    data: list[dict[str, Any]] = []
    for rows_of in _paths(study).values():
        trail = [xy for row in rows_of if (xy := place(row))]
        if len(trail) > 1:
            data.append(_marks(trail, GRID, [""] * len(trail), mode="lines", line={"color": GRID, "width": 2}))
    orders = [(r, xy) for r in study.final_rows(by_order=True) if r.family == "incremental" and (xy := place(r))]
    if len(orders) > 1:
        marker = {"symbol": "triangle-up-open", "size": 7, "color": MUTED}
        data.append(_marks([xy for _, xy in orders], MUTED, [r.label for r, _ in orders], marker=marker))
    for family, symbol in SYMBOLS.items():
        alike = [(row, xy) for row, xy in rows if row.family == family]
        color = ACCENT if family == "federated" else INK
        if alike:
            marker = {"symbol": symbol, "size": 11, "color": color}
            labels = [row.label for row, _ in alike]
            text = ["  " + plain_text(label) for label in labels]
            extra = {"mode": "markers+text", "text": text, "textposition": "middle right"}
            data.append(_marks([xy for _, xy in alike], color, labels, marker=marker, **extra))
    layout = _layout()
    layout.update(
        showlegend=False,
        xaxis=_axis("bits per byte on the joint validation split (better to the left)"),
        yaxis={**_axis("exclusive covered lines a prompt"), "rangemode": "tozero"},
    )
    xs = [trace_x for trace in data for trace_x in trace["x"]]
    pad = 0.12 * (max(xs) - min(xs) or 1.0)
    layout["xaxis"]["range"] = [min(xs) - pad / 3, max(xs) + pad]
    return _figure("frontier", {"data": data, "layout": layout}, 430, "Utility against leakage by setting")


def clone_matrix(study: Study) -> Figure | None:
    """Share of one organization's lines that stand in another's training split, before any training."""
    shares = {(r["organization"], r["other"]): r["share"] for r in study.run.table("clones").to_pylist()}
    if not shares:
        return None
    others = [o for o in [*study.organizations, PUBLIC] if any(other == o for _, other in shares)]
    owners = [o for o in study.organizations if any(organization == o for organization, _ in shares)]
    cells = [[shares.get((owner, other)) for other in others] for owner in owners]
    texts = [["" if value is None else f"{100 * value:.1f} %" for value in line] for line in cells]
    hover = "%{text} of the lines of %{customdata[0]}<br>stand in %{customdata[1]}"
    names = [name if name != PUBLIC else "public references" for name in others]
    figure = _heatmap(owners, names, cells, texts, "share of lines", hover)
    figure["data"][0]["colorbar"]["tickformat"] = ".0%"
    return _figure("clones", figure, 100 + 42 * len(owners), "Share of lines in common, before training")


def _by_owner(row: Row, owners: Sequence[str]) -> bool:
    return any(row.mean("covered_eligible", owner) is not None for owner in owners)


def owner_cell(value: float, trained: bool) -> str:
    """Lines a prompt as text, in brackets where the owner's data took no part in the training."""
    text = f"{value:.2f}" if value < 9.95 else f"{value:.1f}"
    return text if trained else f"({text})"


def _paths(study: Study) -> dict[str, list[Row]]:
    """Settings that were looked at more than once on their way, by label: federated rounds, epochs."""
    whole = len(study.organizations)
    points = [
        p
        for p in study.points
        if p.family in ("federated", "centralized") and p.moment in ("round", "epoch") and len(p.organizations) == whole
    ]
    paths: dict[str, list[Row]] = {}
    for row in sorted(study.rows(points), key=lambda row: row.index):
        if row.cells:
            paths.setdefault(row.label, []).append(row)
    return {label: rows for label, rows in paths.items() if len(rows) > 1}


def _step(paths: dict[str, list[Row]]) -> int:
    return max(1, -(-max(row.index for rows in paths.values() for row in rows) // 10)) * 2


def _owner_panels(
    name: str, study: Study, samples: dict[str, list[tuple[int, float]]], ticks: dict[int, str], title: str, about: str
) -> Figure | None:
    """A panel an owner: a dot a model, a line through the means."""
    owners = [owner for owner in study.organizations if samples.get(owner)]
    if not owners or len(ticks) < 2:
        return None
    columns = min(4, len(owners))
    num_rows = -(-len(owners) // columns)
    layout = _layout()
    data: list[dict[str, Any]] = []
    top = max(value for owner in owners for _, value in samples[owner])
    for panel, owner in enumerate(owners):
        axis = _panel(layout, panel, columns, num_rows, plain_text(owner))
        layout[f"xaxis{axis}"].update(
            tickvals=list(ticks), ticktext=list(ticks.values()), title={"text": title, "font": {"size": 11}}
        )
        layout[f"xaxis{axis}"]["range"] = [min(ticks) - 0.4, max(ticks) + 0.4]
        layout[f"yaxis{axis}"]["range"] = [-0.04 * top, 1.1 * top or 1.0]
        if panel % columns == 0:
            layout[f"yaxis{axis}"]["title"] = {"text": "covered lines a prompt", "font": {"size": 11}}
        places = {"xaxis": f"x{axis}", "yaxis": f"y{axis}", "showlegend": False}
        dots = {"color": MUTED, "size": 6, "opacity": 0.55}
        data.append(_marks(samples[owner], MUTED, None, marker=dots, **places))
        groups = {x: [v for at, v in samples[owner] if at == x] for x in sorted({x for x, _ in samples[owner]})}
        means = [(x, sum(values) / len(values)) for x, values in groups.items()]
        style = {"line": {"color": ACCENT, "width": 2.5}, "marker": {"color": ACCENT, "size": 8}}
        data.append(_marks(means, ACCENT, None, mode="lines+markers", **style, **places))
    return _figure(name, {"data": data, "layout": layout}, 60 + 240 * num_rows, about)


def _panel(layout: dict[str, Any], panel: int, columns: int, num_rows: int, title: str) -> str:
    """Adds the axes of one small multiple to a layout and returns their suffix."""
    column, row = panel % columns, panel // columns
    axis = "" if panel == 0 else str(panel + 1)
    gap, above = 0.075, 0.26
    width, height = (1 - gap * (columns - 1)) / columns, (1 - above * (num_rows - 1)) / num_rows
    left, high = column * (width + gap), 1 - row * (height + above)
    low = max(0.0, high - height)
    layout[f"xaxis{axis}"] = {**_axis(""), "domain": [left, min(1.0, left + width)], "anchor": f"y{axis}"}
    layout[f"yaxis{axis}"] = {**_axis(""), "domain": [low, high], "anchor": f"x{axis}"}
    label = {"text": title, "showarrow": False, "xref": "paper", "yref": "paper", "x": left, "y": high}
    style = {"xanchor": "left", "yanchor": "bottom", "yshift": 6, "font": {"size": 13, "color": INK}}
    layout["annotations"].append({**label, **style})
    return axis


def _marks(
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


def _heatmap(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Sequence[Sequence[float | None]],
    texts: Sequence[Sequence[str]],
    title: str,
    hover: str,
) -> dict[str, Any]:
    scale = [[i / (len(SCALE) - 1), color] for i, color in enumerate(SCALE)]
    bar = {"title": {"text": title, "side": "right"}, "thickness": 10, "outlinewidth": 0, "len": 0.9}
    trace = {
        "type": "heatmap",
        "x": list(range(len(columns))),
        "y": list(range(len(rows))),
        "z": [list(line) for line in cells],
        "text": [list(line) for line in texts],
        "texttemplate": "%{text}",
        "customdata": [[[plain_text(row), plain_text(column)] for column in columns] for row in rows],
        "colorscale": scale,
        "zmin": 0,
        "xgap": 3,
        "ygap": 3,
        "colorbar": bar,
        "hovertemplate": f"{hover}<extra></extra>",
        "hoverongaps": False,
    }
    quiet = {"showgrid": False, "zeroline": False, "ticks": "", "showline": False, "automargin": True}
    layout = _layout()
    layout["margin"]["t"] = 30
    layout.update(
        xaxis={
            **quiet,
            "side": "top",
            "ticklabelstandoff": 5,
            "tickvals": list(range(len(columns))),
            "ticktext": [_tick(c) for c in columns],
        },
        yaxis={
            **quiet,
            "autorange": "reversed",
            "tickvals": list(range(len(rows))),
            "ticktext": [_tick(r, 44) + "  " for r in rows],
        },
    )
    return {"data": [trace], "layout": layout}


def _tick(text: str, longest: int = 24) -> str:
    """A label for an axis: shortened, since a path-like name would push the figure off the page."""
    return plain_text(text if len(text) <= longest else text[: longest - 1] + "…")


def _rule(y: float) -> dict[str, Any]:
    line = {"color": MUTED, "width": 1}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line}


def _axis(title: str) -> dict[str, Any]:
    return {
        "title": {"text": title, "font": {"size": 12}, "standoff": 8},
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": GRID,
        "automargin": True,
        "ticks": "",
    }


def _layout() -> dict[str, Any]:
    return {
        "font": {"family": FONT, "size": 12, "color": MUTED},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 10, "r": 10, "t": 34, "b": 10},
        "hoverlabel": {"bgcolor": PAPER, "bordercolor": GRID, "font": {"color": INK}},
        "annotations": [],
    }


def _figure(name: str, spec: dict[str, Any], height: int, description: str) -> Figure:
    """Lets Plotly check the specification; a misspelt property is an error here and not an empty page."""
    import plotly.graph_objects as go

    spec["layout"]["height"] = height
    checked = json.loads(go.Figure(**spec, skip_invalid=False).update_layout(template="none").to_json() or "{}")
    checked["layout"].pop("template", None)
    return Figure(name, checked, height, description)


def all_figures(study: Study) -> dict[str, Figure]:
    """Every figure that the tables allow, by name."""
    made = (make(study) for make in (owner_heatmap, order_positions, forgetting, curves, frontier, clone_matrix))
    return {figure.name: figure for figure in made if figure}
