"""Files of programming problems."""

import gzip
import json
from pathlib import Path
from typing import Any

from raysim.measures.pass_at_k.problems import Problem

ADD = {
    "task_id": "Mine/0",
    "prompt": "def add(a, b):\n",
    "entry_point": "add",
    "canonical_solution": "    return a + b\n",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n",
}
PLUS = {name: value for name, value in ADD.items() if name != "test"}


def write(path: Path, *rows: Any) -> Path:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def passes(problem: Problem, completion: str) -> bool:
    """What the program comes to; these are programs of this file alone, so no sandbox is needed."""
    try:
        exec(f"{problem.program(completion)}\n{problem.checks.code}", {"__name__": "program"})
    except Exception:
        return False
    return True
