"""A report as one HTML file that needs no network: tables and sentences by Jinja, figures by Plotly."""

import base64
import gzip
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from raysim.core.errors import os_errors
from raysim.measures.base import Section
from raysim.report.figures.kit import DARK, Figure
from raysim.report.sections.overview import quantity

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: str, drawn: Mapping[str, Figure], sections: Sequence[Section] = (), **values: Any) -> str:
    """Renders a page.

    Args:
        template: extends ``base.html.j2``.
        drawn: figures that are not a section's own.
        sections: of the page, in their order; each is rendered by its own template, with `values` and its own values.
        **values: for all templates.
    """
    import jinja2
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["quantity"] = quantity
    environment.filters["signed"] = _signed
    drawn = {**drawn, **section_figures(sections)}
    rendered = [
        (
            section,
            _safe(
                environment.get_template(f"sections/{section.template}").render(
                    **{**values, "figures": drawn, "section": section, **section.values}
                )
            ),
        )
        for section in sections
    ]
    return environment.get_template(template).render(
        style=_trusted(_TEMPLATES / "page.css"),
        script=_trusted(_TEMPLATES / "page.js"),
        plotly=_deflated(get_plotlyjs()) if drawn else "",
        specs=script_json({name: figure.spec for name, figure in drawn.items()}),
        dark=script_json(DARK),
        figures=drawn,
        sections=rendered,
        **values,
    )


def section_figures(sections: Sequence[Section]) -> dict[str, Figure]:
    """The figures of sections by name."""
    return {figure.name: figure for section in sections for figure in _figures(section)}


def _figures(section: Section) -> Iterator[Figure]:
    """The figures of a section, named by it."""
    for name, spec in section.figures.items():
        height = int(spec.get("layout", {}).get("height", 360))
        yield Figure(f"{section.anchor}-{name}", dict(spec), height, f"{section.title}: {name}")


def write_page(folder: Path, page: str) -> Path:
    """Writes ``report.html`` into `folder`, all at once or not at all."""
    path = folder / "report.html"
    unfinished = path.with_suffix(".unfinished")
    with os_errors(path):
        unfinished.write_text(page, encoding="utf-8")
        os.replace(unfinished, path)
    return path


def script_json(value: Any) -> Any:
    """JSON that cannot end the script element around it, whatever its strings hold."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return _safe(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _deflated(text: str) -> str:
    """`text` as the page's script inflates it: a third of its size, though base64 stands for bytes."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _signed(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:+.{digits}f}".replace("-", "−")


def _trusted(path: Path) -> Any:
    return _safe(path.read_text(encoding="utf-8"))


def _safe(text: str) -> Any:
    """Marks text of our own, or escaped just now, as not to be escaped again."""
    import markupsafe

    return markupsafe.Markup(text)
