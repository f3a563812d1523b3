from itertools import permutations

import numpy as np
import pytest

from raysim.corpus.obfuscation.python_text import PythonText, edited
from raysim.corpus.obfuscation.statements import reorder_statements


def reordered(text: str, seed: int = 0) -> str:
    return edited(text, reorder_statements(PythonText(text), np.random.Generator(np.random.Philox(seed))))


def orders(text: str) -> set[str]:
    return {reordered(text, seed) for seed in range(30)}


def test_imports_of_pythons_own_modules_change_places() -> None:
    text = "import os\nimport sys  # noqa: F401\nfrom json import dumps\nx = 1\n"
    lines = text.split("\n")[:3]
    found = orders(text)
    assert len(found) == 5  # all orders but the one that there was
    assert all(sorted(one.split("\n")[:3]) == sorted(lines) and one.endswith("\nx = 1\n") for one in found)


def test_names_of_one_import_change_places() -> None:
    text = "from os import path, sep as s, walk\nimport json\n"
    found = {line for one in orders(text) for line in one.split("\n") if "os" in line}
    names = ("path", "sep as s", "walk")
    assert found == {f"from os import {', '.join(order)}" for order in permutations(names)}


@pytest.mark.parametrize(
    "text",
    [
        "from __future__ import annotations\nimport os\n",
        "import os\n\nimport sys\n",
        "import os\n# first\nimport sys\n",
        "import numpy\nimport torch\n",
        "import os\nimport numpy\n",
        "from os import *\nimport sys\n",
        "import os\nimport os.path\n",
        "import os\nfrom sys import path as os\n",
        "from . import os\nimport sys\n",
        "try:\n    import json\n    import sys\nexcept ImportError:\n    json = None\n",
        "import os; import sys\n",
        "if True:\n    import os\n    import sys\n",
        "import this\nimport os\n",
    ],
)
def test_other_imports_stay(text: str) -> None:
    assert orders(text) == {text}


BODY = """\
def f(p, q=2):
    one = 1
    two = [1, {"a": (p, -2)}]
    three: str = '''a
b'''  # said
    last = one
    return one, two, three, last
"""


def test_assignments_that_do_not_depend_on_each_other_change_places() -> None:
    found = orders(BODY)
    assert len(found) == 5
    for text in found:
        names: dict[str, object] = {}
        exec(text, names)
        assert names["f"](7) == (1, [1, {"a": (7, -2)}], "a\nb", 1)  # type: ignore[operator]
        assert text.endswith("    last = one\n    return one, two, three, last\n")


@pytest.mark.parametrize(
    "body",
    [
        "a = 1\nb = a",
        "b = p\np = 1",
        "a = 1\na = 2",
        "a = g()\nb = 1",
        "a = p.x\nb = 1",
        "a = n\nb = 1",
        "a = b = 1\nc = 1",
        "a, b = 1, 2\nc = 1",
        "a.x = 1\nb = 2",
        "a[0] = 1\nb = 2",
        "a = p + 1\nb = 2",
        "a = f'{p}'\nb = 2",
        "a = -'x'\nb = 2",
        "a = {p: 1}\nb = 2",
        "a = [*p]\nb = 2",
        "a = {**p}\nb = 2",
        "global a\na = 1\nb = 2",
        "a = 1\n\nb = 2",
        "a = 1\n# said\nb = 2",
        "a = 1; b = 2",
        "del p\na = p\nb = 1",
        "a = 1\nb = 2\nreturn locals()",
        "class A:\n  a = 1\n  b = 2",
        "if p: a = 1\nb = 2",
    ],
)
def test_other_statements_stay(body: str) -> None:
    text = "def f(p):\n" + "".join(f"    {line}\n" for line in body.split("\n"))
    assert orders(text) == {text}


def test_statements_outside_of_functions_stay() -> None:
    """Modules and classes keep their names in order."""
    for text in ("a = 1\nb = 2\n", "class A:\n    a = 1\n    b = 2\n"):
        assert orders(text) == {text}


@pytest.mark.parametrize(
    "head",
    ["for i in p:", "if p:\n pass\nelse:", "try:\n pass\nfinally:", "try:\n pass\nexcept E:", "match p:\n case 1:"],
)
def test_statements_of_every_block_change_places(head: str) -> None:
    lines = [*head.split("\n"), "  a = 1", "  b = 2"]
    text = "def f(p):\n" + "".join(f"    {line}\n" for line in lines)
    assert reordered(text) == text.replace("a = 1", "?").replace("b = 2", "a = 1").replace("?", "b = 2")
