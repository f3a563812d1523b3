"""What there is still to do: tokens and pieces of each kind of work that the store lacks."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from raysim.measures.base import PlannedEvaluation
from raysim.measures.evaluation_plan import pending_work
from raysim.measures.registry import work_kinds
from raysim.simulation.planner import Plan
from raysim.store.store import Store


def test_what_the_store_lacks_is_counted_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    there = [store.put({"kind": kind, "version": 1}, {}).key for kind in ("train", "losses")]
    keys = [there[0], "a" * 32, "b" * 32, "b" * 32]  # two strategies ask for the last stage
    stages: Any = [SimpleNamespace(key=key, num_tokens=100) for key in keys]
    losses, generate = ({"kind": kind, "version": 1} for kind in ("losses", "generate"))
    evaluations = {
        there[1]: PlannedEvaluation(losses, 7),
        "c" * 32: PlannedEvaluation(losses, 5),
        "d" * 32: PlannedEvaluation(generate, 30, batched=True),
        "e" * 32: PlannedEvaluation(generate, 12, batched=True),
    }
    plan = Plan(stages=stages, importances={"f" * 32: 9, there[1]: 1})
    tokens, pieces = pending_work(plan, evaluations, store)
    counted = {name for name, kind in work_kinds().items() if kind.passes}
    assert tokens.keys() == pieces.keys() == counted
    expected = {"train": 200, "fisher": 9, "losses": 5, "generate": 42}
    assert {kind: count for kind, count in tokens.items() if count} == expected
    assert {kind: count for kind, count in pieces.items() if count} == {
        **dict.fromkeys(expected, 1),
        "train": 2,
        "generate": 2,
    }
