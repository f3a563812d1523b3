import asyncio
import itertools
import math

import pytest

from raysim.core.errors import InputError
from raysim.core.keys import Key
from raysim.simulation.loop import StrategyRun
from raysim.simulation.planner import Plan, plan


def plan_of(strategy_runs: list[StrategyRun]) -> Plan:
    return asyncio.run(plan(strategy_runs))


def sequences(count: int) -> dict[str, int]:
    return {f"o{i}": 10 * (i + 1) for i in range(count)}


@pytest.mark.parametrize(("count", "unique", "naive"), [(1, 1, 1), (2, 4, 4), (3, 15, 18), (4, 64, 96), (5, 325, 600)])
def test_all_orders_cost_a_tree(make_context, strategy_runs_of, count: int, unique: int, naive: int) -> None:
    names = sequences(count)
    planned = plan_of(strategy_runs_of(make_context(names), [{"incremental": {"orders": "all"}}]))
    assert planned.summary(lambda _: False) == {"incremental": {"naive": naive, "unique": unique, "cached": 0}}
    prefixes = {order[:k] for order in itertools.permutations(names) for k in range(1, count + 1)}
    assert len(prefixes) == unique
    assert math.factorial(count) * count == naive


@pytest.mark.parametrize("design", ["random", "latin"])
def test_a_sample_of_orders_is_a_part_of_the_tree(make_context, strategy_runs_of, design: str) -> None:
    context = make_context(sequences(5))
    entry = {"incremental": {"orders": {"sample": 20, "design": design}}}
    sampled, whole = (plan_of(strategy_runs_of(context, [entries])) for entries in (entry, "incremental"))
    assert len(sampled.unique_stages()) < len(sampled.stages) == 100
    assert sampled.unique_stages().keys() < whole.unique_stages().keys()


def test_a_stage_is_its_prefix(make_context, strategy_runs_of) -> None:
    """The key of a stage is one to one with the organizations trained so far, in their order."""
    names = sequences(4)
    planned = plan_of(strategy_runs_of(make_context(names), ["incremental"]))
    keys: dict[tuple[str, ...], set[Key]] = {}
    for stage in planned.stages:
        order = tuple(stage.strategy_run.strategy.order.split(" > "))
        keys.setdefault(order[: stage.round + 1], set()).add(stage.key)
    assert all(len(found) == 1 for found in keys.values())
    assert len({key for found in keys.values() for key in found}) == len(keys) == 64


def test_listed_orders_share_prefixes(make_context, strategy_runs_of) -> None:
    orders = [["o0", "o1", "o2"], ["o0", "o1"], ["o0", "o2"], ["o2"]]
    planned = plan_of(strategy_runs_of(make_context(sequences(3)), [{"incremental": {"orders": orders}}]))
    prefixes = {tuple(order[:k]) for order in orders for k in range(1, len(order) + 1)}
    assert planned.summary(lambda _: False)["incremental"] == {"naive": 8, "unique": len(prefixes), "cached": 0}


def test_single_is_in_the_tree(make_context, strategy_runs_of) -> None:
    planned = plan_of(strategy_runs_of(make_context(sequences(3)), ["single", "incremental"]))
    single = {s.key for s in planned.stages if s.strategy_run.label == "single"}
    assert len(single) == 3
    assert single < {s.key for s in planned.stages if s.strategy_run.label == "incremental"}
    assert len(planned.unique_stages()) == 15


def test_federated_rounds_share_a_beginning(make_context, strategy_runs_of) -> None:
    """With fresh optimizers, and given local epochs, five rounds are the first five of ten."""
    entries = [{"fedavg": {"rounds": r, "local_epochs": 1, "label": f"{r} rounds"}} for r in (5, 10)]
    planned = plan_of(strategy_runs_of(make_context(sequences(3)), entries))
    assert planned.summary(lambda _: False) == {
        "5 rounds": {"naive": 15, "unique": 15, "cached": 0},
        "10 rounds": {"naive": 30, "unique": 30, "cached": 0},
    }
    assert len(planned.unique_stages()) == 30
    assert (len(planned.aggregations), len(set(planned.aggregations))) == (15, 10)


def test_kept_optimizers_make_rounds_their_own(make_context, strategy_runs_of) -> None:
    """A kept schedule has the horizon of all rounds, so that its stages are others from the first."""
    entries = [{"fedavg": {"rounds": r, "local_epochs": 1, "label": f"{r} rounds"}} for r in (5, 10)]
    planned = plan_of(strategy_runs_of(make_context(sequences(3), client_state="keep"), entries))
    assert len(planned.unique_stages()) == 45


def test_server_optimizers_share_the_first_round(make_context, strategy_runs_of) -> None:
    planned = plan_of(strategy_runs_of(make_context(sequences(3)), [{n: {"rounds": 2}} for n in ("fedavg", "fedyogi")]))
    assert len(planned.unique_stages()) == 3 + 3 + 3
    assert len(set(planned.aggregations)) == 4


