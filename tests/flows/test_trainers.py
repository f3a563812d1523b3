"""What every trainer must do, whatever its backend, its shards and the number of its ranks."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from train_requests import make_request

from raysim.cluster.rank_launcher import RayRankLauncher, RayRanks
from raysim.core.errors import RunError
from raysim.training.lora import LoraSettings
from raysim.training.model_host import ModelHost, ModelSpec
from raysim.training.models import ModelSettings
from raysim.training.rank_worker import train_here
from raysim.training.request import (
    EpochCheckpoint,
    Progress,
    ResumeState,
    TrainerSettings,
    TrainState,
    TrainTask,
    Update,
)
from raysim.training.weights import Flat, flatten, trained_part

TOLERANCE = 1e-5
"""Relative L2 distance of weights; sums are made in another order."""


@dataclass(frozen=True)
class Kind:
    """One way to train."""

    backend: str
    stage: int = 0
    ranks: int = 1

    @property
    def settings(self) -> dict[str, Any]:
        zero = {"zero_optimization": {"stage": self.stage}}
        return {"backend": self.backend, "ranks": self.ranks, "deepspeed": zero if self.backend == "deepspeed" else {}}

    def __str__(self) -> str:
        name = f"zero{self.stage}" if self.backend == "deepspeed" else self.backend
        return f"{name}x{self.ranks}"


TORCH = Kind("torch")
KINDS = [Kind("torch", ranks=n) for n in (1, 2)] + [Kind("deepspeed", s, n) for n in (1, 2) for s in (0, 1, 2, 3)]
ALWAYS = {"torchx1", "torchx2", "zero0x1", "zero2x2", "zero3x1"}
"""Each backend with one rank and with two, weights whole and in shards; `make stress` takes the others, too."""
PARAMETERS = [pytest.param(k, id=str(k), marks=[] if str(k) in ALWAYS else [pytest.mark.stress]) for k in KINDS]
Train = Callable[..., tuple[Update, list[Any]]]


@pytest.fixture(scope="module", params=PARAMETERS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture(scope="module")
def two_ranks(request: pytest.FixtureRequest) -> Iterator[Callable[[], RayRanks]]:
    """Two ranks that stay for the whole module; they start when they are first asked for."""
    started: list[RayRanks] = []
    with ExitStack() as stack:

        def get() -> RayRanks:
            if not started:
                request.getfixturevalue("ray_session")
                started.append(stack.enter_context(RayRankLauncher().start(TrainerSettings(ranks=2))))
            return started[0]

        yield get


@pytest.fixture(scope="module")
def train(two_ranks: Callable[[], RayRanks]) -> Iterator[Train]:
    """Trains where the task's ranks are; gives the update, and all events."""
    before = torch.get_num_threads()

    def run(
        client: ModelHost,
        spec: ModelSpec,
        task: TrainTask,
        sequences: np.ndarray,
        weights: Flat,
        client_state: TrainState | None = None,
        resume: TrainState | None = None,
    ) -> tuple[Update, list[Any]]:
        request = make_request(task, sequences, weights, client_state, resume, spec)
        events = list(two_ranks().train(request) if task.settings.ranks > 1 else train_here(client, request))
        assert isinstance(events[-1], Update)
        return events[-1], events

    yield run
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Bench:
    """A host with a model, and what is trained on it."""

    kind: Kind
    client: ModelHost
    spec: ModelSpec
    sequences: np.ndarray
    start: Flat
    run: Train
    make_task: Callable[..., TrainTask]

    def train(self, *states: TrainState | None, kind: Kind | None = None, weights: Flat | None = None, **task: Any):
        settings = (kind or self.kind).settings
        made = self.make_task(**settings, **task)
        start = self.start if weights is None else weights
        return self.run(self.client, self.spec, made, self.sequences, start, *states)


@pytest.fixture
def make_bench(kind: Kind, train: Train, gpt2_spec, sequences, make_task) -> Callable[..., Bench]:
    def make(dropout: float = 0.1) -> Bench:
        client, spec = ModelHost("client"), gpt2_spec(dropout=dropout)
        return Bench(kind, client, spec, sequences, flatten(client.model(spec)) + 0, train, make_task)

    return make


