"""Training in this process, with a backend that another package brings: plain stochastic gradient descent."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from foreign_package import installed_package
from train_requests import make_request

from raysim.core.errors import InputError, RunError
from raysim.core.settings import validate
from raysim.training.batches import Batches
from raysim.training.model_host import ModelHost
from raysim.training.rank_worker import RankWorker, train_here
from raysim.training.request import EpochCheckpoint, Progress, ResumeState, TrainerSettings, Update, trainer_class
from raysim.training.torch_engine import TorchTrainer
from raysim.training.weights import assign, flatten, trainable

SGD = '''
from raysim.training.loop import run_loop
from raysim.training.throughput import flop_per_token
from raysim.training.torch_engine import next_token_loss
from raysim.training.weights import assign, flatten, trainable


class SgdTrainer:
    """Weights minus the rate times the gradient, nothing else."""

    def __init__(self, model, group=None):
        self._model, self._group = model, group

    @classmethod
    def check(cls, settings, objective=None):
        if settings.optimizer != "adamw":
            raise ValueError(f"optimizer: sgd is one itself, and {settings.optimizer} is given; leave it out")
        if objective:
            raise ValueError(f"backend: sgd has no objectives, and {objective!r} is asked for; write backend: torch")

    @classmethod
    def recipe(cls, settings):
        return {"sgd": 1}

    def train(self, request):
        yield from run_loop(SgdEngine(self._model, request), request, self._group)


class SgdEngine:
    """Implements `raysim.training.loop.Engine`."""

    def __init__(self, model, request):
        self._model, self._settings = model.train(), request.task.settings
        assign(model, request.current_weights)
        self.flop_per_token = flop_per_token(model)

    def step(self, pieces, rate):
        import torch

        total = 0.0
        for ids, share, seed in pieces:
            torch.manual_seed(seed)  # of dropout
            total += next_token_loss(self._model, ids, self._settings) * share
        gradients = torch.autograd.grad(total, trainable(self._model))
        with torch.no_grad():
            for parameter, gradient in zip(trainable(self._model), gradients, strict=True):
                parameter -= rate * gradient
        return total.detach(), torch.stack([g.norm() for g in gradients]).norm()

    def set_dropout(self, on: bool) -> None:
        self._model.train(on)

    def weights(self):
        return flatten(self._model)

    def optimizer_state(self):
        return {}

    def counters(self):
        return {}
'''


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder, threads = tmp_path_factory.mktemp("site") / "engine", torch.get_num_threads()
    with installed_package(folder, "sgd_engine", SGD, "raysim.engines", "sgd = sgd_engine:SgdTrainer"):
        yield
    torch.set_num_threads(threads)


def by_hand(host: ModelHost, spec: Any, sequences: np.ndarray, start: np.ndarray, seed: int, steps: int) -> np.ndarray:
    """Steps of rate 3e-3 at batches of 4."""
    model, batches = host.model(spec).train(), Batches(seed, len(sequences), 4)
    assign(model, start)
    for step in range(steps):
        ids = torch.tensor(sequences[batches.rows(step)], dtype=torch.long)
        logits = model(input_ids=ids, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in trainable(model):
                assert parameter.grad is not None
                parameter -= 3e-3 * parameter.grad
    return flatten(model)


def test_a_backend_of_another_package_trains_a_model(gpt2_spec, sequences, make_task) -> None:
    host, spec = ModelHost("a"), gpt2_spec(dropout=0.0)
    start = flatten(host.model(spec)) + np.float32(0.01)
    task = make_task(backend="sgd", schedule="constant", warmup_fraction=0.0, checkpoint_epochs=True)
    events = list(train_here(host, make_request(task, sequences, start, spec=spec)))
    update = events[-1]
    assert isinstance(update, Update)
    assert update.metrics["steps"] == 6
    assert [event.epoch for event in events if isinstance(event, EpochCheckpoint)] == [1, 2]
    assert any(isinstance(event, Progress) for event in events)
    np.testing.assert_allclose(update.weights, by_hand(host, spec, sequences, start, task.seed, 6), atol=1e-7)
    assert not np.allclose(update.weights, start, atol=1e-5)


def test_it_goes_on_from_a_resume_state(gpt2_spec, sequences, make_task) -> None:
    host, spec = ModelHost("a"), gpt2_spec()
    request = make_request(make_task(backend="sgd", checkpoint_every_s=0.0), sequences, flatten(host.model(spec)) + 0)
    request = replace(request, spec=spec)
    *events, whole = train_here(host, request)
    middle = [event.state for event in events if isinstance(event, ResumeState)][2]
    *_, resumed = train_here(host, replace(request, resume=middle, weights=np.zeros_like(request.weights)))
    assert isinstance(whole, Update)
    assert isinstance(resumed, Update)
    assert np.array_equal(whole.weights, resumed.weights)
    assert whole.metrics == resumed.metrics


def test_its_name_and_recipe_are_in_the_key() -> None:
    plain, sgd = TrainerSettings().recipe(), TrainerSettings(backend="sgd").recipe()
    assert sgd == {**plain, "backend": "sgd", "sgd": 1}
    assert TrainerSettings(backend="sgd").canonical() == TrainerSettings()


def refused(**trainer: Any) -> str:
    with pytest.raises(InputError) as caught:
        validate(TrainerSettings, trainer, "x.yaml")
    return str(caught.value)


def test_an_unknown_backend_lists_those_that_are_installed() -> None:
    assert "backend: unknown backend 'sdg'; known: deepspeed, flower, sgd, torch" in refused(backend="sdg")


def test_it_refuses_settings_that_it_has_no_use_for() -> None:
    assert "optimizer: sgd is one itself, and yogi is given" in refused(backend="sgd", optimizer="yogi")
    assert "deepspeed: is given, but backend is sgd" in refused(backend="sgd", deepspeed={"bf16": {}})


def test_backends_of_the_project() -> None:
    assert trainer_class("torch") is TorchTrainer
    with pytest.raises(InputError, match="unknown backend 'jax'"):
        trainer_class("jax")


def test_a_rank_alone_trains_as_its_client_would(gpt2_spec, sequences, make_task) -> None:
    spec = gpt2_spec()
    start = flatten(ModelHost("a").model(spec)) + 0
    request = make_request(make_task(epochs=1), sequences, start, spec=spec)
    *_, here = train_here(ModelHost("a"), request)
    *_, there = RankWorker(0, 1).train(request)
    assert isinstance(here, Update)
    assert isinstance(there, Update)
    assert np.array_equal(here.weights, there.weights)
    assert RankWorker(0, 1).run_silently(request) is None


def test_an_error_leaves_the_model_on_the_cpu_without_gradients(gpt2_spec, sequences, make_task) -> None:
    host, spec = ModelHost("a"), gpt2_spec()
    start = np.full_like(flatten(host.model(spec)), np.nan)
    with pytest.raises(RunError, match="not finite"):
        list(train_here(host, make_request(make_task(), sequences, start, spec=spec)))
    assert all(p.grad is None and p.device.type == "cpu" for p in host.model(spec).parameters())
