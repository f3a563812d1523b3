"""Strategies with state at the clients, and the norms of rounds, on small real runs."""

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from raysim.cluster.backend import InlineBackend
from raysim.cluster.ray_backend import RayBackend
from raysim.core.errors import ActorLost, InputError
from raysim.store.store import Store
from raysim.store.transfers import transfers_of

SGD = {"optimizer": "sgd", "learning_rate": 0.5, "schedule": "constant", "warmup_fraction": 0.0, "weight_decay": 0.0}
FREE = {"gradient_clip": 1e9, "dropout": 0.0}


def arrays(store: Store, key: str) -> dict[str, np.ndarray]:
    entry = store.get(key)
    assert entry is not None
    return entry.arrays()


def test_scaffold_keeps_variates_where_they_belong(run_study) -> None:
    """The published equations between the weights and variates of three rounds, as they lie in the store."""
    results = run_study(InlineBackend(), [{"scaffold": {"rounds": 3, "local_epochs": 1}}], **SGD, **FREE)
    store, plan = results.store, results.plan
    control = 0.0
    own = dict.fromkeys(("alpha", "beta"), 0.0)
    start = arrays(store, results.context.start)["weights"]
    for number, key in enumerate(plan.aggregations):
        changed = []
        for stage in plan.stages[2 * number : 2 * number + 2]:
            (name,) = stage.instruction.organizations
            entry = store.get(stage.key)
            rates = entry.info["metrics"]["learning_rate_sum"]
            assert rates == pytest.approx(0.5 * entry.info["metrics"]["steps"])
            kept = own[name] - control + (start - entry.array("weights")) / rates
            np.testing.assert_allclose(entry.array("client_control"), kept, rtol=1e-3, atol=1e-5)
            changed.append(kept - own[name])
            own[name] = kept
            kinds = [t.kind for _, t in transfers_of(entry, store) if t.receiver == name]
            assert sorted(kinds) == ["client state", "objective", "weights"] if number else ["weights"]
            sent = {(t.kind, t.receiver) for _, t in transfers_of(entry, store) if t.sender == name}
            assert sent == {("weights", "server"), ("metrics", "server"), ("client state", f"{name} (its shelf)")}
        control = control + sum(changed) / 2
        after = arrays(store, key)
        assert set(after) == {"weights", "control"}
        np.testing.assert_allclose(after["control"], control, rtol=1e-3, atol=1e-5)
        start = after["weights"]
    assert np.abs(control).max() > 1e-4


def test_scaffold_goes_on_from_variates_that_were_evicted(run_study, tmp_path) -> None:
    """A round more on a store that kept no arrays: variates of server and clients are made again, to the same bits."""

    def run(rounds: int, folder, keep: str):
        entry = {"scaffold": {"rounds": rounds, "local_epochs": 1}}
        return run_study(InlineBackend(), [entry], folder=folder, keep=keep, **SGD)

    whole, shorter = run(3, None, "all"), run(2, tmp_path, "metrics")
    assert shorter.store.peek(shorter.plan.aggregations[-1]).dropped
    longer = run(3, tmp_path, "all")
    assert longer.plan.aggregations == whole.plan.aggregations
    ours, theirs = (arrays(one.store, one.plan.aggregations[-1]) for one in (longer, whole))
    assert all(np.array_equal(ours[name], theirs[name]) for name in ("weights", "control"))


@pytest.mark.stress
def test_scaffold_on_ray_equals_inline(run_study, ray_session: None) -> None:
    entries = [{"scaffold": {"rounds": 2, "clients": 1}}]
    backend = RayBackend(None, 2)
    try:
        ends = [run_study(one, entries, **SGD) for one in (InlineBackend(), backend)]
    finally:
        backend.close()
    ours, theirs = (arrays(one.store, one.plan.aggregations[-1]) for one in ends)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ("weights", "control"))


def test_scaffold_beside_another_optimizer_is_refused_before_anything_trains(run_study) -> None:
    with pytest.raises(InputError, match=r"^strategies: scaffold: trainer.optimizer: is adamw, .* optimizer: sgd"):
        run_study(InlineBackend(), [{"scaffold": {"rounds": 1}}])


def test_fedprox_without_a_pull_is_fedavg_and_a_pull_shortens_updates(run_study) -> None:
    entries = [{"fedavg": {"rounds": 1}}, {"fedprox": {"label": "none", "rounds": 1, "mu": 0}}]
    entries.append({"fedprox": {"rounds": 1, "mu": 1e3}})
    results = run_study(InlineBackend(), entries)
    plain, none, pulled = results.plan.aggregations
    assert plain == none
    free, held = (results.store.get(key).info["norms"] for key in (plain, pulled))
    assert max(held["updates"]) < 0.8 * min(free["updates"])


