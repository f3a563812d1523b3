"""An app of Flower's as a training backend: what it is told, what becomes of its answer, and what it may keep."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from train_requests import MakeTask, make_request

from raysim.core.errors import Diverged, InputError, RunError
from raysim.training.flower_engine import FlowerTrainer
from raysim.training.models import ModelSettings, build_model
from raysim.training.objectives import ObjectiveConfig
from raysim.training.request import EpochCheckpoint, Progress, TrainerSettings, TrainState, TrainTask, Update
from raysim.training.weights import Flat, flatten

APP: dict[str, Any] = {"backend": "flower", "app": "flower_apps:app"}


@pytest.fixture(scope="module")
def model() -> Any:
    return build_model(
        ModelSettings(config={"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 8}), 300, 0, 64, seed=3
    )


@pytest.fixture
def train(model: Any, make_task: MakeTask, sequences: np.ndarray, tmp_path: Path) -> Callable[..., Update]:
    """Trains a stage; `how` is what the app does."""
    start = flatten(model)

    def run(how: str = "one", state: TrainState | None = None, weights: Flat = start, **given: Any) -> Update:
        task = make_task(**{**APP, "app_config": {"how": how}, **given})
        return list(FlowerTrainer(model).train(request(task, sequences, weights, state, tmp_path)))[-1]  # type: ignore[return-value]

    return run


def request(task: TrainTask, sequences: np.ndarray, weights: Flat, state: TrainState | None, folder: Path) -> Any:
    np.save(folder / "sequences.npy", sequences)
    return replace(make_request(task, sequences, weights, state), folder=folder)


@pytest.mark.parametrize("how", ["one", "float64", "one name of tied weights"])
def test_the_answer_is_the_model(how: str, train, model: Any) -> None:
    start = flatten(model)
    update = train(how)
    assert update.weights.dtype == np.float32
    np.testing.assert_array_equal(update.weights, start + np.float32(1))
    assert update.client_state is None
    assert update.metrics == {
        "steps": 6, "tokens": 320, "sequences": 10, "learning_rate_sum": 6 * 3e-3, "last_epoch_loss": 1.5,
    }  # fmt: skip


def test_events_are_those_of_a_stage(model: Any, make_task: MakeTask, sequences: np.ndarray, tmp_path: Path) -> None:
    task = make_task(**APP, epochs=1, checkpoint_epochs=True)
    start = flatten(model)
    events = list(FlowerTrainer(model).train(request(task, sequences, start, None, tmp_path)))
    assert [type(event) for event in events] == [Progress, EpochCheckpoint, Update]
    assert events[0] == Progress(3, 3, 1, 1.5, 160)
    np.testing.assert_array_equal(events[1].weights, events[2].weights)  # type: ignore[union-attr]


def test_a_loss_may_be_unknown(train) -> None:
    assert "last_epoch_loss" not in train("no loss").metrics


def test_what_an_app_is_told(train, model: Any, tmp_path: Path) -> None:
    state = TrainState({}, {"past_steps": 6, "past_epochs": 2})
    train(state=state, objective=ObjectiveConfig("proximal", {"mu": 0.1}), horizon_epochs=8, weight_decay=0.2)
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["shapes"] == {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    expected = {
        "lr": 3e-3, "local-epochs": 2, "batch-size": 4, "seed": 11, "num-examples": 10, "past-epochs": 2,
        "horizon-epochs": 8, "proximal-mu": 0.1, "weight-decay": 0.2, "sequence-length": 16,
    }  # fmt: skip
    assert {name: told["config"][name] for name in expected} == expected
    assert not {"app", "app-config", "backend", "device", "ranks"} & told["config"].keys()
    from transformers import AutoConfig, AutoModelForCausalLM

    again = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tmp_path))
    assert {name: tensor.shape for name, tensor in again.state_dict().items()} == {
        name: tensor.shape for name, tensor in model.state_dict().items()
    }


def test_draws_follow_the_seed_of_the_stage_and_leave_the_generators_as_they_were(train) -> None:
    before = random.getstate(), torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    one, same, other = (train("draws", seed=seed).weights for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    after = random.getstate(), torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    assert before[0] == after[0]
    assert torch.equal(before[1], after[1])
    assert before[2] == after[2]


def test_what_an_app_keeps_goes_on_and_its_globals_do_not(train) -> None:
    """Adds 1, then 10 * 1 + 1: its count of calls in this process is always 1, that in its state grows."""
    keep = {"client_state": "keep", "keep_state": True}
    first = train("counts", **keep)
    second = train("counts", first.client_state, first.weights, **keep)
    last = train("counts", second.client_state, second.weights, client_state="keep")
    np.testing.assert_allclose(second.weights - first.weights, 11, rtol=1e-5)
    np.testing.assert_allclose(last.weights - second.weights, 21, rtol=1e-5)
    assert second.client_state is not None
    assert second.client_state.counters == {"past_steps": 12, "past_epochs": 4}
    kept = second.client_state.arrays
    assert sorted(kept) == ["app_state", "flower_0"]
    assert kept["flower_0"].tolist() == [[1.5] * 3] * 2
    assert last.client_state is None
    again = train("counts", TrainState(as_stored(kept), second.client_state.counters), second.weights, **keep)
    np.testing.assert_array_equal(again.weights, last.weights)


def as_stored(arrays: Any) -> dict[str, Any]:
    """As a store gives arrays back: read-only."""
    found = {name: np.array(array) for name, array in arrays.items()}
    for array in found.values():
        array.flags.writeable = False
    return found


def test_what_an_app_keeps_is_never_dropped_in_silence(train) -> None:
    with pytest.raises(RunError, match=r"keeps 'last' in context.state, which trainer.client_state: reset would drop"):
        train("counts")


WRONG = {
    "untied": r"answers with other values of transformer.wte.weight and lm_head.weight, which are one array",
    "missing": r"answers without the array 'transformer.ln_f.bias'; send back all",
    "unknown": r"answers with an array 'more', which the model does not have",
    "shape": r"answers with 'transformer.ln_f.bias' as float32 \(7,\); it is float32 \(8,\)",
    "integers": r"answers with 'transformer.ln_f.bias' as int32 \(8,\)",
    "raises": r"ZeroDivisionError: by zero;",
    "exits": r"SystemExit: enough;",
    "answers with an error": r"answers with an error: no data",
    "answers with nothing": r"returns NoneType; return Message",
    "no examples": r"reports num-examples None, and raysim weighs its organization by 10 training sequences",
    "other examples": r"reports num-examples 3, ",
    "loss": r"reports train_loss nan",
    "two models": r"answers with 2 ArrayRecords and 1 MetricRecords",
}


@pytest.mark.parametrize("how", WRONG)
def test_a_wrong_answer_is_told_in_a_line_that_names_the_stage(how: str, train) -> None:
    with pytest.raises(RunError, match=rf"^the stage: app flower_apps:app: {WRONG[how]}") as failed:
        train(how)
    assert "\n" not in str(failed.value)
    assert "mend" in str(failed.value)


def test_a_model_that_is_not_finite_has_diverged(train) -> None:
    with pytest.raises(Diverged, match=r"^the stage: app flower_apps:app: makes a model that is not finite; lower"):
        train("not finite")


def test_memory_that_runs_out_is_what_it_is(train) -> None:
    with pytest.raises(MemoryError, match="no room"):
        train("memory")


def test_code_that_is_another_than_in_the_key_of_the_stage_is_not_run(train) -> None:
    recipe = TrainerSettings(**APP).recipe()
    train(recipe=recipe)
    with pytest.raises(RunError, match=r"^the stage: app flower_apps:app: its code is another here than when the run"):
        train(recipe={**recipe, "source": "0" * 64})


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"epoch_steps": 3}, "local_steps"),
        ({"dropout_epochs": 1}, "dropout_epochs"),
        ({"checkpoint_epochs": True}, "when: models after every epoch"),
    ],
)
def test_a_stage_that_an_app_cannot_do_is_refused(given: dict[str, Any], problem: str, train) -> None:
    with pytest.raises(InputError, match=rf"^the stage: {problem}.*or write trainer.backend: torch"):
        train(**given)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"backend": "flower"}, "app: backend flower needs one; write app: module:app"),
        ({"app": "flower_apps:app"}, "app: is given, but backend is torch"),
        ({"app_config": {"a": 1}}, "app_config: is given, but backend is torch"),
        ({**APP, "ranks": 2, "batch_size": 4}, "has no ranks and reserves"),
        ({**APP, "device": "cuda"}, "has no ranks and reserves"),
        ({**APP, "app": "flower_apps"}, "names no object of a module; write module:app"),
        ({**APP, "app": "flower_apps:nothing"}, "cannot be imported: AttributeError"),
        ({**APP, "app": "no_such_module:app"}, "cannot be imported: ModuleNotFoundError"),
        ({**APP, "app": "flower_apps:text"}, "is no flwr.clientapp.ClientApp but str"),
        ({**APP, "app": "flower_apps:idle"}, "registers no train function; write @app.train"),
        ({**APP, "app": "flower_apps:old"}, "registers no train function"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_anything_starts(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        TrainerSettings(**given)


def test_an_app_applies_no_objective_but_the_one_that_flower_has() -> None:
    settings = TrainerSettings(**APP)
    FlowerTrainer.check(settings, "proximal")
    with pytest.raises(ValueError, match="cannot be asked for the local objective 'control_variates'"):
        FlowerTrainer.check(settings, "control_variates")


def test_the_recipe_has_the_source_of_the_app() -> None:
    recipe = TrainerSettings(**APP, app_config={"how": "one"}).recipe()
    assert (recipe["engine"], recipe["app"], recipe["app_config"]) == ("flower", "flower_apps:app", {"how": "one"})
    assert len(recipe["source"]) == 64
    torch_recipe = TrainerSettings().recipe()
    assert not {"app", "app_config"} & torch_recipe.keys()
    assert TrainerSettings(**APP).canonical().recipe() == torch_recipe
