"""Known-bad patterns in generated code: what the security rules of the linter Ruff say of it.

Ruff, not Bandit, whose rules it implements: one call takes any number of files, at thousands a second, and it comes as
one program without dependencies; Bandit walks each file in Python. A pattern is a reason to look, not a hole; code that
does not parse is not linted, and counted apart.
"""

import json
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pyarrow as pa

from raysim.core.errors import InputError, RunError
from raysim.core.keys import versions_of
from raysim.tables.schemas.solving import PATTERNS

LINTING_VERSION = 1
"""Numerics version; part of the recipe."""

PATTERN_SCHEMA = PATTERNS.without("model")

RULES, IGNORED = ("S",), ("S101",)
"""flake8-bandit's, without the one against assertions, which are no danger in a solution."""

UNPARSABLE = "invalid-syntax"


def linting_recipe(solutions: str) -> dict[str, Any]:
    """Recipe of the patterns in the solutions that a key names.

    Raises:
        InputError: there is no Ruff.
    """
    try:
        linter = versions_of("ruff")
    except PackageNotFoundError:
        raise InputError(
            "measure.pass_at_k: generated code is checked by the linter ruff: pip install 'raysim[effectiveness]'"
        ) from None
    return {
        "kind": "lint",
        "version": LINTING_VERSION,
        "linter": linter,
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
    from ruff.__main__ import find_ruff_bin

    with tempfile.TemporaryDirectory(prefix="raysim-lint-") as folder:
        for number, program in enumerate(programs):
            (Path(folder) / f"{number}.py").write_text(program, encoding="utf-8", errors="surrogatepass")
        command = [find_ruff_bin(), "check", "--isolated", "--no-cache", "--quiet", "--exit-zero", "--ignore-noqa"]
        command += ["--output-format", "json", "--select", ",".join(RULES), "--ignore", ",".join(IGNORED), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={})  # noqa: S603 - our arguments
    if done.returncode:
        raise RunError(f"the linter ruff failed: {done.stderr.strip().splitlines()[-1] if done.stderr else '?'}")
    counts = list(programs.values())
    findings: Counter[str] = Counter()
    samples: dict[str, set[int]] = {}
    about: dict[str, str] = {}
    for found in json.loads(done.stdout):
        rule = found["code"] or UNPARSABLE
        number = int(Path(found["filename"]).stem)
        findings[rule] += counts[number]
        samples.setdefault(rule, set()).add(number)
        about.setdefault(rule, "does not parse" if rule == UNPARSABLE else _name(found["url"]))
    rows = [
        {"rule": rule, "about": about[rule], "samples": sum(counts[n] for n in shown), "findings": findings[rule]}
        for rule, shown in sorted(samples.items())
    ]
    return pa.Table.from_pylist(rows, schema=PATTERN_SCHEMA)


def _name(url: str | None) -> str:
    """A rule's own name, which its address ends with; its messages quote the code."""
    return (url or "").rstrip("/").rpartition("/")[2].replace("-", " ")
