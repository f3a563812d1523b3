"""When rounds end, by losses that are made up."""

from collections.abc import Sequence
from dataclasses import replace
from math import nan

import pytest
from raysim.strategies.fedavg import FedAvgSettings

from raysim.simulation.early_stop import EarlyStop, EarlyStopSettings
from raysim.simulation.strategy import ModelCheckpoint
from raysim.simulation.strategy_actor import RoundPlan


def after_round(number: int, rounds: int) -> RoundPlan:
    over = number == rounds
    checkpoint = ModelCheckpoint(f"model {number}", "round", number, final=over)
    return RoundPlan({"model": f"model {number}", "round": number}, (), (checkpoint,), over)


def play(losses: Sequence[float], rounds: int = 9, **settings: object) -> tuple[EarlyStop, list[ModelCheckpoint]]:
    """Gives a loss to each validation in turn, to the end; the last models that are reached."""
    early = EarlyStop(EarlyStopSettings.model_validate(settings), rounds)
    remaining = iter(losses)
    for number in range(1, rounds + 1):
        planned = after_round(number, rounds)
        if early.due(number):
            planned = early.after(planned, next(remaining))
        if planned.over:
            return early, list(planned.checkpoints)
    raise AssertionError("rounds end")


def test_patience_counts_validations_since_the_best() -> None:
    early, reached = play([5, 4, 4.5, 3, 3, 3.5, 2], patience=2)
    assert [one.improved for one in early.validations] == [True, True, False, True, False, False]
    assert reached == [ModelCheckpoint("model 6", "round", 6, final=True)]
    assert (early.last, early.kept) == (6, early.validations[-1])


def test_an_improvement_is_more_than_min_delta() -> None:
    losses = [5, 4.9, 4.8, 4.7, 4.7]  # 4.8 is 0.2 below 5, 4.7 is 0.1 below 4.8
    assert play(losses, patience=2, min_delta=0.15)[0].last == 5
    assert play(losses, patience=2, min_delta=0.25)[0].last == 3


def test_the_best_model_is_reached_once_more_as_the_final_one() -> None:
    _, reached = play([5, 4, 4.5, 4.2], patience=2, keep="best")
    assert reached == [
        ModelCheckpoint("model 4", "round", 4, final=False),
        ModelCheckpoint("model 2", "round", 2, final=True),
    ]


def test_every_other_round_and_the_last_one_are_validated() -> None:
    early, reached = play([5, 6, 7], rounds=5, patience=9, every=2, keep="best")
    assert [one.round for one in early.validations] == [2, 4, 5]
    assert [(one.index, one.final) for one in reached] == [(5, False), (2, True)]
    assert early.last == 5


def test_all_rounds_where_losses_fall() -> None:
    for keep in ("last", "best"):
        early, reached = play([5, 4, 3], rounds=3, patience=1, keep=keep)
        assert reached == [ModelCheckpoint("model 3", "round", 3, final=True)]
        assert early.last == 3


def test_a_loss_that_is_no_number_is_no_improvement() -> None:
    early, reached = play([nan, nan], patience=2, keep="best")
    assert early.best is None
    assert reached == [ModelCheckpoint("model 2", "round", 2, final=True)]


def test_a_run_that_must_end_with_an_error_ends_early_first() -> None:
    early = EarlyStop(EarlyStopSettings(patience=1), 9)
    gone = replace(after_round(1, 9), over=True, ends="round 2: nobody is there")
    assert early.after(gone, 1.0) is gone
    ended = early.after(replace(gone, control={"model": "model 2", "round": 2}), 2.0)
    assert (ended.over, ended.ends) == (True, "")


def test_settings_without_an_effect_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"can end after round 4 at the earliest \(patience 3, every 1\), and there are"
    ):
        FedAvgSettings(rounds=4, early_stop=EarlyStopSettings())
    with pytest.raises(ValueError, match=r"early_stop\.every: 4 of 4 rounds validates nothing before their end"):
        FedAvgSettings(rounds=4, early_stop=EarlyStopSettings(every=4, keep="best"))
    assert FedAvgSettings(rounds=4, early_stop=EarlyStopSettings(keep="best")).early_stop
    assert FedAvgSettings(rounds=5, early_stop=EarlyStopSettings()).early_stop
