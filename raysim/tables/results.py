"""A run folder as its reader sees it: the manifest, the stage log and the tables, and nothing else."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from raysim.core.errors import InputError
from raysim.tables.io import read_table


@dataclass(frozen=True)
class Results:
    """One run folder.

    Attributes:
        path: the folder.
        manifest: what was run, where and with which versions.
        stages: the lines of the stage log, in the order in which the stages ended.
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
    folder = Path(path)
    manifest_path = folder / "manifest.json"
    if not manifest_path.is_file():
        raise InputError(f"{folder}: no run folder, it has no manifest.json; give the --out folder of `raysim run`")
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{manifest_path}: cannot be read as JSON ({error}); run again to write it anew") from None
    if not isinstance(manifest, dict):
        raise InputError(f"{manifest_path}: expected a JSON object, found {type(manifest).__name__}")
    return Results(folder, manifest, read_log(folder / "stages.jsonl"))


def read_log(path: Path) -> tuple[dict[str, Any], ...]:
    """The lines of a stage log. The last one is left out if it is torn: its stage counts as never ended.

    Raises:
        InputError: a line before the last one is no JSON object.
    """
    if not path.is_file():
        return ()
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    stages: list[dict[str, Any]] = []
    last = max((number for number, line in enumerate(lines) if line.strip()), default=-1)
    for number, line in enumerate(lines[: last + 1]):
        if not line.strip():
            continue
        try:
            stage = json.loads(line)
        except ValueError:
            stage = None
        if isinstance(stage, dict):
            stages.append(stage)
        elif number != last:
            raise InputError(f"{path}, line {number + 1}: not a JSON object; the stage log was changed by hand")
    return tuple(stages)
