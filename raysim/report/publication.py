"""What of a run may be published: nothing of where and by whom it was made, no code that its owner does not show."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from raysim.core.run_folder import PACKAGES
from raysim.tables.results import Results

EXPERIMENT_FILE = "experiment.yaml"

_FACTS = ("name", "point", "created", "finished", "organizations", "hash", "content", "stages", "findings", "packages")
"""Of a manifest; besides these the experiment, its command and what it was made with."""

_MACHINE = ("system", "processor", "cores", "cpus", "memory_bytes", "gpus", "python")
_LOGGED = ("key", "kind", "setting", "label", "status", "seconds", "tokens", "attempts", "tokens_per_s", "training")

_ELSEWHERE = re.compile(r"(~[\w.-]*)?/[\w.]|[A-Za-z]:\\|\.\.[/\\]")
"""How a path begins that leads out of the experiment's folder, and so through names of somebody's own."""


def public_manifest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest without folders, command line, users and hosts: of a path that leads elsewhere the last part stays."""
    machine = manifest.get("machine")
    kept = {name: manifest[name] for name in (*_FACTS, "raysim", *PACKAGES) if name in manifest}
    if isinstance(machine, Mapping):
        kept["machine"] = {name: machine[name] for name in _MACHINE if name in machine}
    experiment = without_paths(manifest.get("experiment", {}))
    if experiment.get("execution"):
        experiment["execution"] = {**experiment["execution"], "private": None}
    return {**kept, "experiment": experiment, "base": ".", "command": f"raysim run {EXPERIMENT_FILE}"}


def without_paths(settings: Any) -> Any:
    """Settings in which a path that leads out of the experiment's folder is its last part."""
    if isinstance(settings, Mapping):
        return {name: without_paths(value) for name, value in settings.items()}
    if isinstance(settings, list):
        return [without_paths(value) for value in settings]
    if isinstance(settings, str) and _ELSEWHERE.match(settings):
        return PurePosixPath(settings.replace("\\", "/")).name
    return settings


def public_log(run: Results) -> list[dict[str, Any]]:
    """The lines of the task log that a report is made from, without sessions."""
    return [{name: row[name] for name in _LOGGED if name in row} for row in run.stages]


def showing(run: Results) -> set[str]:
    """Organizations whose agreement allows showing lines of their code that models repeat."""
    agreements = {name: run.setting("organizations", name, "agreement") or {} for name in run.organizations}
    return {name for name, agreement in agreements.items() if agreement.get("evidence")}


def public_table(run: Results, name: str) -> pa.Table:
    """A table of a run; `matches` without the text of samples in which somebody's lines are that may not be shown."""
    table = run.table(name)
    return _without_text(table, showing(run)) if name == "matches" else table


def _without_text(matches: pa.Table, shown: set[str]) -> pa.Table:
    """Lines of several owners overlap, so that a sample is shown if all of them allow it."""
    places = list(zip(*(matches.column(name).to_pylist() for name in ("model", "prompt", "sample")), strict=True))
    owners = matches.column("owner").to_pylist()
    hidden = {place for place, owner in zip(places, owners, strict=True) if owner not in shown}
    texts = matches.column("text").to_pylist()
    kept = [None if place in hidden else text for place, text in zip(places, texts, strict=True)]
    return matches.set_column(matches.column_names.index("text"), "text", pa.array(kept, pa.string()))
