"""Recall and false matches of renamed matching, under either blinding, by the number of tokens of a window.

Functions of installed packages, without signature and docstring and cut after `--lines` lines, stand for what models
write. *Recall*: functions of the indexed packages themselves, with names, literals or layout changed; a function is
found if one of its lines is covered. *False matches*: functions of other packages, not counting those that share
`MIN_LINES` lines verbatim with the indexed ones; with the standard library as reference, whose lines are public.
    python experiments/benchmarks/renamed_matches.py [--indexed peft ...] [--others networkx ...] [--functions 500]
"""

import argparse
import ast
import builtins
import io
import json
import keyword
import random
import sysconfig
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from raysim.core.windows import inside_one, spread
from raysim.corpus.files import SourceFile
from raysim.corpus.line_digests import Digests, digest_files
from raysim.corpus.lines import significant_lines
from raysim.matching.blind_tokens import Blinding, BlindTokens, CodeText, blind_tokens
from raysim.matching.line_index import build_index, distinct, find
from raysim.measures.memorization.functions import functions_with_docstrings

SECRET = b"benchmark"
MIN_LINES = 6
LENGTHS = (20, 25, 30, 35, 40, 50, 60)
BLINDINGS: tuple[Blinding, ...] = ("plain", "consistent")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--indexed", nargs="+", default=["peft", "deepspeed", "opacus"])
    parser.add_argument("--others", nargs="+", default=["networkx", "sympy", "rich", "jinja2", "hypothesis", "alembic"])
    parser.add_argument("--functions", type=int, default=500)
    parser.add_argument("--lines", type=int, default=20)
    parser.add_argument("--lengths", nargs="+", type=int, default=LENGTHS, help="tokens of a window")
    parser.add_argument("--blindings", nargs="+", choices=BLINDINGS, default=BLINDINGS)
    options = parser.parse_args()
    indexed, library = [source for name in options.indexed for source in read_package(name)], read_library()
    own = draw(indexed, options.functions, options.lines)
    other = [source for name in options.others for source in read_package(name)]
    foreign = without_copies(draw(other, options.functions, options.lines), indexed)
    rows = []
    for blinding in options.blindings:
        known, public = (blinded(files, blinding) for files in (texts_of(indexed), texts_of(library)))
        for length in options.lengths:
            index, reference = (distinct(windows_of(tokens, length)) for tokens in (known, public))
            for name, change in CHANGES.items():
                rows.append(found(name, [change(text) for text in own], index, None, blinding, length))
            rows.append(found("other packages", foreign, index, None, blinding, length))
            rows.append(found("other packages, not public", foreign, index, reference, blinding, length))
            for row in rows[-len(CHANGES) - 2 :]:
                print(f"{row['case']:42} {row['functions']:.3f} of functions, {row['lines']:.4f} of lines")
    num_bytes = sum(source.num_bytes for source in indexed)
    print(f"indexed: {num_bytes / 1e6:.1f} MB; {len(own)} functions of it, {len(foreign)} of others")
    print(json.dumps({"benchmark": "renamed_matches", "rows": rows}))


def read_package(name: str) -> list[SourceFile]:
    """The Python files of an installed package."""
    return read_folder(Path(sysconfig.get_paths()["purelib"]) / name)


def read_library() -> list[SourceFile]:
    """Those of the standard library, without its tests and what is installed beside it."""
    left_out = ("site-packages", "test", "tests", "idlelib", "lib2to3")
    return [f for f in read_folder(Path(sysconfig.get_paths()["stdlib"])) if not {*f.path.split("/")} & {*left_out}]


def read_folder(folder: Path) -> list[SourceFile]:
    found = []
    for path in sorted(folder.rglob("*.py")):
        try:
            found.append(SourceFile(path.relative_to(folder).as_posix(), path.read_text("utf-8"), folder.name))
        except UnicodeDecodeError:
            continue
    return found


def draw(files: list[SourceFile], number: int, lines: int) -> list[str]:
    """Bodies of functions with a docstring and at least `MIN_LINES` significant lines behind it, cut after `lines`."""
    bodies = []
    for source in files:
        try:
            bodies += [function.truth for function in functions_with_docstrings(source.text)]
        except ValueError:
            continue
    bodies = [body for body in dict.fromkeys(bodies) if len(significant_lines(body)[0]) >= MIN_LINES]
    chosen = random.Random(1).sample(bodies, min(number, len(bodies)))
    return ["".join(body.splitlines(keepends=True)[:lines]) for body in chosen]


def without_copies(bodies: list[str], files: list[SourceFile]) -> list[str]:
    """Those that share no window of `MIN_LINES` lines with files."""
    index = build_index(files, MIN_LINES, SECRET)
    return [b for b in bodies if not index.covered(digest_files([SourceFile("", b, "")], SECRET).digests).any()]


