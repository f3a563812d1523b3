import pytest

from raysim.core.errors import InputError
from raysim.simulation.loop import strategy_runs
from raysim.simulation.registry import resolve


def test_a_setting_runs_in_each_of_its_variants(make_context) -> None:
    context = make_context({"a": 1, "b": 2})
    runs = strategy_runs(resolve({"incremental": {"label": "orders"}}, "s"), context)
    assert [run.strategy.order for run in runs] == ["a > b", "b > a"]
    assert {run.label for run in runs} == {"orders"}
    assert all(run.context is context for run in runs)


def test_a_run_is_named_by_its_order_where_there_are_several(make_context) -> None:
    context = make_context({"a": 1, "b": 2})
    names = [
        run.name for entry in ("single", "centralized", "fedavg") for run in strategy_runs(resolve(entry, "s"), context)
    ]
    assert names == ["single a", "single b", "centralized", "fedavg"]


def test_two_runs_of_one_setting_are_two(make_context) -> None:
    context, config = make_context({"a": 1, "b": 2}), resolve("centralized", "s")
    (one,), (other,) = strategy_runs(config, context), strategy_runs(config, context)
    assert one != other


def test_settings_that_do_not_fit_are_refused(make_context) -> None:
    with pytest.raises(InputError, match="strategies: fedavg: clients: 3 a round"):
        strategy_runs(resolve({"fedavg": {"clients": 3}}, "s"), make_context({"a": 1, "b": 2}))
