"""The figure of the front: a panel a setting, a mark a mitigation, those that another one beats in grey."""

from collections.abc import Sequence
from typing import Any

from raysim.analysis.front import Choice
from raysim.mitigations.registry import BASELINE
from raysim.report.figures.kit import (
    ACCENT,
    GRID,
    INK,
    UNKNOWN,
    Figure,
    add_panel,
    checked_figure,
    empty_layout,
    marks,
    plain_text,
)

_COLUMNS = 2
_BELOW = 0.15
"""Part of an axis below zero, where names of marks at zero have room."""
_SIDES = ("top center", "bottom center")
"""Of marks from left to right, where their names are, so that those of neighbours do not lie on each other."""


def front_figure(choices: Sequence[Choice]) -> Figure | None:
    """Loss against leaked lines of every choice that was measured; None where no setting has two of them."""
    panels: dict[str, list[Choice]] = {}
    for choice in choices:
        if None not in (choice.bits_per_byte, choice.exclusive) and (choice.changed or choice.mitigation == BASELINE):
            panels.setdefault(choice.strategy, []).append(choice)
    panels = {setting: found for setting, found in panels.items() if len(found) > 1}
    if not panels:
        return None
    columns = min(_COLUMNS, len(panels))
    num_rows = -(-len(panels) // columns)
    layout, data = empty_layout(), list[dict[str, Any]]()
    for number, (setting, found) in enumerate(panels.items()):
        axis = add_panel(layout, number, columns, num_rows, plain_text(setting))
        layout[f"xaxis{axis}"]["title"] = {"text": "bits per byte, joint validation", "font": {"size": 11}}
        top = max(choice.exclusive or 0.0 for choice in found) or 1.0
        layout[f"yaxis{axis}"]["range"] = [-_BELOW * top, (1 + _BELOW) * top]
        if number % columns == 0:
            layout[f"yaxis{axis}"]["title"] = {"text": "exclusive lines a prompt", "font": {"size": 11}}
        data += [_mark(choice, axis, _SIDES[place % len(_SIDES)]) for place, choice in enumerate(_by_loss(found))]
    layout["margin"]["t"] = 40
    layout["showlegend"] = False
    about = "Loss against leaked lines of each setting, as it is and under each mitigation"
    return checked_figure("front", {"data": data, "layout": layout}, 340 * num_rows, about)


def _by_loss(choices: list[Choice]) -> list[Choice]:
    return sorted(choices, key=lambda choice: (choice.bits_per_byte or 0.0, choice.mitigation))


def _mark(choice: Choice, axis: str, side: str) -> dict[str, Any]:
    color = INK if choice.mitigation == BASELINE else UNKNOWN if choice.dominated_by else ACCENT
    beaten = f"; beaten by {choice.dominated_by}" if choice.dominated_by else ""
    marker = {
        "symbol": "x" if choice.mitigation == BASELINE else "circle",
        "size": 11,
        "color": color,
        "line": {"color": GRID, "width": 1},
    }
    return marks(
        [(choice.bits_per_byte or 0.0, choice.exclusive or 0.0)],
        color,
        [f"{choice.strategy}, {choice.mitigation}{beaten}"],
        mode="markers+text",
        marker=marker,
        text=[plain_text(choice.mitigation)],
        textposition=side,
        xaxis=f"x{axis}",
        yaxis=f"y{axis}",
    )
