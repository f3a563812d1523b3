"""Finds strategies through the entry-point group ``raysim.strategies``, so that other packages can add theirs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

from raysim.core.errors import InputError
from raysim.core.extensions import load_extension
from raysim.core.keys import Key, key_of
from raysim.core.settings import validate
from raysim.simulation.strategy import Family, Federation, Strategy, StrategySettings

GROUP = "raysim.strategies"

FAMILIES: tuple[Family, ...] = get_args(Family)
"""In the order in which tables and reports have them."""

_TOGETHER = tuple(family for family in FAMILIES if family != "base")
"""Those that a strategy may have."""


@dataclass(frozen=True)
class StrategyConfig:
    """One entry of an experiment's `strategies`: a setting.

    Attributes:
        label: names the setting in tables; says nothing of what it does.
        strategy_class: the strategy.
        settings: of the strategy.
    """

    label: str
    strategy_class: type[Strategy]
    settings: StrategySettings

    @cached_property
    def arm(self) -> Key:
        """Hash of the strategy and of the settings that decide what it does, whatever the label, order and seed.

        Models of one arm are replicates or variants of one treatment; those of two arms were treated differently.
        """
        strategy = f"{self.strategy_class.__module__}.{self.strategy_class.__qualname__}"
        return key_of({"kind": "arm", "version": 1, "strategy": strategy, "settings": self.settings.of_arm()})

    def variants(self, federation: Federation) -> list[Strategy]:
        """The variants of the setting.

        Raises:
            InputError: settings that do not fit the federation, with the setting's label before the message.
        """
        try:
            return list(self.strategy_class.variants(self.settings, federation))
        except InputError as error:
            raise InputError(f"strategies: {self.label}: {error}") from None


def resolve(entry: str | dict[str, Any], where: str) -> StrategyConfig:
    """The setting that an entry of the experiment's list describes.

    Raises:
        InputError: an unknown strategy, one that says no family, or settings that it does not take.
    """
    name, raw = name_and_settings(entry, where)
    found = strategy_class(name, where)
    settings = validate(found.Settings, raw, f"{where}.{name}")
    return StrategyConfig(label_of(name, raw), found, settings)


def strategy_class(name: str, where: str) -> type[Strategy]:
    """The strategy of a name.

    Raises:
        InputError: an unknown one, or one that says no family.
    """
    found: type[Strategy] = load_extension(GROUP, name, "strategy", where, Strategy)
    if (family := getattr(found, "family", None)) not in _TOGETHER:
        raise InputError(
            f"{where}: strategy {name!r} ({found.__module__}) has the family {family!r};"
            f" set `family` of its class to one of {', '.join(_TOGETHER)}"
        )
    return found


def name_and_settings(entry: Any, where: str) -> tuple[str, dict[str, Any]]:
    """The strategy's name and its settings, in an entry of the experiment's list.

    Raises:
        InputError: no such entry.
    """
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, dict) and len(entry) == 1:
        name, raw = next(iter(entry.items()))
        return name, raw or {}
    raise InputError(f"{where}: expected a strategy's name or {{name: settings}}, found {entry!r}")


def label_of(name: str, settings: Mapping[str, Any]) -> str:
    """The label of a setting: its own, or the name of its strategy."""
    return settings.get("label") or name
