"""Every neural strategy of Flower's on experiments/debug.yaml: killed in the middle, it resumes to the same tables."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from drive import hashes, raysim, started
from flower_peers import FLOWER, NEURAL
from shared import made_once

from raysim.store.task_log import read_log

DEBUG = Path(__file__).parents[2] / "experiments" / "debug.yaml"
ROUNDS = 3

OF_THREE: dict[str, dict[str, Any]] = {
    "Krum": {"num_malicious_nodes": 0},
    "MultiKrum": {"num_malicious_nodes": 0, "num_nodes_to_select": 2},
    "Bulyan": {"num_malicious_nodes": 0},
    "FedTrimmedAvg": {"beta": 0.34},
}
"""Arguments that three organizations need; the others are those of seven."""

QUICK = "FedAdam"
"""The one that runs in `make test`; all others in `make stress`."""

STRATEGIES = [pytest.param(name, marks=() if name == QUICK else pytest.mark.stress) for name in NEURAL]


def experiment(folder: Path, name: str, rounds: int) -> Path:
    """debug.yaml in one process with one strategy and the measure that every run has."""
    arguments = {**NEURAL[name], **OF_THREE.get(name, {})}
    if "num_sampled_clients" in arguments:
        arguments["num_sampled_clients"] = 3
    strategy = {"strategy": f"{FLOWER}.{name}", "arguments": arguments, "rounds": rounds, "local_epochs": 1}
    raw = yaml.safe_load(DEBUG.read_text("utf-8"))
    raw |= {"strategies": [{"flower": strategy}], "measure": {"perplexity": {}}, "execution": {"backend": "inline"}}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def first_round(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that has what all runs begin with: tokenizer, initial weights, and the stages of FedAvg's first round."""

    def make(folder: Path) -> None:
        done = raysim("run", experiment(folder, "FedAvg", 1), "--out", folder / "out", "--store", folder / "store")
        assert done.returncode == 0, done.stderr

    return made_once(tmp_path_factory, "flower_debug", make) / "store"


def work(out: Path, kind: str, status: str = "computed") -> Counter[str]:
    """How often the stage log names each piece of work of a kind."""
    return Counter(
        row["key"] for row in read_log(out / "stages.jsonl") if (row["kind"], row["status"]) == (kind, status)
    )


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_is_killed_in_the_middle_and_ends_alike(name: str, first_round: Path, tmp_path: Path) -> None:
    path = experiment(tmp_path, name, ROUNDS)

    def args(part: str) -> tuple[object, ...]:
        return "run", path, "--out", tmp_path / part, "--store", tmp_path / f"{part}-store"

    for part in ("whole", "cut"):
        shutil.copytree(first_round, tmp_path / f"{part}-store")
    done = raysim(*args("whole"))
    assert done.returncode == 0, done.stderr

    cut = tmp_path / "cut"
    with started(*args("cut")) as driver:
        driver.until(lambda: (cut / "stages.jsonl").exists() and work(cut, "aggregate"))
        driver.kill()
    before = work(cut, "aggregate")
    assert 1 <= len(before) < ROUNDS, "it was killed before its last round"
    assert not (cut / "results").exists() or hashes(cut) != hashes(tmp_path / "whole")

    done = raysim(*args("cut"))
    assert done.returncode == 0, done.stderr
    assert hashes(cut) == hashes(tmp_path / "whole")
    assert work(cut, "aggregate").keys() == work(tmp_path / "whole", "aggregate").keys()
    assert max((work(cut, "aggregate") + work(cut, "train")).values()) == 1, "nothing was done twice"
    assert len(work(tmp_path / "whole", "aggregate")) == ROUNDS
