"""Tests made of inputs and a right solution."""

from pathlib import Path
from typing import Any

import pytest
from problem_files import PLUS, passes, write

from raysim.measures.pass_at_k.plus import as_in
from raysim.measures.pass_at_k.problems import Problem, load_problems


def plus(tmp_path: Path, **fields: Any) -> Problem:
    (problem,) = load_problems("plus.jsonl", write(tmp_path / "plus.jsonl", PLUS | fields).parent)
    return problem


def test_inputs_beside_a_canonical_solution(tmp_path: Path) -> None:
    problem = plus(tmp_path, base_input=[[1, 2]], plus_input=[[5, -5], [0, 0]])
    assert passes(problem, "    return b + a")
    assert not passes(problem, "    return a + b if a != 5 else 1")  # right on the base inputs alone
    assert not passes(problem, "    return a + b if a else 1")


def test_numbers_with_a_fraction_may_differ_a_little(tmp_path: Path) -> None:
    exact = plus(tmp_path, base_input=[[0.5, 0.25]])
    assert passes(exact, "    return a + b + 5e-7")
    assert not passes(exact, "    return a + b + 5e-6")
    assert not passes(plus(tmp_path, base_input=[[1, 2]]), "    return a + b + 5e-7")
    loose = plus(tmp_path, base_input=[[0.5, 0.25]], atol=0.1)
    assert passes(loose, "    return a + b + 0.05")
    assert not passes(loose, "    return a + b + 0.2")
    pairs = {"prompt": "def add(a, b):\n", "canonical_solution": "    return [a / 3, b / 3]\n"}
    listed = plus(tmp_path, base_input=[[1.0, 2.0]], **pairs)
    assert passes(listed, "    return [a / 3 + 1e-9, b / 3]")
    assert not passes(listed, "    return (a / 3 + 1e-9, b / 3)")
    assert not passes(listed, "    return [a / 3 + 1e-9]")


def test_a_solution_that_changes_its_input_changes_nobody_elses(tmp_path: Path) -> None:
    fields = {"entry_point": "f", "prompt": "def f(x):\n", "canonical_solution": "    return x.pop()\n"}
    problem = plus(tmp_path, base_input=[[[1, 2]], [[3]]], **fields)
    assert passes(problem, "    return x.pop()")
    assert not passes(problem, "    x.pop()\n    return x")


def test_infinity_and_what_is_no_number(tmp_path: Path) -> None:
    problem = plus(tmp_path, base_input=[[float("inf"), 1], [float("-inf"), {"a": [1, "x"]}]][:1])
    assert passes(problem, "    return a + b")
    assert not passes(problem, "    return b - a")


def test_nan_is_right_where_the_reference_has_it(tmp_path: Path) -> None:
    fields = {"entry_point": "f", "prompt": "def f(x):\n", "canonical_solution": "    return [x - x, {'a': x - x}]\n"}
    problem = plus(tmp_path, base_input=[[float("inf")]], **fields)
    assert passes(problem, "    return [x - x, {'a': x - x}]")
    assert not passes(problem, "    return [0.0, {'a': x - x}]")
    assert not passes(problem, "    return [x - x, {'a': 0.0}]")
    assert not passes(plus(tmp_path, base_input=[[1.0]], **fields), "    return [float('nan')] * 2")


def test_names_of_the_judge_are_names_of_problems_too(tmp_path: Path) -> None:
    for name in ("same", "agree", "check_answers", "copy"):
        fields = {"entry_point": name, "prompt": f"def {name}(x):\n", "canonical_solution": "    return x\n"}
        problem = plus(tmp_path, base_input=[[1]], **fields)
        assert passes(problem, "    return x")
        assert not passes(problem, "    return -x")


@pytest.mark.parametrize(
    ("name", "canonical", "given", "right", "wrong"),
    [
        ("similar_elements", "list(x)", [[1, 2]], "list(reversed(x))", "x[:1]"),
        ("check_str", "True", ["a"], "'found'", "None"),
        ("sum_div", "7", [7], "0", "1"),
        ("find_zero", "-1.0", [[1, 1]], "-1.00001", "-1.1"),
    ],
)
def test_lenient_judges(name: str, canonical: str, given: list[Any], right: str, wrong: str, tmp_path: Path) -> None:
    fields = {"entry_point": name, "prompt": f"def {name}(x):\n", "canonical_solution": f"    return {canonical}\n"}
    problem = plus(tmp_path, base_input=[given], atol=1e-4, **fields)
    assert passes(problem, f"    return {canonical}")
    assert passes(problem, f"    return {right}")
    assert not passes(problem, f"    return {wrong}")


def test_two_answers_of_mbpp_are_right_in_two_ways(tmp_path: Path) -> None:
    fields = {"entry_point": "surface_Area", "prompt": "def surface_Area(b, h):\n"}
    problem = plus(tmp_path, base_input=[[3, 4]], canonical_solution="    return 0\n", **fields)
    assert passes(problem, "    return 35")  # 9 + 2 * 3 * sqrt(1.5 ** 2 + 4 ** 2) = 34.63
    assert not passes(problem, "    return 34")
    fields = {"entry_point": "digit_distance_nums", "prompt": "def digit_distance_nums(a, b):\n"}
    problem = plus(tmp_path, base_input=[[123, 256]], canonical_solution="    return 0\n", **fields)
    assert passes(problem, "    return 7")
    assert not passes(problem, "    return 6")


def test_assertions_tell_tuples_and_sets_from_lists(tmp_path: Path) -> None:
    assertion = "assert f((1, 2), [(3, 'a')], {4}, {'k': (5,)}) == 1"
    given = [[7, 8, 9], [[1, "x"], [2, "y"]], [6], {"m": [1, 2]}]
    fields = {"entry_point": "f", "prompt": "def f(*all):\n", "canonical_solution": "    return repr(all)\n"}
    problem = plus(tmp_path, base_input=[given], assertion=assertion, **fields)
    expected = "((7, 8, 9), [(1, 'x'), (2, 'y')], {6}, {'m': (1, 2)})"
    assert passes(problem, f"    return {expected!r}")
    assert not passes(problem, "    return ''")


@pytest.mark.parametrize(
    ("example", "value", "found"),
    [
        ((1, 2), [3, 4, 5], (3, 4, 5)),
        ([[1], (2,)], [[3], [4]], [[3], [4]]),
        (((1,), [2]), [[3], [4]], ((3,), [4])),
        ([], [[1]], [[1]]),
        ([1, (2, 3)], [4, [5, 6]], [4, (5, 6)]),
        (2 + 1j, "1+2j", 1 + 2j),
        ("x", [1], [1]),
        ({"a": (1,)}, {"b": [2]}, {"b": (2,)}),
    ],
)
def test_types_of_an_example(example: Any, value: Any, found: Any) -> None:
    assert as_in(example, value) == found
