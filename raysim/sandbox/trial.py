"""What the two processes of a trial do: one loads a solution and answers calls, the other judges it by its answers.

The judge runs the tests alone, never a line of the solution. It finds every name that the tests use in itself (their
own, those of `Checks.given`, Python's), and what it does not have, in the solution (see `raysim.sandbox.calls`).
"""

import builtins
import contextlib
import random
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from raysim.sandbox.calls import Lost, Peer

PASSED, WRONG, ERROR, TIMEOUT, MEMORY, ENDED = "passed", "wrong", "error", "timeout", "memory", "ended"
OUTCOMES = (PASSED, WRONG, ERROR, TIMEOUT, MEMORY, ENDED)
"""passed: the tests did. wrong: an assertion failed. error: another exception. timeout: processor or wall time ran out.
memory: more than allowed was asked for. ended: it exited or was killed before its tests had come to an end."""

LOST = "lost"
"""The solution's process is gone; how it ended says more."""
UNCONTAINED = "uncontained"
"""The solution was not loaded, as its process could not be isolated."""


@dataclass(frozen=True)
class Checks:
    """What a solution is judged by.

    Attributes:
        code: Python that raises unless the solution is right.
        given: Python that its author relies on: part of the problem, not of the solution.
        entry_point: name in `given` that the solution is to define.
    """

    code: str = ""
    given: str = ""
    entry_point: str = ""


LOADS = Checks()
"""Any program that loads is right."""


def answer(descriptor: int, solution: str) -> None:
    """Loads a solution in this process when the judge asks for it, and answers calls until the judge has gone."""
    space = _module("program")

    def load() -> None:
        random.seed(0)  # equal programs draw alike; a fork has drawn a seed of its own
        exec(compile(solution, "<program>", "exec"), space)  # noqa: S102 - what all this is for

    def find(names: list[str]) -> dict[str, Any]:
        return {name: space[name] for name in names if name in space}

    operations: dict[str, Callable[..., Any]] = {
        "isolated": lambda: True,
        "load": load,
        "find": find,
        "call": _call,
        "get": getattr,
        "set": setattr,
        "iterate": iter,
        "next": next,
        "truth": bool,
    }
    with contextlib.suppress(Lost):
        Peer(descriptor, operations, shares=lambda _: True).serve()


def judge(descriptor: int, tests: Checks) -> str:
    """The outcome of the solution at the other end, of `OUTCOMES`, or `LOST` or `UNCONTAINED`."""
    peer = Peer(descriptor, {"call": _call, "truth": bool}, shares=callable)
    try:
        peer.ask("isolated")
    except BaseException:
        return UNCONTAINED
    try:
        peer.ask("load")
        _run(tests, peer)
        outcome = PASSED
    except AssertionError:
        outcome = WRONG
    except MemoryError:
        outcome = MEMORY
    except SystemExit:
        outcome = ENDED
    except BaseException:
        outcome = ERROR
    match peer.broken:
        case None:
            return outcome
        case MemoryError():
            return MEMORY
        case ValueError():
            return ERROR
        case _:
            return LOST


def _run(tests: Checks, peer: Peer) -> None:
    space = _module("tests_of_program")
    random.seed(0)
    given, code = compile(tests.given, "<given>", "exec"), compile(tests.code, "<tests>", "exec")
    exec(given, space)  # noqa: S102 - of whoever wrote the tests
    # A class is the solution's, whose instances the tests get from it and pass to it.
    for name, value in list(space.items()):
        if name == tests.entry_point or (isinstance(value, type) and value.__module__ == space["__name__"]):
            del space[name]
    missing = sorted((_names(given) | _names(code)) - set(space) - set(dir(builtins)))
    found = peer.ask("find", missing) if missing else {}
    space.update({name: found[name] for name in missing if name in found})
    exec(code, space)  # noqa: S102 - of whoever wrote the tests


def _names(code: types.CodeType) -> set[str]:
    """Every name that the code and its functions look up, attributes among them."""
    return set(code.co_names).union(*(_names(c) for c in code.co_consts if isinstance(c, types.CodeType)))


def _call(function: Callable[..., Any], arguments: list[Any], named: dict[str, Any]) -> Any:
    return function(*arguments, **named)


def _module(name: str) -> dict[str, Any]:
    """The names of a new module; dataclasses and the like look for the module itself."""
    sys.modules[name] = module = types.ModuleType(name)
    return module.__dict__
