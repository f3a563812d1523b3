"""Rounds, played with FedAvg."""

from collections import Counter
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from raysim.strategies.fedavg import FedAvg, FedAvgSettings
from raysim.strategies.fedopt import FedOptSettings, FedYogi
from scipy.stats import chisquare

from raysim.core.errors import InputError
from raysim.simulation.strategy import ClientInfo, ClientUpdate, Federation
from raysim.training.compression import CompressionSettings, TopK
from raysim.training.schedule import rate_at


def make(federation: Federation, **settings: Any) -> FedAvg:
    (strategy,) = FedAvg.variants(FedAvgSettings(**settings), federation)
    return strategy


def f32(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)


def test_two_rounds(federation: Federation, play) -> None:
    states = play(make(federation, rounds=2), [0, 0, 0], lambda _, i, w: w + f32(8, 16, -8) * (i + 1))
    # The mean of 1, 2 and 3 with weights 1, 2 and 5 is 2.5.
    assert [s.tensors["weights"].tolist() for s in states] == [[0, 0, 0], [20, 40, -20], [40, 80, -40]]
    assert [s.model for s in states] == ["initial", "model 1", "model 2"]


def test_epochs_are_shared_out_over_the_rounds(federation: Federation) -> None:
    for rounds, epochs in ((1, 10), (3, 3), (10, 1), (20, 1)):
        strategy = make(federation, rounds=rounds)
        assert {a.epochs for a in strategy.plan(strategy.init("m", f32()))} == {epochs}
    strategy = make(federation, rounds=3, local_epochs=7)
    assert {a.epochs for a in strategy.plan(strategy.init("m", f32()))} == {7}


def test_local_steps_count_as_one_epoch_of_that_length(federation: Federation) -> None:
    for client_state, horizon in (("reset", 1), ("keep", 3)):
        strategy = make(replace(federation, client_state=client_state), rounds=3, local_steps=7)
        instructions = strategy.plan(strategy.init("m", f32()))
        assert {(a.epoch_steps, a.epochs, a.horizon_epochs) for a in instructions} == {(7, 1, horizon)}
    with pytest.raises(ValueError, match="local_steps: stands in place of local_epochs; leave one"):
        FedAvgSettings(local_steps=3, local_epochs=1)
    assert FedAvgSettings(rounds=3, local_steps=7).cautions(10) == ()


def test_reset_clients_start_a_schedule_a_round(federation: Federation, play) -> None:
    strategy = make(federation, rounds=2, local_epochs=3)
    for state in play(strategy, [0], lambda _, __, w: w):
        assert state.client_states == {}
        for instruction in strategy.plan(state):
            assert (instruction.horizon_epochs, instruction.client_state, instruction.keep_state) == (3, None, False)


def test_kept_clients_go_on_with_their_own_last_stage(federation: Federation, play) -> None:
    strategy = make(replace(federation, client_state="keep"), rounds=2, local_epochs=3)
    first, second, _ = play(strategy, [0], lambda _, __, w: w)
    assert [(a.horizon_epochs, a.client_state, a.keep_state) for a in strategy.plan(first)] == [(6, None, True)] * 3
    assert second.client_states == {"a": "stage 1.0", "b": "stage 1.1", "c": "stage 1.2"}
    assert [a.client_state for a in strategy.plan(second)] == ["stage 1.0", "stage 1.1", "stage 1.2"]


def test_a_kept_client_that_is_not_drawn_keeps_its_older_state() -> None:
    federation = Federation(tuple(ClientInfo(n, 1, 64, 1.0, 0.0) for n in "abcd"), 10, "keep")
    strategy = make(federation, rounds=4, clients=2)
    state = strategy.init("initial", f32(0))
    last: dict[str, str] = {}
    for number in range(4):
        instructions = strategy.plan(state)
        names = [a.organizations[0] for a in instructions]
        assert [a.client_state for a in instructions] == [last.get(name) for name in names]
        last |= {name: f"{name} {number}" for name in names}
        results = [ClientUpdate(a, last[a.organizations[0]], 1, f32(0)) for a in instructions]
        state = strategy.apply(state, results, f"model {number}")
        assert state.client_states == last


@pytest.mark.parametrize("error_feedback", [True, False])
@pytest.mark.parametrize("client_state", ["keep", "reset"])
def test_a_residual_goes_on_where_its_organization_left_it(
    error_feedback: bool, client_state: Literal["keep", "reset"]
) -> None:
    """Also of a client that was not drawn for a while, and whether or not its optimizer goes on."""
    federation = Federation(tuple(ClientInfo(n, 1, 64, 1.0, 0.0) for n in "abcd"), 10, client_state)
    form = TopK(share=0.5, error_feedback=error_feedback)
    strategy = make(federation, rounds=5, clients=2, compression=CompressionSettings(top_k=form))
    state = strategy.init("initial", f32(0))
    last: dict[str, str] = {}
    for number in range(5):
        instructions = strategy.plan(state)
        names = [a.organizations[0] for a in instructions]
        past = [last.get(name) for name in names]
        assert [a.upload for a in instructions] == [form] * 2
        assert [a.upload_state for a in instructions] == (past if error_feedback else [None] * 2)
        assert [a.client_state for a in instructions] == (past if client_state == "keep" else [None] * 2)
        last |= {name: f"{name} {number}" for name in names}
        results = [ClientUpdate(a, last[a.organizations[0]], 1, f32(0)) for a in instructions]
        state = strategy.apply(state, results, f"model {number}")
    assert len(last) > 2


