"""What matches under other names are, in the plainest words: Python's own tokenizer, and every pair of windows."""

import io
import keyword
import re
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

NAMED = ("name", "attribute", "argument")
_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
# Signs that Pygments takes as one token; it reads all others apart.
_SIGNS = re.compile(r"!=|==|<<|>>|:=|.")


class Token(NamedTuple):
    """A token: of which sort, the name or the sign that it is, its line, and where its characters begin and end."""

    sort: str
    text: str
    line: int
    begin: int
    end: int


def _tokenized(text: str) -> Iterator[tokenize.TokenInfo]:
    """Python's own tokens; a bracket that nothing closes is no error behind the last of them."""
    try:
        yield from tokenize.generate_tokens(io.StringIO(text).readline)
    except tokenize.TokenError as error:
        if "EOF in multi-line statement" not in error.args:
            raise


def python_tokens(text: str) -> list[Token]:
    """The tokens of Python code without imports and decorators."""
    begins = [0]
    for line in text.split("\n"):
        begins.append(begins[-1] + len(line) + 1)
    found = []
    for token in _tokenized(text):
        if token.type in _LAYOUT:
            continue
        begin, end = (begins[row - 1] + column for row, column in (token.start, token.end))
        if token.type == tokenize.OP:
            signs = [(m.group(), begin + m.start()) for m in _SIGNS.finditer(token.string)]
            found += [Token("sign", sign, token.start[0], at, at + len(sign)) for sign, at in signs]
        elif token.type == tokenize.NAME and not keyword.iskeyword(token.string):
            found.append(Token("name", token.string, token.start[0], begin, end))
        elif token.type == tokenize.NAME:
            found.append(Token("word", token.string, token.start[0], begin, end))
        else:
            found.append(Token("number" if token.type == tokenize.NUMBER else "string", "", token.start[0], begin, end))
    return [token._replace(sort=_role(found, i)) if token.sort == "name" else token for i, token in enumerate(found)]


def _role(tokens: Sequence[Token], i: int) -> str:
    before, after = tokens[max(0, i - 1)].text, tokens[min(i + 1, len(tokens) - 1)].text
    if before == ".":
        return "attribute"
    return "argument" if before in ("(", ",") and after == "=" else "name"


def renamed(one: Sequence[Token], other: Sequence[Token]) -> bool:
    """Whether one window is the other with its names replaced one to one, those of each sort by themselves."""
    there: dict[tuple[str, str], tuple[str, str]] = {}
    back: dict[tuple[str, str], tuple[str, str]] = {}
    for a, b in zip(one, other, strict=True):
        left, right = (a.sort, a.text), (b.sort, b.text)
        if a.sort in NAMED and b.sort in NAMED:
            if there.setdefault(left, right) != right or back.setdefault(right, left) != left:
                return False
        elif left != right:
            return False
    return True


def covered(tokens: Sequence[Token], files: Sequence[str], length: int) -> list[bool]:
    """Which tokens lie in a window that one of some files has under any names."""
    found = [False] * len(tokens)
    for text in files:
        others = python_tokens(text)
        for at in range(len(tokens) - length + 1):
            window = tokens[at : at + length]
            if any(renamed(window, others[i : i + length]) for i in range(len(others) - length + 1)):
                found[at : at + length] = [True] * length
    return found


def line_counts(
    prompt: str, text: str, owners: Mapping[str, Sequence[str]], public: Sequence[str], length: int
) -> dict[str, dict[str, int]]:
    """For each owner the columns of the table ``renamed``, but for what is hidden."""
    first = prompt.count("\n") + 1
    tokens = [token for token in python_tokens(prompt + text) if token.end > len(prompt)]
    lines = sorted({token.line for token in tokens if token.line >= first})

    def whole(mask: Sequence[bool]) -> set[int]:
        return {n for n in lines if all(m for token, m in zip(tokens, mask, strict=True) if token.line == n)}

    masks = {name: covered(tokens, files, length) for name, files in owners.items()}
    by_owner = {name: whole(mask) for name, mask in masks.items()}
    known = whole(covered(tokens, public, length)) if public else set[int]()
    found = {}
    for name, mine in by_owner.items():
        alone = {n for n in mine - known if sum(n in other for other in by_owner.values()) == 1}
        found[name] = {
            "tokens": len(tokens),
            "covered_tokens": sum(masks[name]),
            "lines": len(lines),
            "covered": len(mine),
            "exclusive": len(alone),
            "shared": len(mine - known - alone),
            "public": len(mine & known),
        }
    return found
