"""Folders of sweeps that no sweep has made, over those of `run_tables`."""

import json
import shutil

import pytest
from run_tables import Setting

from raysim.analysis.sweep import open_sweep


@pytest.fixture(scope="session")
def build_sweep(build_run, tmp_path_factory):
    """A function that writes the folder of a sweep: for each point its values as JSON, and what its run is like."""

    def make(parameters, runs, names=()):
        folder = tmp_path_factory.mktemp("sweeps") / "sweep"
        facts = []
        for number, (values, settings) in enumerate(runs, 1):
            name = names[number - 1] if names else f"point-{number}"
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
def mitigated(build_sweep):
    """An experiment as it is, with a mitigation that lowers the loss of fedavg, one that raises it, and one to come."""

    def fedavg(name, worse):
        return {"without": ("fedavg",), "more": (Setting("fedavg", "fedavg", variant=name, worse=worse),)}

    size = {"prompts": 24, "files": 24, "seeds": (1, 2)}
    runs = {"none": size, "better": size | fedavg("better", -0.2), "worse": size | fedavg("worse", 0.3), "later": None}
    points = [((json.dumps(name),), settings) for name, settings in runs.items()]
    return open_sweep(build_sweep({"mitigation": "mitigation"}, points, list(runs)))


@pytest.fixture(scope="session")
def sweep(sweep_folder):
    return open_sweep(sweep_folder)
