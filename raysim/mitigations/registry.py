"""Finds mitigations through the entry-point group ``raysim.mitigations``, so that other packages can add theirs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raysim.core.errors import InputError
from raysim.core.extensions import installed, load_extension
from raysim.core.settings import apply_overrides, validate
from raysim.mitigations.base import Mitigation, MitigationSettings, Tree

GROUP = "raysim.mitigations"

BASELINE = "none"
"""Names the experiment as it is, with which all others are compared."""


@dataclass(frozen=True)
class Mitigated:
    """One entry of an experiment's `mitigations`, resolved.

    Attributes:
        label: names it in tables.
        overrides: paths and values that it changes, as JSON.
    """

    label: str
    overrides: dict[str, str]


def resolve(entries: Sequence[Any], experiment: Tree, where: str) -> list[Mitigated]:
    """The mitigations that an experiment names, each on the experiment as it is.

    An entry with several names is all of these together, one after the other.

    Args:
        entries: names, or mappings from a name to settings.
        experiment: with defaults filled in.
        where: the setting that holds them, for messages.

    Raises:
        InputError: an unknown one, settings that it does not take, one that can do nothing here, or a label twice.
    """
    found: list[Mitigated] = []
    for number, entry in enumerate(entries):
        one = _resolve(entry, experiment, f"{where}[{number}]")
        if one.label == BASELINE:
            raise InputError(f"{where}[{number}]: {BASELINE!r} names the experiment as it is; label it otherwise")
        if one.label in [other.label for other in found]:
            raise InputError(f"{where}[{number}]: {one.label!r} is there twice; give one of them a label of its own")
        found.append(one)
    return found


def summaries() -> dict[str, str]:
    """What every installed mitigation does, by name.

    Raises:
        InputError: one cannot be loaded.
    """
    return {name: _class_of(name, "raysim.mitigations").summary for name in installed(GROUP)}


def mitigation_settings() -> dict[str, type[MitigationSettings]]:
    """The settings class of every installed mitigation, by name.

    Raises:
        InputError: one cannot be loaded.
    """
    return {name: _class_of(name, "raysim.mitigations").Settings for name in installed(GROUP)}


def _resolve(entry: Any, experiment: Tree, where: str) -> Mitigated:
    if isinstance(entry, str):
        entry = {entry: None}
    if not isinstance(entry, dict) or not entry:
        raise InputError(f"{where}: expected a mitigation's name or {{name: settings}}, found {entry!r}")
    changed, overrides = dict(experiment), dict[str, str]()
    labels = list[str]()
    for name, raw in entry.items():
        mitigation = _class_of(name, where)
        settings = validate(mitigation.Settings, raw or {}, f"{where}.{name}")
        try:
            own = {path: json.dumps(value) for path, value in mitigation(settings).overrides(changed).items()}
        except ValueError as error:
            raise InputError(f"{where}: {name}: {error}") from None
        changed = apply_overrides(changed, [f"{path}={value}" for path, value in own.items()])
        overrides |= own
        labels.append(settings.label or name)
    return Mitigated("+".join(labels), overrides)


def _class_of(name: str, where: str) -> type[Mitigation[Any]]:
    return load_extension(GROUP, name, "mitigation", where, Mitigation)
