"""The longest matches as text, side by side with one place of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raysim.scan.corpora import CodeCollection
from raysim.scan.matches import Match

GENERATED = "(generated)"
"""The generated code, where the name of a corpus is expected."""

_MOST_LINES = 40
_MOST_CHARACTERS = 400
"""Of a line that is shown; nobody reads more, and some are as long as a disk."""


@dataclass(frozen=True)
class Excerpt:
    """A match and its text.

    Attributes:
        org: whose file the match is of.
        match: the longest of its file and owners.
        lines: of that file, from the first line of the match on; of very long matches the first ones, and of
            very long lines the beginning.
        theirs: likewise at the first place of the match's first owner.
        left_out: lines of the file that are not shown.
    """

    org: str
    match: Match
    lines: list[str]
    theirs: list[str]
    left_out: int

    @property
    def file(self) -> str:
        """The file that the match is of, after its owner if it has one."""
        return self.match.path if self.org == GENERATED else f"{self.org}: {self.match.path}"


def longest(matches: Sequence[tuple[str, Match]], corpora: Mapping[str, CodeCollection], count: int) -> list[Excerpt]:
    """The `count` longest of `matches`, each with the name of the corpus that it is of; `corpora` by name."""
    chosen = sorted(matches, key=lambda item: -item[1].lines)[:count]
    numbers = {
        name: {path: number for number, path in enumerate(corpora[name].paths)}
        for name in {name for org, match in chosen for name in (org, match.owners[0].org)}
    }

    def text_from(name: str, path: str, start: int, count: int) -> list[str]:
        content = corpora[name].read(numbers[name][path])
        lines = content.split(b"\n", start - 1 + count)[start - 1 : start - 1 + count]
        return [line[: 4 * _MOST_CHARACTERS].decode("utf-8", "replace").rstrip()[:_MOST_CHARACTERS] for line in lines]

    excerpts = []
    for org, match in chosen:
        num_lines = match.end - match.start + 1
        shown = min(num_lines, _MOST_LINES)
        owner = match.owners[0]
        excerpts.append(
            Excerpt(
                org,
                match,
                text_from(org, match.path, match.start, shown),
                text_from(owner.org, owner.path, owner.start, shown),
                num_lines - shown,
            )
        )
    return excerpts
