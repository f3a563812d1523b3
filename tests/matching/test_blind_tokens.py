"""Blind tokens: what a token is, which windows are equal, and what begins before a text."""

import pytest

from raysim.corpus.files import SourceFile
from raysim.matching.blind_tokens import CodeText, begun_token, blind_tokens

SECRET = b"secret"
PYTHON = '''\
def area(width, height):  # of a rectangle
    """Two lines
    of text."""

    return width * height + 1.5
'''
RENAMED = """\
def flaeche(breite,
            hoehe):
    "Eine Zeile."
    # und noch eine
    return (breite  *
        hoehe + 7
""".replace("(breite  ", "breite  ")


def same(one: str, other: str, length: int, path: str = "a.py", blinding: str = "consistent") -> bool:
    """Whether both have `length` tokens, which are equal."""
    tokens = blind_tokens([CodeText(path, one), CodeText(path, other)], length, SECRET, blinding)  # type: ignore[arg-type]
    assert tokens.starts.tolist() == [0, length, 2 * length]
    windows = tokens.windows(length)
    return bool((windows[0] == windows[-1]).all())


def test_names_literals_comments_and_layout_do_not_count() -> None:
    assert same(PYTHON, RENAMED, 15)
    assert not same(PYTHON, RENAMED.replace("*", "-"), 15)


def test_consistent_blinding_tells_which_name_stands_where() -> None:
    """One to one is equal; two names in place of one, one in place of two, or another order are not."""
    assert same("a = b + a", "x = y + x", 5)
    assert same("a = b + a", "b = a + b", 5)
    for other in ("x = y + y", "x = y + z", "x = x + x"):
        assert not same("a = b + a", other, 5)
        assert same("a = b + a", other, 5, blinding="plain")


def test_attributes_and_arguments_are_renamed_apart_from_variables() -> None:
    for one, other in (
        ("self.x = x", "self.x = y"),
        ("f(x=x)", "f(x=y)"),
        ("f(a, x=x.x)", "f(a, x=y.z)"),
        ("f(x)", "x(f)"),
    ):
        length = len(blind_tokens([CodeText("a.py", one)], 2, SECRET).numbers)
        assert same(one, other, length)
    assert not same("f(x, x)", "f(x, y)", 6)
    assert not same("a.x + a.x", "a.x + a.y", 7)
    assert same("p->x = x", "p->x = y", 6, "a.c")


def test_what_is_before_a_window_does_not_count() -> None:
    """The second ``a`` is the first of its name in the window that begins behind the first one."""
    tokens = blind_tokens([CodeText("a.py", "a = b ( a )"), CodeText("a.py", "b ( c )")], 4, SECRET)
    windows = tokens.windows(4)
    assert (windows[2] == windows[6]).all()
    assert not (windows[1] == windows[6]).all()


@pytest.mark.parametrize(
    ("path", "one", "other"),
    [
        ("a.c", "int f(int n) { /* sum */ return n + 1; }", "int g(int k)\n{\n  return k + 2; // k\n}"),
        ("a.java", 'String s(int n) { return "a" + n; }', 'String  t(int k) { return\n"other" + k; }'),
        ("a.js", "const f = (a) => { return a.b; }", "const g=(x)=>{return x.y;}"),
        ("a.go", "func f(n int) int { return n + 1 }", "func g(k int) int {\n\treturn k + 3\n}"),
        ("a.rs", "fn f(n: u32) -> u32 { n + 1 }", "fn g(k: u32) -> u32 {\n    k + 2 // k\n}"),
    ],
)
def test_lexers_are_those_of_the_language(path: str, one: str, other: str) -> None:
    length = len(blind_tokens([CodeText(path, one)], 2, SECRET).numbers)
    assert length > 9
    assert same(one, other, length, path)


def test_a_token_counts_if_the_text_has_a_character_of_it() -> None:
    """Lines are those of the text; a string that begins above it is in none."""
    after = blind_tokens([CodeText("a.py", "dth * 2\nx = 1", "if a:\n  return wi")], 2, SECRET)
    whole = blind_tokens([CodeText("a.py", "width * 2\nx = 1")], 2, SECRET)
    assert (after.first == whole.first).all()
    assert after.numbers.tolist() == whole.numbers.tolist() == [1, 1, 1, 2, 2, 2]
    inside = blind_tokens([CodeText("a.py", 'of text."""\nx', 'def f():\n  """Two lines\n  ')], 2, SECRET)
    assert inside.numbers.tolist() == [0, 2]
    assert (inside.first == blind_tokens([CodeText("a.py", "'' x")], 2, SECRET).first).all()


def test_what_a_text_begins_within_is_found_in_its_file() -> None:
    source = SourceFile("a.py", PYTHON, "r")
    assert begun_token(source, "of text.") == '"""Two lines\n    '
    assert begun_token(source, "a rectangle\n") == "# of "
    for text in ("return width", '"""Two lines', "is not there"):
        assert begun_token(source, text) == ""


def test_digests_are_keyed_and_no_text_has_none() -> None:
    one, other = (blind_tokens([CodeText("a.py", "x = 1")], 2, secret) for secret in (b"one", b"other"))
    assert not (one.first == other.first).any()
    nothing = blind_tokens([CodeText("a.py", "# nothing\n\n")], 2, SECRET)
    assert (nothing.starts.tolist(), nothing.windows(2).shape) == ([0, 0], (0, 2))
