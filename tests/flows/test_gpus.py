"""Who trains on a GPU, and when: shares of one side by side, the others one after the other.

Ray hands out GPUs that are declared without looking for them, so none is needed here.
"""

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from raysim.cluster.actor_pool import ActorPool
from raysim.cluster.backend import InlineBackend
from raysim.cluster.rank_launcher import bundle_of, room_for
from raysim.cluster.retries import Retrying, RetryPolicy
from raysim.cluster.scheduler import Scheduler
from raysim.training.request import TrainerSettings, shares_of


def on_gpu(**given: Any) -> TrainerSettings:
    return TrainerSettings(device="cuda", **given)


def test_a_rank_reserves_its_share() -> None:
    assert bundle_of(on_gpu(gpus=0.25)) == {"CPU": 1, "GPU": 0.25}
    assert bundle_of(on_gpu(threads=3)) == {"CPU": 3, "GPU": 1}
    assert bundle_of(TrainerSettings(gpus=0.25)) == {"CPU": 1}


@pytest.mark.parametrize(
    ("gpus", "share", "ranks"),
    [(1, 1.0, 1), (1, 0.5, 2), (2, 0.5, 4), (1, 0.1, 10), (2, 0.6, 2), (3, 0.3, 9), (0, 0.5, 0)],
)
def test_a_share_comes_from_one_gpu(gpus: int, share: float, ranks: int) -> None:
    node = {"Alive": True, "Resources": {"CPU": 64.0, "GPU": float(gpus)}}
    assert room_for([node], bundle_of(on_gpu(gpus=share))) == ranks
    assert gpus * shares_of(share) == ranks


def test_processors_limit_what_shares_a_gpu() -> None:
    node = {"Alive": True, "Resources": {"CPU": 6.0, "GPU": 4.0}}
    assert room_for([node, node], bundle_of(on_gpu(gpus=0.5, threads=4))) == 2


def test_two_ranks_of_one_stage_do_not_share_a_gpu() -> None:
    with pytest.raises(ValidationError, match="cannot exchange gradients; write ranks: 1"):
        on_gpu(gpus=0.5, ranks=2)


@pytest.mark.parametrize("gpu_slots", [1, 2, None])
def test_stages_take_turns_while_other_work_goes_on(gpu_slots: int | None) -> None:
    """Five organizations on four slots: as many train at once as there are turns, and scoring finds slots free."""

    async def scene() -> tuple[int, bool]:
        backend = InlineBackend()
        pool = ActorPool(
            backend,
            Scheduler(4),
            Retrying(RetryPolicy(0), lambda _: None, backend.await_failure_detection),
            Scheduler(gpu_slots, gpu_slots) if gpu_slots else None,
        )
        training, most, scored = set[str](), 0, asyncio.Event()

        async def make() -> object:
            return object()

        async def train(name: str) -> None:
            nonlocal most
            async with pool.acquire_for_training(name, 1.0, 1):
                training.add(name)
                most = max(most, len(training))
                if gpu_slots:
                    await scored.wait()  # the first ones end only when somebody has scored
                await asyncio.sleep(0)
                training.remove(name)

        async def score() -> None:
            async with pool.acquire("scorer", 0.0):
                scored.set()

        names = "abcde"
        for name in (*names, "scorer"):
            pool.register(name, make)
        stages = [asyncio.ensure_future(train(name)) for name in names]
        await asyncio.sleep(0.01)
        await asyncio.wait_for(asyncio.gather(*stages, score()), timeout=10)
        return most, scored.is_set()

    assert asyncio.run(scene()) == (gpu_slots or 4, True)


PLACING = """
import json, ray, sys
from raysim.cluster.ray_backend import RayBackend
from raysim.cluster.rank_launcher import bundle_of
from raysim.training.request import TrainerSettings
ray.init(address="local", num_cpus=4, num_gpus=1, include_dashboard=False, log_to_driver=False)
backend = RayBackend(None, None)
wait = lambda groups, expected: [one.wait(20 if there else 1) for one, there in zip(groups, expected)]
for share, at_first, then in json.loads(sys.argv[1]):
    settings = TrainerSettings(device="cuda", gpus=share)
    print(backend.room(settings), backend.launcher(settings).wanted(settings))
    groups = [ray.util.placement_group([bundle_of(settings)], strategy="PACK") for _ in range(3)]
    print(wait(groups, at_first))
    ray.util.remove_placement_group(groups[0])
    print(wait(groups[1:], then))
    for one in groups[1:]:
        ray.util.remove_placement_group(one)
ray.shutdown()
"""


@pytest.mark.slow
def test_ray_places_as_many_as_fit_and_the_next_when_one_has_ended() -> None:
    """Halves of a GPU, and whole ones; what is to be placed is waited for longer than what is not."""
    cases = [(0.5, [True, True, False], [True, True]), (1.0, [True, False, False], [True, False])]
    command = [sys.executable, "-c", PLACING, json.dumps(cases)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    expected = [line for _, at_first, then in cases for line in (f"{sum(at_first)} False", str(at_first), str(then))]
    assert ended.stdout.splitlines() == expected
