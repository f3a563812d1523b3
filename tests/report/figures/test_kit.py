import pytest

from raysim.report.figures.kit import heatmap, plain_text


@pytest.mark.parametrize(("cells", "top"), [([[0.0, None], [0.0, 0.0]], 1), ([[0.5, None], [0.0, 0.25]], 0.5)])
def test_colours_of_a_heatmap_begin_at_nothing(cells, top) -> None:
    figure = heatmap(["a", "b"], ["c", "d"], cells, [["", ""], ["", ""]], "lines", "")
    assert [figure["data"][0][bound] for bound in ("zmin", "zmax")] == [0, top]


def test_plain_text_escapes_what_plotly_reads():
    assert plain_text("<b>a & b</b>") == "&lt;b&gt;a &amp; b&lt;/b&gt;"
