"""The notebook of the documentation, executed on the tables of a run."""

import json
from pathlib import Path
from typing import Any

import pytest
from run_tables import Options, build

from raysim.report.run_page import write_run_page

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


def sources() -> list[str]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_it_makes_a_table_of_gains_and_a_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run_page(build(tmp_path / "runs" / "quickstart", Options(seeds=(1, 2), prompts=4, files=12)))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for source in sources():
        exec(compile(source, NOTEBOOK.name, "exec"), names)
    assert len(names["gains"]) == 3 * 4
    assert names["gains"]["gain"].notna().all()
    points = sum(len(trace.x) for trace in names["figure"].data)
    assert points == 5 * 3 * 2  # settings, organizations, seeds
    assert {trace.name.split(",")[0] for trace in names["figure"].data} == set(names["summary"].strategy)


def test_it_is_short_and_has_no_outputs() -> None:
    lines = [line for source in sources() for line in source.splitlines() if line.strip()]
    assert len(lines) <= 12
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell["outputs"] for cell in cells if cell["cell_type"] == "code")
