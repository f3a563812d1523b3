"""Small real runs in this process: what is logged, what is transferred, what a crash and a damaged store do to them."""

import hashlib
import inspect
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from raysim.strategies.averages import weighted_average

from raysim.cluster.backend import InlineBackend
from raysim.core.errors import BoundaryError, RunError
from raysim.core.keys import key_of
from raysim.organizations.data_policy import DataPolicy
from raysim.organizations.organization import Organization
from raysim.simulation.loop import StrategyRun, strategy_runs
from raysim.simulation.registry import StrategyConfig
from raysim.simulation.run_context import RunContext
from raysim.simulation.strategy import (
    ClientUpdate,
    Family,
    Federation,
    ModelCheckpoint,
    State,
    StrategySettings,
    TrainInstruction,
)
from raysim.store.transfers import SERVER, ledger_rows

BOTH = {"incremental": {"orders": [["alpha", "beta"]]}}


# A foreign strategy, in fewer lines than forty: organizations train in pairs, which move around a ring.


class Ring:
    """Each round trains one pair of neighbours at once, and the model moves halfway to their mean."""

    Settings = StrategySettings
    family: ClassVar[Family] = "federated"
    fraction = 1.0
    aggregates = True
    order = "ring"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.members = names

    @classmethod
    def variants(cls, settings: StrategySettings, federation: Federation) -> list["Ring"]:
        return [cls(federation.names)]

    def recipe(self) -> dict[str, Any]:
        return {"strategy": "ring", "version": 1}

    def init(self, model, weights) -> State:
        return State(model, tensors={"weights": weights})

    def plan(self, state: State) -> list[TrainInstruction]:
        if state.round == len(self.members):
            return []
        pair = [self.members[(state.round + i) % len(self.members)] for i in range(2)]
        return [TrainInstruction((name,), state.model, 1, 1) for name in pair]

    def apply(self, state: State, results, key) -> State:
        mean = weighted_average([r.weights for r in results], [1] * len(results))
        return State(key, state.round + 1, tensors={"weights": (state.tensors["weights"] + mean) / np.float32(2)})

    def checkpoints(self, state: State) -> list[ModelCheckpoint]:
        final = state.round == len(self.members)
        return [ModelCheckpoint(state.model, "round" if state.round else "initial", state.round, final)]


def test_a_foreign_strategy_is_short() -> None:
    assert len(inspect.getsource(Ring).splitlines()) < 40


def test_a_foreign_strategy_runs_without_a_change_elsewhere(run_study) -> None:
    def choose(context: RunContext) -> list[StrategyRun]:
        return strategy_runs(StrategyConfig("ring", Ring, StrategySettings()), context)

    results = run_study(InlineBackend(), [], choose=choose)
    assert sorted(results.keys("train")) == sorted(results.plan.unique_stages())
    assert len(results.keys("train")) == 2 * 2
    assert results.keys("aggregate") == results.plan.aggregations
    reached = [m.checkpoint for m in results.reached if m.checkpoint.moment != "upload"]
    assert [(m.index, m.final) for m in reached] == [(0, False), (1, False), (2, True)]
    sent = [m.checkpoint for m in results.reached if m.checkpoint.moment == "upload"]
    assert {m.model for m in sent} == set(results.plan.unique_stages())
    assert [(m.index, m.final, m.average) for m in sent] == [
        (m.index, m.final, m.model) for m in reached[1:] for _ in range(2)
    ]
    initial, first = (results.weights()[m.model] for m in reached[:2])
    one, two = (results.weights()[s.key] for s in results.plan.stages[:2])
    np.testing.assert_allclose(first, (initial + (one + two) / 2) / 2, atol=1e-7)


# What is done, and what is found.


def test_a_second_run_computes_nothing(run_study, tmp_path: Path) -> None:
    entries = [BOTH, {"fedavg": {"rounds": 2}}]
    first = run_study(InlineBackend(), entries, folder=tmp_path)
    second = run_study(InlineBackend(), entries, folder=tmp_path)
    assert {row["status"] for row in first.rows} == {"computed"}
    assert {row["status"] for row in second.rows} == {"cached"}
    assert second.observer.started_keys == []
    done, found = ({(row["key"], row["setting"]) for row in results.rows} for results in (first, second))
    assert done == found
    assert first.used == second.used
    lineages = [
        {(m.strategy_run.name, m.checkpoint): m.lineage for m in results.reached} for results in (first, second)
    ]
    assert lineages[0] == lineages[1]


