import ast

import pytest

from raysim.corpus.obfuscation.same_tree import same_tree

TEXT = "import os, sys\nimport json\ndef f(a, *, k=1):\n    x = 1\n    y: int = 2\n    return g(x, y=y, z=0.0).x\n"


def same(one: str, other: str, **how: object) -> bool:
    return same_tree(ast.parse(one), ast.parse(other), **how)  # type: ignore[arg-type]


def test_layout_and_comments_are_no_difference() -> None:
    assert same(TEXT, "# x\n" + TEXT.replace("    ", "\t").replace(" = ", "="))


@pytest.mark.parametrize(
    ("old", "new"),
    [("x = 1", "x = 2"), ("x = 1", "x = True"), ("x = 1", "q = 1"), ("0.0", "-0.0"), ("0.0", "0"), ("z=", "w="),
     (").x", ").w"), ("return", "pass; return"), ("a, *, k=1", "a, k=1"), ("import os, sys", "import sys, os"),
     ("    x = 1\n    y: int = 2", "    y: int = 2\n    x = 1")],
)  # fmt: skip
def test_everything_else_is(old: str, new: str) -> None:
    assert old in TEXT
    assert not same(TEXT, TEXT.replace(old, new, 1))


def test_names_count_as_renamed_in_the_bodies_that_say_so_alone() -> None:
    renamed = {("f", 3): {"x": "new"}}
    other = TEXT.replace("    x = 1", "    new = 1").replace("g(x,", "g(new,")
    assert same(TEXT, other, renamed=renamed)
    assert not same(TEXT, other)
    assert not same(TEXT, other.replace("g(new,", "g(x,"), renamed=renamed)
    assert not same(TEXT, other.replace(").x", ").new"), renamed=renamed)
    assert not same("\n" + TEXT, "\n" + other, renamed=renamed)
    assert not same("def f(x=x):\n    x = 1\n", "def f(new=new):\n    new = 1\n", renamed={("f", 1): {"x": "new"}})


def test_neighbours_that_are_assigned_or_imported_may_change_places() -> None:
    other = TEXT.replace("import os, sys\nimport json", "import json\nimport sys, os")
    other = other.replace("    x = 1\n    y: int = 2", "    y: int = 2\n    new = 1").replace("g(x", "g(new")
    assert same(TEXT, other, renamed={("f", 3): {"x": "new"}}, reordered=True)
    assert not same(TEXT, other, renamed={("f", 3): {"x": "new"}})
    assert not same(TEXT, other, reordered=True)
    assert not same("a = 1\nf()\nb = 2\n", "b = 2\nf()\na = 1\n", reordered=True)
    assert not same("a = 1\nb = 2\n", "a = 2\nb = 1\n", reordered=True)
