"""Stages whose ranks are actors: the same models, retried if one is lost, refused if there is no room for them."""

import asyncio
import os
import signal
import time
from contextlib import suppress
from typing import Any

import numpy as np
import psutil
import pytest
from train_requests import make_request

from raysim.cluster.backend import InlineBackend
from raysim.cluster.rank_launcher import RayRankLauncher
from raysim.cluster.ray_backend import RayBackend
from raysim.core.errors import ActorLost, NodeLeaves
from raysim.training.model_host import ModelHost, ModelSpec
from raysim.training.models import ModelSettings
from raysim.training.request import Event, ResumeState, TrainerSettings
from raysim.training.weights import flatten

ZERO = {"backend": "deepspeed", "deepspeed": {"zero_optimization": {"stage": 2}}}
STAGES: list[Any] = [{"incremental": {"orders": [["alpha", "beta"]]}}]
ROUNDS: list[Any] = [{"fedavg": {"rounds": 1}}]
BOTH: list[Any] = [*STAGES, {"fedavg": {"rounds": 2}}]
TOLERANCE = 1e-4
"""Relative: float32 sums of two ranks are rounded otherwise, and Adam divides by small numbers. It was 1.5e-5 on one
processor and less than 1e-5 on another."""


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one.astype(np.float64) - other) / np.linalg.norm(other.astype(np.float64)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trainer", "entries"),
    [
        pytest.param({}, STAGES, id="torch", marks=pytest.mark.stress),
        pytest.param(ZERO, ROUNDS, id="deepspeed", marks=pytest.mark.stress),
        pytest.param({}, BOTH, id="torch, all", marks=pytest.mark.stress),
        pytest.param(ZERO, BOTH, id="deepspeed, all", marks=pytest.mark.stress),
    ],
)
def test_a_study_with_two_ranks_comes_to_the_models_of_one(run_study, ray_session: None, trainer, entries) -> None:
    """Without dropout, of which ranks have draws of their own."""
    reference = run_study(InlineBackend(), entries, dropout=0.0)
    backend = RayBackend(None, 2)
    try:
        results = run_study(backend, entries, slots=2, replicas=2, dropout=0.0, ranks=2, **trainer)
    finally:
        backend.close()
    assert len(results.reached) == len(reference.reached)
    assert not set(results.keys("train")) & set(reference.keys("train"))
    ours = {model.name: model.checkpoint.model for model in results.reached}
    theirs = {model.name: model.checkpoint.model for model in reference.reached}
    trained = []
    for name, key in ours.items():
        one, other = (which.store.get(k).array("weights") for which, k in ((results, key), (reference, theirs[name])))
        assert distance(one, other) < TOLERANCE
        trained.append(other)
    # The first are the initial weights: what training changes is far beyond the tolerance.
    assert all(distance(weights, trained[0]) > 100 * TOLERANCE for weights in trained[1:])
    assert all(row["training"]["tokens_per_s"] > 0 for row in results.rows if row["kind"] == "train")
    assert not rank_processes()


def rank_processes() -> list[psutil.Process]:
    """Processes of ranks, once those that were to end have ended."""
    deadline_s = time.monotonic() + 20
    while (found := ranks_now()) and time.monotonic() < deadline_s:
        time.sleep(0.2)
    return found


