"""Significant lines of bytes against those of text, and their hashes against the lines themselves."""

import sysconfig
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.corpus.lines import significant_lines
from raysim.scan.hashing import hash_units, window_hashes
from raysim.scan.reading import Reader
from raysim.scan.units import Texts, Units, lines_of

WHITE = [chr(code) for code in range(0x3100) if chr(code).isspace()]
TEXT = st.text(st.sampled_from([*WHITE, "\n", "\n", " ", " ", "a", "é", "\u200b", "\ufeff", "漢"]), max_size=40)


def texts_of(units: Units) -> list[list[str]]:
    found = units.texts(np.arange(len(units.begins)))
    texts = [found.content[a:b].tobytes().decode() for a, b in zip(found.starts[:-1], found.starts[1:], strict=True)]
    return [texts[a:b] for a, b in zip(units.starts[:-1], units.starts[1:], strict=True)]


@settings(max_examples=300)
@given(files=st.lists(TEXT, max_size=5))
def test_lines_are_those_of_the_texts(files: list[str]) -> None:
    units = lines_of([text.encode() for text in files])
    expected = [significant_lines(text) for text in files]
    assert texts_of(units) == [lines for lines, _ in expected]
    assert units.numbers.tolist() == [number for _, numbers in expected for number in numbers]


def test_hashes_of_the_standard_library_tell_its_lines_apart() -> None:
    """Across buffers: each file is hashed by itself and with all others."""
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    contents = [path.read_bytes() for path in paths] + [b"v" * 3000 + b"\n" + b"v" * 3001]
    units = lines_of(contents)
    lines = [line for of_file in texts_of(units) for line in of_file]
    hashes = hash_units(units, 1)
    assert len(set(lines)) > 50_000
    assert len({*zip(lines, hashes.tolist(), strict=True)}) == len(set(lines)) == len(set(hashes.tolist()))
    assert np.concatenate([hash_units(lines_of([content]), 1) for content in contents]).tolist() == hashes.tolist()
    assert not set(hashes.tolist()) & set(hash_units(units, 2).tolist())


def test_windows_depend_on_order_and_content() -> None:
    hashes = np.array([1, 2, 3, 1, 2, 3, 3, 2, 1], dtype=np.uint64)
    windows = window_hashes(hashes, 3).tolist()
    assert windows[0] == windows[3]
    assert len(set(windows)) == 6
    assert len(window_hashes(hashes, 10)) == 0


def test_texts_are_equal_only_one_by_one() -> None:
    def texts(*parts: str) -> Texts:
        return Texts(np.frombuffer("".join(parts).encode(), np.uint8), np.cumsum([0, *map(len, parts)]))

    assert texts("ab", "", "c").take(np.array([2, 0, 1])).equals(texts("c", "ab", ""))
    assert not texts("ab", "c").equals(texts("a", "bc"))
    assert not texts("ab").equals(texts("ac"))


PYTHON = '''\
def area(width, height):  # of a rectangle
    """Two lines
    of text."""
    # nothing but words
    return width * height + 1.5
'''
RENAMED = '''\
def flaeche(breite, hoehe):
    """Eine
    Zeile."""

    return breite * hoehe + 7
'''


def test_comments_are_left_out_and_lines_keep_their_numbers() -> None:
    units = Reader(ignore_comments=True)(["a.py"], [PYTHON.encode()])
    assert texts_of(units) == [
        ["def area(width, height):", '"""Two lines', 'of text."""', "return width * height + 1.5"]
    ]
    assert units.numbers.tolist() == [1, 2, 3, 5]
    (lines,) = texts_of(Reader(ignore_comments=True)(["a.c"], [b"int a; /* two\nlines */ int b; // c\n#include <x>\n"]))
    assert lines == ["int a;", "int b;", "#include <x>"]


def test_blind_units_are_equal_where_only_names_and_literals_differ() -> None:
    for unit in ("lines", "tokens"):
        reader = Reader(unit, ignore_comments=True, blind=True)
        plain, renamed = texts_of(reader(["a.py", "b.py"], [PYTHON.encode(), RENAMED.encode()]))
        assert plain == renamed
        other = texts_of(reader(["a.py"], [PYTHON.replace("*", "+").encode()]))
        assert other != [plain]
        assert texts_of(Reader(unit)(["a.py"], [PYTHON.encode()])) != texts_of(
            Reader(unit)(["b.py"], [RENAMED.encode()])
        )


def test_tokens_name_the_line_that_they_begin_in() -> None:
    units = Reader("tokens")(["a.py", "e.py"], [b"\n\nx = 1\nif x:\n    y\n", b""])
    assert texts_of(units) == [["x", "=", "1", "if", "x", ":", "y"], []]
    assert units.numbers.tolist() == [3, 3, 3, 4, 4, 4, 5]


def test_files_of_no_known_language_are_compared_as_they_stand() -> None:
    assert texts_of(Reader(blind=True)(["a.unknown"], [b"some words\n"])) == [["some words"]]