def test_seeds_share_nothing(make_context, strategy_runs_of) -> None:
    entries = ["incremental", {"fedavg": {"rounds": 2}}]
    one, two = (plan_of(strategy_runs_of(make_context(sequences(3), seed=s), entries)) for s in (1, 2))
    assert not one.unique_stages().keys() & two.unique_stages().keys()
    assert not set(one.aggregations) & set(two.aggregations)


def test_cached_counts_what_the_store_has(make_context, strategy_runs_of) -> None:
    planned = plan_of(strategy_runs_of(make_context(sequences(3)), ["single", "incremental"]))
    stored = {s.key for s in planned.stages if s.strategy_run.label == "single"}
    assert planned.summary(stored.__contains__) == {
        "single": {"naive": 3, "unique": 3, "cached": 3},
        "incremental": {"naive": 18, "unique": 15, "cached": 3},
    }


def test_the_longest_path_first_and_within_it_the_deepest(make_context, strategy_runs_of) -> None:
    """10, 20 and 30 sequences of 64 tokens, 4 epochs each; a round later is nearer to the end."""
    context = make_context(sequences(3))
    (whole,) = strategy_runs_of(context, [{"incremental": {"orders": [["o0", "o2", "o1"]]}}])
    (part,) = strategy_runs_of(context, [{"incremental": {"orders": [["o0", "o2"]]}}])
    longest, shorter = (10 + 30 + 20) * 64 * 4, (10 + 30) * 64 * 4
    assert plan_of([whole, part]).urgency() == {
        (whole, 0): longest,
        (whole, 1): longest + 1 / 3,
        (whole, 2): longest + 2 / 3,
        (part, 0): shorter,
        (part, 1): shorter + 1 / 2,
    }


def test_a_round_is_as_long_as_its_longest_client(make_context, strategy_runs_of) -> None:
    (strategy_run,) = strategy_runs_of(make_context(sequences(3)), [{"fedavg": {"rounds": 2}}])
    length = 2 * 30 * 64 * 2
    assert plan_of([strategy_run]).urgency() == {(strategy_run, 0): length, (strategy_run, 1): length + 1 / 2}


def test_models_of_a_federation(make_context, strategy_runs_of) -> None:
    planned = plan_of(strategy_runs_of(make_context(sequences(2)), [{"fedavg": {"rounds": 2}}]))
    models = [(m.checkpoint.moment, m.checkpoint.index, m.checkpoint.final) for m in planned.models]
    assert models == [("initial", 0, False), ("round", 1, False), ("round", 2, True)]
    assert [m.checkpoint.model for m in planned.models][1:] == planned.aggregations


def test_uploads_of_a_federation(make_context, strategy_runs_of) -> None:
    """What each client trains is what the server receives; a setting that does not aggregate receives nothing."""
    planned = plan_of(
        strategy_runs_of(make_context(sequences(2)), ["centralized", "single", {"fedavg": {"rounds": 2}}])
    )
    stages = [stage for stage in planned.stages if stage.strategy_run.label == "fedavg"]
    sent = [m.checkpoint for m in planned.uploads]
    assert [(one.model, one.last) for one in sent] == [(s.key, s.instruction.organizations[0]) for s in stages]
    assert [(one.moment, one.index, one.final) for one in sent] == [("upload", n, n == 2) for n in (1, 1, 2, 2)]
    assert [one.average for one in sent] == [key for key in planned.aggregations for _ in range(2)]
    assert not planned.reported & {one.model for one in sent}


def test_a_strategy_that_trains_at_others_than_its_members_is_refused(make_context, strategy_runs_of) -> None:
    (strategy_run,) = strategy_runs_of(make_context(sequences(2)), ["centralized"])
    strategy_run.strategy.members = ("o0",)
    with pytest.raises(InputError, match=r"strategies: centralized: trains at o1, whom its `members` do not name: o0"):
        plan_of([strategy_run])


def test_rounds_end_where_losses_that_are_known_say_so(make_context, strategy_runs_of) -> None:
    early = {"patience": 1, "every": 2, "keep": "best"}
    runs = strategy_runs_of(make_context(sequences(3)), [{"fedavg": {"rounds": 9, "early_stop": early}}])
    whole = plan_of(runs)
    rounds = [model.checkpoint for model in whole.models]
    assert [model.checkpoint.index for model in whole.validations] == [2, 4, 6, 8, 9]
    assert whole.bounds == [
        "strategies: fedavg: at most 9 rounds, and all of them count in what is planned here; early_stop may end them"
        " from round 4 on"
    ]
    losses = {rounds[2].model: 2.0, rounds[4].model: 1.0, rounds[6].model: 1.5}

    def known(planned: dict[Key, float]) -> Plan:
        return asyncio.run(plan(runs, lambda _, model: planned.get(model)))

    ended = known(losses)
    assert [(m.checkpoint.index, m.checkpoint.final) for m in ended.models] == [
        *((index, False) for index in range(7)),
        (4, True),
    ]
    assert (len(ended.stages), ended.bounds) == (6 * 3, [])
    assert ended.leaves == {rounds[4].model}
    partly = known({rounds[2].model: 2.0, rounds[6].model: 9.0})
    assert len(partly.stages) == 9 * 3