def ranks_now() -> list[psutil.Process]:
    """Processes of ranks of the Ray that this process has started, by number."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "RankWorker" in " ".join(process.cmdline()):
                found.append(process)
    return sorted(found, key=lambda process: process.pid)


class KillingRanks(RayBackend):
    """Sends SIGKILL to one rank at each attempt at a stage, as long as there are ranks left to kill.

    It does so when the attempt has made its first checkpoint.
    """

    def __init__(self, *ranks: int) -> None:
        super().__init__(None, 2)
        self._left = [*ranks]

    async def stream(self, actor: Any, method: str, *args: Any):
        hit = False
        async for event in super().stream(actor, method, *args):
            yield event
            if isinstance(event, ResumeState) and self._left and not hit:
                hit = True
                os.kill(ranks_now()[self._left.pop(0)].pid, signal.SIGKILL)


LEADER, OTHER = 0, 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ranks", "backend_of_ranks"),
    [
        pytest.param((LEADER, OTHER), {}, id="leader, then other", marks=pytest.mark.stress),
        pytest.param((LEADER,), ZERO, id="leader of deepspeed", marks=pytest.mark.stress),
        pytest.param((OTHER,), {}, id="other"),
    ],
)
def test_a_killed_rank_costs_an_attempt_and_changes_nothing(
    run_study, ray_session: None, ranks: tuple[int, ...], backend_of_ranks: dict[str, Any]
) -> None:
    entries = [{"incremental": {"orders": [["alpha"]]}}]
    trainer = {"ranks": 2, "epochs": 12, **backend_of_ranks}
    studies = []
    for backend in (KillingRanks(*ranks), RayBackend(None, 2)):
        try:
            studies.append(run_study(backend, entries, slots=2, retries=2, checkpoint_every_s=0.3, **trainer))
        finally:
            backend.close()
    hit, quiet = studies
    (stage,) = [record for record in hit.observer.records if record.kind == "train"]
    assert stage.attempts == 1 + len(ranks)
    for number in range(1, 1 + len(ranks)):
        assert any(f"trying again ({number} of 2)" in note for note in hit.observer.notes)
    ours, theirs = hit.weights(), quiet.weights()
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [pytest.param(LEADER, marks=pytest.mark.stress), OTHER])
def test_a_rank_whose_node_goes_ends_the_stage_with_a_state_to_go_on_from(
    ray_session: None, make_task, sequences: np.ndarray, rank: int
) -> None:
    """Also where it is not the one that hands the state over."""
    import ray

    def leave(_: object) -> None:
        from raysim.training.departure import DEPARTURE

        DEPARTURE.ask_by(lambda: True)

    spec = ModelSpec(ModelSettings(config={"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 16}), 300, 0, 64)
    task = make_task(ranks=2, epochs=5000, horizon_epochs=5000)
    request = make_request(task, sequences, flatten(ModelHost("x").model(spec)) + 0, spec=spec)
    events = list[Event]()
    with RayRankLauncher().start(task.settings) as ranks:
        ray.get(ranks.actors[rank].__ray_call__.remote(leave))
        with pytest.raises(NodeLeaves, match=r"about to go; step \d+ of 15000 is kept"):
            events.extend(ranks.train(request))
    assert isinstance(events[-1], ResumeState)


def test_ranks_that_can_never_be_placed_are_not_waited_for(ray_session: None) -> None:
    settings = TrainerSettings(ranks=3, batch_size=3)
    with (
        pytest.raises(ActorLost, match=r"of 3 ranks that need \{'CPU': 1\} each the cluster can hold 2 now"),
        RayRankLauncher().start(settings),
    ):
        pass


def test_ranks_of_a_pinned_organization_are_on_its_nodes_or_nowhere(ray_session: None) -> None:
    import ray

    (node,) = (one["NodeID"] for one in ray.nodes())
    settings = TrainerSettings(ranks=2, batch_size=2)
    with RayRankLauncher(node={"ray.io/node-id": node}).start(settings) as ranks:
        assert len(ranks.actors) == 2
    with (
        pytest.raises(ActorLost, match="no node of the cluster has the labels site=meta now"),
        RayRankLauncher(node={"site": "meta"}).start(settings),
    ):
        pass


def test_single_ranks_train_in_their_organization_unless_gpus_must_be_handed_out() -> None:
    one, two, gpu = TrainerSettings(), TrainerSettings(ranks=2), TrainerSettings(device="cuda")
    assert [RayRankLauncher().wanted(s) for s in (one, two, gpu)] == [False, True, False]
    assert [RayRankLauncher(hands_out_gpus=True).wanted(s) for s in (one, two, gpu)] == [False, True, True]


def test_wide_work_of_a_site_holds_its_slots() -> None:
    """The pool hands none of them to others meanwhile."""
    from raysim.cluster.actor_pool import ActorPool
    from raysim.cluster.retries import Retrying, RetryPolicy
    from raysim.cluster.scheduler import Scheduler

    async def scene() -> None:
        backend = InlineBackend()
        slots = Scheduler(2, 2)
        pool = ActorPool(backend, slots, Retrying(RetryPolicy(0), lambda _: None, backend.await_failure_detection))

        async def make() -> object:
            return object()

        pool.register("client", make)
        async with pool.acquire("client", 0, 2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), pool.acquire("client", 0):
                    pass

    asyncio.run(scene())
