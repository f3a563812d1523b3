"""UTF-8 as it is; other encodings if they are declared, as Python itself reads a source file."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysim.corpus.encoding import decode_source, without_bom

LATIN = "# -*- coding: latin-1 -*-\nname = 'é'\r\n"


@given(text=st.text())
def test_utf8_is_what_it_was(text: str) -> None:
    assert decode_source(text.encode()) == text.removeprefix("\ufeff")


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    ("declared", "letter"),
    [("latin-1", "é"), ("cp1252", "€"), ("koi8-r", "Ж"), ("shift_jis", "漢"), ("gbk", "漢"), ("iso-8859-15", "€")],
)
def test_what_is_declared_is_read_so(declared: str, letter: str, place: int) -> None:
    text = "#!/usr/bin/env python\n" * place + f"# vim: set fileencoding={declared} :\nname = '{letter}'\n"
    data = text.encode(declared)
    assert decode_source(data) == text
    assert ast.unparse(ast.parse(data)) == f"name = '{letter}'"


@pytest.mark.parametrize(
    "data",
    [
        "name = 'é'\n".encode("latin-1"),
        ("\n\n" + LATIN).encode("latin-1"),  # the third line
        LATIN.replace("latin-1", "ascii").encode("latin-1"),
        LATIN.replace("latin-1", "utf-8").encode("latin-1"),
        LATIN.replace("latin-1", "no-such-codec").encode("latin-1"),
        LATIN.replace("latin-1", "hex").encode("latin-1"),
        "# coding: raw_unicode_escape\nname = '\\ud800é'\n".encode("latin-1"),
        "name = 'é'\n".encode("utf-16"),
        b"\xef\xbb\xbfname = '\xe9'\n",
    ],
)
def test_what_neither_is_nor_declares_it_is_refused(data: bytes) -> None:
    assert decode_source(data) is None


def test_a_declaration_does_not_count_where_the_bytes_are_utf8() -> None:
    """So that a text that was read before stays what it was."""
    assert decode_source(LATIN.encode()) == LATIN


def test_a_byte_order_mark_is_no_text() -> None:
    assert decode_source(b"\xef\xbb\xbfx = 1\n") == "x = 1\n"
    assert without_bom("\ufeffx") == without_bom("x") == "x"
    assert decode_source("x\ufeff".encode()) == "x\ufeff"
