import numpy as np
import pytest

from raysim.report.figures.kit import COLORSCALE, DARK, heatmap, on_cell, plain_text


@pytest.mark.parametrize(("cells", "top"), [([[0.0, None], [0.0, 0.0]], 1), ([[0.5, None], [0.0, 0.25]], 0.5)])
def test_colours_of_a_heatmap_begin_at_nothing(cells, top) -> None:
    figure = heatmap(["a", "b"], ["c", "d"], cells, [["", ""], ["", ""]], "lines", "")
    assert [figure["data"][0][bound] for bound in ("zmin", "zmax")] == [0, top]


def test_plain_text_escapes_what_plotly_reads():
    assert plain_text("<b>a & b</b>") == "&lt;b&gt;a &amp; b&lt;/b&gt;"


def luminance(color: list[float]) -> float:
    """WCAG 2.1, relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def rgb(color: str) -> list[float]:
    return [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]


@pytest.mark.parametrize("theme", [{}, DARK], ids=["light", "dark"])
def test_numbers_are_legible_on_every_cell(theme):
    """WCAG 2.1, 1.4.3: a contrast of 4.5 to the cell, as Plotly mixes its colour."""
    parts = [part for part, _ in COLORSCALE]
    channels = list(zip(*(rgb(theme.get(color, color)) for _, color in COLORSCALE), strict=True))
    for value in np.linspace(0, 1, 501):
        cell = luminance([float(np.interp(value, parts, channel)) for channel in channels])
        color = on_cell(value, 1.0)
        low, high = sorted((cell, luminance(rgb(theme.get(color, color)))))
        assert (high + 0.05) / (low + 0.05) >= 4.5, value


def test_every_cell_has_its_number_in_its_place():
    cells, numbers = heatmap(["a", "b"], ["c"], [[1.0], [0.0]], [["1"], ["–"]], "lines", "")["data"]
    assert (numbers["x"], numbers["y"], numbers["text"]) == ([0, 0], [0, 1], ["1", "–"])
    assert numbers["textfont"]["color"] == [on_cell(1.0, 1.0), on_cell(None, 1.0)] == ["#fffffe", "#000000"]
    assert "texttemplate" not in cells
