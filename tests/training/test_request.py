"""Settings of trainers, and the request that a stage is a function of."""

from typing import Any

import numpy as np
import pytest
from train_requests import UNUSED_SPEC, make_request

from raysim.core.errors import InputError
from raysim.core.settings import validate
from raysim.training.request import TrainerSettings, TrainRequest, TrainState, shares_of


def zero(stage: int, **more: Any) -> dict[str, Any]:
    return {"backend": "deepspeed", "deepspeed": {"zero_optimization": {"stage": stage}, **more}}


def test_canonical_settings_are_torch_on_one_rank() -> None:
    settings = TrainerSettings(**zero(1), batch_size=8, ranks=2, accumulation=2, precision="bf16", threads=2)
    assert settings.canonical() == TrainerSettings(batch_size=8, precision="bf16", threads=2)


def test_a_recipe_has_what_decides_numbers_and_nothing_else() -> None:
    plain = TrainerSettings().recipe()
    assert TrainerSettings(gpus=0.5, epochs=3, client_state="keep").recipe() == plain
    assert not plain.keys() & {"epochs", "ranks", "gpus", "deepspeed", "optimizer", "compile", "accumulation"}
    assert plain["backend"] == "torch"
    assert TrainerSettings(accumulation=2).recipe() == {**plain, "accumulation": 2}
    with_zero = TrainerSettings(**zero(1)).recipe()
    assert with_zero["deepspeed"] == {"zero_optimization": {"stage": 1}}
    assert with_zero["libraries"].startswith("deepspeed ")


def test_ranks_share_no_gpu() -> None:
    with pytest.raises(InputError, match=r"gpus: 0\.5 of a GPU for each of 2 ranks could put two of them on one"):
        validate(TrainerSettings, {"ranks": 2, "gpus": 0.5}, "x.yaml")


@pytest.mark.parametrize(("gpus", "ranks"), [(1.0, 1), (0.5, 2), (0.1, 10), (0.3, 3), (0.34, 2)])
def test_shares_of_a_gpu(gpus: float, ranks: int) -> None:
    assert shares_of(gpus) == ranks


@pytest.fixture
def task(make_task) -> Any:
    return make_task()


def test_a_request_leaves_without_data_and_gets_it_at_the_client(task) -> None:
    request = TrainRequest(UNUSED_SPEC, task)
    assert (request.sequences.size, request.weights.size) == (0, 0)
    sequences, weights = np.ones((2, 8), np.int32), np.ones(3, np.float32)
    whole = request.at_client(sequences, weights)
    assert whole.sequences is sequences
    assert whole.weights is weights
    assert (whole.spec, whole.task) == (UNUSED_SPEC, task)


def test_sequences_are_no_copy_of_a_memory_mapped_file(task, tmp_path) -> None:
    np.save(tmp_path / "sequences.npy", np.arange(16, dtype=np.int32).reshape(2, 8))
    mapped = np.load(tmp_path / "sequences.npy", mmap_mode="r")
    sequences = make_request(task, mapped, np.ones(3, np.float32)).sequences
    assert type(sequences) is np.ndarray
    assert np.shares_memory(sequences, mapped)


def test_what_a_stage_goes_on_from(task) -> None:
    start, middle = np.zeros(3, np.float32), np.ones(3, np.float32)
    past, resume = TrainState({}, {"past_steps": 4}), TrainState({"weights": middle}, {"step": 1})

    def request(client_state: TrainState | None = None, resume: TrainState | None = None) -> TrainRequest:
        return make_request(task, np.ones((2, 8), np.int32), start, client_state, resume)

    assert request().initial_state is None
    assert request().current_weights is start
    assert request(past).initial_state is past
    assert request(past).current_weights is start
    assert request(past, resume).initial_state is resume
    assert request(past, resume).current_weights is middle
