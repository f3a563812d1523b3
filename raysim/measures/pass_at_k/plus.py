"""Tests from inputs and a right solution, as in HumanEval+ and MBPP+ (Liu et al., NeurIPS 2023, arXiv 2305.01210).

A solution is right if it answers to every input what the canonical solution does. Numbers with a fraction may differ by
``atol`` (1e-6 where that is 0), relative 1e-7; NaN equals NaN; a few functions are judged more leniently, as EvalPlus
0.3 does (`raysim.measures.pass_at_k.answers`). The canonical solution runs in the judge's process.
"""

import ast
import inspect
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from raysim.measures.pass_at_k import answers


def plus_test(row: Mapping[str, Any]) -> str:
    """Python that, after `answers_module`, raises unless the solution answers as ``canonical_solution`` does.

    Args:
        row: ``prompt``, ``entry_point``, ``canonical_solution``, ``base_input`` or ``plus_input`` and perhaps ``atol``
            and ``assertion``: its calls show which lists of the inputs, which JSON holds, are tuples or sets.
    """
    inputs = [*(row.get("base_input") or []), *(row.get("plus_input") or [])]
    example = _example(row.get("assertion"), row["entry_point"])
    if example is not None:
        inputs = [[as_in(e, v) for e, v in zip(example, given, strict=False)] for given in inputs]
    return _TEST.format(
        name=row["entry_point"],
        reference=row["prompt"] + row["canonical_solution"],
        inputs=f"[{', '.join(map(_literal, inputs))}]",
        tolerance=float(row.get("atol") or 0),
    )


@cache
def answers_module() -> str:
    """Python that defines what tests by `plus_test` use, in a namespace of its own."""
    return f'_answers = {{"__name__": "answers"}}\nexec({inspect.getsource(answers)!r}, _answers)\n'


def as_in(example: Any, value: Any) -> Any:
    """`value` from JSON with the types of `example`: tuples, sets and complex numbers, in containers those of the first
    of their kind."""
    if isinstance(example, tuple | set | list) and isinstance(value, list):
        members = list(example)
        alike = len(members) == len(value) and isinstance(example, tuple)
        shapes: Sequence[Any] = members if alike else [_first_like(members, item) for item in value]
        return type(example)(as_in(shape, item) for shape, item in zip(shapes, value, strict=True))
    if isinstance(example, dict) and isinstance(value, dict):
        shape = next(iter(example.values()), None)
        return {name: as_in(example.get(name, shape), item) for name, item in value.items()}
    if isinstance(example, complex) and isinstance(value, str):
        return complex(value)
    return value


def _first_like(members: Sequence[Any], item: Any) -> Any:
    """The first member that JSON writes in the way of `item`; `item` itself if there is none."""
    containers = (list, tuple, set)
    for member in members:
        if isinstance(item, list) and isinstance(member, containers):
            return member
        if isinstance(item, dict) and isinstance(member, dict):
            return member
        if isinstance(item, str) and isinstance(member, complex):
            return member
    return item


def _example(assertion: Any, name: str) -> list[Any] | None:
    """The arguments of the first call of the function in the assertions, as far as they are literals."""
    if not isinstance(assertion, str):
        return None
    try:
        calls = [node for node in ast.walk(ast.parse(assertion)) if isinstance(node, ast.Call)]
        found = next(call for call in calls if isinstance(call.func, ast.Name) and call.func.id == name)
        return [ast.literal_eval(argument) for argument in found.args]
    except (SyntaxError, ValueError, StopIteration, RecursionError, MemoryError):
        return None


def _literal(value: Any) -> str:
    """Python for a value from JSON; `repr` of infinity and of what is no number is no Python."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return f"float({json.dumps(str(value))})"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, tuple):
        return f"({''.join(f'{_literal(item)}, ' for item in value)})"
    if isinstance(value, set):
        return f"set([{', '.join(map(_literal, value))}])"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name!r}: {_literal(item)}' for name, item in value.items())}}}"
    return repr(value)


_TEST = """
_reference = {{"__name__": "reference"}}
exec({reference!r}, _reference)
_answers["check_answers"]({name!r}, {name}, eval({name!r}, _reference), {inputs}, {tolerance})
"""
