"""Executes solutions: a step of the pipeline, whose workers each run one program at a time in a sandbox."""

import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from raysim.measures.pass_at_k.problems import Problem
from raysim.sandbox.isolation import Limits
from raysim.sandbox.sandbox import Sandbox
from raysim.sandbox.trial import OUTCOMES
from raysim.tables.schemas.solving import EXECUTIONS

OUTCOME_SCHEMA = pa.schema(
    [("problem", pa.string()), ("sample", pa.int32()), ("outcome", pa.string()), ("walls", pa.string())]
)

EXECUTE_SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("organization", pa.string()),
        ("batch", pa.int32()),
        ("problem", pa.string()),
        ("sample", pa.int32()),
        ("completion", pa.string()),
    ]
)
"""Work for `ExecuteStep`, a row a solution; model, organization and batch name the work and come back."""

_PROGRAMS = pa.schema([("problem", pa.string()), ("sample", pa.int32()), ("completion", pa.string())])

EXECUTIONS_SCHEMA = EXECUTIONS.without("model")


class ExecuteStep:
    """Executes solutions with their tests.

    Args:
        problems: by name, or a reference to them.
        limits: of each program.
        fetch: resolves references.
    """

    def __init__(self, problems: Any, limits: Limits, fetch: Callable[[Any], Any]) -> None:
        self._problems: Mapping[str, Problem] = fetch(problems)
        self._limits = limits
        self._sandbox = Sandbox()
        weakref.finalize(self, self._sandbox.close)

    def __call__(self, work: pa.Table) -> pa.Table:
        """Work of `EXECUTE_SCHEMA` to the same rows with ``outcome`` and ``walls`` instead of ``completion``."""
        outcomes = []
        for row in work.select(["problem", "completion"]).to_pylist():
            problem = self._problems[row["problem"]]
            outcomes.append(self._sandbox.run(problem.program(row["completion"]), self._limits, problem.checks))
        layers = ", ".join(self._sandbox.layers)
        done = work.drop_columns(["completion"]).append_column("outcome", pa.array(outcomes, pa.string()))
        return done.append_column("walls", pa.array([layers] * len(done), pa.string()))


def programs_of(solutions: pa.Table, problems: Mapping[str, Sequence[str]]) -> pa.Table:
    """The completions of solutions as they follow their prompts: columns problem, sample, completion.

    Args:
        solutions: of `raysim.inference.engine.GENERATION_SCHEMA`.
        problems: names of the problems that each prompt is of.
    """
    rows = [
        {"problem": problem, "sample": row["sample"], "completion": row["text"]}
        for row in solutions.select(["prompt", "sample", "text"]).to_pylist()
        for problem in problems[row["prompt"]]
    ]
    rows.sort(key=lambda row: (row["problem"], row["sample"]))
    return pa.Table.from_pylist(rows, schema=_PROGRAMS)


def distinct_programs(programs: pa.Table) -> pa.Table:
    """Each program once, by its first sample: equal programs come to the same outcome."""
    first: dict[tuple[str, str], dict[str, Any]] = {}
    for row in programs.to_pylist():
        first.setdefault((row["problem"], row["completion"]), row)
    return pa.Table.from_pylist(list(first.values()), schema=_PROGRAMS)


def count_outcomes(
    problems: Sequence[Problem], samples: int, programs: pa.Table | None, outcomes: pa.Table | None
) -> pa.Table:
    """A row for each problem: its samples, how many came to which outcome, and the isolation layers in force.

    Args:
        problems: all that were to be solved.
        samples: of each.
        programs: see `programs_of`; a problem that has none had no room in the model's context. None: none had.
        outcomes: of `OUTCOME_SCHEMA`, for the distinct ones of `programs`.
    """
    of_sample = {} if outcomes is None else {(r["problem"], r["sample"]): r for r in outcomes.to_pylist()}
    of_program: dict[tuple[str, str], dict[str, Any]] = {}
    counts: dict[str, Counter[str]] = {problem.name: Counter() for problem in problems}
    layers: dict[str, str] = {}
    for row in [] if programs is None else programs.to_pylist():
        program = row["problem"], row["completion"]
        found = of_program.setdefault(program, of_sample.get((row["problem"], row["sample"]), {}))
        counts[row["problem"]][found["outcome"]] += 1
        layers[row["problem"]] = found["walls"]
    rows = [
        {
            "problem": name,
            "samples": samples,
            **{outcome: found[outcome] for outcome in OUTCOMES},
            "too_long": samples - found.total(),
            "walls": layers.get(name, ""),
        }
        for name, found in counts.items()
    ]
    return pa.Table.from_pylist(rows, schema=EXECUTIONS_SCHEMA)
