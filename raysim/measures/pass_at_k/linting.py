"""Known-bad patterns in generated solutions, counted (see `raysim.scan.linting`); what does not parse apart."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from raysim.scan.linting import IGNORED, RULES, lint, require_linter
from raysim.tables.schemas.solving import PATTERNS

LINTING_VERSION = 1
"""Numerics version; part of the recipe."""

PATTERN_SCHEMA = PATTERNS.without("model")


def linting_recipe(solutions: str) -> dict[str, Any]:
    """Recipe of the patterns in the solutions that a key names.

    Raises:
        InputError: there is no Ruff.
    """
    return {
        "kind": "lint",
        "version": LINTING_VERSION,
        "linter": require_linter("measure.pass_at_k"),
        "rules": [*RULES, *(f"not {rule}" for rule in IGNORED)],
        "solutions": solutions,
    }


def patterns(programs: Mapping[str, int]) -> pa.Table:
    """How many samples show each pattern, and how often all together; a table of `PATTERN_SCHEMA`.

    Args:
        programs: distinct ones, and how many samples each is of.

    Raises:
        RunError: the linter failed.
    """
    counts = list(programs.values())
    findings: Counter[str] = Counter()
    samples: dict[str, set[int]] = {}
    about: dict[str, str] = {}
    for found in lint(programs):
        findings[found.rule] += counts[found.number]
        samples.setdefault(found.rule, set()).add(found.number)
        about.setdefault(found.rule, found.about)
    rows = [
        {"rule": rule, "about": about[rule], "samples": sum(counts[n] for n in shown), "findings": findings[rule]}
        for rule, shown in sorted(samples.items())
    ]
    return pa.Table.from_pylist(rows, schema=PATTERN_SCHEMA)
