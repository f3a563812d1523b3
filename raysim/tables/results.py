"""A run folder as its reader sees it: the manifest, the task log and the tables, and nothing else."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from raysim.core.errors import RaysimError
from raysim.core.json_lines import read_json_lines
from raysim.core.run_folder import RunFolder
from raysim.tables.io import TABLES, is_stale, read_table, table_path


@dataclass(frozen=True)
class Results:
    """One run folder.

    Every table is an attribute, and an item, by its name: ``results.models``, ``results["models"]``. The names of those
    that were written are in `tables`; the others are empty.

    Attributes:
        path: the folder.
        manifest: what was run, where and with which versions.
        stages: the lines of the task log, in the order in which the pieces of work ended.
    """

    path: Path
    manifest: dict[str, Any]
    stages: tuple[dict[str, Any], ...]
    _tables: dict[str, pa.Table] = field(default_factory=dict, repr=False, compare=False)

    def table(self, name: str) -> pa.Table:
        """The table called `name`, read once; empty where the run did not write it, or for another experiment."""
        if name not in self._tables:
            found = read_table(self.path, name)
            self._tables[name] = found.slice(0, 0) if is_stale(self.path, name) else found
        return self._tables[name]

    @property
    def progress(self) -> str:
        """How far an unfinished run has come, such as ``stopped after 3 of 24 stages``; empty for a finished one."""
        if self.manifest.get("finished", True) or self.manifest.get("points"):
            return ""
        planned = self.manifest.get("stages")
        trained = {row.get("key") for row in self.stages if row.get("kind") == "train"}
        if planned is None:  # by an older version
            return f"stopped after {len(trained)} stages"
        return f"stopped after {len(trained & set(planned))} of {len(planned)} stages"

    @property
    def organizations(self) -> list[str]:
        """Names of the organizations, in the order of the experiment."""
        named = self.manifest.get("organizations")
        if named:
            return [str(name) for name in named]
        return sorted({name for row in self.table("models").column("organizations").to_pylist() for name in row})

    @property
    def folder(self) -> Path:
        """The folder, as `path`."""
        return self.path

    @property
    def report(self) -> Path:
        """Where the report is, once the run has ended."""
        return self.path / "report.html"

    @property
    def tables(self) -> list[str]:
        """Names of the tables that the run wrote."""
        return [n for n in TABLES if table_path(self.path, n).exists() and not is_stale(self.path, n)]

    @property
    def strategies(self) -> list[str]:
        """Labels of the strategies, in the order of the experiment."""
        return [_label(entry) for entry in self.setting("strategies") or ()]

    @property
    def points(self) -> dict[str, "Results"]:
        """The runs of a sweep that have begun, by name; of a run none."""
        folders = {point["name"]: self.path / point["folder"] for point in self.manifest.get("points") or ()}
        return {name: open_run(folder) for name, folder in folders.items() if (folder / "manifest.json").is_file()}

    def __getattr__(self, name: str) -> pa.Table:
        # Python asks here for what is no attribute alone; for names with underscores before a copy has its attributes.
        if name.startswith("_"):
            raise AttributeError(name)
        if name in TABLES:
            return self.table(name)
        raise AttributeError(f"{name!r} is no attribute and no table of a run; its tables: {', '.join(self.tables)}")

    def __getitem__(self, name: str) -> pa.Table:
        return self.table(name)

    def __contains__(self, name: object) -> bool:
        return name in self.tables

    def __iter__(self) -> Iterator[str]:
        return iter(self.tables)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.tables]

    def __repr__(self) -> str:
        name, *facts = self._summary()
        return "\n".join([f"Results of {name[1]}", *(f"  {fact}: {value}" for fact, value in facts)])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        rows = "".join(f"<tr><th>{escape(fact)}</th><td>{escape(value)}</td></tr>" for fact, value in self._summary())
        link = f'<a href="{escape(quote(os.path.relpath(self.report)))}" target="_blank">Open the report</a>'
        return f"<table>{rows}</table>{link if self.report.exists() else ''}"

    def _summary(self) -> list[tuple[str, str]]:
        """Facts for a person, each with its name."""
        finished = self.manifest.get("finished")
        facts = [("run", str(self.manifest.get("name")))]
        facts += [("finished", str(finished or f"not yet: {self.progress}".removesuffix(": ")))]
        if points := self.manifest.get("points"):
            ended = sum(bool(results.manifest.get("finished")) for results in self.points.values())
            facts += [("points", f"{len(points)}, of which {ended} have finished")]
        else:
            facts += [("organizations", ", ".join(self.manifest.get("organizations") or ()))]
        facts += [("strategies", ", ".join(self.strategies))]
        if "models" in self.tables:
            try:
                facts += [("models", f"{len(self.models.column('model').unique()):,}")]
            except RaysimError as error:  # whoever looks at a folder learns of it, whatever is in there
                facts += [("models", str(error))]
        report = str(self.report) if self.report.exists() else "not written yet"
        return [*facts, ("tables", ", ".join(self.tables) or "none yet"), ("report", report)]

    def setting(self, *path: str) -> Any:
        """A setting of the experiment by its path, or None where it is not set."""
        node: Any = self.manifest.get("experiment", {})
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        return node


def open_run(path: Path | str) -> Results:
    """Opens a run folder.

    Raises:
        InputError: no such folder, no manifest in it, or one that cannot be read.
    """
    folder = RunFolder(Path(path))
    return Results(folder.path, folder.read_manifest(), tuple(read_json_lines(folder.stages)))


def _label(entry: str | dict[str, dict[str, Any] | None]) -> str:
    """The label of an entry of ``strategies``."""
    if isinstance(entry, str):
        return entry
    name, settings = next(iter(entry.items()))
    return str((settings or {}).get("label") or name)
