"""Whoever the strategies are, each of their settings changes the plan."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from settings_fields import AVAILABILITY, CONSOLIDATION, ORDERS, STRATEGIES, UPLOADS, others

from raysim.core.errors import InputError
from raysim.core.keys import Key
from raysim.core.settings import validate
from raysim.simulation.loop import strategy_runs
from raysim.simulation.planner import plan
from raysim.simulation.registry import StrategyConfig
from raysim.simulation.run_context import RunContext
from raysim.training.lora import LoraSettings
from raysim.training.models import ModelSettings

pytestmark = pytest.mark.usefixtures("few_data")


STRATEGY_MUTATIONS: dict[tuple[str, str], list[Any]] = {
    ("incremental", "orders"): [[["a", "b"]]],
    ("cyclic", "orders"): [[["a", "b"]]],
    **{(name, "ewc"): [{}] for name in ("incremental", "cyclic")},
    ("unlearned", "organizations"): [["a"]],
    ("flower", "strategy"): ["flwr.serverapp.strategy.Krum"],
    **{(name, "availability"): [{"dropout": 0.6}] for name in STRATEGIES},
}

STRATEGY_BASES: dict[str | tuple[str, str], dict[str, Any]] = {
    "dp_fedavg": {"quantile": 0.5},
    ("dp_fedavg", "delta"): {"target_epsilon": 8.0},
    ("dp_sgd", "delta"): {"target_epsilon": 8.0, "batches": "shuffled"},
    "flower": {"arguments": {"min_train_nodes": 1, "min_available_nodes": 1, "fraction_evaluate": 0.5}},
}
"""Settings with which the other values of a field fit the two organizations: of a strategy, or of one of its fields."""


ROUND_MUTATIONS: dict[str, list[Any]] = {
    "compression": [{"int8": {}}],
    "secure_aggregation": [{}],
}
"""Of what every strategy with rounds can have."""

OF_NO_STRATEGY = {"label": "names the setting in tables"}


NEED_MANY = {"krum", "multikrum"}
"""Strategies with settings that two organizations are too few for."""


def with_twins(context: RunContext, times: int) -> RunContext:
    """The same with `times` further organizations like each, of other code."""
    twins = {
        f"{name}{number + 2}": dataclasses.replace(stats, train_fingerprint=f"{name}{number + 2}")
        for number in range(times)
        for name, stats in context.client_stats.items()
    }
    return dataclasses.replace(context, client_stats={**context.client_stats, **twins})


def plan_keys(context: RunContext, name: str, settings: dict[str, Any]) -> tuple[frozenset[Key], frozenset[Key]]:
    strategy_class = STRATEGIES[name]
    chosen = validate(strategy_class.Settings, settings, "test")
    found = asyncio.run(plan(strategy_runs(StrategyConfig(name, strategy_class, chosen), context)))
    return frozenset(found.unique_stages()), frozenset(found.aggregations)


REFUSED = {("dp_fedavg", "availability")}
"""Fields that all federated strategies have, and one cannot do with."""

OF_LOSSES = {"early_stop"}
"""Fields that say which of the planned rounds are trained, by losses that a plan does not have."""

STRATEGY_FIELDS = [
    (name, field)
    for name, found in STRATEGIES.items()
    for field in found.Settings.model_fields
    if (name, field) not in REFUSED and field not in OF_LOSSES
]


@pytest.mark.parametrize(("name", "field"), STRATEGY_FIELDS)
def test_a_field_of_a_strategy_changes_the_plan(name: str, field: str, context: RunContext, folder: Path) -> None:
    owner = STRATEGIES[name].Settings
    if name in NEED_MANY:
        context = with_twins(context, 2)
    if name == "scaffold":
        context = dataclasses.replace(context, trainer=context.trainer.model_copy(update={"optimizer": "sgd"}))
    if field == "adapters":
        model = ModelSettings(pretrained=str(folder / "checkpoint"), lora=LoraSettings())
        context = dataclasses.replace(context, spec=dataclasses.replace(context.spec, settings=model))
    base = {
        **({"rounds": 2} if "rounds" in owner.model_fields else {}),
        **STRATEGY_BASES.get((name, field), STRATEGY_BASES.get(name, {})),
    }
    before = plan_keys(context, name, base)
    value = getattr(owner.model_validate(base), field)
    found = []
    for other in STRATEGY_MUTATIONS.get((name, field)) or ROUND_MUTATIONS.get(field) or others(owner, field, value):
        try:
            found.append(plan_keys(context, name, {**base, field: other}))
        except InputError:
            continue
        if found[-1] != before:
            break
    assert found
    assert (found[-1] == before) == (field in OF_NO_STRATEGY)


def test_each_setting_of_orders_changes_the_plan(context: RunContext) -> None:
    """With four organizations: two have too few orders for some of them to matter."""
    four = with_twins(context, 1)
    for owner, cases in ORDERS.items():
        assert cases.keys() == owner.model_fields.keys()
        for name, pair in cases.items():
            one, other = (plan_keys(four, "incremental", {"orders": orders}) for orders in pair)
            assert one != other, name


def test_each_setting_of_consolidation_changes_the_plan(context: RunContext) -> None:
    for owner, cases in CONSOLIDATION.items():
        assert cases.keys() == owner.model_fields.keys()
        for name, pair in cases.items():
            one, other = (plan_keys(context, "incremental", {"ewc": ewc}) for ewc in pair)
            assert one != other, name


def test_each_setting_of_uploads_changes_the_plan(context: RunContext) -> None:
    """With four organizations, of which secure aggregation needs three unless it is told otherwise."""
    four = with_twins(context, 1)
    for owner, cases in UPLOADS.items():
        assert cases.keys() == owner.model_fields.keys()
        for name, pair in cases.items():
            one, other = (plan_keys(four, "fedavg", {"rounds": 2, **settings}) for settings in pair)
            assert not one[0] & other[0], name
            assert not one[1] & other[1], name


def test_each_setting_of_availability_changes_the_plan(context: RunContext) -> None:
    four = with_twins(context, 1)
    for owner, cases in AVAILABILITY.items():
        assert cases.keys() == owner.model_fields.keys()
        for name, pair in cases.items():
            found = [plan_keys(four, "fedavg", {"rounds": 8, "availability": one}) for one in pair]
            assert found[0] != found[1], name


def test_the_number_of_sequences_is_in_the_key_of_a_sum(context: RunContext) -> None:
    """It weighs a client; stages do not depend on it, as the corpus says it all."""
    a = context.client_stats["a"]
    more = dataclasses.replace(a, splits={**a.splits, "train": {**a.splits["train"], "sequences": a.sequences + 1}})
    other = dataclasses.replace(context, client_stats={**context.client_stats, "a": more})
    one_round = [plan_keys(w, "fedavg", {"rounds": 1}) for w in (context, other)]
    assert one_round[0][0] == one_round[1][0]
    assert not one_round[0][1] & one_round[1][1]
