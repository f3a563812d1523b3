"""Significant lines of bytes against those of text, and their hashes against the lines themselves."""

import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.corpus.lines import significant_lines
from raysim.matching.hashing import hash_units, window_hashes
from raysim.matching.units import Units, chain, join, lines_in
from raysim.scan.lexing import COMMENT, KINDS, LITERAL, NAME, OTHER, STRING, lex
from raysim.scan.reading import Reader

WHITE = [chr(code) for code in range(0x3100) if chr(code).isspace()]
TEXT = st.text(st.sampled_from([*WHITE, "\n", "\n", " ", " ", "a", "é", "\u200b", "\ufeff", "漢"]), max_size=40)


def texts_of(units: Units) -> list[list[str]]:
    found = units.texts(np.arange(len(units.begins)))
    texts = [found.content[a:b].tobytes().decode() for a, b in zip(found.begins, found.ends, strict=True)]
    return [texts[a:b] for a, b in zip(units.starts[:-1], units.starts[1:], strict=True)]


@settings(max_examples=scaled(300))
@given(files=st.lists(TEXT, max_size=5))
def test_lines_are_those_of_the_texts(files: list[str]) -> None:
    units = lines_in(*join([text.encode() for text in files]))
    expected = [significant_lines(text) for text in files]
    assert texts_of(units) == [lines for lines, _ in expected]
    assert units.numbers.tolist() == [number for _, numbers in expected for number in numbers]


def test_hashes_of_the_standard_library_tell_its_lines_apart() -> None:
    """Across buffers: each file is hashed by itself and with all others."""
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    contents = [path.read_bytes() for path in paths] + [b"v" * 3000 + b"\n" + b"v" * 3001]
    units = lines_in(*join(contents))
    lines = [line for of_file in texts_of(units) for line in of_file]
    hashes = hash_units(units, 1)
    assert len(set(lines)) > 50_000
    assert len({*zip(lines, hashes.tolist(), strict=True)}) == len(set(lines)) == len(set(hashes.tolist()))
    by_file = [hash_units(lines_in(*join([content])), 1) for content in contents]
    assert np.concatenate(by_file).tolist() == hashes.tolist()
    assert not set(hashes.tolist()) & set(hash_units(units, 2).tolist())


def test_windows_depend_on_order_and_content() -> None:
    hashes = np.array([1, 2, 3, 1, 2, 3, 3, 2, 1], dtype=np.uint64)
    windows = window_hashes(hashes, 3).tolist()
    assert windows[0] == windows[3]
    assert len(set(windows)) == 6
    assert len(window_hashes(hashes, 10)) == 0


@settings(max_examples=scaled(200))
@given(
    texts=st.lists(st.text("ab", max_size=3).map(lambda text: 40 * text) | st.text("ab", min_size=30, max_size=34)),
    draw=st.data(),
)
def test_texts_are_equal_only_one_by_one(texts: list[str], draw: st.DataObject) -> None:
    """Taken from one place or from two, in blocks of 32 bytes or longer than what is compared in blocks."""
    texts = [*texts, "a", "b", 700 * "a", 699 * "a" + "b"]
    units = Units(*join_all(texts))
    which = np.array(sorted(draw.draw(st.sets(st.sampled_from(range(len(texts))), min_size=1))))
    kept = units.texts(which)
    numbers = st.lists(st.integers(0, len(which) - 1), max_size=5)
    left, right = draw.draw(st.tuples(numbers, numbers).filter(lambda pair: len(pair[0]) == len(pair[1])))
    expected = all(texts[which[i]] == texts[which[j]] for i, j in zip(left, right, strict=True))
    assert kept.equal(np.array(left, dtype=np.int64), np.array(right, dtype=np.int64)) == expected
    twice = chain([kept, kept])
    assert twice.equal(np.arange(len(which)), np.arange(len(which)) + len(which))
    if texts[which[0]] != texts[which[-1]]:
        assert not twice.equal(np.array([0]), np.array([2 * len(which) - 1]))


def join_all(texts: list[str]) -> tuple[Any, ...]:
    buffer, begins = join([text.encode() for text in texts])
    return buffer, begins[:-1], begins[1:] - 1, np.zeros(len(texts), np.int32), np.array([0, len(texts)])


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


PIECES = [
    "a",
    " ",
    "\n",
    "'",
    '"',
    '"""',
    "#",
    "/*",
    "*/",
    "//",
    "é",
    "漢",
    "\t",
    "1.5",
    "{",
    "\\",
    "\u2003",
    "a b\n",
    "# é\n",
]


@settings(max_examples=scaled(300), deadline=None)
@given(
    files=st.lists(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), max_size=3),
    ending=st.sampled_from(["py", "js", "c", "yaml", "unknown"]),
    reader=st.builds(Reader, st.sampled_from(["lines", "tokens"]), st.booleans(), st.booleans()),
)
def test_units_are_those_of_one_token_after_the_other(files: list[str], ending: str, reader: Reader) -> None:
    paths = [f"{number}.{ending}" for number in range(len(files))]
    units = reader(paths, [text.encode() for text in files])
    expected = [plainly(reader, path, text) for path, text in zip(paths, files, strict=True)]
    assert texts_of(units) == [[text for text, _ in of_file] for of_file in expected]
    assert units.numbers.tolist() == [number for of_file in expected for _, number in of_file]


def plainly(reader: Reader, path: str, text: str) -> list[tuple[str, int]]:
    """Units and the lines that they begin in, token by token."""
    if not reader.lexes:
        return list(zip(*significant_lines(text), strict=True))
    content, at, line, before = text.encode(), 0, 1, OTHER
    values, units = [], []
    for token in lex(path, content).tolist():
        length, kind = divmod(token, KINDS)
        value = content[at : at + length].decode()
        feeds = "\n" * value.count("\n")
        mark = {NAME: "_", STRING: "'" * (before != STRING), LITERAL: "0"}.get(kind, "")
        changed = value
        if kind == COMMENT and reader.ignore_comments:
            changed = feeds
        elif kind in (NAME, STRING, LITERAL) and reader.blind:
            changed = feeds if value[0] == "\n" else mark + feeds
        values.append(changed)
        if changed.strip():
            units.append((changed.strip(), line + changed[: len(changed) - len(changed.lstrip())].count("\n")))
        at, line, before = at + length, line + len(feeds), kind
    return units if reader.unit == "tokens" else list(zip(*significant_lines("".join(values)), strict=True))
