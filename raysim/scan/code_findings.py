"""Findings about lines of code, as linters have them: a rule, a message, a place, and a name that survives edits.

A finding is named by its rule, its file and the code that it is about, not by the number of a line, so that it is the
same one after lines were added above it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from raysim.scan.corpora import CodeCollection
from raysim.scan.excerpts import GENERATED
from raysim.scan.matches import Match
from raysim.tables.names import PUBLIC

COPIED = "copied-code"
COPIED_ABOUT = "Lines, or tokens, in a row that are in somebody's files."


@dataclass(frozen=True)
class CodeFinding:
    """Something to look at.

    Attributes:
        rule: its name.
        level: how grave it is.
        message: a sentence.
        path: of the file.
        start: its first line, from 1.
        end: its last line.
        fingerprint: 32 hexadecimal digits; see the module.
    """

    rule: str
    level: Literal["error", "warning", "note"]
    message: str
    path: str
    start: int
    end: int
    fingerprint: str


def fingerprint(rule: str, path: str, code: str) -> str:
    """Names a finding: its rule, its file, and the code that it is about but for the whitespace."""
    content = "\0".join([rule, path, " ".join(code.split())])
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def copied_findings(
    matches: Iterable[tuple[str, Match]], corpora: Mapping[str, CodeCollection], unit: str
) -> list[CodeFinding]:
    """Each match as a finding, in the order of the matches; what is public, too, is nobody's, and none.

    Args:
        matches: with the name of the corpus that each is of.
        corpora: by name.
        unit: what matches are made of: lines or tokens.
    """
    texts = _Texts(corpora)
    findings = []
    for org, match in matches:
        if any(owner.org == PUBLIC for owner in match.owners):
            continue
        path = match.path if org == GENERATED else f"{org}/{match.path}"
        code = texts.between(org, match.path, match.start, match.end)
        places = "; ".join(
            f"{owner.org}: {owner.path}, line {owner.start}{_more(owner.count)}" for owner in match.owners
        )
        message = f"{match.lines} {unit} that are in {places}"
        name = fingerprint(f"{COPIED} {' '.join(owner.org for owner in match.owners)}", path, code)
        findings.append(CodeFinding(COPIED, "warning", message, path, match.start, match.end, name))
    return findings


def _more(count: int) -> str:
    return f" and {count - 1} more place{'s' * (count > 2)}" if count > 1 else ""


class _Texts:
    """Lines of files, of which the one that was asked for last is kept."""

    def __init__(self, corpora: Mapping[str, CodeCollection]) -> None:
        self._corpora = corpora
        self._numbers = {name: {path: n for n, path in enumerate(one.paths)} for name, one in corpora.items()}
        self._last: tuple[tuple[str, str], list[bytes]] = ("", ""), []

    def between(self, name: str, path: str, start: int, end: int) -> str:
        if self._last[0] != (name, path):
            self._last = (name, path), self._corpora[name].read(self._numbers[name][path]).split(b"\n")
        return b"\n".join(self._last[1][start - 1 : end]).decode("utf-8", "replace")
