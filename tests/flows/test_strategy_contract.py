"""What every strategy that is found through the entry points must keep; see test_runner for a foreign one."""

import copy
import json
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any

import numpy as np
import pytest

from raysim.simulation.registry import FAMILIES, GROUP, resolve
from raysim.simulation.strategy import ClientInfo, ClientUpdate, Federation, State, Strategy, TrainInstruction, is_over
from raysim.simulation.strategy_actor import NO_WEIGHTS

FLOWER = "flwr.serverapp.strategy"

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "single": [{}],
    "centralized": [{}],
    "incremental": [
        {},
        {"orders": [["c", "a"]], "fraction": 0.5},
        {"orders": {"sample": 3, "design": "latin"}},
        {"orders": "by_size"},
    ],
    "fedavg": [{"rounds": 1}, {"rounds": 3}, {"rounds": 4, "clients": 2}, {"leave_one_out": True}],
    "fedavgm": [{"rounds": 3}, {"rounds": 3, "momentum": 0.0, "weighting": "uniform"}],
    "fedmedian": [{"rounds": 3}, {"rounds": 2, "clients": 2}],
    "fedtrimmedavg": [{"rounds": 3, "beta": 0.4}],
    "krum": [{"rounds": 3}],
    "dp_fedavg": [
        {"rounds": 3},
        {"rounds": 9, "clients": 1, "quantile": 0.5},
        {"rounds": 2, "target_epsilon": 8.0, "leave_one_out": True},
    ],
    "dp_sgd": [{"rounds": 3}, {"rounds": 2, "batches": "shuffled", "clients": 2, "target_epsilon": 8.0}],
    "fedprox": [{"rounds": 3}, {"rounds": 3, "mu": 0.0}],
    "cyclic": [{}, {"orders": [["c", "a"]], "passes": 3}],
    "personalized": [{"rounds": 2}, {"rounds": 3, "clients": 2, "leave_one_out": False, "tune_epochs": 2}],
    "unlearned": [{}, {"organizations": ["b"], "steps": 3}],
    "scaffold": [{"rounds": 3}, {"rounds": 4, "clients": 2, "eta": 0.5}],
    "multikrum": [{"rounds": 3}, {"rounds": 3, "selected": 2, "weighting": "examples"}],
    **{
        name: [{"rounds": 3}, {"rounds": 3, "variant": "flower", "clients": 2}]
        for name in ("fedadam", "fedyogi", "fedadagrad")
    },
    "flower": [
        {},
        {"rounds": 3, "strategy": f"{FLOWER}.Krum", "arguments": {"fraction_train": 0.7}},
        {"rounds": 4, "strategy": f"{FLOWER}.FedAvgM", "arguments": {"server_momentum": 0.5}, "clients": 2},
        {
            "rounds": 2,
            "strategy": f"{FLOWER}.DifferentialPrivacyServerSideFixedClipping",
            "arguments": {
                "strategy": {"strategy": f"{FLOWER}.FedAdam"},
                **{"noise_multiplier": 0.1, "clipping_norm": 1.0, "num_sampled_clients": 3},
            },
        },
    ],
}
"""Settings worth trying; a strategy that is not listed is tried with its defaults."""

SEQUENCES = {"a": 1, "b": 2, "c": 5}
START = np.array([0.0, 1.0, -2.0], np.float32)


def cases() -> Iterator[Any]:
    for name in sorted(point.name for point in entry_points(group=GROUP)):
        for settings in SETTINGS.get(name, [{}]):
            for client_state in ("reset", "keep"):
                clients = tuple(ClientInfo(n, c, 64 * c, 1.0, 0.0) for n, c in SEQUENCES.items())
                federation = Federation(clients, 4, client_state)
                config = resolve({name: settings}, "test")
                yield pytest.param(
                    config.strategy_class, config.settings, federation, id=f"{name} {settings or ''} {client_state}"
                )


every_strategy = pytest.mark.parametrize(("strategy_class", "settings", "federation"), list(cases()))


def walk(
    strategy: Strategy, weights: np.ndarray
) -> Iterator[tuple[State, Sequence[TrainInstruction], list[ClientUpdate], State]]:
    """Plays `strategy` to its end; clients move each weight by a number that depends on round and client."""
    state = strategy.init("initial", weights if strategy.aggregates else NO_WEIGHTS)
    for number in range(1, 100):
        instructions = strategy.plan(state)
        if is_over(strategy, state, instructions):
            return
        results = []
        for i, instruction in enumerate(instructions):
            base = state.tensors["weights"] if strategy.aggregates else NO_WEIGHTS
            count = sum(SEQUENCES[name] for name in instruction.organizations)
            trained, metrics = base + np.float32(number + i), {"learning_rate_sum": 0.5}
            results.append(ClientUpdate(instruction, f"stage {number}.{i}", count, trained, metrics))
        after = strategy.apply(state, results, f"model {number}")
        yield state, instructions, results, after
        state = after
    raise AssertionError("a strategy ends")


def same(one: State, other: State) -> bool:
    if one.control() != other.control() or one.tensors.keys() != other.tensors.keys():
        return False
    return all(np.array_equal(one.tensors[name], other.tensors[name]) for name in one.tensors)


def attributes(strategy: Any) -> dict[str, Any]:
    """All attributes of a strategy but those that are computed once, from the others."""
    once = {
        name for owner in type(strategy).__mro__ for name, v in vars(owner).items() if isinstance(v, cached_property)
    }
    return {name: value for name, value in vars(strategy).items() if name not in once}


