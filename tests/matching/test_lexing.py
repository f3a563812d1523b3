"""Tokens cover a file in every language."""

import time

import numpy as np
import pytest
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.matching.lexing import KINDS, LITERAL, NAME, OTHER, STRING, lex, lexer_name

LANGUAGES = ["x.py", "x.js", "x.c", "x.html", "x.md", "x.yaml", "x.rst", "x.java", "x.sh", "Makefile", "x.nothing"]

PIECES = [
    "a",
    " ",
    "\n",
    "'",
    '"',
    "#",
    "/*",
    "*/",
    "//",
    "<b>",
    "&",
    "é",
    "漢",
    "\r",
    "\t",
    "1.5",
    "{",
    "}",
    "$x",
    "\\",
]


@settings(max_examples=scaled(200), deadline=None)
@given(name=st.sampled_from(LANGUAGES), text=st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_tokens_cover_a_file(name: str, text: str) -> None:
    tokens = lex(name, text.encode())
    lengths = tokens // KINDS
    assert (lengths > 0).all()
    assert int(lengths.sum()) == len(text.encode())
    ends = np.cumsum(lengths).tolist()
    for end in ends:
        text.encode()[:end].decode()  # between two characters


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b.py", "x.py"),
        ("b.tar.js", "x.js"),
        ("a.b/Makefile", "Makefile"),
        ("r.jsonl#3", "x.py"),
        ("a.c (r.csv#3)", "x.py"),
    ],
)
def test_the_ending_chooses_the_lexer(path: str, name: str) -> None:
    assert lexer_name(path) == name


def spans(content: bytes, name: str = "x.py") -> list[tuple[str, int]]:
    tokens, found, at = lex(name, content), [], 0
    for token in tokens.tolist():
        found.append((content[at : at + token // KINDS].decode(), token % KINDS))
        at += token // KINDS
    return found


def test_a_file_with_a_line_that_nobody_typed_has_words_and_signs() -> None:
    typed, long = b"x = 'a b'\n", b"# " + b"9" * 70_000 + b"\n"
    assert ("'", STRING) in spans(typed)
    assert spans(typed + long)[:7] == [
        ("x", NAME), (" ", OTHER), ("=", OTHER), (" ", OTHER), ("'", OTHER), ("a", NAME), (" ", OTHER)
    ]  # fmt: skip
    assert spans(typed + long)[-2:] == [("9" * 70_000, LITERAL), ("\n", OTHER)]
    # Many lines are no long one, wherever they end.
    assert ("'", STRING) in spans(typed + 20 * (b"y" * 65_535 + b"\n"))


@settings(max_examples=scaled(200), deadline=None)
@given(text=st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_words_and_signs_cover_a_file(text: str) -> None:
    content = text.encode() + b"a" * 70_000
    found = spans(content)
    assert "".join(part for part, _ in found).encode() == content
    assert all(len(part) == 1 or len({c.isspace() for c in part}) == 1 for part, _ in found)


@pytest.mark.parametrize("line", ["x = [" + "17, " * 250_000, "(" * 1_000_000, "'\"" * 500_000, "@\\" * 500_000])
def test_time_grows_with_a_line_as_its_length(line: str) -> None:
    """A million bytes in less time than a lexer takes for a tenth of it."""
    started_s = time.process_time()
    lex("x.py", line.encode())
    assert time.process_time() - started_s < 1
