"""A source that another package brings: notebooks, whose code cells become one file each."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from foreign_package import installed_package

from raysim.core.errors import InputError
from raysim.core.settings import validate
from raysim.corpus.corpus import Drop
from raysim.corpus.sources import SourceSettings, read_source
from raysim.organizations.organization import Organization, PreparationContext
from raysim.organizations.settings import OrganizationSettings

NOTEBOOKS = '''
import json
from pathlib import Path

from raysim.core.errors import InputError
from raysim.core.settings import Settings
from raysim.corpus.files import SourceFile
from raysim.corpus.reading import DropCounter, SourceReading, text_problem


class NotebookSettings(Settings):
    """Which notebooks are read."""

    folder: str
    first: int = 0


class Notebooks:
    """The code cells of Jupyter notebooks."""

    Settings = NotebookSettings

    def __init__(self, settings: NotebookSettings) -> None:
        self._settings = settings

    def read(self, base: Path) -> SourceReading:
        counter, files = DropCounter(), []
        paths = list((base / self._settings.folder).glob("*.ipynb"))
        if not paths:
            raise InputError(f"notebooks.folder: {self._settings.folder}: no notebooks")
        for path in reversed(sorted(paths)):
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"][self._settings.first :]
            text = "\\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
            if problem := text_problem(text):
                counter.add(problem, len(text))
            else:
                files.append(SourceFile(f"{path.stem}.py", text, "notebooks", "MIT"))
        return SourceReading(tuple(files), counter.drops())


class Twice(Notebooks):
    """Gives every file twice."""

    def read(self, base: Path) -> SourceReading:
        reading = super().read(base)
        return SourceReading(reading.files * 2, reading.skipped)
'''


@pytest.fixture(autouse=True)
def installed(tmp_path: Path) -> Iterator[None]:
    points = ("notebooks = notebooks_source:Notebooks", "twice = notebooks_source:Twice")
    with installed_package(tmp_path / "site", "notebooks_source", NOTEBOOKS, "raysim.sources", *points):
        yield


@pytest.fixture
def base(tmp_path: Path, corpus_folders: dict[str, Path]) -> Path:
    """A folder with a notebook for each file of an organization, and one without code."""
    folder = tmp_path / "project" / "notes"
    folder.mkdir(parents=True)
    for path in corpus_folders["beta"].glob("*.py"):
        write(folder / f"{path.stem}.ipynb", path.read_text(encoding="utf-8"))
    write(folder / "prose.ipynb", "")
    return folder.parent


def write(path: Path, code: str) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title"]},
        {"cell_type": "code", "source": code.splitlines(keepends=True)},
    ]
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")


SETTINGS = {"notebooks": {"folder": "notes"}}


def test_it_is_read_as_any_other_and_sorted(base: Path, corpus_folders: dict[str, Path]) -> None:
    reading = read_source(validate(SourceSettings, SETTINGS, "x.yaml"), base)
    expected = {path.name: path.read_text(encoding="utf-8") for path in corpus_folders["beta"].glob("*.py")}
    assert [file.path for file in reading.files] == sorted(expected)
    assert {file.path: file.text.strip() for file in reading.files} == {n: t.strip() for n, t in expected.items()}
    assert reading.skipped == (Drop("empty", 1, 0),)


def test_its_texts_are_looked_at_as_any_others(base: Path) -> None:
    for name, code in {
        "a": "\ufeffa = 1",
        "b": "version https://git-lfs.github.com/spec/v1\nsize 3",
        "c": "c = 1",
    }.items():
        write(base / f"notes/{name}.ipynb", code)
    reading = read_source(validate(SourceSettings, SETTINGS, "x.yaml"), base)
    assert {file.path: file.text for file in reading.files if len(file.path) == 4} == {"a.py": "a = 1", "c.py": "c = 1"}
    assert [drop.reason[:17] for drop in reading.skipped] == ["a Git LFS pointer", "empty"]


def test_an_organization_prepares_from_it_what_it_would_from_the_same_files(
    base: Path, corpus_folders: dict[str, Path], tmp_path: Path, preparation_context: PreparationContext
) -> None:
    def prepared(source: dict[str, Any]) -> tuple[set[str], int, dict[str, int]]:
        settings = validate(OrganizationSettings, {"source": source}, "x.yaml")
        organization = Organization("o", settings, base, str(tmp_path / "cache"))
        stats = organization.prepare(preparation_context)
        files = (*organization.corpus.train, *organization.corpus.valid)
        return {file.path for file in files}, stats.sequences, stats.licences

    (names, _, _), (found, sequences, licences) = prepared({"path": str(corpus_folders["beta"])}), prepared(SETTINGS)
    assert found == names
    assert sequences > 0
    assert set(licences) == {"MIT"}


def test_settings_come_back_from_what_was_written_of_them() -> None:
    settings = validate(SourceSettings, SETTINGS, "x.yaml")
    assert settings.other == SETTINGS
    assert SourceSettings.model_validate(settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"notebooks": {"folder": "a", "last": 1}}, r"notebooks: last: unknown key; known here: first, folder"),
        ({"notebooks": {"folder": "a"}, "path": "b"}, r"this one has \['path', 'other'\]"),
        ({"notebooks": {"folder": "a"}, "twice": {"folder": "a"}}, "names 2 sources; name one"),
        ({"notebooks": {"folder": "a"}, "exclude": ["b"]}, "exclude goes with raysim's own sources; notebooks chooses"),
        ({"other": {"note": {}}}, "source: unknown source 'note'; known: notebooks, twice"),
        ({"notebook": {"folder": "a"}}, "notebook: unknown key; known here: column, exclude, files"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_read(raw: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        validate(SourceSettings, raw, "x.yaml")


def test_its_errors_name_the_organization(tmp_path: Path, preparation_context: PreparationContext) -> None:
    settings = validate(OrganizationSettings, {"source": {"notebooks": {"folder": "."}}}, "x.yaml")
    with pytest.raises(InputError, match=r"^organizations\.o\.source: notebooks\.folder: \.: no notebooks"):
        Organization("o", settings, tmp_path, "cache").prepare(preparation_context)


def test_a_path_that_two_files_have_is_refused(base: Path) -> None:
    with pytest.raises(InputError, match=r"twice: gives 2 files the path genericpath\.py"):
        read_source(validate(SourceSettings, {"twice": {"folder": "notes"}}, "x.yaml"), base)
