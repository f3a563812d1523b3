"""Local objectives of another package: a proximal term, and one that sets gradients to what is known by hand."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from foreign_package import installed_package
from train_requests import make_request

from raysim.core.errors import InputError
from raysim.core.keys import seed_of
from raysim.core.settings import validate
from raysim.training.batches import Batches
from raysim.training.deepspeed_engine import DeepSpeedTrainer
from raysim.training.models import build_model
from raysim.training.objectives import AppliedObjective, ObjectiveConfig
from raysim.training.optimizers import make_optimizer
from raysim.training.request import ResumeState, TrainerSettings, Update
from raysim.training.schedule import rate_at
from raysim.training.torch_engine import TorchTrainer
from raysim.training.weights import assign, flatten, trainable

OBJECTIVES = '''
import torch

from raysim.core.settings import Settings
from raysim.training.objectives import Objective


class ProximalSettings(Settings):
    mu: float


class Proximal(Objective):
    """mu / 2 times the squared distance to the weights that the stage started from: FedProx, arXiv 1812.06127."""

    Settings = ProximalSettings

    def __init__(self, settings: ProximalSettings) -> None:
        self._mu = settings.mu

    def recipe(self):
        return {"version": 1, "mu": self._mu}

    def penalty(self, parameters, start):
        return self._mu / 2 * sum((p - s).square().sum() for p, s in zip(parameters, start, strict=True))


class AwaySettings(Settings):
    pass


class Away(Objective):
    """Sets every gradient to 1 where the stage started below zero, else to -1."""

    Settings = AwaySettings

    def __init__(self, settings: AwaySettings) -> None:
        pass

    def recipe(self):
        return {"version": 1}

    def correct_gradients(self, parameters, start):
        for parameter, before in zip(parameters, start, strict=True):
            parameter.grad.copy_(torch.where(before < 0, 1.0, -1.0))
'''


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    points = ("nearby = some_objectives:Proximal", "away = some_objectives:Away")
    folder = tmp_path_factory.mktemp("site") / "objectives"
    threads = torch.get_num_threads()
    with installed_package(folder, "some_objectives", OBJECTIVES, "raysim.objectives", *points):
        yield
    torch.set_num_threads(threads)


PROXIMAL = ObjectiveConfig("nearby", {"mu": 0.5})


def test_a_penalty_by_hand() -> None:
    """0.5 / 2 * (1 + 4 + 16) = 5.25 beside a loss of 3; its gradient is 0.5 times the distance."""
    parameter = torch.nn.Parameter(torch.tensor([2.0, 4.0, 1.0]))
    applied = AppliedObjective(PROXIMAL, [parameter], np.array([1.0, 2.0, 5.0], np.float32))
    whole = applied.add_to(torch.tensor(3.0))
    assert whole.item() == 8.25
    whole.backward()
    assert parameter.grad is not None
    assert parameter.grad.tolist() == [0.5, 1.0, -2.0]
    applied.correct_gradients()
    assert parameter.grad.tolist() == [0.5, 1.0, -2.0]


def test_without_an_objective_a_loss_stays_what_it_is() -> None:
    applied, loss = AppliedObjective(None, [], np.empty(0, np.float32)), torch.tensor(3.0)
    assert applied.add_to(loss) is loss


def test_a_penalty_is_no_correction_and_the_other_way_round() -> None:
    parameter = torch.nn.Parameter(torch.tensor([2.0, -4.0]))
    applied, loss = AppliedObjective(ObjectiveConfig("away"), [parameter], np.array([-1, 1], np.float32)), 1.5
    assert applied.add_to(torch.tensor(loss)).item() == 1.5
    parameter.grad = torch.tensor([7.0, 7.0])
    applied.correct_gradients()
    assert parameter.grad.tolist() == [1.0, -1.0]


# In a stage.


@pytest.fixture
def model(gpt2_spec) -> Any:
    spec = gpt2_spec(dropout=0.0)
    return build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context, seed=3)


def train(model: Any, task: Any, sequences: np.ndarray, weights: np.ndarray, resume: Any = None) -> tuple[Update, list]:
    trainer = (DeepSpeedTrainer if task.settings.backend == "deepspeed" else TorchTrainer)(model)
    *events, update = trainer.train(make_request(task, sequences, weights, resume=resume))
    assert isinstance(update, Update)
    return update, events


BACKENDS = pytest.mark.parametrize("backend", ["torch", "deepspeed"])


@BACKENDS
def test_one_step_by_hand(model, sequences, make_task, backend: str) -> None:
    """Adam's first step is the rate times the gradient's sign. By gradients of +-1 every weight moves by 0.01.

    The gradient of n elements has norm sqrt(n) and is clipped to 1, which leaves its signs.
    """
    start = flatten(model)
    fixed = {"schedule": "constant", "warmup_fraction": 0.0, "learning_rate": 0.01, "weight_decay": 0.0}
    task = make_task(
        epochs=1, horizon_epochs=1, batch_size=10, backend=backend, objective=ObjectiveConfig("away"), **fixed
    )
    update, _ = train(model, task, sequences, start)
    assert update.metrics["steps"] == 1
    expected = start - 0.01 * np.where(start < 0, 1, -1)
    # Epsilon, 1e-8, beside gradients of 1 / sqrt(n), of about 0.01.
    np.testing.assert_allclose(update.weights, expected, atol=1e-6)


def bare_loop(model: Any, sequences: np.ndarray, task: Any, mu: float) -> np.ndarray:
    """FedProx as one would write it without raysim."""
    settings, start = task.settings, [p.detach().clone() for p in trainable(model)]
    optimizer, batches = make_optimizer(model, settings), Batches(task.seed, len(sequences), settings.batch_size)
    model.train()
    for step in range(task.epochs * batches.per_epoch):
        rate = rate_at(step, task.horizon_epochs * batches.per_epoch, 3e-3, 0.25, "cosine")
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids = torch.tensor(sequences[batches.rows(step)], dtype=torch.long)
        torch.manual_seed(seed_of(task.seed, "dropout", step))
        logits = model(input_ids=ids, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        distance: Any = sum((p - s).square().sum() for p, s in zip(trainable(model), start, strict=True))
        (loss + mu / 2 * distance).backward()
        torch.nn.utils.clip_grad_norm_(trainable(model), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return flatten(model)


@BACKENDS
def test_equals_a_bare_loop(model, sequences, make_task, backend: str) -> None:
    start = flatten(model)
    task = make_task(backend=backend, objective=PROXIMAL)
    plain, _ = train(model, make_task(backend=backend), sequences, start)
    update, _ = train(model, task, sequences, start)
    assign(model, start)
    expected = bare_loop(model, sequences, task, 0.5)
    np.testing.assert_allclose(update.weights, expected, atol=1e-6)
    assert np.linalg.norm(plain.weights - expected) > 1e-3
    # At the first step nothing has moved, so the penalty is zero; and it is in no loss that is reported.
    assert update.metrics["first_loss"] == plain.metrics["first_loss"]


def test_pieces_share_the_penalty(model, sequences, make_task) -> None:
    """A step of two gradients has the penalty once, not twice."""
    start = flatten(model)
    strong = ObjectiveConfig("nearby", {"mu": 20.0})
    whole, _ = train(model, make_task(objective=strong), sequences, start)
    cut, _ = train(model, make_task(objective=strong, accumulation=2), sequences, start)
    np.testing.assert_allclose(cut.weights, whole.weights, atol=1e-5)


def test_a_stage_that_was_cut_keeps_its_distance_to_where_it_started(model, sequences, make_task) -> None:
    start = flatten(model)
    task = make_task(objective=ObjectiveConfig("nearby", {"mu": 5.0}), checkpoint_every_s=0.0)
    whole, events = train(model, task, sequences, start)
    middle = [event.state for event in events if isinstance(event, ResumeState)][2]
    resumed, _ = train(model, task, sequences, start, middle)
    assert np.array_equal(resumed.weights, whole.weights)


# What does not fit.


def test_recipes_name_the_objective_and_its_settings() -> None:
    assert PROXIMAL.recipe() == {"name": "nearby", "version": 1, "mu": 0.5}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (
            ObjectiveConfig("proximate"),
            "objective: unknown objective 'proximate'; known: ascent, away, control_variates, dp_sgd, ewc, nearby,"
            " proximal",
        ),
        (ObjectiveConfig("nearby"), r"objective\.nearby: mu: missing; known here: mu"),
        (ObjectiveConfig("nearby", {"mu": "much"}), r"objective\.nearby: mu: .*given: 'much'"),
    ],
)
def test_what_is_not_known_is_an_input_error(config: ObjectiveConfig, told: str) -> None:
    with pytest.raises(InputError, match=told):
        config.recipe()


def test_zero_has_no_whole_gradients_for_it() -> None:
    zero = {"backend": "deepspeed", "deepspeed": {"zero_optimization": {"stage": 2}}}
    settings = validate(TrainerSettings, zero, "x.yaml")
    DeepSpeedTrainer.check(settings)
    with pytest.raises(ValueError, match=r"stage: is 2, .* objective 'proximal' needs them; write stage: 0"):
        DeepSpeedTrainer.check(settings, "proximal")
