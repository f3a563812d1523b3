"""The linter's findings, counted over samples, on programs whose patterns are known."""

import pytest

from raysim.measures.pass_at_k.linting import linting_recipe, patterns

SHELL = "import subprocess\n\n\ndef f(x):\n    subprocess.run(x, shell=True)\n    subprocess.run(x, shell=True)\n"
EVAL = "def f(x):\n    return eval(x)\n"


def found(programs: dict[str, int]) -> dict[str, tuple[int, int]]:
    return {row["rule"]: (row["samples"], row["findings"]) for row in patterns(programs).to_pylist()}


def test_patterns_are_counted_by_sample_and_by_place() -> None:
    assert found({EVAL: 3, SHELL: 2, "def f(x):\n    assert x\n": 5, "def f(:\n": 4}) == {
        "S307": (3, 3),
        "S602": (2, 4),
        "invalid-syntax": (4, 8),
    }


def test_a_rule_has_its_name_and_no_code_of_the_solution() -> None:
    (row,) = patterns({EVAL: 1}).to_pylist()
    assert row["about"] == "suspicious eval usage"


def test_a_comment_does_not_silence_it() -> None:
    assert found({"x = eval('1')  # noqa: S307\n# ruff: noqa\n": 1}) == {"S307": (1, 1)}


def test_nothing_to_find() -> None:
    assert found({}) == {} == found({"x = 1\n": 1, "y = '\ud800'\n": 1})


def test_linter_and_solutions_are_in_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    one = linting_recipe("x")
    assert linting_recipe("y") != one
    monkeypatch.setattr("raysim.scan.linting.versions_of", lambda name: "99")
    assert linting_recipe("x") != one