def drawn(strategy: FedAvg, model: str, finished_rounds: int = 0) -> tuple[str, ...]:
    state = replace(strategy.init(model, f32()), round=finished_rounds)
    return tuple(a.organizations[0] for a in strategy.plan(state))


def members(names: str | list[str], client_state: Literal["keep", "reset"], seed: int = 0) -> Federation:
    return Federation(tuple(ClientInfo(n, 1, 64, 1.0, 0.0) for n in names), 1, client_state, seed)


def test_clients_are_drawn_anew_for_each_round_and_seed_in_the_order_of_the_federation() -> None:
    names = [f"o{i}" for i in range(9)]
    draws = [
        drawn(make(members(names, "reset", seed), rounds=20, clients=3), "m", number)
        for seed in range(3)
        for number in range(20)
    ]
    assert all(len(set(d)) == 3 and list(d) == sorted(d) for d in draws)
    assert len(set(draws)) > 30  # of 84
    times = Counter(name for d in draws for name in d)
    assert chisquare([times[name] for name in names]).pvalue > 0.001


def test_settings_of_one_seed_draw_the_same_clients_whatever_their_models() -> None:
    federation = members("abcdef", "reset", 3)
    settings = [FedAvg(FedAvgSettings(rounds=9, clients=3), federation)]
    settings.append(FedYogi(FedOptSettings(rounds=9, clients=3, eta=0.5), federation))
    for number in range(9):
        first, second = (drawn(one, f"a model of {type(one)}", number) for one in settings)
        assert first == second


def test_a_federation_without_an_organization_draws_the_others_of_the_whole_one() -> None:
    """So that a counterfactual differs in who is left out, and in who takes that place alone."""
    whole, *parts = FedAvg.variants(FedAvgSettings(rounds=9, clients=2, leave_one_out=True), members("abcde", "reset"))
    for left, part in zip("abcde", parts, strict=True):
        for number in range(9):
            assert set(drawn(whole, "m", number)) - {left} <= set(drawn(part, "m", number))


@pytest.mark.parametrize("clients", [1, 2, 3])
def test_a_kept_schedule_ends_with_the_last_round_of_each_client(clients: int) -> None:
    """With a third of the clients a round, all rounds as horizon left the rate at four fifths of its peak."""
    strategy = make(members("abc", "keep", 1), rounds=12, clients=clients, local_epochs=2)
    trained: Counter[str] = Counter()
    horizons: dict[str, set[int]] = {}
    state = strategy.init("m", f32())
    while instructions := strategy.plan(state):
        for instruction in instructions:
            (name,) = instruction.organizations
            trained[name] += instruction.epochs
            horizons.setdefault(name, set()).add(instruction.horizon_epochs)
        results = [ClientUpdate(a, f"{a.organizations} {state.round}", 1, f32()) for a in instructions]
        state = strategy.apply(state, results, f"m{state.round}")
    assert sum(trained.values()) == 12 * clients * 2
    assert horizons == {name: {epochs} for name, epochs in trained.items()}
    assert rate_at(max(trained.values()) - 1, max(trained.values()), 1.0, 0.0, "cosine") < 0.05


def test_a_reset_schedule_spans_one_round_whoever_is_drawn() -> None:
    strategy = make(members("abc", "reset"), rounds=6, clients=1, local_epochs=2)
    assert {i.horizon_epochs for i in strategy.plan(strategy.init("m", f32()))} == {2}


def test_all_clients_without_a_draw(federation: Federation) -> None:
    assert drawn(make(federation), "m") == drawn(make(federation, clients=3), "m") == ("a", "b", "c")


def test_more_clients_than_organizations(federation: Federation) -> None:
    with pytest.raises(InputError, match="4 a round, but there are 3"):
        make(federation, clients=4)


def test_order_says_that_they_train_together(federation: Federation) -> None:
    assert make(federation).order == "a + b + c"


def test_leave_one_out_adds_every_federation_without_one(federation: Federation) -> None:
    strategies = FedAvg.variants(FedAvgSettings(leave_one_out=True), federation)
    assert [s.order for s in strategies] == ["a + b + c", "b + c", "a + c", "a + b"]
    assert [drawn(s, "m") for s in strategies] == [("a", "b", "c"), ("b", "c"), ("a", "c"), ("a", "b")]


def test_leave_one_out_needs_clients_enough(federation: Federation) -> None:
    with pytest.raises(InputError, match="3 a round, but there are 2"):
        FedAvg.variants(FedAvgSettings(leave_one_out=True, clients=3), federation)
    with pytest.raises(InputError, match="needs two organizations"):
        FedAvg.variants(FedAvgSettings(leave_one_out=True), Federation(federation.clients[:1], 1, "reset"))
