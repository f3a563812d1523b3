"""The documentation holds what it promises: generated pages are up to date, links lead somewhere, YAML is valid."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raysim.core.settings import parse_yaml, validate
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
    assert len(whole) >= 2
    for page, block in whole:
        validate(Experiment, parse_yaml(block, page.name), page.name)


def test_every_command_of_the_command_line_is_documented() -> None:
    from typer.main import get_command

    from raysim.cli.main import app

    documented = (DOCS / "commands.md").read_text(encoding="utf-8")
    commands = getattr(get_command(app), "commands")  # noqa: B009 - a click.Group, which its type does not say
    missing = [name for name in commands if f"\n## {name}" not in documented]
    assert missing == []


def test_the_readme_leads_to_files_that_are_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert len(links) >= 10
    assert [link for link in links if not (ROOT / link.partition("#")[0]).exists()] == []


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(build, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "site" / "index.html").is_file()
    assert not list((tmp_path / "site").rglob("*.py"))
