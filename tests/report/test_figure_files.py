"""Figures as files, drawn by the browser of this machine; skipped where there is none."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from raysim.core.errors import InputError
from raysim.report.figure_files import check_browser, figures_of, write_figures


def has_browser() -> bool:
    try:
        check_browser()
    except InputError:
        return False
    return True


browser = pytest.mark.skipif(not has_browser(), reason="needs kaleido and a Chrome")


@browser
def test_every_figure_is_a_vector_graphic_and_a_page(run: Path, tmp_path: Path) -> None:
    figures = figures_of(run)
    written = write_figures({name: figures[name] for name in ("owners", "clones")}, tmp_path / "figures")
    assert [path.name for path in written] == ["owners.svg", "owners.pdf", "clones.svg", "clones.pdf"]
    svg = ElementTree.fromstring((tmp_path / "figures/owners.svg").read_text(encoding="utf-8"))
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    assert svg.get("height") == str(figures["owners"].height)
    assert {"meta", "microsoft", "google"} <= set("".join(svg.itertext()).split())
    for name in ("owners", "clones"):
        page = (tmp_path / f"figures/{name}.pdf").read_bytes()
        assert page.startswith(b"%PDF-")
        assert page.rstrip().endswith(b"%%EOF")


@browser
def test_figures_do_not_depend_on_when_they_are_drawn(run: Path, tmp_path: Path) -> None:
    chosen = {"owners": figures_of(run)["owners"]}
    once = [path.read_bytes() for path in write_figures(chosen, tmp_path / "once")]
    again = [path.read_bytes() for path in write_figures(chosen, tmp_path / "again")]
    assert once == again
    assert set(re.findall(rb"D:\d{4}", once[1])) == {b"D:1970"}


def test_no_browser_is_one_line_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("kaleido")
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="BROWSER_PATH") as raised:
        check_browser()
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2


def test_a_sweep_has_figures_of_its_own(sweep_folder: Path) -> None:
    assert figures_of(sweep_folder)
