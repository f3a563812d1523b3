"""A source of code: the code cells of the Jupyter notebooks in a folder, a notebook a file."""

import json
from pathlib import Path

import pydantic

from raysim.core.errors import InputError
from raysim.core.settings import Settings
from raysim.corpus.files import SourceFile
from raysim.corpus.reading import DropCounter, SourceReading, text_problem


class NotebookSettings(Settings):
    """Where the notebooks are."""

    path: str = pydantic.Field(description="a folder; notebooks in folders below it count too")


class Notebooks:
    """Implements `raysim.corpus.installed_sources.Source`; it runs at the organization."""

    Settings = NotebookSettings

    def __init__(self, settings: NotebookSettings) -> None:
        self._settings = settings

    def read(self, base: Path) -> SourceReading:
        """Reads all notebooks. What cannot be used is counted with a reason, never left out in silence."""
        folder = base / self._settings.path
        if not folder.is_dir():
            raise InputError(f"notebooks.path: {self._settings.path}: no such folder (looked for {folder})")
        files, counter = [], DropCounter()
        for place in sorted(folder.rglob("*.ipynb")):
            data = place.read_bytes()
            try:
                cells = json.loads(data)["cells"]
                text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
            except (ValueError, KeyError, TypeError):
                counter.add("no notebook", len(data))
                continue
            if problem := text_problem(text):
                counter.add(problem, len(data))
            else:
                path = place.relative_to(folder).with_suffix(".py").as_posix()
                files.append(SourceFile(path, text, repository=folder.name))
        return SourceReading(tuple(files), counter.drops())
