import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from raysim.strategies.fedavg import FedAvg, FedAvgSettings
from raysim.strategies.sequential import SequentialSettings
from raysim.strategies.single import Single

from raysim.core.errors import InputError
from raysim.simulation.registry import GROUP, StrategyConfig, resolve
from raysim.simulation.strategy import ClientInfo, Federation


def test_the_strategies_of_the_project_are_found() -> None:
    names = {point.name for point in entry_points(group=GROUP)}
    assert names >= {"single", "centralized", "incremental", "fedavg", "fedadam", "fedyogi", "fedadagrad"}


def test_a_name_alone_takes_the_defaults() -> None:
    assert resolve("single", "strategies[0]") == StrategyConfig("single", Single, SequentialSettings())
    assert resolve({"fedavg": None}, "s") == StrategyConfig("fedavg", FedAvg, FedAvgSettings())


def test_settings_and_label() -> None:
    config = resolve({"fedavg": {"rounds": 3, "label": "short"}}, "s")
    assert (config.label, config.settings) == ("short", FedAvgSettings(rounds=3, label="short"))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("fedsgd", "unknown strategy 'fedsgd'; known: centralized, cyclic, dp_fedavg, dp_sgd, fedadagrad,"),
        ({"fedavg": {"round": 3}}, r"strategies\[1\]\.fedavg: round: unknown key; known here: .*rounds"),
        ({"fedavg": {"rounds": 0}}, r"strategies\[1\]\.fedavg: rounds: .*given: 0"),
        ({"fedavg": {}, "single": {}}, "expected a strategy's name or"),
        (3, "expected a strategy's name or"),
    ],
)
def test_bad_entries(entry, message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve(entry, "strategies[1]")


@pytest.mark.parametrize("code", ["family = None", "family = 'swarm'"])
def test_a_strategy_without_a_family_is_refused(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a package outside, by its entry point."""
    source = f"from raysim.strategies.single import Single\nclass Odd(Single):\n    {code}\n"
    (tmp_path / "odd_strategy.py").write_text(source)
    metadata = tmp_path / "odd_strategy-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-strategy\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\nodd = odd_strategy:Odd\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "odd_strategy", raising=False)
    message = r"strategies\[0\]: strategy 'odd' \(odd_strategy\) has the family .*; set `family` of its class"
    with pytest.raises(InputError, match=message):
        resolve("odd", "strategies[0]")


def arm(entry) -> str:
    return resolve(entry, "s").arm


def test_an_arm_is_the_strategy_and_its_settings_and_never_the_label() -> None:
    assert arm("fedavg") == arm({"fedavg": {"label": "anything", "rounds": 10}})
    assert arm({"single": {"fraction": 0.5}}) == arm({"single": {"label": "half", "fraction": 0.5}})
    different = [
        "single",
        {"single": {"fraction": 0.5}},
        "centralized",
        "incremental",
        {"incremental": {"fraction": 0.5}},
        "fedavg",
        {"fedavg": {"rounds": 3}},
        {"fedavg": {"clients": 2}},
        "fedyogi",
        {"fedyogi": {"tau": 0.1}},
        "fedadam",
    ]
    assert len({arm(entry) for entry in different}) == len(different)


def test_two_strategies_with_equal_settings_are_two_arms() -> None:
    one, other = resolve("fedadam", "s"), resolve("fedyogi", "s")
    assert one.settings == other.settings
    assert one.arm != other.arm


def test_which_variants_are_run_does_not_make_an_arm() -> None:
    assert arm("incremental") == arm({"incremental": {"orders": [["b", "a"]]}})
    assert arm({"fedavg": {"leave_one_out": True}}) == arm("fedavg")


def test_settings_that_do_not_fit_are_reported_with_the_label() -> None:
    federation = Federation((ClientInfo("a", 1, 64, 1.0, 0.0),), 1, "reset")
    config = resolve({"fedavg": {"label": "crowd", "clients": 9}}, "s")
    with pytest.raises(InputError, match="strategies: crowd: clients: 9 a round"):
        config.variants(federation)
