"""Strategies of Flower's in a whole run: cut and resumed in another process, verified, and on Ray, to the same bits."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drive import hashes, raysim
from store_runs import computed, kinds, run

from raysim.store.store import Store

FLOWER = "flwr.serverapp.strategy"
STRATEGIES: list[dict[str, Any]] = [
    {"flower": {"label": "krum", "strategy": f"{FLOWER}.Krum"}},
    {"flower": {"label": "momentum", "strategy": f"{FLOWER}.FedAvgM", "arguments": {"server_momentum": 0.9}}},
    {
        "flower": {
            "label": "private",
            "strategy": f"{FLOWER}.DifferentialPrivacyServerSideAdaptiveClipping",
            "arguments": {
                "strategy": {"strategy": f"{FLOWER}.FedAdam", "arguments": {"eta": 0.01}},
                **{"noise_multiplier": 0.01, "num_sampled_clients": 3, "clipped_count_stddev": 0.15},
            },
        }
    },
]
for entry in STRATEGIES:
    entry["flower"] |= {"rounds": 3, "local_epochs": 1}


def aggregations(out: Path) -> dict[str, dict[str, Any]]:
    """Of each aggregation its control and its arrays, by key."""
    store = Store(out / "store")
    entries = [entry for key in store if (entry := store.get(key)) and entry.recipe["kind"] == "aggregate"]
    return {entry.key: {"control": entry.info["control"], **entry.arrays()} for entry in entries}


def forget_the_last_round(out: Path) -> None:
    """Removes the models of round 3 from the store, and all that was made for them or of them."""
    store, found = Store(out / "store"), aggregations(out)
    before = {key for key, content in found.items() if content["control"]["round"] == 2}
    last = {key for key, content in found.items() if content["control"]["round"] == 3}
    for key in list(store):
        entry = store.peek(key)
        assert entry is not None
        made_of = {value for value in entry.recipe.values() if isinstance(value, str)}
        if key in last or last & made_of or (entry.recipe["kind"] == "train" and before & made_of):
            store.remove(key)


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, tiny_writer: Callable[[Path], Callable[..., Path]]
) -> tuple[Path, Path]:
    """A run of all of them, inline: its file and its folder."""
    folder = tmp_path_factory.mktemp("flower")
    path = tiny_writer(folder)(strategies=STRATEGIES, measure={"perplexity": {}})
    run(path, folder / "whole")
    return path, folder / "whole"


@pytest.mark.slow
def test_a_run_of_flowers_strategies(whole: tuple[Path, Path], tmp_path: Path) -> None:
    path, out = whole
    # All start from the same model, so that round 1 is trained once for all three.
    assert (computed(out)["train"], computed(out)["aggregate"]) == (3 + 3 * 2 * 3, 3 * 3)
    arrays = {len(content) - 1 for content in aggregations(out).values() if content["control"]["round"] == 2}
    assert arrays == {1, 2, 1 + 4}

    shutil.copytree(out, tmp_path / "cut")
    forget_the_last_round(tmp_path / "cut")
    run(path, tmp_path / "cut")
    assert computed(tmp_path / "cut")["aggregate"] == 9 + 3
    assert hashes(tmp_path / "cut") == hashes(out)
    before, again = aggregations(out), aggregations(tmp_path / "cut")
    assert before.keys() == again.keys()
    for key, content in before.items():
        assert content.keys() == again[key].keys()
        assert content["control"] == again[key]["control"]
        assert all(np.array_equal(content[name], again[key][name]) for name in content if name != "control")

    verified = raysim("verify", out, "--sample", 3 * len(kinds(out)))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "aggregate" in verified.stdout


@pytest.mark.stress
def test_ray_comes_to_the_same_bits(whole: tuple[Path, Path], tmp_path: Path) -> None:
    path, out = whole
    run(path, tmp_path / "ray", "--set", "execution.backend=ray")
    assert hashes(tmp_path / "ray") == hashes(out)


def test_what_flower_would_wait_for_ends_before_training(tiny: Callable[..., Path], tmp_path: Path) -> None:
    path = tiny(strategies=[{"flower": {"arguments": {"min_available_nodes": 4}}}], measure={})
    ended = raysim("run", path, "--out", tmp_path / "out")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert (
        "strategies: flower: flwr.serverapp.strategy.fedavg.FedAvg, in a rehearsal of round 1: FedAvg waits for 4"
        in (ended.stderr)
    )
    store = Store(tmp_path / "out" / "store")
    assert "train" not in {entry.recipe["kind"] for key in store if (entry := store.get(key))}