def test_norms_are_those_of_the_weights(run_study) -> None:
    results = run_study(InlineBackend(), [{"fedavgm": {"rounds": 2, "eta": 0.5}}])
    start = results.weights()[results.context.start]
    for number, key in enumerate(results.plan.aggregations):
        sent = [arrays(results.store, s.key)["weights"] for s in results.plan.stages[2 * number : 2 * number + 2]]
        after = arrays(results.store, key)["weights"]
        found = results.store.get(key).info["norms"]
        assert found["updates"] == pytest.approx([np.linalg.norm(one.astype(float) - start) for one in sent])
        assert found["step"] == pytest.approx(np.linalg.norm(after.astype(float) - start))
        start = after


def test_local_steps_are_the_same_for_all_whatever_their_data(run_study) -> None:
    """Of passes of 2 and more steps; tokens are those of the rows that were read."""
    results = run_study(InlineBackend(), [{"fedavg": {"rounds": 2, "local_steps": 5}}], batch_size=4)
    stages = results.plan.stages
    assert len({stage.key for stage in stages}) == 4
    for stage in stages:
        metrics = results.store.get(stage.key).info["metrics"]
        assert metrics["steps"] == 5
        assert metrics["tokens"] == stage.num_tokens
    (last,) = [m.lineage for m in results.reached if m.checkpoint.final and m.checkpoint.moment == "round"]
    assert last.tokens_seen == {s.instruction.organizations[0]: 2 * s.num_tokens for s in stages}
    assert (last.steps, last.steps_in_sequence) == (20, 10)


class Losing(InlineBackend):
    """Loses the actor of the `nth` training."""

    def __init__(self, nth: int) -> None:
        self.trainings_left = nth

    async def stream(self, actor: Any, method: str, *args: Any) -> AsyncIterator[Any]:
        self.trainings_left -= method == "train"
        if method == "train" and self.trainings_left == 0:
            raise ActorLost("lost")
        async for item in super().stream(actor, method, *args):
            yield item


SERVERS = [{"fedavg": {"rounds": 3}}, {"fedyogi": {"rounds": 3}}]


@pytest.fixture(scope="module")
def servers_written(run_study) -> Any:
    """Two settings of three rounds, of which everything is written."""
    return run_study(InlineBackend(), SERVERS)


def finals(results: Any) -> list[np.ndarray]:
    return [arrays(results.store, key)["weights"] for key in sorted(results.plan.leaves)]


@pytest.mark.parametrize("nth", [0, 7], ids=["nothing is lost", "an actor is lost"])
def test_what_only_passes_is_not_written(run_study, servers_written, tmp_path, nth: int) -> None:
    """Ten trainings, of which the settings share those of round 1; a lost actor costs the rounds before it."""
    backend = Losing(nth)
    results = run_study(backend, SERVERS, folder=tmp_path, keep="leaves", write="kept", retries=1)
    assert all(np.array_equal(*pair) for pair in zip(finals(results), finals(servers_written), strict=True))
    entries = {key: results.store.peek(key) for key in results.plan.recipes}
    leaves = set(results.plan.leaves)
    assert {key for key, entry in entries.items() if not entry.dropped} == leaves
    if nth:
        assert nth - backend.trainings_left > 11
    else:
        assert -backend.trainings_left == 10
        hashed = {key for key, entry in entries.items() if all(facts["sha256"] for facts in entry.files.values())}
        assert hashed == leaves | {results.context.start}
    again = run_study(InlineBackend(), SERVERS, folder=tmp_path, keep="leaves")
    assert {row["status"] for row in again.rows} == {"cached"}


def test_what_was_not_written_is_made_again_to_the_same_bits(run_study, servers_written, tmp_path) -> None:
    """A round more than a store has, which holds no weights at all."""
    shorter = [{name: {"rounds": 2}} for entry in SERVERS for name in entry]
    run_study(InlineBackend(), shorter, folder=tmp_path, keep="metrics", write="kept", epochs=3)
    assert not list(tmp_path.rglob("weights.npy"))
    longer = run_study(InlineBackend(), SERVERS, folder=tmp_path, keep="leaves", write="kept", epochs=3)
    whole = run_study(InlineBackend(), SERVERS, epochs=3)
    assert all(np.array_equal(*pair) for pair in zip(finals(longer), finals(whole), strict=True))
