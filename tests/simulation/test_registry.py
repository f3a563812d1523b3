from importlib.metadata import entry_points

import pytest
from raysim.strategies.fedavg import FedAvg, FedAvgSettings
from raysim.strategies.single import Single

from raysim.core.errors import InputError
from raysim.simulation.registry import GROUP, resolve


def test_the_strategies_of_the_project_are_found() -> None:
    names = {point.name for point in entry_points(group=GROUP)}
    assert names >= {"single", "centralized", "incremental", "fedavg", "fedadam", "fedyogi", "fedadagrad"}


def test_a_name_alone_takes_the_defaults() -> None:
    label, strategy_class, settings = resolve("single", "strategies[0]")
    assert (label, strategy_class, settings.label) == ("single", Single, None)
    assert resolve({"fedavg": None}, "s") == ("fedavg", FedAvg, FedAvgSettings())


def test_settings_and_label() -> None:
    label, _, settings = resolve({"fedavg": {"rounds": 3, "label": "short"}}, "s")
    assert (label, settings) == ("short", FedAvgSettings(rounds=3, label="short"))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("fedsgd", "unknown strategy 'fedsgd'; known: centralized, fedadagrad,"),
        ({"fedavg": {"round": 3}}, r"strategies\[1\]\.fedavg: round: unknown key; known here: .*rounds"),
        ({"fedavg": {"rounds": 0}}, r"strategies\[1\]\.fedavg: rounds: .*given: 0"),
        ({"fedavg": {}, "single": {}}, "expected a strategy's name or"),
        (3, "expected a strategy's name or"),
    ],
)
def test_bad_entries(entry, message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve(entry, "strategies[1]")
