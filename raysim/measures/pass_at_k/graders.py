"""Checks what judges solutions before anything depends on it: right solutions pass, empty ones do not."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from raysim.core.errors import InputError, RunError
from raysim.measures.parsing import is_python
from raysim.measures.pass_at_k.problems import Problem
from raysim.sandbox.isolation import Limits
from raysim.sandbox.sandbox import Sandbox
from raysim.sandbox.trial import PASSED

_ANYTHING = Problem("any problem at all", prompt="", test="", canonical="bytes(1 << 20)")
"""Needs what hardly a program does without."""

_AMPLE_CPU_S, _AMPLE_MEMORY_BYTES = 60, 64 << 30
"""A right solution that does not pass with as much is not right."""
_MEGABYTE = 10**6


def check_graders(problems: Sequence[Problem], limits: Limits) -> None:
    """Tries every problem's canonical solution, if it has one, and one with an empty body.

    Raises:
        InputError: names the problem whose tests fail the one or pass the other, or the least limit within which all
            canonical solutions pass.
    """
    with Sandbox() as sandbox:

        def outcome(problem: Problem, completion: str, limits: Limits) -> str:
            try:
                return sandbox.run(problem.program(completion), limits, problem.checks)
            except RunError as error:
                return str(error)

        needed, by = limits, ""
        for problem in (_ANYTHING, *problems):
            if problem.canonical and outcome(problem, problem.canonical, needed) != PASSED:
                needed, by = _least(problem, needed, outcome), problem.name
            if problem is not _ANYTHING and outcome(problem, _empty(problem), needed) == PASSED:
                raise InputError(
                    f"measure.pass_at_k.problems: {problem.name}: a solution with an empty body passes its tests; mend"
                    " them, or leave the problem out"
                )
    if needed.memory_bytes > limits.memory_bytes:
        raise _too_little("memory", f"{limits.memory_bytes} bytes", f"{needed.memory_bytes // _MEGABYTE} MB", by)
    if needed.cpu_s > limits.cpu_s:
        raise _too_little("timeout_s", str(limits.cpu_s), str(needed.cpu_s), by)


def _too_little(field: str, given: str, least: str, by: str) -> InputError:
    return InputError(
        f"measure.pass_at_k.{field}: {given} is too little for the right solution of {by}; give {least} or more"
    )


def _empty(problem: Problem) -> str:
    """A completion that does nothing."""
    return "" if is_python(problem.program("")) else "    pass"


def _least(problem: Problem, limits: Limits, outcome: Callable[[Problem, str, Limits], str]) -> Limits:
    """The least limits, from `limits` on, within which a canonical solution passes."""

    def within(memory_bytes: int, cpu_s: int) -> Limits:
        return replace(limits, memory_bytes=memory_bytes, cpu_s=cpu_s, wall_s=limits.wall_s / limits.cpu_s * cpu_s)

    def passes(memory_bytes: int, cpu_s: int) -> bool:
        return outcome(problem, problem.canonical, within(memory_bytes, cpu_s)) == PASSED

    ample_bytes, ample_s = max(limits.memory_bytes, _AMPLE_MEMORY_BYTES), max(limits.cpu_s, _AMPLE_CPU_S)
    found = outcome(problem, problem.canonical, within(ample_bytes, ample_s))
    if found != PASSED:
        raise InputError(
            f"measure.pass_at_k.problems: {problem.name}: its canonical solution does not pass its tests ({found})"
        )
    memory_bytes, cpu_s = limits.memory_bytes, limits.cpu_s
    if not passes(memory_bytes, ample_s):
        megabytes = _first(lambda n: passes(n * _MEGABYTE, ample_s), memory_bytes // _MEGABYTE)
        memory_bytes = megabytes * _MEGABYTE
    if not passes(memory_bytes, cpu_s):
        cpu_s = _first(lambda n: passes(memory_bytes, n), cpu_s)
    return within(memory_bytes, cpu_s)


def _first(enough: Callable[[int], bool], low: int) -> int:
    """The least number that is enough, above `low`, which is not."""
    high = 2 * low or 1
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
