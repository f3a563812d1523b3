"""Finds strategies through the entry-point group ``raysim.strategies``, so that other packages can add theirs."""

from importlib.metadata import entry_points
from typing import Any

from raysim.config import validate
from raysim.errors import InputError
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
    known = {point.name: point for point in entry_points(group=GROUP)}
    if name not in known:
        raise InputError(f"{where}: unknown strategy {name!r}; known: {', '.join(sorted(known)) or 'none installed'}")
    strategy_class: type[Strategy] = known[name].load()
    settings = validate(strategy_class.Settings, raw or {}, f"{where}.{name}")
    return settings.label or name, strategy_class, settings


def variants(strategy_class: type[Strategy], settings: StrategySettings, federation: Federation) -> list[Strategy]:
    """The instances of a setting."""
    return list(strategy_class.variants(settings, federation))
