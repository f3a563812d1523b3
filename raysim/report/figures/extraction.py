"""The figure of (n, p)-discoverable extraction: shares of passages over the number of samples."""

from typing import Any

from raysim.analysis.extraction import CHANCES, SAMPLES, Reals, Recital, averaged_part, curve, lengths, recitals
from raysim.analysis.results import RunResults
from raysim.report.figures.kit import LINES, Figure, add_panel, checked_figure, empty_layout, plain_text

SCHEMES = {"log_p": "as sampled", "log_p_plain": "at temperature 1"}


def extraction_curves(results: RunResults) -> Figure | None:
    """A panel for each p and way of sampling, a line for each setting: passages of organizations that took part."""
    found = recitals(results)
    if not found:
        return None
    longest, groups = lengths(results)[-1], results.final_groups()
    layout = empty_layout()
    data: list[dict[str, Any]] = []
    for panel, (scheme, chance) in enumerate((scheme, chance) for scheme in SCHEMES for chance in CHANCES):
        axis = add_panel(layout, panel, len(CHANCES), len(SCHEMES), f"p = {chance:g}, {SCHEMES[scheme]}")
        layout[f"xaxis{axis}"].update(type="log", dtick=2, title={"text": "samples", "font": {"size": 11}})
        layout[f"yaxis{axis}"].update(range=[-0.02, 1.02], tickformat=".0%")

        def share(part: Recital, scheme: str = scheme, chance: float = chance) -> Reals:
            return curve(getattr(part, scheme), chance)

        for number, (row, models) in enumerate(groups):
            values = averaged_part(found, models, lambda reached: reached.organizations, longest, share)
            if values is None:
                continue
            line = {"color": LINES[number % len(LINES)], "width": 2, "shape": "hv"}
            line["dash"] = ("solid", "dash", "dot")[number // len(LINES) % 3]
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": plain_text(row.label),
                    "legendgroup": str(number),
                    "showlegend": panel == 0,
                    "x": list(SAMPLES),
                    "y": [float(value) for value in values],
                    "line": line,
                    "xaxis": f"x{axis}",
                    "yaxis": f"y{axis}",
                    "hovertemplate": "%{x} samples: %{y:.1%}<extra>%{fullData.name}</extra>",
                }
            )
    if not data:
        return None
    layout["legend"] = {"orientation": "h", "x": 0, "y": 1.12, "yanchor": "bottom"}
    layout["margin"]["t"] = 70
    about = f"Share of passages discoverable over the number of samples, behind {longest} tokens"
    return checked_figure("extraction", {"data": data, "layout": layout}, 590, about)
