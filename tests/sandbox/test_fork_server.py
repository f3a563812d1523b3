"""What a program came to, and that it cannot say so itself."""

import subprocess
import sys

import pytest
from sandboxed import needs_isolation, outcome

from raysim.core.errors import RunError
from raysim.sandbox.isolation import Limits
from raysim.sandbox.sandbox import Sandbox

pytestmark = needs_isolation


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("", "passed"),
        ("assert sorted({3, 1, 2}) == [1, 2, 3]", "passed"),
        ("assert False", "wrong"),
        ("1 / 0", "error"),
        ("def f(:", "error"),
        ("raise KeyboardInterrupt", "error"),
        ("def f(): return f()\nf()", "error"),
        ("import sys\nsys.exit()", "ended"),
        ("import os\nos._exit(0)", "ended"),
        ("import ctypes\nctypes.string_at(0)", "ended"),
        ("raise MemoryError", "memory"),
        ("print('passed')\nassert False", "wrong"),
        ("if __name__ == '__main__':\n    assert False", "passed"),
        ("import dataclasses\n@dataclasses.dataclass\nclass A:\n    b: 'int'\nassert A(1).b == 1", "passed"),
        ("assert input() == ''", "error"),
    ],
)
def test_outcomes(sandbox: Sandbox, program: str, expected: str) -> None:
    assert outcome(sandbox, program) == expected


def test_a_verdict_that_is_not_signed_is_none(sandbox: Sandbox) -> None:
    program = """
    import os
    for number in range(3, 1000):
        try:
            os.write(number, b"passed")
        except OSError:
            pass
    os._exit(0)
    """
    assert outcome(sandbox, program) == "ended"


def test_equal_programs_see_equal_hashes_and_random_numbers(sandbox: Sandbox) -> None:
    """The hash of a text is the one without any seed; every fork draws the same first number."""
    known = subprocess.run(
        [sys.executable, "-c", "print(hash('a'))"], capture_output=True, text=True, check=True,
        env={"PYTHONHASHSEED": "0"},
    ).stdout  # fmt: skip
    assert outcome(sandbox, f"assert hash('a') == {known}") == "passed"
    draw = "import random\nfirst = random.random()\nassert int(first * 2) == {}"
    found = [tuple(outcome(sandbox, draw.format(half)) for half in (0, 1)) for _ in range(5)]
    assert len(set(found)) == 1


def test_what_cannot_be_contained_is_not_run(sandbox: Sandbox) -> None:
    """An address space that no limit can name; a program that exits is told apart from one that never began."""
    with pytest.raises(RunError, match="could not be contained, and was not run"):
        sandbox.run("", Limits(memory_bytes=1 << 70))
