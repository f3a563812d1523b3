"""Runs whose manifest has every setting of the study's experiment, and what the methods paragraph says of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from run_tables import Options, build

from raysim.analysis.findings import assess
from raysim.analysis.results import RunResults
from raysim.experiment.config import load_experiment
from raysim.report.methods import methods
from raysim.tables.results import open_run

SHIPPED = {"packages": ["torch"], "path": None, "files": None, "hub": None, "stdlib": False, "other": None}


def text_of(results: RunResults) -> str:
    return " ".join(methods(results, assess(results)[1].to_pylist()))


def with_experiment(folder: Path, change: Callable[[dict[str, Any]], None], **options: Any) -> RunResults:
    """A run whose manifest has every setting of the study's experiment, as a change leaves it."""
    build(folder, Options(**options))
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    root = Path(__file__).parents[2]
    manifest["experiment"] = load_experiment(root / "experiments/paper.yaml", ()).experiment.model_dump(mode="json")
    manifest["experiment"]["organizations"] = {
        name: {"source": SHIPPED, "limit": None, "held_out": None} for name in manifest["organizations"]
    }
    manifest |= {"packages": {"torch": "2.13.7"}, "content": {"organizations": {"meta": ["3f2a", "77b1"]}}}
    change(manifest["experiment"])
    path.write_text(json.dumps(manifest))
    return RunResults(open_run(folder))


def unchanged(experiment: dict[str, Any]) -> None:
    del experiment
