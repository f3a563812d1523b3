"""Every neural strategy of Flower's on experiments/debug.yaml: killed in the middle, it resumes to the same tables.

Strategies of a group are one experiment, since they share the stages of the first round, and one kill is in the middle
of several.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from drive import hashes, raysim, started
from flower_peers import FLOWER, NEURAL

from raysim.store.task_log import read_log
from raysim.tables.io import read_table

DEBUG = Path(__file__).parents[2] / "experiments" / "debug.yaml"
ROUNDS = 2
PATIENCE_S = 850.0

OF_THREE: dict[str, dict[str, Any]] = {
    "Krum": {"num_malicious_nodes": 0},
    "MultiKrum": {"num_malicious_nodes": 0, "num_nodes_to_select": 2},
    "Bulyan": {"num_malicious_nodes": 0},
    "FedTrimmedAvg": {"beta": 0.34},
}
"""Arguments that three organizations need; the others are those of seven."""

QUICK = "FedAdam"
"""The one that runs in `make test`; all others in `make stress`."""

OTHERS = [name for name in NEURAL if name != QUICK]
GROUPS = [(QUICK,), tuple(OTHERS[::2]), tuple(OTHERS[1::2])]
PARAMETERS = [pytest.param(name, marks=() if name == QUICK else pytest.mark.stress) for name in NEURAL]


@dataclass(frozen=True)
class Killed:
    """A group of strategies, run in peace and under kills.

    Attributes:
        whole: the undisturbed run's folder.
        cut: that of the run that was killed.
        rounds: for each strategy the rounds that were over when a kill was in the middle of it.
        kills: how many it took.
    """

    whole: Path
    cut: Path
    rounds: dict[str, int]
    kills: int


def experiment(folder: Path, names: Sequence[str]) -> Path:
    """debug.yaml in one process with these strategies, and the measure that takes least."""
    raw = yaml.safe_load(DEBUG.read_text("utf-8"))
    raw |= {
        "strategies": [],
        "measure": {"perplexity": {}},
        "execution": {"backend": "inline"},
        "store": {"keep": "all"},
    }
    for name in names:
        arguments = {**NEURAL[name], **OF_THREE.get(name, {})}
        if "num_sampled_clients" in arguments:
            arguments["num_sampled_clients"] = 3
        settings = {"label": name, "strategy": f"{FLOWER}.{name}", "arguments": arguments}
        raw["strategies"].append({"flower": {**settings, "rounds": ROUNDS, "local_epochs": 1}})
    path = folder / "debug.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    return path


def labels(out: Path, kind: str) -> set[str]:
    """What the stage log names of a kind of work."""
    log = read_log(out / "stages.jsonl") if (out / "stages.jsonl").exists() else []
    return {row["label"] for row in log if row["kind"] == kind}


def rounds_over(out: Path, names: Sequence[str]) -> dict[str, int]:
    """Rounds whose model each strategy has made."""
    found = labels(out, "aggregate")
    return {name: sum(label.startswith(f"{name}, round ") for label in found) for name in names}


def is_due(out: Path, names: Sequence[str]) -> bool:
    """Whether all of `names` are in the middle, or one of them is about to end: two of three have trained for that."""
    last = [sum(label.startswith(f"{name}, round {ROUNDS}: ") for label in labels(out, "train")) for name in names]
    return min(rounds_over(out, names).values()) > 0 or max(last) > 1


@cache
def killed(folder: Path, names: tuple[str, ...]) -> Killed:
    """Runs a group twice; kills the second until each strategy was killed between two rounds of its own."""
    folder.mkdir()
    path, whole, cut = experiment(folder, names), folder / "whole", folder / "cut"
    done = raysim("run", path, "--out", whole, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = {}
    kills = 0
    while left := [name for name in names if name not in found]:
        with started("run", path, "--out", cut) as driver:
            driver.until(partial(is_due, cut, left), PATIENCE_S)
            driver.kill()
        kills += 1
        now = {name: over for name, over in rounds_over(cut, left).items() if 0 < over < ROUNDS}
        assert now, f"killed in the middle of none of {left}"
        found |= now
    done = raysim("run", path, "--out", cut, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return Killed(whole, cut, found, kills)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_strategy_is_killed_in_the_middle_and_ends_alike(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    number, group = next((number, group) for number, group in enumerate(GROUPS) if name in group)
    runs = killed(tmp_path_factory.getbasetemp() / f"flower-debug-{number}", group)
    print(f"{len(group)} strategies, {runs.kills} kills, in the middle after rounds {runs.rounds}")
    assert 0 < runs.rounds[name] < ROUNDS
    assert rounds_over(runs.whole, [name]) == rounds_over(runs.cut, [name]) == {name: ROUNDS}
    assert {row["index"] for row in models_of(runs.cut, name)} == {0, *range(1, ROUNDS + 1)}
    assert models_of(runs.cut, name) == models_of(runs.whole, name)
    assert hashes(runs.cut) == hashes(runs.whole)
    computed = [row["key"] for row in read_log(runs.cut / "stages.jsonl") if row["status"] == "computed"]
    assert len(set(computed)) == len(computed), "nothing that was stored is done again"


def models_of(out: Path, name: str) -> list[dict[str, Any]]:
    """The rows of the table of models of one strategy."""
    return [row for row in read_table(out, "models").to_pylist() if row["strategy"] == name]