def test_a_run_goes_on_from_an_aggregation_in_the_store(run_study, tmp_path: Path) -> None:
    """Three rounds after two: the server optimizer's moments come from the store, and equal those of one run."""

    def entry(rounds: int) -> list[Any]:
        return [{"fedyogi": {"rounds": rounds, "local_epochs": 1}}]

    run_study(InlineBackend(), entry(2), folder=tmp_path)
    resumed = run_study(InlineBackend(), entry(3), folder=tmp_path)
    whole = run_study(InlineBackend(), entry(3))
    assert Counter(row["status"] for row in resumed.rows) == {"cached": 1 + 2 * 3, "computed": 3}
    assert resumed.used == whole.used
    ours, theirs = resumed.weights(), whole.weights()
    assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)
    last = whole.plan.aggregations[-1]
    for name in ("m", "v"):
        assert np.array_equal(resumed.store.get(last).array(name), whole.store.get(last).array(name))


def test_settings_share_work_and_the_log_says_so(run_study) -> None:
    results = run_study(InlineBackend(), ["single", "incremental"])
    status = {(row["setting"], row["key"]): row["status"] for row in results.rows if row["kind"] == "train"}
    assert len(status) == 2 + 4
    assert Counter(status.values()) == {"computed": 4, "cached": 2}
    assert len(results.observer.started_keys) == 1 + 4
    assert all(row["seconds"] == 0 for row in results.rows if row["status"] == "cached")


def test_a_damaged_entry_is_moved_away_and_made_again(run_study, tmp_path: Path) -> None:
    first = run_study(InlineBackend(), [BOTH], folder=tmp_path)
    key = first.plan.stages[0].key
    before = first.weights()[key]
    with (first.store.get(key).folder / "weights.npy").open("r+b") as file:
        file.seek(200)
        file.write(b"damaged")
    second = run_study(InlineBackend(), [BOTH], folder=tmp_path)
    assert len(second.observer.notes) == 1
    assert key in second.observer.notes[0]
    assert second.keys("train", "computed") == [key]
    assert np.array_equal(second.weights()[key], before)


def test_initial_weights_that_several_clients_find_damaged(run_study, tmp_path: Path) -> None:
    """Damage that was done after the run had begun ends it with a message, not with a race over the entry."""
    from raysim.core.errors import DamagedEntry

    entries = [{"fedavg": {"rounds": 1}}]

    class Vandal(InlineBackend):
        async def call(self, actor: Any, method: str, *args: Any) -> Any:
            result = await super().call(actor, method, *args)
            if method == "begin":
                for path in (tmp_path / "store" / "objects").glob("*/*/weights.npy"):
                    path.write_bytes(b"damaged")
            return result

    with pytest.raises(DamagedEntry, match="run the same command again"):
        run_study(Vandal(), entries, folder=tmp_path, slots=2)
    results = run_study(InlineBackend(), entries, folder=tmp_path, slots=2)
    assert results.keys("initial", "computed") == [results.context.initial_key()]


# A run that is cut.


class Cut(Exception):
    pass


class CutBackend(InlineBackend):
    """Ends the run after so many checkpoints, as a kill would."""

    def __init__(self, checkpoints: int) -> None:
        self._left = checkpoints

    async def stream(self, actor: Any, method: str, *args: Any):
        from raysim.training.request import ResumeState

        async for event in super().stream(actor, method, *args):
            yield event
            if isinstance(event, ResumeState):
                self._left -= 1
                if not self._left:
                    raise Cut


@pytest.mark.parametrize("checkpoints", [1, 19, 30])
def test_a_cut_stage_goes_on_from_its_checkpoint_to_the_same_bits(run_study, tmp_path: Path, checkpoints: int) -> None:
    """Checkpoints after every step; 19 steps an epoch: in the first, at its end, in the second."""
    whole = run_study(InlineBackend(), [BOTH])
    with pytest.raises(Cut):
        run_study(CutBackend(checkpoints), [BOTH], folder=tmp_path, checkpoint_every_s=0.0)
    (partial,) = (tmp_path / "store" / "partial").glob("*/*")
    assert int(partial.name) == checkpoints
    resumed = run_study(InlineBackend(), [BOTH], folder=tmp_path)
    ours, theirs = resumed.weights(), whole.weights()
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)
    for stage in whole.plan.stages:
        facts = [results.store.get(stage.key).info["metrics"] for results in (whole, resumed)]
        assert facts[0] == facts[1]


def test_epoch_checkpoints_of_a_stage_that_was_cut_without_them(run_study, tmp_path: Path) -> None:
    """Whether epoch checkpoints are wanted is not in the key, so a resume state may be past epochs without them."""
    with pytest.raises(Cut):
        run_study(CutBackend(25), [BOTH], folder=tmp_path, checkpoint_every_s=0.0)
    results = run_study(InlineBackend(), [BOTH], folder=tmp_path, checkpoint_epochs=True)
    whole = run_study(InlineBackend(), [BOTH], checkpoint_epochs=True)
    assert results.used == whole.used
    assert results.weights().keys() == whole.weights().keys() == whole.used


