"""The page of a sweep, as a whole."""

import io
import json
import re
from html.parser import HTMLParser

from rich.console import Console

from raysim.report.figures.sweep import sweep_figures
from raysim.report.sweep_page import write_sweep_page
from raysim.report.terminal import sweep_summary
from raysim.tables.io import read_table, table_hash

HOSTILE = "</script><img src=x onerror=alert(1)>"


def test_nothing_measured_is_said(build_sweep):
    settings = {"memorization": False, "perplexity": False}
    folder = build_sweep({"seed": "seed"}, [(("1",), settings), (("2",), None)])
    assert "No final model was measured" in write_sweep_page(folder).read_text()
    assert read_table(folder, "sweep").column("exclusive").null_count == 12


class _Tags(HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.addresses = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]


def test_foreign_text_never_becomes_a_tag(build_sweep):
    runs = [((json.dumps(value),), {"organizations": (HOSTILE, "b"), "prompts": 2}) for value in (HOSTILE, "[red]")]
    folder = build_sweep({HOSTILE: HOSTILE}, runs)
    page = _Tags(write_sweep_page(folder).read_text())
    assert "img" not in page.tags
    assert page.tags.count("script") == 4
    out = io.StringIO()
    Console(file=out, width=100, color_system=None).print(sweep_summary(folder))
    assert "[red]" in out.getvalue()


def test_the_page_needs_no_network_and_links_to_the_points(sweep_folder):
    page = _Tags(write_sweep_page(sweep_folder).read_text())
    outside = [address for address in page.addresses if not address.startswith(("#", "data:"))]
    assert outside == [f"points/point-{number}/report.html" for number in (1, 2, 3, 4)]


def test_every_figure_on_the_page_is_drawn(sweep_folder, sweep):
    named = re.findall(r'data-figure="(\w+)"', write_sweep_page(sweep_folder).read_text())
    assert sorted(named) == sorted(sweep_figures(sweep))


def test_the_page_and_the_table_are_the_same_again(sweep_folder):
    first, table = write_sweep_page(sweep_folder).read_text(), table_hash(read_table(sweep_folder, "sweep"))
    assert write_sweep_page(sweep_folder).read_text() == first
    assert table_hash(read_table(sweep_folder, "sweep")) == table
