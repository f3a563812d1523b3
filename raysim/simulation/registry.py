"""Finds strategies through the entry-point group ``raysim.strategies``, so that other packages can add theirs."""

from typing import Any

from raysim.core.errors import InputError
from raysim.core.extensions import load_extension
from raysim.core.settings import validate
from raysim.simulation.strategy import Federation, Strategy, StrategySettings

GROUP = "raysim.strategies"


def resolve(entry: str | dict[str, Any], where: str) -> tuple[str, type[Strategy], StrategySettings]:
    """From an entry of the experiment's list to (label, class, settings).

    Raises:
        InputError: an unknown strategy, or settings that it does not take.
    """
    if isinstance(entry, str):
        name, raw = entry, {}
    elif isinstance(entry, dict) and len(entry) == 1:
        name, raw = next(iter(entry.items()))
    else:
        raise InputError(f"{where}: expected a strategy's name or {{name: settings}}, found {entry!r}")
    strategy_class: type[Strategy] = load_extension(GROUP, name, "strategy", where)
    settings = validate(strategy_class.Settings, raw or {}, f"{where}.{name}")
    return settings.label or name, strategy_class, settings


def variants(
    label: str, strategy_class: type[Strategy], settings: StrategySettings, federation: Federation
) -> list[Strategy]:
    """The strategies that a setting asks for: one for each order or federation that it runs.

    Raises:
        InputError: settings that do not fit the federation, with the setting's label before the message.
    """
    try:
        return list(strategy_class.variants(settings, federation))
    except InputError as error:
        raise InputError(f"strategies: {label}: {error}") from None
