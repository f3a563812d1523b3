"""The documentation holds what it promises: generated pages are up to date, links lead somewhere, YAML is valid."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from drive import raysim

from raysim.core.settings import validate
from raysim.experiment.config import Experiment

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]

GENERATED = ("configuration", "tables")


def generated(name: str) -> str:
    script = [sys.executable, str(DOCS / f"generate_{name}.py")]
    return subprocess.run(script, capture_output=True, text=True, check=True, cwd=ROOT).stdout


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_page_is_what_its_generator_prints(name: str) -> None:
    written = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    assert written == generated(name), f"run: python docs/generate_{name}.py > docs/{name}.md"


def test_every_setting_and_column_has_a_meaning() -> None:
    rows = [line for name in GENERATED for line in generated(name).splitlines() if line.startswith("| ")]
    assert len(rows) > 300
    assert [row for row in rows if re.search(r"\|\s*\|", row.replace("\\|", ""))] == []


def code_blocks(language: str) -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for block in re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
            yield page, block


def test_the_experiments_of_the_documentation_are_valid() -> None:
    whole = [(page, block) for page, block in code_blocks("yaml") if block.startswith("name:")]
    assert whole
    for page, block in whole:
        validate(Experiment, yaml.safe_load(block), page.name)


def test_every_command_of_the_command_line_is_documented() -> None:
    documented = (DOCS / "commands.md").read_text(encoding="utf-8")
    listed = raysim("--help").stdout.partition("Commands")[2]
    names = re.findall(r"^\W*([a-z][a-z-]*) {2,}\S", listed, re.M)
    assert len(names) >= 11
    assert [name for name in names if f"\n## {name}\n" not in documented] == []


def test_what_architecture_says_is_where_it_says() -> None:
    """Each `file.py`: `name`, `Class.method` of the page is defined in that file; each path is there."""
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    pairs, wrong = 0, []
    for cell in re.findall(r"`[\w/]+\.py`(?:: `[\w.]+`(?:, `[\w.]+`)*)?", page):
        file, *names = re.findall(r"`([\w/.]+)`", cell)
        place = next((p for p in (ROOT / "raysim" / file, ROOT / file) if p.is_file()), None)
        if place is None:
            wrong += [file] if "/" in file else []  # beside one that is named before
            continue
        text = place.read_text(encoding="utf-8")
        for part in (part for name in names for part in name.split(".")):
            pairs += 1
            if not re.search(rf"^\s*(?:(?:async )?def|class) {part}\b|^{part}\b.*=", text, re.M):
                wrong.append(f"{file}: {part}")
    assert wrong == []
    assert pairs > 80


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(
        build, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "site" / "index.html").is_file()
    assert not list((tmp_path / "site").rglob("*.py"))
