"""Kills change nothing: processes, nodes and the driver of a run die, and its tables are those of a quiet one."""

from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pytest
from chaos import PROBING, TRAINING, Chaos, Kill, run_on, three_nodes
from drive import hashes, raysim

from raysim.core.keys import seed_of
from raysim.store.store import Store
from raysim.store.task_log import read_log

IN_TRAINING = ("organization", "strategy", "node", "driver")
IN_PROBING = ("worker", "node", "driver")


def undisturbed(path: Path, out: Path) -> tuple[int, int]:
    """Runs inline; how many pieces of work are training, and how many probing."""
    ended = raysim("run", path, "--out", out)
    assert ended.returncode == 0, ended.stderr
    kinds = {row["key"]: row["kind"] for row in read_log(out / "stages.jsonl")}
    return sum(kind in TRAINING for kind in kinds.values()), sum(kind in PROBING for kind in kinds.values())


def check(path: Path, tmp_path: Path, kills: list[Kill]) -> None:
    """Runs `path` under `kills` on three nodes and compares with the undisturbed run in ``inline``."""
    with three_nodes() as cluster:
        out = tmp_path / "chaos"
        chaos = Chaos(cluster, run_on(cluster, path, out), out)
        chaos.run(kills)
    assert chaos.done == Counter(kill.victim for kill in kills)
    assert hashes(out) == hashes(tmp_path / "inline")
    attempts = Counter(row["key"] for row in chaos.attempts())
    assert {key: n for key, n in attempts.items() if n > 1 + chaos.hits[key]} == {}
    computed = Counter(row["key"] for row in read_log(out / "stages.jsonl") if row["status"] == "computed")
    assert max(computed.values()) == 1
    store = Store(out / "store")
    assert all(store.get(key) for key in store)  # every byte is as it was written
    assert not list((out / "store").glob("objects/*/.*"))
    assert not list((out / "store" / "partial").glob("*/*"))


@pytest.mark.slow
def test_a_node_and_the_driver_are_killed(tiny: Callable[..., Path], tmp_path: Path) -> None:
    """On three nodes; organizations, strategies and workers die on one in `test_faults`."""
    path = tiny(strategies=[{"incremental": {"orders": [["alpha", "beta"]]}}])
    train, probe = undisturbed(path, tmp_path / "inline")
    check(path, tmp_path, [Kill("node", train // 2, TRAINING), Kill("driver", probe // 4, PROBING)])


@pytest.mark.stress
def test_one_kill_of_each_kind(tiny: Callable[..., Path], tmp_path: Path) -> None:
    path = tiny(strategies=[{"incremental": {"orders": [["alpha", "beta"]]}}, {"fedyogi": {"rounds": 2}}])
    train, probe = undisturbed(path, tmp_path / "inline")
    victims = "organization", "strategy", "driver", "node"
    training = [Kill(victim, train * number // 6, TRAINING) for number, victim in enumerate(victims, 1)]
    check(path, tmp_path, [*training, Kill("worker", probe // 4, PROBING)])


@pytest.mark.stress
@pytest.mark.parametrize("seed", [1])
def test_twenty_kills(tiny: Callable[..., Path], tmp_path: Path, seed: int) -> None:
    """Thirteen while training, seven while probing; who dies and when is drawn, each kind at least twice."""
    path = tiny(trainer={"epochs": 6, "sequence_length": 64, "batch_size": 8, "learning_rate": 3e-3})
    train, probe = undisturbed(path, tmp_path / "inline")
    draw = np.random.Generator(np.random.Philox(seed_of("chaos", seed)))

    def kills(victims: tuple[str, ...], count: int, kinds: Collection[str], last: int) -> list[Kill]:
        chosen = [*victims, *victims, *draw.choice(victims, count - 2 * len(victims))]
        moments = sorted(draw.integers(2, last, count).tolist())
        return [
            Kill(str(victim), moment, kinds) for victim, moment in zip(draw.permutation(chosen), moments, strict=True)
        ]

    # The end of each part is left out, so that somebody is still there to be killed.
    training = kills(IN_TRAINING, 13, TRAINING, train * 9 // 10)
    probing = kills(IN_PROBING, 7, PROBING, probe * 9 // 20)
    check(path, tmp_path, [*training, *probing])
