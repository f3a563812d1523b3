"""Prose: what `preparation.domain: text` makes of files, a sentence a line.

Every statement on memorization is on lines (`raysim.corpus.lines`). Where each sentence has a line of its own, and a
line holds one sentence, the same statements are on sentences: here is the one place that knows of them.

What is a sentence worth keeping is as for C4 (Raffel et al., JMLR 2020, arXiv 1910.10683, section 2.2): it ends in a
terminal mark, has five words or more and no curly brace. Of its words four in five hold a letter, as Gopher's documents
must (Rae et al., arXiv 2112.11446, appendix A). Both are rules for English and languages written like it.
"""

import ast
import re
from collections.abc import Iterator
from email import message_from_string
from pathlib import PurePosixPath

from raysim.core.spool import Spool
from raysim.corpus.files import SourceFile, make_file
from raysim.corpus.obfuscation.python_text import UNREADABLE, PythonText
from raysim.corpus.reading import DropCounter, SourceReading

NO_PROSE = "no prose"
MIN_WORDS = 5
_LETTERS = 0.8
"""Least share of the words of a sentence that hold a letter."""

_ABBREVIATIONS = {
    *("e.g", "i.e", "eg", "ie", "etc", "vs", "cf", "al", "fig", "figs", "eq", "eqs", "sec", "no", "nos", "vol", "pp"),
    *("ed", "eds", "resp", "approx", "ref", "refs", "dr", "mr", "mrs", "ms", "prof", "st", "jr", "sr"),
}
_BETWEEN = re.compile(r"""(?<=[.!?])(?P<closed>["'”’)\]`*_]*)\s+(?=["'“‘(\[`*_:]*[A-Z0-9]|:\w+:`)""")
_LAST_WORD = re.compile(r"[\w.]+$")
_ENDS = re.compile(r"""[.!?]["'”’)\]`*_]*$""")

_ITEM = re.compile(r"(?:[-*+•]|\d{1,3}[.)]|#\.|#{1,6}|>|:[\w ]{1,60}:)\s+")
"""What begins an item, a heading, a quotation or a field; it is no part of the sentence."""
_ENTRY = re.compile(r"[\w.*`]+(?: \([^)]*\))?:\s")
"""A parameter and its meaning, as in docstrings."""
_MARKUP = re.compile(r"(?:[\W_]+|<.*|\|.*|\.\. .*|\[[^\]]+\]:.*)$")
"""A line of no letter, of HTML, of a table, a directive, a link's target."""
_FENCE = re.compile("```|~~~")
_LITERAL = re.compile(
    r"\.\. (?:code|code-block|sourcecode|math|image|figure|table|list-table|csv-table|raw|parsed-literal|plot|doctest"
    r"|testcode|testsetup|testoutput|ipython|toctree|autosummary)::|(?!\.\. ).*::$"
)
"""Behind it deeper lines are no prose."""


def as_prose(reading: SourceReading, spool: Spool | None = None) -> SourceReading:
    """The prose of files, a sentence a line; those that have none are counted.

    Args:
        reading: files as a source gave them.
        spool: takes texts that are too many for memory; None: all fit.
    """
    files, counter = list[SourceFile](), DropCounter(reading.skipped)
    for source in reading.files:
        text = one_sentence_a_line(prose_in(source.path, source.text))
        if text:
            files.append(make_file(source.path, text, source.repository, source.licence, source.columns, spool))
        else:
            counter.add(NO_PROSE, source.num_bytes)
    return SourceReading(tuple(files), counter.drops())


def prose_in(path: str, text: str) -> str:
    """Where a file's prose stands: docstrings of Python, a package's description in its metadata, else all of it."""
    name = PurePosixPath(path)
    if name.suffix in (".py", ".pyi"):
        return "\n\n".join(_docstrings(text))
    if name.name in ("METADATA", "PKG-INFO"):
        payload = message_from_string(text).get_payload()
        return payload if isinstance(payload, str) else ""
    return text


def _docstrings(text: str) -> Iterator[str]:
    """Docstrings in their order; none of what this Python cannot parse."""
    try:
        tree = PythonText(text).tree
    except UNREADABLE:
        return
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    for node in sorted(nodes, key=lambda node: getattr(node, "lineno", 0)):
        if docstring := ast.get_docstring(node):
            yield docstring


def one_sentence_a_line(text: str) -> str:
    """The sentences of `text`, each on a line of its own, a blank line between paragraphs; empty if there are none.

    A paragraph is what stands between blank lines, less what is marked as code, tables and headings; an item of a list
    or an entry of a docstring begins one, and so does a line that is less indented than the one before. Its line ends
    are spaces. See `sentences` for where it is split, and the head of this module for what is kept.
    """
    paragraphs = ("\n".join(filter(_is_kept, sentences(paragraph))) for paragraph in _paragraphs(text))
    found = [paragraph for paragraph in paragraphs if paragraph]
    return "\n\n".join(found) + "\n" if found else ""


def sentences(paragraph: str) -> list[str]:
    """Splits behind ``.``, ``!`` or ``?`` and what closes quotes and brackets, where white space and then a capital
    letter or a digit follow, which may have quotes and brackets before them; not behind an abbreviation or an initial.
    """
    found, begin = list[str](), 0
    text = " ".join(paragraph.split())
    for between in _BETWEEN.finditer(text):
        end = between.start()
        if text[end - 1] != "." or between["closed"] or not _is_abbreviated(text[: end - 1]):
            found.append(text[begin : between.end("closed")])
            begin = between.end()
    return [*found, text[begin:]] if begin < len(text) else found


def _is_abbreviated(text: str) -> bool:
    """Whether a point behind `text` ends an abbreviation."""
    last = _LAST_WORD.search(text[-20:])
    word = last[0] if last else ""
    return word.lower() in _ABBREVIATIONS or (len(word) == 1 and word.isalpha() and word != "I")


def _is_kept(sentence: str) -> bool:
    words = sentence.split()
    letters = sum(any(map(str.isalpha, word)) for word in words)
    return (
        len(words) >= MIN_WORDS
        and letters >= _LETTERS * len(words)
        and _ENDS.search(sentence) is not None
        and "{" not in sentence
        and "}" not in sentence
    )


def _paragraphs(text: str) -> Iterator[str]:
    lines, last = list[str](), 0
    for indentation, line in _prose_lines(text):
        item = _ITEM.match(line)
        begins = not line or item or _ENTRY.match(line) or (lines and indentation < last)
        if begins and lines:
            yield " ".join(lines)
            lines = []
        if line := line[item.end() :] if item else line:
            lines.append(line)
        last = indentation
    if lines:
        yield " ".join(lines)


def _prose_lines(text: str) -> Iterator[tuple[int, str]]:
    """Indentation and text of each line, which is empty where there is nothing, or what is no prose."""
    fenced = doctest = False
    literal: int | None = None
    for raw in text.expandtabs(4).split("\n"):
        line = raw.strip()
        indentation = len(raw) - len(raw.lstrip())
        doctest = bool(line) and (doctest or line.startswith(">>>"))
        if line and literal is not None and indentation <= literal:
            literal = None
        if _FENCE.match(line):
            fenced = not fenced
            yield indentation, ""
        elif not line or fenced or doctest or literal is not None or _MARKUP.match(line):
            yield indentation, ""
        else:
            yield indentation, line
        if literal is None and _LITERAL.match(line):
            literal = indentation
