"""Folders of sweeps that no sweep has made, over those of `run_tables`."""

import json
import shutil

import pytest

from raysim.analysis.sweep import open_sweep


@pytest.fixture(scope="session")
def build_sweep(build_run, tmp_path_factory):
    """A function that writes the folder of a sweep: for each point its values as JSON, and what its run is like."""

    def make(parameters, runs):
        folder = tmp_path_factory.mktemp("sweeps") / "sweep"
        facts = []
        for number, (values, settings) in enumerate(runs, 1):
            name = f"point-{number}"
            if settings is not None:
                (folder / "points").mkdir(parents=True, exist_ok=True)
                shutil.copytree(build_run(**settings), folder / "points" / name)
                (folder / "points" / name / "report.html").write_text("")
            facts.append(
                {"name": name, "folder": f"points/{name}", "values": dict(zip(parameters, values, strict=True))}
            )
        manifest = {"name": "swept", "parameters": parameters, "points": facts, "experiment": {}, "command": "raysim"}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return make


@pytest.fixture(scope="session")
def sweep_folder(build_sweep):
    """Four points: the leak follows the rate, and nothing follows the tau."""
    runs = [
        ((rate, tau), {"leak": leak, "prompts": 4, "files": 2})
        for rate, leak in (("0.001", 0.4), ("0.01", 1.0))
        for tau in ('"small"', '"large"')
    ]
    return build_sweep({"trainer.learning_rate": "learning_rate", "strategies.fedyogi.tau": "tau"}, runs)


@pytest.fixture(scope="session")
def sweep(sweep_folder):
    return open_sweep(sweep_folder)
