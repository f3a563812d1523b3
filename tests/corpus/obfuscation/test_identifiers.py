"""What is renamed, and above all what is not: each case is run before and after, and seen from outside."""

import ast
import symtable
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from raysim.corpus.obfuscation.identifiers import rename_identifiers
from raysim.corpus.obfuscation.python_text import PythonText, edited


def renamed(text: str, seed: int = 0) -> tuple[str, dict[str, str]]:
    """The new text, and the new names of all functions together."""
    edits, names = rename_identifiers(PythonText(text), np.random.Generator(np.random.Philox(seed)))
    return edited(text, edits), {old: new for of in names.values() for old, new in of.items()}


def result(text: str, call: str = "f()") -> object:
    names: dict[str, object] = {"__name__": "m"}
    exec(text, names)
    return eval(call, names)


CASES: dict[str, tuple[str, str, set[str]]] = {
    "locals": ("def f(p=2):\n    kept = p\n    other = kept * 3\n    return other", "f()", {"kept", "other"}),
    "a global of the same name": (
        "n = 5\ndef f():\n    rows = [n for m in range(2)]\n    return rows, n, [n + 1 for n in rows]",
        "f()",
        {"rows", "m"},
    ),
    "a default is read outside": ("x = 4\ndef f(p=x):\n    x = p + 1\n    return x", "f()", {"x"}),
    "a global statement": ("def f():\n    global told\n    told = 1\n    a = told\n    return a", "(f(), told)", {"a"}),
    "a closure": (
        "def f():\n    count = 0\n    def step(by):\n        nonlocal count\n        count += by\n"
        "        return count\n"
        "    step(2)\n    return step(3)",
        "f()",
        {"count", "step", "by"},
    ),
    "an argument by name": (
        "def f():\n    def g(one, two):\n        return one - two\n    return g(5, two=3)",
        "f()",
        {"g", "one"},
    ),
    "arguments by names that are not known": (
        "def f():\n    def g(one):\n        inner = one\n        return inner\n    return g(**{'one': 3})",
        "f()",
        {"inner"},
    ),
    "a function that goes out": (
        "def f():\n    def g(one):\n        inner = one\n        return inner\n    return g",
        "(f()(one=3), f().__name__)",
        {"inner"},
    ),
    "a decorated function": (
        "def keep(g):\n    keep.name = g.__name__\n    return g\n"
        "def f():\n    @keep\n    def g():\n        return 1\n    return g(), keep.name",
        "f()",
        set(),
    ),
    "a class inside": (
        "def f():\n    size = 3\n    other = 4\n    class A:\n        size = 5\n        def get(self):\n"
        "            found = self.size\n            return found + other, __class__.__name__\n    return A().get()",
        "f()",
        {"found"},
    ),
    "methods of a local class": (
        "def f():\n    class A:\n        def m(self, value):\n            twice = value * 2\n            return twice\n"
        "    def g(value):\n        return value\n"
        "    return A().m(value=3), A.m.__name__, g(4)",
        "f()",
        {"twice", "g"},
    ),
    "a metaclass that gives names": (
        "class Meta(type):\n    @classmethod\n    def __prepare__(mcs, *rest):\n        return {'given': 7}\n"
        "def f():\n    given = 1\n    class A(metaclass=Meta):\n        seen = given\n    return A.seen, given",
        "f()",
        set(),
    ),
    "super": (
        "class A:\n    def f(self):\n        base = 1\n        return base\n"
        "class B(A):\n    def f(self):\n        more = super().f()\n        return more + 1",
        "B().f()",
        {"base", "more"},
    ),
    "f-strings": ("def f():\n    shown = 1\n    hidden = 2\n    return f'{shown=}', hidden", "f()", {"hidden"}),
    "texts": (
        "def f():\n    name = 1\n    other = 2\n    return '%(name)s' % {'name': name}, other",
        "f()",
        {"other"},
    ),
    "locals()": ("def f():\n    a = 1\n    return sorted(locals())", "f()", set()),
    "locals() in an f-string": ("def f():\n    a = 1\n    return f'{sorted(locals())}'", "f()", set()),
    "eval of a text": ("def f():\n    a = 1\n    return eval('a' if a else 'b')", "f()", set()),
    "a frame": (
        "import sys\ndef look():\n    return sorted(sys._getframe(1).f_locals)\ndef f():\n    a = 1\n    return look()",
        "f()",
        set(),
    ),
    "comprehensions": (
        "def f():\n    return [i * j for i in range(3) for j in range(i)], {k: v for k, v in zip('ab', 'cd')}",
        "f()",
        {"i", "j", "k", "v"},
    ),
    "a walrus in a comprehension": (
        "def f():\n    seen = [last := i for i in range(3)]\n    return seen, last",
        "f()",
        {"seen", "last", "i"},
    ),
    "a parameter of a lambda": ("def f():\n    g = lambda one: one + 1\n    return g(one=1)", "f()", {"g"}),
    "exceptions": (
        "def f():\n    try:\n        1 / 0\n    except (ValueError, ZeroDivisionError) as error:\n"
        "        kind = type(error).__name__\n    return kind",
        "f()",
        {"error", "kind"},
    ),
    "match": (
        "def f():\n    pair = (1, 2)\n    match pair:\n        case (a, *rest):\n            total = a\n"
        "    return total, rest",
        "f()",
        {"pair", "total"},
    ),
    "imports and classes": (
        "def f():\n    import os.path as where\n    class Made: pass\n    x = where.join('a', 'b')\n"
        "    return x, Made.__name__",
        "f()",
        {"x"},
    ),
    "attributes and keywords": (
        "class A: pass\ndef f():\n    size = A()\n    size.size = dict(size=1)\n    return size.size",
        "f()",
        {"size"},
    ),
    "del, with, for, star, augmented": (
        "import io\ndef f():\n    with io.StringIO('a') as file:\n        text = file.read()\n"
        "    for first, *rest in [text]:\n"
        "        first += 'c'\n    else:\n        del text\n    return first, rest",
        "f()",
        {"file", "text", "first", "rest"},
    ),
    "a local annotation": ("def f():\n    total: int = 1\n    total += 1\n    return total", "f()", {"total"}),
    "async": (
        "import asyncio\nasync def g():\n    waited = 1\n    async def h(x):\n        return x + waited\n"
        "    return await h(2)\n"
        "def f():\n    return asyncio.run(g())",
        "f()",
        {"waited", "h", "x"},
    ),
    "not ASCII": ("def f():\n    größe = 1; after = größe; n = '\u2028' + 'é'; w = after\n    return w, n", "f()",
                  {"after", "n", "w"}),
    "private names of a class": (
        "class A:\n    def f(self):\n        __own = 1\n        b = __own\n        return b", "A().f()", {"b"}
    ),
    "a default of a nested function": (
        "def f():\n    base = 2\n    def g(x=base):\n        return x\n    return g()", "f()", {"base", "g", "x"}
    ),
    "an annotation of a nested function": (
        "def f():\n    kind = int\n    def g(x: kind) -> kind:\n        return x\n    return g.__annotations__",
        "f()",
        set(),
    ),
    "an import of the same name elsewhere": (
        "import math\ndef f():\n    def g():\n        math = 3\n        return math\n    return g(), math.floor(2.5)",
        "f()",
        {"g"},
    ),
    "a decorator that names variables": (
        "def typed(*names, **types):\n    def wrap(g):\n"
        "        g.known = {*names, *types} <= {*getattr(g.__code__, 'co_' 'varnames')}\n        return g\n"
        "    return wrap\n@typed('a', b=int)\ndef f():\n    a, b, c = 1, 2, 3\n    return a + b + c",
        "(f(), f.known)",
        {"c"},
    ),
    "a nested function called like a global": (
        "def h(): return 'outer'\ndef f():\n    def g():\n        def h(): return 'inner'\n        return h()\n"
        "    return g(), h()",
        "f()",
        {"g"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_nobody_outside_sees_is_renamed_and_nothing_else(case: str) -> None:
    text, call, names = CASES[case]
    new, found = renamed(text)
    assert set(found) == names
    assert result(new, call) == result(text, call)
    assert (new != text) == bool(names)
    assert not set(found.values()) & {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}


def test_names_are_drawn_and_new() -> None:
    text = "def f():\n    a, b, c = 1, 2, 3\n    value = a\n    return a + b * c\n"
    found = {renamed(text, seed)[0] for seed in range(5)}
    assert len(found) == 5
    assert renamed(text, 3) == renamed(text, 3)
    names = [renamed(text, seed)[1] for seed in range(50)]
    assert all(len(set(one.values())) == 4 and "value" not in one.values() for one in names)


def test_there_are_names_for_any_number_of_variables() -> None:
    text = "def f():\n" + "".join(f"    x{n} = {n}\n" for n in range(1000)) + "    return x7\n"
    new, found = renamed(text)
    assert len(set(found.values())) == 1000
    assert result(new) == 7


def files() -> Iterator[Path]:
    """Some 30 files of the standard library."""
    root = Path(sysconfig.get_paths()["stdlib"])
    yield from sorted(root.glob("*.py"))[::6]


def shape(table: symtable.SymbolTable, names: dict[str, str]) -> object:
    """A scope and all in it as the compiler sees them, under the names that `names` gives; columns do not count."""
    symbols = sorted(
        (
            names.get(one.get_name(), one.get_name()),
            one.is_local(), one.is_free(), one.is_global(), one.is_parameter(), one.is_nonlocal(), one.is_referenced(),
            one.is_assigned(), one.is_imported(), one.is_namespace(),
        )
        for one in table.get_symbols()
    )  # fmt: skip
    inner = [(names.get(one.get_name(), one.get_name()), shape(one, names)) for one in table.get_children()]
    return table.get_type(), table.get_lineno(), symbols, inner


def test_scopes_are_what_they_were_but_for_the_names() -> None:
    """The compiler's table of every function, before and after, on code that others wrote."""
    compared = 0
    for path in files():
        text = path.read_text("utf-8")
        edits, names = rename_identifiers(PythonText(text), np.random.Generator(np.random.Philox(1)))
        if not names:
            continue
        before, after = PythonText(text), PythonText(edited(text, edits))
        stack = [(before.scopes, after.scopes)]
        while stack:
            one, other = stack.pop()
            assert len(one.get_children()) == len(other.get_children())
            for pair in zip(one.get_children(), other.get_children(), strict=True):
                own = names.get((pair[0].get_name(), pair[0].get_lineno()))
                if own:
                    assert shape(pair[0], own) == shape(pair[1], {})
                    compared += 1
                else:
                    stack.append(pair)
    assert compared > 200
