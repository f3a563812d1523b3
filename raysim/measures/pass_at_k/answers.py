"""Whether a solution's answers are those of a right one, as in HumanEval+ and MBPP+ (arXiv 2305.01210).

The source of this module is part of the tests that `raysim.measures.pass_at_k.plus` makes, and runs in the sandbox: it
imports nothing but Python's own modules. Answers are plain data of exactly the built-in types.
"""

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

_IN_ANY_ORDER = {
    "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum",
    "intersection_array", "find_dissimilar", "Diff",
}  # fmt: skip
_FOUND_OR_NOT = {"check_str", "text_match_three", "text_starta_endb"}


def check_answers(
    name: str,
    candidate: Callable[..., Any],
    reference: Callable[..., Any],
    inputs: Iterable[list[Any]],
    tolerance: float,
) -> None:
    """Calls both functions with every list of arguments.

    Args:
        name: of the function; a few are judged leniently.
        candidate: the solution's function.
        reference: the right one.
        inputs: lists of arguments.
        tolerance: between numbers with a fraction; 0: 1e-6.

    Raises:
        AssertionError: the candidate's answer is not the reference's.
    """
    for given in inputs:
        expected = reference(*copy.deepcopy(given))
        assert agree(name, candidate(*copy.deepcopy(given)), expected, given, tolerance)


def agree(name: str, found: Any, expected: Any, given: list[Any], tolerance: float = 0.0) -> bool:
    """Whether `found` is as good as `expected`, the right answer to `given`; see `check_answers`."""
    lenient = _leniently(name, found, expected, given, tolerance)
    if lenient is not None:
        return lenient
    if same(found, expected):
        return True
    if not tolerance and not _has_fractions(expected):
        return False
    return type(found) is type(expected) and _near(found, expected, tolerance or 1e-6)


def same(found: Any, expected: Any) -> bool:
    """Equality, in which what is not a number (NaN) equals itself, wherever it is."""
    if isinstance(expected, list | tuple):
        alike = isinstance(found, list) if isinstance(expected, list) else isinstance(found, tuple)
        return alike and len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and found.keys() == expected.keys()
            and all(same(found[k], expected[k]) for k in expected)
        )
    if isinstance(expected, set | frozenset) and isinstance(found, set | frozenset):
        return _numbers(found) == _numbers(expected) and len(found) == len(expected)
    return bool(found == expected) or (_is_nan(found) and _is_nan(expected))


def _numbers(values: Iterable[Any]) -> set[Any]:
    return {value for value in values if not _is_nan(value)}


def _is_nan(value: Any) -> bool:
    return isinstance(value, float | complex) and value != value


def _has_fractions(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def _near(found: Any, expected: Any, tolerance: float) -> bool:
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(_near(f, e, tolerance) for f, e in zip(found, expected, strict=True))
    return same(found, expected) or abs(found - expected) <= tolerance + 1e-7 * abs(expected) < math.inf


def _leniently(name: str, found: Any, expected: Any, given: list[Any], tolerance: float) -> bool | None:
    """Whether a lenient judge, as EvalPlus 0.3 has them, lets it pass; None: there is none for this function."""
    if name in _IN_ANY_ORDER:
        return set(found) == set(expected)
    if name in _FOUND_OR_NOT:
        wanted = expected if isinstance(expected, bool) else expected is not None
        return (found if isinstance(found, bool) else found is not None) == wanted
    if name == "sum_div":
        return found in (expected, 0)
    if name == "surface_Area":
        edge, height = given
        return found in (expected, round(edge**2 + 2 * edge * math.sqrt((edge / 2) ** 2 + height**2)))
    if name == "digit_distance_nums":
        pairs = zip(*(str(number) for number in given), strict=False)
        return found in (expected, sum(abs(int(a) - int(b)) for a, b in pairs))
    if name == "find_zero":
        return abs(sum(c * found**i for i, c in enumerate(given[0]))) <= tolerance
    return None
