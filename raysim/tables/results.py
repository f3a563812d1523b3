"""A run folder as its reader sees it: the manifest, the task log and the tables, and nothing else."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from raysim.core.json_lines import read_json_lines
from raysim.core.run_folder import RunFolder
from raysim.tables.io import read_table


@dataclass(frozen=True)
class Results:
    """One run folder.

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
        """The table called `name`, read once; empty where the run did not write it."""
        if name not in self._tables:
            self._tables[name] = read_table(self.path, name)
        return self._tables[name]

    @property
    def organizations(self) -> list[str]:
        """Names of the organizations, in the order of the experiment."""
        named = self.manifest.get("organizations")
        if named:
            return [str(name) for name in named]
        return sorted({name for row in self.table("models").column("organizations").to_pylist() for name in row})

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
