"""Before a run, tests must pass what is right, and fail what is empty, within the limits that solutions have."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from problem_files import ADD, PLUS, write
from sandboxed import needs_isolation

from raysim.core.errors import InputError
from raysim.measures.base import EvalContext
from raysim.measures.pass_at_k.graders import check_graders
from raysim.measures.pass_at_k.measure import PassAtK
from raysim.measures.pass_at_k.problems import Problem, load_problems
from raysim.measures.pass_at_k.settings import PassAtKSettings
from raysim.sandbox.isolation import Limits
from raysim.sandbox.sandbox import Sandbox
from raysim.store.store import Store

pytestmark = needs_isolation

LIMITS = Limits()


def problems(tmp_path: Path, *rows: Any) -> tuple[Problem, ...]:
    named = [ADD | row | {"task_id": f"Mine/{n}"} for n, row in enumerate(rows)]
    return load_problems("f.jsonl", write(tmp_path / "f.jsonl", *named).parent)


def test_good_ones(tmp_path: Path) -> None:
    inputs = {"base_input": [[1, 2]], "plus_input": [[3, 4]]}
    check_graders(problems(tmp_path, {}, inputs, PLUS | inputs, {"canonical_solution": ""}), LIMITS)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"canonical_solution": "    return a - b\n"}, r"Mine/1: its canonical solution does not pass .* \(wrong\)"),
        ({"canonical_solution": "    return a +\n"}, r"Mine/1: .* does not pass its tests \(error\)"),
        ({"test": "def check(candidate, more):\n    assert candidate(1, 2) == 3"}, r"Mine/1: .* \(error\)"),
        ({"test": "def check(candidate):\n    candidate(1, 2)"}, "Mine/1: a solution with an empty body passes"),
        ({"test": "def check(candidate):\n    assert True"}, "Mine/1: a solution with an empty body passes"),
        ({"test": "async def check(candidate):\n    assert candidate(1, 2) == 3"}, "Mine/1: .* empty body"),
        ({"test": "def check(c):\n    return\n    assert c(1, 2) == 3", "canonical_solution": ""}, "Mine/1: .* empty"),
        ({"prompt": 'def add(a, b):\n    """Nothing."""\n', "canonical_solution": "    return None\n",
          "test": "assert add(1, 2) is None"}, "Mine/1: .* empty body"),
    ],
)  # fmt: skip
def test_bad_ones_are_named(tmp_path: Path, row: Any, says: str) -> None:
    with pytest.raises(InputError, match=rf"^measure\.pass_at_k\.problems: {says}"):
        check_graders(problems(tmp_path, {}, row), LIMITS)


def least(tmp_path: Path, limits: Limits, *rows: Any) -> str:
    with pytest.raises(InputError) as refused:
        check_graders(problems(tmp_path, *rows), limits)
    assert "\n" not in str(refused.value)
    return str(refused.value)


BIG = {"canonical_solution": "    bytearray(200 << 20)\n    return a + b\n"}


@pytest.mark.parametrize("memory_bytes", [1, 20_000_000])
def test_memory_that_is_too_little_for_humaneval(memory_bytes: int) -> None:
    some = load_problems("humaneval", Path())[:8]
    with pytest.raises(
        InputError, match=rf"^measure\.pass_at_k\.memory: {memory_bytes} bytes .*; give \d+ MB or more$"
    ) as refused:
        check_graders(some, replace(LIMITS, memory_bytes=memory_bytes))
    enough = int(str(refused.value).split("; give ")[1].split(" MB")[0])
    check_graders(some, replace(LIMITS, memory_bytes=enough * 10**6))


@pytest.mark.parametrize("memory_bytes", [1, 4_000_000])
def test_memory_that_is_too_little_for_anything(tmp_path: Path, memory_bytes: int) -> None:
    for row in ({}, {"canonical_solution": ""}):
        message = least(tmp_path, replace(LIMITS, memory_bytes=memory_bytes), row)
        assert message.startswith(
            f"measure.pass_at_k.memory: {memory_bytes} bytes is too little for the right solution of"
        )


def test_memory_that_is_too_little_for_a_right_solution(tmp_path: Path) -> None:
    given = replace(LIMITS, memory_bytes=150_000_000)
    message = least(tmp_path, given, {}, BIG, {})
    assert "right solution of Mine/1; give " in message
    enough = int(message.split("; give ")[1].split(" MB")[0])
    assert 209 < enough < 400
    check_graders(problems(tmp_path, {}, BIG), replace(given, memory_bytes=enough * 10**6))
    big = problems(tmp_path, BIG)[0]
    with Sandbox() as sandbox:
        less = replace(given, memory_bytes=(enough - 1) * 10**6)
        assert sandbox.run(big.program(big.canonical), less, big.checks) != "passed"


def test_time_that_is_too_short_for_a_right_solution(tmp_path: Path) -> None:
    slow = {"canonical_solution": "    import time\n    while time.process_time() < 1.4: pass\n    return a + b\n"}
    message = least(tmp_path, replace(LIMITS, cpu_s=1, wall_s=30.0), slow)
    assert message == "measure.pass_at_k.timeout_s: 1 is too little for the right solution of Mine/0; give 2 or more"


def test_what_the_store_says_was_tried_is_not_tried_again(
    make_context: Callable[..., Any], tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless tests, solutions or limits are others."""
    tried: list[Limits] = []

    def check(problems: Sequence[Problem], limits: Limits) -> None:
        tried.append(limits)
        check_graders(problems, limits)

    monkeypatch.setattr("raysim.measures.pass_at_k.measure.check_graders", check)
    context = EvalContext(make_context({"a": 3}), tokenizer, (), {}, None, tmp_path)
    store = Store(tmp_path / "store")

    def try_out(row: dict[str, Any], **settings: Any) -> int:
        write(tmp_path / "f.jsonl", ADD | row)
        PassAtK(PassAtKSettings.model_validate({"problems": "f.jsonl", **settings})).try_out(context, store)
        return len(tried)

    assert [try_out({}), try_out({}), try_out({}, samples=50)] == [1, 1, 1]
    assert [try_out({}, timeout_s=5), try_out({"canonical_solution": "    return b + a\n"})] == [2, 3]
    with pytest.raises(InputError):
        try_out({"canonical_solution": "    return a - b\n"})
    with pytest.raises(InputError):  # what did not pass was not tried
        try_out({"canonical_solution": "    return a - b\n"})