@pytest.fixture
def bench(make_bench) -> Bench:
    return make_bench()


def equal(one: Flat, other: Flat) -> bool:
    return np.array_equal(one.view(np.uint32), other.view(np.uint32))


def distance(one: Flat, other: Flat) -> float:
    return float(np.linalg.norm(one.astype(np.float64) - other) / np.linalg.norm(other.astype(np.float64)))


def test_weights_after_fifty_steps_are_those_of_torch_on_one_rank(make_bench) -> None:
    """Two ranks share the batch that one reads whole; the last batch of an epoch has two sequences."""
    bench = make_bench(dropout=0.0)
    long = {"epochs": 17, "horizon_epochs": 17}
    expected, _ = bench.train(kind=TORCH, **long)
    update, _ = bench.train(**long)
    assert expected.metrics["steps"] == 51
    assert distance(update.weights, expected.weights) < TOLERANCE
    assert distance(expected.weights, bench.start) > 1000 * TOLERANCE


def test_epochs_without_dropout_are_those_of_a_model_without_any(make_bench) -> None:
    bench, without = make_bench(dropout=0.3), make_bench(dropout=0.0)
    expected, _ = without.train(weights=bench.start)
    never, _ = bench.train(dropout_epochs=0)
    assert equal(never.weights, expected.weights)
    always, first = bench.train()[0], bench.train(dropout_epochs=1, checkpoint_epochs=True)
    assert not equal(first[0].weights, always.weights)
    after_one = next(event for event in bench.train(checkpoint_epochs=True)[1] if isinstance(event, EpochCheckpoint))
    assert equal(next(e for e in first[1] if isinstance(e, EpochCheckpoint)).weights, after_one.weights)


def test_adapters_are_trained_as_torch_trains_them(make_bench, tmp_path) -> None:
    """Beside a frozen checkpoint, of which matrices travel along; a stage that was cut goes on to the same bits."""
    bench = make_bench(dropout=0.0)
    bench.client.model(bench.spec).save_pretrained(tmp_path)
    lora = LoraSettings(rank=2, targets="all-linear", carry_base=True)
    spec = replace(bench.spec, settings=ModelSettings(pretrained=str(tmp_path), lora=lora))
    adapted = replace(bench, spec=spec, start=flatten(bench.client.model(spec)) + 0)
    trained = trained_part(bench.client.model(spec), adapted.start).size
    adapted.start[trained:] += 0.125  # as a server might have changed it
    expected, _ = adapted.train(kind=TORCH)
    update, events = adapted.train(checkpoint_every_s=0.0)
    assert trained < 0.5 * bench.start.size
    assert equal(update.weights[trained:], adapted.start[trained:])
    assert distance(update.weights[:trained], expected.weights[:trained]) < TOLERANCE
    assert distance(expected.weights[:trained], adapted.start[:trained]) > 1000 * TOLERANCE
    checkpoint = next(event.state for event in events if isinstance(event, ResumeState))
    resumed, _ = adapted.train(None, checkpoint)
    assert equal(resumed.weights, update.weights)


def test_metrics_are_those_of_torch_on_one_rank(make_bench) -> None:
    bench = make_bench(dropout=0.0)
    expected, _ = bench.train(kind=TORCH)
    update, events = bench.train()
    assert update.metrics == pytest.approx(dict(expected.metrics), rel=1e-5)
    for name in ("steps", "tokens", "sequences", "learning_rate_sum"):
        assert update.metrics[name] == expected.metrics[name]
    last = [event for event in events if isinstance(event, Progress)][-1]
    assert (last.step, last.steps, last.epoch, last.tokens) == (6, 6, 2, 320)
    assert update.speed.tokens == 320
    assert 0 < update.speed.data_seconds < update.speed.seconds