def texts_of(files: list[SourceFile]) -> list[CodeText]:
    return [CodeText(source.path, source.text) for source in files]


def blinded(texts: list[CodeText], blinding: Blinding) -> BlindTokens:
    return blind_tokens(texts, max(LENGTHS), SECRET, blinding)


def windows_of(tokens: BlindTokens, length: int) -> Digests:
    return tokens.windows(length)[inside_one(tokens.starts, length)]


def found(
    name: str, bodies: list[str], index: Digests, reference: Digests | None, blinding: Blinding, length: int
) -> dict[str, object]:
    """Share of the bodies with a covered line, and of all their lines; a line counts if all of its tokens do."""
    tokens = blinded([CodeText("a.py", body) for body in bodies], blinding)
    windows, inside = tokens.windows(length), inside_one(tokens.starts, length)
    covered = spread(find(windows, index)[1] & inside, len(tokens.numbers), length)
    if reference is not None:
        covered &= ~spread(find(windows, reference)[1] & inside, len(tokens.numbers), length)
    hits, lines, total = 0, 0, 0
    for begin, end in zip(tokens.starts[:-1], tokens.starts[1:], strict=True):
        numbers, inverse = np.unique(tokens.numbers[begin:end], return_inverse=True)
        whole = np.ones(len(numbers), dtype=np.bool_)
        np.logical_and.at(whole, inverse, covered[begin:end])
        hits, lines, total = hits + bool(whole.any()), lines + int(whole.sum()), total + len(numbers)
    case = f"{blinding} {length}: {name}"
    return {"case": case, "functions": hits / len(bodies), "lines": lines / total, "unit": "share"}


def python_tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    """The tokens of lines that may be cut anywhere; what is behind an error is left out."""
    try:
        yield from tokenize.generate_tokens(io.StringIO(text).readline)
    except (tokenize.TokenError, SyntaxError):
        return


def replaced(text: str, change: Callable[[tokenize.TokenInfo], str | None]) -> str:
    """`text` with other tokens in place of some."""
    lines = text.splitlines(keepends=True)
    found = [(token, new) for token in python_tokens(text) if (new := change(token)) is not None]
    for token, new in reversed(found):
        (row, begin), (last, end) = token.start, token.end
        if row == last:
            lines[row - 1] = lines[row - 1][:begin] + new + lines[row - 1][end:]
    return "".join(lines)


def rename(text: str, everything: bool) -> str:
    """One to one other names: of all identifiers, or of those that stand by themselves and are no builtins."""
    names: dict[str, str] = {}
    before = ""

    def change(token: tokenize.TokenInfo) -> str | None:
        nonlocal before
        attribute, before = before == ".", token.string
        if token.type != tokenize.NAME or keyword.iskeyword(token.string):
            return None
        if not everything and (attribute or token.string == "self" or hasattr(builtins, token.string)):
            return None
        return names.setdefault(token.string, f"name_{len(names)}")

    return replaced(text, change)


def other_literals(text: str) -> str:
    """Other numbers and strings."""

    def change(token: tokenize.TokenInfo) -> str | None:
        if token.type == tokenize.NUMBER:
            return "98765"
        return "'another'" if token.type == tokenize.STRING else None

    return replaced(text, change)


def reflow(text: str) -> str:
    """Every comma in brackets ends a line, all other line ends there are gone; no comment, no empty line."""
    depth, parts, column, row = 0, list[str](), 0, 1
    for token in python_tokens(text):
        if token.type in (tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER):
            continue
        if token.type == tokenize.COMMENT or (token.type == tokenize.NL):
            row, column = token.end[0] + (token.type == tokenize.NL), 0 if token.type == tokenize.NL else token.end[1]
            continue
        if token.start[0] != row:
            row, column = token.start[0], 0
        gap = "" if depth and parts and parts[-1].endswith("\n") else " " * (token.start[1] - column)
        parts.append((gap if not depth else gap and " ") + token.string)
        row, column = token.end
        depth += (token.string in "([{") - (token.string in ")]}") if token.type == tokenize.OP else 0
        if depth and token.string == ",":
            parts.append("\n        ")
        if token.type == tokenize.NEWLINE:
            row, column = row + 1, 0
    return "".join(parts)


def unparse(text: str) -> str:
    """As `ast.unparse` writes it: quotes, brackets and layout of its own; as it is, where it does not parse."""
    try:
        return ast.unparse(ast.parse("def f():\n" + text)).partition("\n")[2]
    except (SyntaxError, ValueError):
        return text


CHANGES: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "variables renamed": lambda text: rename(text, everything=False),
    "all names and literals": lambda text: other_literals(rename(text, everything=True)),
    "reflowed": reflow,
    "variables renamed, reflowed": lambda text: reflow(rename(text, everything=False)),
    "variables renamed, unparsed": lambda text: unparse(rename(text, everything=False)),
}


if __name__ == "__main__":
    main()