@every_strategy
def test_every_method_is_pure(strategy_class, settings, federation: Federation) -> None:
    for strategy in strategy_class.variants(settings, federation):
        before = copy.deepcopy(attributes(strategy))
        start = START.copy()
        assert same(strategy.init("m", start), strategy.init("m", start))
        for state, instructions, results, after in walk(strategy, start):
            kept_state, kept_results = copy.deepcopy(state), copy.deepcopy(results)
            assert list(strategy.plan(state)) == list(instructions)
            assert list(strategy.checkpoints(state)) == list(strategy.checkpoints(state))
            assert same(strategy.apply(state, results, after.model), after)
            assert same(state, kept_state)
            assert [(r.key, r.weights.tolist()) for r in results] == [(r.key, r.weights.tolist()) for r in kept_results]
        assert attributes(strategy) == before
        assert np.array_equal(start, START)


@every_strategy
def test_read_only_buffers_are_enough(strategy_class, settings, federation: Federation) -> None:
    for strategy in strategy_class.variants(settings, federation):
        for state, _, results, after in walk(strategy, START):
            frozen = {name: tensor.copy() for name, tensor in state.tensors.items()}
            weights = [r.weights.copy() for r in results]
            for array in [*frozen.values(), *weights]:
                array.flags.writeable = False
            given = [replace(r, weights=w) for r, w in zip(results, weights, strict=True)]
            assert same(strategy.apply(state.with_tensors(frozen), given, after.model), after)


@every_strategy
def test_empty_buffers_give_the_same_plan(strategy_class, settings, federation: Federation) -> None:
    """The planner relies on it: what is trained next never depends on weights."""
    for strategy in strategy_class.variants(settings, federation):
        full, empty = walk(strategy, START), walk(strategy, NO_WEIGHTS)
        for (_, planned, _, after), (_, planned_empty, _, after_empty) in zip(full, empty, strict=True):
            assert list(planned) == list(planned_empty)
            assert after.control() == after_empty.control()


@every_strategy
def test_exactly_one_final_milestone_and_it_is_the_last(strategy_class, settings, federation: Federation) -> None:
    for strategy in strategy_class.variants(settings, federation):
        states = [strategy.init("initial", START), *(after for *_, after in walk(strategy, START))]
        checkpoints = [m for state in states for m in strategy.checkpoints(state)]
        assert [m.final for m in checkpoints] == [False] * (len(checkpoints) - 1) + [True]
        assert checkpoints[-1].model == states[-1].model
        assert (checkpoints[0].model, checkpoints[0].moment, checkpoints[0].index) == ("initial", "initial", 0)
        assert len({m.model for m in checkpoints}) == len(checkpoints)


@every_strategy
def test_control_round_trips_through_json(strategy_class, settings, federation: Federation) -> None:
    """A run resumes from the control that an aggregation left in the store."""
    for strategy in strategy_class.variants(settings, federation):
        for *_, after in walk(strategy, START):
            again = State(**json.loads(json.dumps(after.control())))
            assert list(strategy.plan(again)) == list(strategy.plan(after))
            assert list(strategy.checkpoints(again)) == list(strategy.checkpoints(after))


@every_strategy
def test_a_pickled_strategy_plays_alike(strategy_class, settings, federation: Federation) -> None:
    for strategy in strategy_class.variants(settings, federation):
        copied = pickle.loads(pickle.dumps(strategy))
        ends = [[after for *_, after in walk(s, START)] for s in (strategy, copied)]
        assert all(same(one, other) for one, other in zip(*ends, strict=True))


@every_strategy
def test_recipes_are_json_and_aggregators_have_a_version(strategy_class, settings, federation: Federation) -> None:
    for strategy in strategy_class.variants(settings, federation):
        recipe = strategy.recipe()
        assert json.loads(json.dumps(recipe)) == recipe
        assert "version" in recipe or not strategy.aggregates


@every_strategy
def test_variants_have_orders_of_their_own(strategy_class, settings, federation: Federation) -> None:
    orders = [strategy.order for strategy in strategy_class.variants(settings, federation)]
    assert len(set(orders)) == len(orders) > 0


@every_strategy
def test_assignments_name_members_and_fit_their_horizon(strategy_class, settings, federation: Federation) -> None:
    for strategy in strategy_class.variants(settings, federation):
        for state, instructions, *_ in walk(strategy, START):
            for instruction in instructions:
                assert instruction.organizations
                assert set(instruction.organizations) <= set(federation.names)
                assert 1 <= instruction.epochs <= instruction.horizon_epochs
                assert instruction.model == state.model
                assert instruction.client_state is None or instruction.keep_state


@every_strategy
def test_every_variant_says_its_family_members_and_fraction(strategy_class, settings, federation: Federation) -> None:
    """`members` are whoever trains, in the order in which they are introduced; drawn clients may be fewer."""
    for strategy in strategy_class.variants(settings, federation):
        assert strategy_class.family in FAMILIES
        instructions = [i for _, planned, *_ in walk(strategy, START) for i in planned]
        if strategy.family == "given":  # nobody trains: all are taken for trained on
            assert (instructions, strategy.members) == ([], federation.names)
            continue
        introduced = list(dict.fromkeys(name for i in instructions for name in i.organizations))
        if strategy.family in ("federated", "personalized"):
            assert set(introduced) <= set(strategy.members)
            assert list(strategy.members) == [name for name in federation.names if name in strategy.members]
        else:
            assert list(strategy.members) == introduced
        assert {i.fraction for i in instructions} == {strategy.fraction}
        assert (strategy.family == "single") == (len(strategy.members) == 1)
        moments = {m.moment for state, *_ in walk(strategy, START) for m in strategy.checkpoints(state)}
        assert ("round" in moments) <= (strategy.family == "federated")