def test_a_batch_smaller_than_the_ranks(make_bench, sequences) -> None:
    """Nine sequences in batches of four: the last batch has one, which a second rank has no part of."""
    bench = make_bench(dropout=0.0)
    few = Bench(**{**vars(bench), "sequences": sequences[:9]})
    expected, _ = few.train(kind=TORCH)
    update, _ = few.train()
    assert distance(update.weights, expected.weights) < TOLERANCE
    assert update.metrics == pytest.approx(dict(expected.metrics), rel=1e-5)


def test_accumulated_gradients_are_the_gradient_of_the_batch(make_bench) -> None:
    bench = make_bench(dropout=0.0)
    expected, _ = bench.train(kind=TORCH)
    update, _ = bench.train(accumulation=2)
    assert distance(update.weights, expected.weights) < TOLERANCE
    assert update.metrics == pytest.approx(dict(expected.metrics), rel=1e-5)


def test_equal_arguments_give_equal_bits_and_seeds_differ(bench: Bench) -> None:
    one, _ = bench.train()
    same, _ = bench.train(label="another name")
    other, _ = bench.train(seed=12)
    assert equal(one.weights, same.weights)
    assert one.metrics == same.metrics
    assert not equal(one.weights, other.weights)


def test_resumed_equals_uninterrupted(bench: Bench) -> None:
    """With dropout; weights that the model happens to hold, and those that the task would start from, do not count."""
    three = {"epochs": 3, "horizon_epochs": 3, "keep_state": True}
    whole, _ = bench.train(**three)
    cut, events = bench.train(checkpoint_every_s=0.0, **three)
    assert equal(cut.weights, whole.weights)
    checkpoints = [event.state for event in events if isinstance(event, ResumeState)]
    assert [c.counters["step"] for c in checkpoints] == list(range(1, 9))
    assert whole.client_state is not None
    for checkpoint in (checkpoints[0], checkpoints[3], checkpoints[7]):
        resumed, _ = bench.train(None, checkpoint, weights=np.zeros_like(bench.start), **three)
        assert equal(resumed.weights, whole.weights)
        assert resumed.metrics == whole.metrics
        assert resumed.client_state is not None
        assert resumed.client_state.counters == whole.client_state.counters
        for name in ("exp_avg", "exp_avg_sq"):
            assert equal(resumed.client_state.arrays[name], whole.client_state.arrays[name])


def test_a_kept_client_that_is_cut_in_its_second_round(bench: Bench) -> None:
    first, _ = bench.train(horizon_epochs=4, keep_state=True)
    second = {"horizon_epochs": 4, "keep_state": True, "seed": 12, "weights": first.weights}
    whole, events = bench.train(first.client_state, checkpoint_every_s=0.0, **second)
    fresh, _ = bench.train(**second)
    assert not equal(fresh.weights, whole.weights)
    middle = [event.state for event in events if isinstance(event, ResumeState)][2]
    resumed, _ = bench.train(first.client_state, middle, **second)
    assert equal(resumed.weights, whole.weights)
    assert resumed.client_state is not None
    assert resumed.client_state.counters == {"past_steps": 12}


def test_state_is_whole_and_does_not_know_its_shards(make_bench) -> None:
    """What one way to train left in mid-stage another one goes on with."""
    bench = make_bench(dropout=0.0)
    whole, events = bench.train(kind=TORCH, checkpoint_every_s=0.0)
    middle = [event.state for event in events if isinstance(event, ResumeState)][2]
    resumed, _ = bench.train(None, middle)
    assert distance(resumed.weights, whole.weights) < TOLERANCE
    _, events = bench.train(checkpoint_every_s=0.0)
    middle = [event.state for event in events if isinstance(event, ResumeState)][2]
    resumed, _ = bench.train(None, middle, kind=TORCH)
    assert distance(resumed.weights, whole.weights) < TOLERANCE
    assert all(array.shape == bench.start.shape for array in middle.arrays.values())


