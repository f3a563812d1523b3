"""UTF-8 as it is; other encodings if a mark or the file says so, as Python itself reads a source file."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysim.corpus.encoding import clean, decode_source

LATIN = "# -*- coding: latin-1 -*-\nname = 'é'\r\n"


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")))
def test_utf8_is_what_it_was(text: str) -> None:
    assert decode_source(text.encode()) == text.removeprefix("\ufeff")


@given(
    text=st.text().filter(lambda text: not text.startswith("\0")),
    encoding=st.sampled_from(["utf-8-sig", "utf-16", "utf-32"]),
)
def test_a_mark_says_which_encoding_it_is(text: str, encoding: str) -> None:
    """But for texts that begin with a NUL, of which the mark of UTF-16 is that of UTF-32; no source file does."""
    assert decode_source(text.encode(encoding)) == clean(text.removeprefix("\ufeff"))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_marks_of_either_byte_order_are_known(encoding: str) -> None:
    assert decode_source("\ufeffname = 'é'\r\n".encode(encoding)) == "name = 'é'\r\n"


@given(data=st.binary() | st.builds(bytes.__add__, st.sampled_from([b"\xff\xfe", b"\xef\xbb\xbf"]), st.binary()))
def test_any_bytes_are_text_or_are_none(data: bytes) -> None:
    text = decode_source(data)
    assert text is None or (text.encode(), "\r" in text.replace("\r\n", "")) == (text.encode(), False)


def test_a_carriage_return_alone_ends_a_line() -> None:
    text = "a = 1\rb = 2\r\nc = 3\r"
    assert clean(text) == decode_source(text.encode()) == "a = 1\nb = 2\r\nc = 3\n"
    assert decode_source(f"# coding: latin-1\r{text}'é'".encode("latin-1")) == f"# coding: latin-1\n{clean(text)}'é'"


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
        "name = 'é'\n".encode("utf-16-le"),
        b"\xff\xfen\x00a",
        b"\xef\xbb\xbf# coding: latin-1\nname = '\xe9'\n",
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
    assert clean("\ufeffx") == clean("x") == "x"
    assert decode_source("x\ufeff".encode()) == "x\ufeff"