def test_epoch_checkpoints_are_the_models_after_each_epoch(run_study) -> None:
    results = run_study(InlineBackend(), [BOTH], checkpoint_epochs=True)
    epochs = [m for m in results.reached if m.checkpoint.moment == "epoch"]
    assert [(m.checkpoint.index, m.checkpoint.last) for m in epochs] == [
        (1, "alpha"), (2, "alpha"), (3, "beta"), (4, "beta"),
    ]  # fmt: skip
    first, second = results.plan.stages
    weights = results.weights()
    for stage, model in ((first, epochs[1]), (second, epochs[3])):
        assert np.array_equal(weights[model.checkpoint.model], weights[stage.key])
    assert not np.array_equal(weights[epochs[0].checkpoint.model], weights[first.key])
    assert [sum(m.lineage.tokens_seen.values()) * 2 for m in epochs[:2]] == [first.num_tokens, 2 * first.num_tokens]


def test_a_failed_stage_names_itself(run_study) -> None:
    with pytest.raises(RunError, match=r"^incremental alpha > beta, stage 1: alpha: loss .* at step 2 .*not finite"):
        run_study(InlineBackend(), [BOTH], learning_rate=1e30)


# The ledger.


def rows_of(results) -> list[dict[str, Any]]:
    return ledger_rows([results.store.peek(key) for key in sorted(results.used)], results.store)


def test_weights_go_out_and_come_back_for_every_stage(run_study) -> None:
    results = run_study(InlineBackend(), ["incremental", {"fedavg": {"rounds": 2}}])
    rows = rows_of(results)
    for key, stage in results.plan.unique_stages().items():
        (name,) = stage.instruction.organizations
        start, end = results.store.get(stage.instruction.model), results.store.get(key)
        work = [r for r in rows if r["work"] == key]
        weights = {(r["sender"], r["receiver"]): r for r in work if r["kind"] == "weights"}
        assert set(weights) == {(SERVER, name), (name, SERVER)}
        for (_, receiver), row in weights.items():
            file = (end if receiver == SERVER else start).folder / "weights.npy"
            assert row["bytes"] == file.stat().st_size
            assert row["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert {r["kind"] for r in work} == {"weights", "metrics"}
    assert not any(r["kind"] == "sequences" for r in rows)


def test_an_epoch_checkpoint_comes_back_too(run_study) -> None:
    results = run_study(InlineBackend(), [{"incremental": {"orders": [["alpha"]]}}], checkpoint_epochs=True)
    rows = [r for r in rows_of(results) if r["sender"] == "alpha" and r["kind"] == "weights"]
    assert len(rows) == 3  # after each of two epochs, and of the stage


def test_kept_client_state_stays_local_to_its_organization(run_study) -> None:
    results = run_study(InlineBackend(), [{"fedavg": {"rounds": 2}}], client_state="keep")
    kept = [r for r in rows_of(results) if r["kind"] == "client state"]
    for key, stage in results.plan.unique_stages().items():
        (name,) = stage.instruction.organizations
        local = {(r["sender"], r["receiver"]) for r in kept if r["work"] == key}
        assert (name, f"{name} (its shelf)") in local
        assert all(SERVER not in pair for pair in local)
    assert len([r for r in kept if r["receiver"].endswith("(its shelf)")]) == 4 * 2  # stages, moments


def test_rows_are_the_same_for_the_same_run(run_study, tmp_path: Path) -> None:
    entries = ["centralized", {"fedavg": {"rounds": 1}}]
    first = run_study(InlineBackend(), entries, folder=tmp_path)
    assert rows_of(first) == rows_of(run_study(InlineBackend(), entries, folder=tmp_path))
    assert rows_of(first) == rows_of(run_study(InlineBackend(), entries))


def test_nothing_is_pooled_without_an_agreement(run_study, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(InlineBackend):
        def spawn(self, plain_class: type, *args: Any, **where: Any) -> Any:
            if plain_class is Organization:
                name, settings, *rest = args
                args = (name, settings.model_copy(update={"agreement": DataPolicy(share="weights")}), *rest)
            return super().spawn(plain_class, *args, **where)

    with pytest.raises(BoundaryError, match=r"organizations\.alpha\.agreement\.share"):
        run_study(Closed(), ["centralized"])
    assert run_study(Closed(), ["single", {"fedavg": {"rounds": 1}}]).keys("train")


def test_one_key_is_one_recipe(run_study) -> None:
    results = run_study(InlineBackend(), ["single", {"fedavg": {"rounds": 1}}])
    for key in results.used:
        assert key_of(results.store.get(key).recipe) == key
    assert isinstance(results.plan.stages[0].instruction, TrainInstruction)
    assert all(isinstance(m.checkpoint, ModelCheckpoint) for m in results.reached)
    assert ClientUpdate(results.plan.stages[0].instruction, "k", 1).weights.size == 0