@pytest.mark.parametrize(
    ("kind", "optimizer"),
    [
        pytest.param(kind, optimizer, id=f"{optimizer}-{kind}", marks=[pytest.mark.stress] if kind.ranks > 1 else [])
        for optimizer, kinds in {
            "adafactor": [TORCH, Kind("torch", ranks=2), Kind("deepspeed")],
            "yogi": [TORCH, Kind("deepspeed", 2), Kind("deepspeed", 1, 2), Kind("deepspeed", 3, 2)],
        }.items()
        for kind in kinds
    ],
    indirect=["kind"],
)
def test_other_optimizers(make_bench, optimizer: str) -> None:
    """Fifty steps in two rounds whose state is kept, the second of which is cut and goes on to the same bits."""
    bench = make_bench(dropout=0.0)
    given = {"optimizer": optimizer, "horizon_epochs": 17, "keep_state": True}

    def rounds(kind: Kind | None = None) -> tuple[TrainState | None, Update, list[Any]]:
        first, _ = bench.train(kind=kind, epochs=9, **given)
        assert first.client_state is not None
        seconds = {"epochs": 8, "seed": 12, "weights": first.weights, "checkpoint_every_s": 0.0}
        return first.client_state, *bench.train(first.client_state, kind=kind, **seconds, **given)

    _, expected, _ = rounds(TORCH)
    kept, update, events = rounds()
    assert expected.metrics["steps"] == 24
    assert distance(update.weights, expected.weights) < TOLERANCE
    assert distance(expected.weights, bench.start) > 1000 * TOLERANCE
    middle = [event.state for event in events if isinstance(event, ResumeState)][10]
    resumed, _ = bench.train(kept, middle, epochs=8, seed=12, weights=np.zeros_like(bench.start), **given)
    assert equal(resumed.weights, update.weights)
    assert expected.client_state is not None
    assert update.client_state is not None
    assert resumed.client_state is not None
    assert resumed.client_state.counters == update.client_state.counters == {"past_steps": 51}
    assert resumed.client_state.arrays.keys() == expected.client_state.arrays.keys()
    for name, array in resumed.client_state.arrays.items():
        assert equal(array, update.client_state.arrays[name])
        assert distance(array, expected.client_state.arrays[name]) < TOLERANCE


def test_snapshots_are_the_weights_after_each_epoch(bench: Bench) -> None:
    plain, _ = bench.train(epochs=2, horizon_epochs=3)
    update, events = bench.train(epochs=3, horizon_epochs=3, checkpoint_epochs=True)
    epoch_checkpoints = [event for event in events if isinstance(event, EpochCheckpoint)]
    assert [epoch_checkpoint.epoch for epoch_checkpoint in epoch_checkpoints] == [1, 2, 3]
    assert equal(epoch_checkpoints[1].weights, plain.weights)
    assert equal(epoch_checkpoints[2].weights, update.weights)


def test_state_leaves_only_where_it_is_kept(bench: Bench) -> None:
    assert bench.train(keep_state=False)[0].client_state is None


def test_a_loss_that_is_not_finite_names_the_stage_and_leaves_nothing_behind(bench: Bench) -> None:
    expected, _ = bench.train()
    with pytest.raises(RunError, match=r"^fedavg, round 3: google: loss .* at step \d+ are not finite"):
        bench.train(learning_rate=1e30, label="fedavg, round 3: google")
    again, _ = bench.train()
    assert equal(again.weights, expected.weights)


def test_inputs_are_left_alone(bench: Bench) -> None:
    rows, start = bench.sequences.copy(), bench.start.copy()
    start.flags.writeable = False
    bench.train(weights=start)
    assert np.array_equal(rows, bench.sequences)
    assert equal(start, bench.start)


def test_bf16_and_activation_checkpointing_compute_what_they_should(make_bench) -> None:
    """Autocast moves the weights a little; computing activations twice, dropout and all, does not move them at all."""
    bench = make_bench()
    plain, _ = bench.train()
    again, _ = bench.train(checkpoint_activations=True)
    assert equal(again.weights, plain.weights)
    bf16, _ = bench.train(precision="bf16")
    assert 1e-6 < distance(bf16.weights, plain.weights) < 0.05
