"""Units without comments, names and literals against one token after the other."""

from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_texts import texts_of

from raysim.corpus.lines import significant_lines
from raysim.matching.lexing import COMMENT, KINDS, LITERAL, NAME, OTHER, STRING, lex
from raysim.scan.reading import Reader

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
