"""The figures of a report as files for a paper: SVG and PDF, drawn by the page's own Plotly in a headless Chrome."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raysim.core.errors import InputError, RunError, os_errors
from raysim.core.event_loop import run_coroutine
from raysim.report.figures.kit import Figure

FORMS = ("svg", "pdf")
WIDTH = 900
"""In pixels, as wide as the page shows them."""

_TIMEOUT_S = 90
_NO_DATE = b"D:19700101000000+00'00'"
"""In place of the time at which Chrome made a PDF: of the same length, since a PDF counts its bytes."""

_WHEN = re.compile(rb"D:\d{14}[+-]\d\d'\d\d'")
_DRAWING = re.compile(r'id="defs-(\w+)"')
"""Where an SVG says the random number that all of its ids have."""


def figures_of(folder: Path) -> dict[str, Figure]:
    """The figures of the report of a run or of a sweep, by name.

    Raises:
        InputError: no folder of either, or tables of another version.
    """
    from raysim.analysis.results import RunResults
    from raysim.analysis.sweep import is_sweep, open_sweep
    from raysim.report.figures.sweep import sweep_figures
    from raysim.report.run_page import drawn
    from raysim.tables.results import open_run

    return sweep_figures(open_sweep(folder)) if is_sweep(folder) else drawn(RunResults(open_run(folder)))


def write_figures(figures: Mapping[str, Figure], folder: Path) -> list[Path]:
    """Writes each figure as ``NAME.svg`` and ``NAME.pdf`` into `folder`, without times and random names in them.

    Raises:
        InputError: the package kaleido or a Chrome is missing.
        RunError: the browser failed.
    """
    check_browser()
    with os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return run_coroutine(_write(figures, folder))


def check_browser() -> None:
    """Looks for what figures are drawn with, without starting it.

    Raises:
        InputError: the package kaleido or a Chrome is missing.
    """
    try:
        import kaleido
        from kaleido.errors import ChromeNotFoundError
    except ImportError:
        raise InputError(
            "figures as files need the package kaleido: pip install 'kaleido>=1', or 'raysim[figures]'"
        ) from None
    try:
        kaleido.Kaleido(mathjax=False)
    except ChromeNotFoundError:
        raise InputError(
            "figures as files are drawn by Chrome or Chromium, and none was found: install one, or name its program in"
            " the environment variable BROWSER_PATH"
        ) from None


async def _write(figures: Mapping[str, Figure], folder: Path) -> list[Path]:
    import kaleido
    from kaleido.errors import BrowserClosedError, BrowserFailedError, JavascriptError, KaleidoError

    written: list[Path] = []
    try:
        async with kaleido.Kaleido(timeout=_TIMEOUT_S, mathjax=False) as browser:
            for figure in figures.values():
                for form in FORMS:
                    size: Any = {"format": form, "width": WIDTH, "height": figure.height}
                    drawn = await browser.calc_fig(_named(figure.spec), opts=size)
                    path = folder / f"{_file_name(figure.name)}.{form}"
                    with os_errors(path):
                        path.write_bytes(_canonical(drawn, form))
                    written.append(path)
    except (BrowserClosedError, BrowserFailedError, JavascriptError, KaleidoError) as error:
        raise RunError(f"the browser could not draw the figures: {' '.join(str(error).split())}") from None
    return written


def _named(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A specification whose traces have names; Plotly would draw lots for them."""
    return {**spec, "data": [{**trace, "uid": f"trace{i}"} for i, trace in enumerate(spec["data"])]}


def _canonical(drawn: Any, form: str) -> bytes:
    """A drawing without what differs from one time to the next."""
    if form == "pdf":
        return _WHEN.sub(_NO_DATE, drawn)
    text = drawn.decode("utf-8")
    number = _DRAWING.search(text)
    return (text.replace(number[1], "figure") if number else text).encode("utf-8")


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)
