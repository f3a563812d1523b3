"""Tokens cover a file in every language."""

import numpy as np
import pytest
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.scan.lexing import KINDS, lex, lexer_name

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
