import ast
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from raysim.corpus.obfuscation.layout import reformat
from raysim.corpus.obfuscation.python_text import PythonText, edited


def reformatted(text: str, seed: int = 0) -> str:
    return edited(text, reformat(PythonText(text), np.random.Generator(np.random.Philox(seed))))


def layouts(text: str) -> set[str]:
    return {reformatted(text, seed) for seed in range(40)}


def test_quotes_are_the_others_where_nothing_has_to_be_escaped() -> None:
    text = "x = ['a', b'b', r'c', 'it\"s', 'a\\n', f'{y}', '''d''', '']\n"
    assert reformatted(text).replace(" ", "") == "x=[\"a\",b\"b\",r\"c\",'it\"s','a\\n',f'{y}','''d''',\"\"]\n"
    assert "'a'" in reformatted('x = "a"\ny = \'b\' + "c"\n')


def test_spaces_go_or_come_as_a_file_has_none_or_some() -> None:
    assert reformatted("x = a == b\n") == "x=a==b\n"
    assert reformatted("x=a==b\n") == "x = a == b\n"
    assert {one.partition("\n")[0] for one in layouts("f(1, a=2)\nx = 1\ny = 2\n")} == {"f(1, a=2)", "f(1,a=2)"}


@pytest.mark.parametrize("text", ["x = not y\n", "x = -1\n", "x = lambda: 1\n", "x = (yield)\n"])
def test_what_spaces_keep_apart_stays_apart(text: str) -> None:
    for one in layouts(text):
        assert ast.dump(ast.parse(one)) == ast.dump(ast.parse(text))


def test_each_level_is_indented_by_something_else() -> None:
    text = (
        "def f():\n    # said\n    if a:\n        b()\n\n    '''\n    text\n    '''\n    return (1,\n            2)\n"
    )
    found = {one.split("\n")[3] for one in layouts(text)}
    assert found == {"    b()", "      b()", " " * 16 + "b()", "\t\tb()"}
    for one in layouts(text):
        lines = one.split("\n")
        unit = lines[1].removesuffix("# said")
        assert lines[2].startswith(f"{unit}if")
        assert f"\n{unit}'''\n    text\n    '''\n" in one  # a text is what it was
        assert "\n            2)" in one


def test_conditions_and_what_is_returned_get_parentheses() -> None:
    text = "def f():\n    while a:\n        pass\n    if (b):\n        return\n    return 1, 2\n"
    found = {" ".join(one.split()) for one in layouts(text)}
    returned = ("1, 2", "1,2", "(1, 2)", "(1,2)")
    assert found == {
        f"def f(): while {condition}: pass if (b): return return {r}" for condition in ("a", "(a)") for r in returned
    }


def test_blank_lines_go() -> None:
    text = "\n\na = 1\n\n\nb = '''\n\n\n'''\n"
    assert layouts(text) == {"a=1\nb='''\n\n\n'''\n", "\na=1\n\nb='''\n\n\n'''\n"}


def test_the_syntax_tree_is_what_it_was_on_code_that_others_wrote() -> None:
    root = Path(sysconfig.get_paths()["stdlib"])
    changed = 0
    for number, path in enumerate(sorted(root.glob("[a-d]*.py"))[::3]):
        text = path.read_text("utf-8")
        new = reformatted(text, number)
        assert ast.dump(ast.parse(new)) == ast.dump(ast.parse(text)), path
        changed += new != text
    assert changed > 10
