"""Tokens of code without the names that somebody chose: what is left where identifiers and literals are other ones.

Lexers of the file's language tell tokens apart (`raysim.matching.lexing`). White space and comments are none, so that
text which is only laid out anew has the same tokens; all strings are equal, and all numbers. Identifiers, which are all
names but keywords, are equal under *plain* blinding. Under *consistent* blinding each is replaced by the number of
tokens since it last occurred within a window, or by nothing where it is the first there (Baker, J. Comput. Syst. Sci.
1996: parameterized strings), so that two windows are equal if one is the other with its identifiers renamed one to one.
Variables, attributes and names of arguments are renamed apart: ``self.x = x`` is equal to ``self.x = y``.
Both find type-2 clones (Roy, Cordy & Koschke, Sci. Comput. Program. 2009).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Literal

import numpy as np
import numpy.typing as npt

from raysim.core.windows import GAMMA, mix
from raysim.corpus.files import SourceFile
from raysim.corpus.line_digests import Digests, digest_lines
from raysim.matching.lexing import COMMENT, KINDS, LITERAL, NAME, OTHER, STRING, lex, lexer_name

Blinding = Literal["consistent", "plain"]

_NAME_MARK, _STRING_MARK, _LITERAL_MARK = "_", "'", "0"


@dataclass(frozen=True)
class CodeText:
    """Code with the file that it belongs to.

    Attributes:
        path: of the file, which chooses the lexer.
        text: the code.
        before: what stands before it, for the lexer: whether the text begins within a string follows from that.
    """

    path: str
    text: str
    before: str = ""


@dataclass(frozen=True)
class BlindTokens:
    """Tokens of some texts, one after the other.

    Attributes:
        first: uint64 ``[num_tokens, 2]``, keyed digest of each where it is the first of its name in a window.
        again: uint64 ``[num_tokens, 2]``, that where the name occurs before it in the window.
        distances: int32 ``[num_tokens]``, tokens since the name last occurred in its text; 0: it has not within reach.
        numbers: int32 ``[num_tokens]``, line of its text, from 1, in which each begins; 0: before its text.
        starts: int64 ``[num_texts + 1]``, where the tokens of each text begin, and the end.
    """

    first: Digests
    again: Digests
    distances: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]

    def windows(self, length: int) -> Digests:
        """Digest of each window of `length` consecutive tokens: uint64 ``[max(0, num_tokens - length + 1), 2]``."""
        count = max(0, len(self.distances) - length + 1)
        windows = np.zeros((2, count), dtype=np.uint64)
        for offset in range(length):
            part = slice(offset, offset + count)
            known = (self.distances[part] > 0) & (self.distances[part] <= offset)
            for half in range(2):
                windows[half] += GAMMA
                windows[half] ^= np.where(known, self.again[part, half], self.first[part, half])
                mix(windows[half])
        return windows.T


def blind_tokens(
    texts: Iterable[CodeText], length: int, secret: bytes, blinding: Blinding = "consistent"
) -> BlindTokens:
    """The tokens of `texts`, for windows of `length`.

    A token counts if its text has a character of it; one that the text only goes on with lies before it.

    Args:
        texts: in order.
        length: tokens of a window; identifiers that are farther apart are none of the same name.
        secret: the key of all digests.
        blinding: of identifiers.
    """
    marks: list[str] = []
    numbers: list[int] = []
    distances: list[int] = []
    starts = [0]
    for code in texts:
        found, names, lines = _tokens_of(code)
        last: dict[bytes, int] = {}
        for place, name in enumerate(_in_their_roles(names, found)):
            distance = place - last.get(name, place) if name else 0
            last[name] = place
            distances.append(distance if distance < length and blinding == "consistent" else 0)
        marks += found
        numbers += lines
        starts.append(len(marks))
    again = [f"{mark}{distance}" if distance else mark for mark, distance in zip(marks, distances, strict=True)]
    return BlindTokens(
        digest_lines(marks, secret),
        digest_lines(again, secret),
        np.array(distances, dtype=np.int32),
        np.array(numbers, dtype=np.int32),
        np.array(starts, dtype=np.int64),
    )


def begun_token(source: SourceFile, text: str) -> str:
    """The beginning of the string or comment of a file within which `text` begins there; nothing if in none."""
    at = source.text.find(text)
    if at < 0:
        return ""
    content, place = source.text.encode("utf-8", "replace"), len(source.text[:at].encode("utf-8", "replace"))
    for begin, end, kind in _whole_tokens(lex(lexer_name(source.path), content).tolist()):
        if begin < place < end and kind in (STRING, COMMENT):
            return content[begin:place].decode("utf-8", "replace")
        if end >= place:
            break
    return ""


def _tokens_of(code: CodeText) -> tuple[list[str], list[bytes], list[int]]:
    """Of each token what is left of it, its name if it is an identifier, and its line."""
    before, content = code.before.encode("utf-8", "replace"), code.text.encode("utf-8", "replace")
    content = before + content
    marks: list[str] = []
    names: list[bytes] = []
    lines: list[int] = []
    # The line in which the text begins is its first, wherever that line itself begins.
    line, counted = 1 - before.count(b"\n"), 0
    for begin, end, kind in _whole_tokens(lex(lexer_name(code.path), content).tolist()):
        token = content[begin:end]
        if end <= len(before) or not (mark := _mark(kind, token)):
            continue
        begin += len(token) - len(token.lstrip())
        line, counted = line + content.count(b"\n", counted, begin), begin
        marks.append(intern(mark))  # there are few different ones
        names.append(token if kind == NAME else b"")
        lines.append(max(0, line))
    return marks, names, lines


def _in_their_roles(names: Sequence[bytes], marks: Sequence[str]) -> Iterator[bytes]:
    """Names, so that one is another where it stands for an attribute, or for an argument that is given by name."""
    before, second = "", ""
    for place, name in enumerate(names):
        if name and (before == "." or (before == ">" and second == "-")):
            name = b"." + name
        elif name and before in ("(", ",") and marks[place + 1 : place + 2] == ["="]:
            name += b"="
        yield name
        before, second = marks[place], before


def _whole_tokens(tokens: Iterable[int]) -> Iterator[tuple[int, int, int]]:
    """Where tokens begin and end, and their kinds; lexers take a string apart, which is one token here."""
    begin = end = 0
    before = OTHER
    for packed in tokens:
        length, kind = divmod(packed, KINDS)
        if not kind == before == STRING:
            if end > begin:
                yield begin, end, before
            begin, before = end, kind
        end += length
    if end > begin:
        yield begin, end, before


def _mark(kind: int, token: bytes) -> str:
    """What is left of a token; nothing of white space and comments."""
    if kind == NAME:
        return _NAME_MARK
    if kind == STRING:
        return _STRING_MARK
    if kind == LITERAL:
        return _LITERAL_MARK
    return "" if kind == COMMENT else token.decode("utf-8", "replace").strip()
