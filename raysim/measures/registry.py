"""Finds measures through the entry-point group ``raysim.measures``, so that other packages can add theirs."""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from raysim.core.errors import InputError
from raysim.core.extensions import load_class
from raysim.measures.base import Measure
from raysim.tables.io import TABLES
from raysim.tables.spec import TableSpec
from raysim.tasks.kinds import TRAINING_KINDS, WorkKind

GROUP = "raysim.measures"

_BUILT_IN = ("perplexity", "baselines", "memorization", "exposure", "recital", "membership", "pass_at_k")
"""Come first, in this order; others follow by name."""


@cache
def measures() -> Mapping[str, type[Measure]]:
    """Every installed measure, by name.

    Raises:
        InputError: one cannot be imported, is no measure, or has a name that another one has.
    """
    found: dict[str, type[Measure]] = {}
    for entry in sorted(entry_points(group=GROUP), key=_place):
        measure = _load(entry)
        if measure.name in found:
            raise InputError(f"measure {measure.name!r} is installed twice: {found[measure.name]} and {measure}")
        found[measure.name] = measure
    return found


def work_kinds() -> dict[str, WorkKind]:
    """Every kind of work that a run may do, by name."""
    kinds = [*TRAINING_KINDS, *(kind for measure in measures().values() for kind in measure.kinds)]
    return {kind.name: kind for kind in kinds}


def all_tables() -> dict[str, TableSpec]:
    """Every table that a run may have, by name: those that come with raysim, and those of other measures."""
    return TABLES | {spec.name: spec for measure in measures().values() for spec in measure.tables}


def _place(entry: EntryPoint) -> tuple[int, str]:
    return (_BUILT_IN.index(entry.name) if entry.name in _BUILT_IN else len(_BUILT_IN)), entry.name


def _load(entry: EntryPoint) -> type[Measure]:
    measure: type[Measure] = load_class(entry, "measure", Measure)
    if (name := getattr(measure, "name", "")) != entry.name:
        raise InputError(f"measure {entry.name!r} ({entry.value}): its class has the name {name!r}; give it this one")
    return measure
