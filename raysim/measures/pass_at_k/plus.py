"""Tests from inputs and a right solution, as in HumanEval+ and MBPP+ (Liu et al., NeurIPS 2023, arXiv 2305.01210).

A solution is right if it answers to every input what the canonical solution does. Numbers with a fraction may differ by
``atol`` (1e-6 where that is 0), relative 1e-7; a few functions are judged more leniently, as EvalPlus 0.3 does. The
canonical solution runs in the same process, within the same limits.
"""

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any


def plus_test(row: Mapping[str, Any]) -> str:
    """Python that raises unless the solution before it answers as ``canonical_solution`` does.

    Args:
        row: ``prompt``, ``entry_point``, ``canonical_solution``, ``base_input`` and perhaps ``plus_input``, ``atol``
            and ``assertion``: its calls show which lists of the inputs, which JSON holds, are tuples or sets.
    """
    inputs = [*row["base_input"], *(row.get("plus_input") or [])]
    example = _example(row.get("assertion"), row["entry_point"])
    if example is not None:
        inputs = [[as_in(e, v) for e, v in zip(example, given, strict=False)] for given in inputs]
    return _TEST.format(
        name=row["entry_point"],
        reference=row["prompt"] + row["canonical_solution"],
        inputs=f"[{', '.join(map(_literal, inputs))}]",
        tolerance=float(row.get("atol") or 0),
    )


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


_TEST = '''
def _check_against_reference(candidate):
    import copy
    import math

    space = {{"__name__": "reference"}}
    exec({reference!r}, space)
    reference = space[{name!r}]

    def has_fractions(value):
        if isinstance(value, (list, tuple)):
            return bool(value) and all(isinstance(item, float) for item in value)
        return isinstance(value, float)

    def near(found, expected, tolerance):
        if isinstance(expected, (list, tuple)):
            return len(found) == len(expected) and all(near(f, e, tolerance) for f, e in zip(found, expected))
        return found == expected or abs(found - expected) <= tolerance + 1e-7 * abs(expected) < math.inf

    def special(found, expected, given):
        """Whether a lenient judge lets it pass; None: there is none for this function."""
        name = {name!r}
        if name in {{
            "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly",
            "larg_nnum", "intersection_array", "find_dissimilar", "Diff",
        }}:
            return set(found) == set(expected)
        if name in {{"check_str", "text_match_three", "text_starta_endb"}}:
            wanted = expected if isinstance(expected, bool) else expected is not None
            return (found if isinstance(found, bool) else found is not None) == wanted
        if name == "are_equivalent":
            return True
        if name == "sum_div":
            return found == expected or found == 0
        if name == "surface_Area":
            edge, height = given
            return found in (expected, round(edge**2 + 2 * edge * math.sqrt((edge / 2) ** 2 + height**2)))
        if name == "digit_distance_nums":
            pairs = zip(*(str(number) for number in given))
            return found in (expected, sum(abs(int(a) - int(b)) for a, b in pairs))
        if name == "find_zero":
            return abs(sum(c * found**i for i, c in enumerate(given[0]))) <= {tolerance}
        return None

    for given in {inputs}:
        expected = reference(*copy.deepcopy(given))
        found = candidate(*copy.deepcopy(given))
        verdict = special(found, expected, given)
        if verdict is None:
            verdict = found == expected
            tolerance = {tolerance} or (1e-6 if has_fractions(expected) else 0)
            if not verdict and tolerance:
                assert type(found) is type(expected)
                verdict = near(found, expected, tolerance)
        assert verdict


_check_against_reference({name})
'''
