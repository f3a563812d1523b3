"""Where an experiment is executed, and how much is done at once."""

from typing import Any

import numpy as np
import pytest
from loaded_experiments import loaded
from train_requests import make_request

from raysim.cluster.backend import InlineBackend
from raysim.cluster.ray_backend import RayBackend
from raysim.core.errors import InputError, RunError
from raysim.experiment.resources import machine_of, open_actor_pool, open_backend, slot_count, turns_here
from raysim.training.ranks import NO_RANK_LAUNCHER
from raysim.training.request import TrainTask


@pytest.mark.parametrize(
    ("trainer", "words"),
    [
        ({"ranks": 3, "batch_size": 3}, r"a stage of 3 ranks that need 1 CPUs each .* this cluster hold 2; lower"),
        ({"ranks": 2, "threads": 2}, r"a stage of 2 ranks that need 2 CPUs each .* hold 1; lower"),
        ({"device": "cuda"}, r"a stage of 1 ranks that need 1 CPUs and a GPU each .* hold 0; lower"),
    ],
)
def test_a_stage_that_could_never_start_is_refused_before_anything_does(
    ray_session: None, trainer: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        open_backend(loaded(trainer=trainer), None)


def test_one_process_has_one_rank() -> None:
    experiment = loaded(trainer={"ranks": 2}, execution={"backend": "inline"})
    with pytest.raises(InputError, match=r"execution\.backend: inline has one; write execution\.backend: ray"):
        open_backend(experiment, None)
    settings = experiment.experiment.trainer
    assert NO_RANK_LAUNCHER.wanted(settings)
    with pytest.raises(InputError, match=r"trainer\.ranks: 2 ranks need processes of their own"):
        NO_RANK_LAUNCHER.train(
            make_request(TrainTask("t", settings, 1, 1, 1), np.ones((1, 8), np.int32), np.ones(1, np.float32))
        )


PINNED = {"a": {"source": {"path": "a"}, "node": {"site": "meta"}}}


def test_an_organization_whose_node_is_not_there_is_refused_before_anything_starts(ray_session: None) -> None:
    with pytest.raises(InputError, match=r"organizations\.a\.node: no node has the labels site=meta; of 1 nodes"):
        open_backend(loaded(organizations=PINNED), None)
    with pytest.raises(InputError, match=r"organizations\.a\.node: .* site=meta, and execution\.backend: inline has"):
        open_backend(loaded(organizations=PINNED, execution={"backend": "inline"}), None)


def test_a_stage_takes_a_slot_for_each_of_its_ranks() -> None:
    assert slot_count(loaded(trainer={"ranks": 64, "batch_size": 64}), InlineBackend()) == 64
    with pytest.raises(InputError, match=r"a slot for each of its 4 ranks .* there are 3; raise it"):
        slot_count(loaded(trainer={"ranks": 4, "batch_size": 4}, execution={"slots": 3}), InlineBackend())


@pytest.mark.parametrize(
    ("slots", "threads", "count"),
    [(3, 1, 3), (3, 64, 3), (None, 1, 7), (None, 2, 3), (None, 9, 1)],
)
def test_slots_are_those_that_are_named_or_as_many_as_the_cores_hold(
    monkeypatch: pytest.MonkeyPatch, slots: int | None, threads: int, count: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    execution = {"slots": slots} if slots else {}
    assert slot_count(loaded(trainer={"threads": threads}, execution=execution), InlineBackend()) == count


def test_a_cluster_refuses_more_threads_than_it_has_cpus(ray_session: None) -> None:
    backend = RayBackend(None, 2)
    try:
        assert slot_count(loaded(trainer={"threads": 2}), backend) == 1
        assert slot_count(loaded(execution={"slots": 2}), backend) == 2
        with pytest.raises(RunError, match=r"2 organizations of 2 threads at once need more than the 2 CPUs"):
            slot_count(loaded(trainer={"threads": 2}, execution={"slots": 2}), backend)
    finally:
        backend.close()


def test_an_experiment_of_one_process_is_executed_there() -> None:
    experiment = loaded(execution={"backend": "inline", "slots": 3})
    backend = open_backend(experiment, None)
    assert isinstance(backend, InlineBackend)
    pool = open_actor_pool(experiment, backend, lambda _: None)
    assert (pool.backend, pool.slots.count, pool.gpu_slots) == (backend, 3, None)
    assert machine_of(experiment, backend).nodes == 1


def test_training_on_the_cpu_takes_no_turns_on_gpus() -> None:
    assert turns_here(loaded().experiment.trainer) is None
