"""The loop around an engine whose losses are known by hand."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from train_requests import make_request

from raysim.core.errors import NodeLeaves, RunError
from raysim.training.departure import DEPARTURE
from raysim.training.loop import run_loop
from raysim.training.request import EpochCheckpoint, Event, Progress, ResumeState, TrainState, Update


class Counting:
    """An engine whose loss at its n-th step (from 1) is n, or what `losses` say; its one weight counts steps."""

    flop_per_token = 6

    def __init__(self, steps: int = 0, losses: dict[int, float] | None = None) -> None:
        self.steps = steps
        self.rates: list[float] = []
        self.rows: list[int] = []
        self.dropped: list[bool] = []
        self._dropping = True
        self._losses = losses or {}

    def set_dropout(self, on: bool) -> None:
        self._dropping = on

    def step(self, pieces: list[tuple[torch.Tensor, float, int]], rate: float) -> tuple[torch.Tensor, torch.Tensor]:
        self.steps += 1
        self.rates.append(rate)
        self.dropped.append(self._dropping)
        self.rows.append(sum(len(ids) for ids, _, _ in pieces))
        assert sum(share for _, share, _ in pieces) == 1
        return torch.tensor(self._losses.get(self.steps, float(self.steps))), torch.tensor(1.0)

    def weights(self) -> np.ndarray:
        return np.array([self.steps], np.float32)

    def optimizer_state(self) -> dict[str, np.ndarray]:
        return {"moment": np.array([10 * self.steps], np.float32)}

    def counters(self) -> dict[str, float]:
        return {"own": 7.0}


Run = Callable[..., list[Event]]


@pytest.fixture
def run(make_task, sequences) -> Run:
    """Ten sequences of 16 tokens in batches of 4: three steps an epoch, the last of two rows."""

    def loop(engine: Counting, client_state: TrainState | None = None, resume: TrainState | None = None, **task: Any):
        request = make_request(make_task(**task), sequences, np.zeros(1, np.float32), client_state, resume)
        return list(run_loop(engine, request))

    return loop


def of(kind: type, events: list[Event]) -> Iterator[Any]:
    return (event for event in events if isinstance(event, kind))


def test_metrics_by_hand(run: Run) -> None:
    """Losses 4, 5 and 6 in the second epoch, of 4, 4 and 2 rows: (16 + 20 + 12) / 10."""
    engine = Counting()
    (update,) = of(Update, run(engine, schedule="constant", warmup_fraction=0.0, learning_rate=0.5))
    assert update.metrics == {
        "steps": 6, "tokens": 2 * 160, "sequences": 10, "learning_rate_sum": 3.0, "first_loss": 1.0,
        "last_epoch_loss": 4.8,
    }  # fmt: skip
    assert engine.rows == [4, 4, 2, 4, 4, 2]
    assert update.weights.tolist() == [6]
    assert update.client_state is None
    assert update.speed.tokens == 320


def test_events_come_in_order(run: Run) -> None:
    events = run(Counting(), checkpoint_epochs=True, checkpoint_every_s=0.0)
    assert [(e.epoch, e.weights.tolist()) for e in of(EpochCheckpoint, events)] == [(1, [3]), (2, [6])]
    assert [int(e.state.counters["step"]) for e in of(ResumeState, events)] == [1, 2, 3, 4, 5]
    *_, progress = of(Progress, events)
    assert (progress.step, progress.steps, progress.epoch, progress.loss) == (6, 6, 2, 6.0)
    assert isinstance(events[-1], Update)


def test_a_resumed_loop_goes_on_to_the_same_metrics(run: Run) -> None:
    events = run(Counting(), checkpoint_every_s=0.0)
    (whole,) = of(Update, events)
    middle = [event.state for event in of(ResumeState, events)][3]
    assert middle.counters["own"] == 7.0
    assert middle.arrays["moment"].tolist() == [40]
    engine = Counting(steps=4)
    (resumed,) = of(Update, run(engine, resume=middle))
    assert len(engine.rates) == 2
    assert resumed.metrics == whole.metrics


def test_word_that_the_node_goes_ends_a_stage_with_the_state_to_go_on_from(
    make_task, sequences, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole,) = of(Update, run(Counting()))
    engine, events = Counting(), list[Event]()
    monkeypatch.setattr(DEPARTURE, "is_near", lambda: engine.steps >= 4)
    request = make_request(make_task(checkpoint_every_s=1e6), sequences, np.zeros(1, np.float32))
    with pytest.raises(NodeLeaves, match="step 4 of 6 is kept"):
        events.extend(run_loop(engine, request))
    last = events[-1]
    assert isinstance(last, ResumeState)
    assert last.state.counters["step"] == engine.steps == 4
    engine = Counting(steps=4)
    monkeypatch.setattr(DEPARTURE, "is_near", lambda: engine.steps >= 6)  # too late: the stage is done
    (resumed,) = of(Update, run(engine, resume=last.state))
    assert resumed.metrics == whole.metrics


def test_a_kept_schedule_goes_on_where_it_was(run: Run) -> None:
    whole, first, second = Counting(), Counting(), Counting()
    run(whole, epochs=4, horizon_epochs=4)
    (update,) = of(Update, run(first, epochs=2, horizon_epochs=4, keep_state=True))
    assert update.client_state.counters == {"past_steps": 6, "own": 7.0}
    (update,) = of(Update, run(second, update.client_state, epochs=2, horizon_epochs=4, keep_state=True))
    assert first.rates + second.rates == whole.rates
    assert update.client_state.counters["past_steps"] == 12


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_names_stage_and_step(run: Run, loss: float) -> None:
    with pytest.raises(RunError, match=rf"^the stage: loss {loss} and gradient norm 1.0 at step 5 are not finite"):
        run(Counting(losses={5: loss}))


@pytest.mark.parametrize(("epochs", "first"), [(None, 6), (0, 0), (1, 3), (2, 6)])
def test_dropout_ends_after_its_epochs(run: Run, epochs: int | None, first: int) -> None:
    engine = Counting()
    (update,) = of(Update, run(engine, dropout_epochs=epochs))
    assert engine.dropped == [True] * first + [False] * (6 - first)
    assert update.metrics.get("steps_without_dropout") == (None if epochs is None else 6 - first)


def test_dropout_stays_off_where_a_stage_goes_on(run: Run) -> None:
    counters = {"step": 4, "past_steps": 0, "learning_rate_sum": 0.0, "first_loss": 1.0, "epoch_loss": 0.0}
    engine = Counting(4)
    run(engine, resume=TrainState({"weights": np.zeros(1, np.float32)}, counters), dropout_epochs=1)
    assert engine.dropped == [False, False]
