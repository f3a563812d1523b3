"""`raysim clones`: who has what in common with whom, before any training?"""

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from raysim.scan.corpora import Corpus
from raysim.scan.gathering import Chunks, Collision, Gathered, gather, pick
from raysim.scan.hashing import Hashes
from raysim.scan.matches import Match, cover, find_matches
from raysim.scan.reading import Reader
from raysim.scan.runs import Ids, SuffixArray
from raysim.scan.units import Mask, Positions
from raysim.scan.windows import WindowSet


@dataclass(frozen=True)
class Pair:
    """What one owner has in common with another, or within itself.

    Attributes:
        org: whose lines are counted.
        other: who has them, too; the same name for what stands in two places of one owner.
        lines: significant lines of `org`.
        covered: those in a window that `other` has.
        share: ``covered / lines``.
        fragments: distinct longest stretches of covered lines.
    """

    org: str
    other: str
    lines: int
    covered: int
    share: float
    fragments: int


@dataclass(frozen=True)
class Clones:
    """What was found.

    Attributes:
        pairs: all ordered pairs of owners, those of one owner with itself included.
        matches: by owner the runs that an owner behind it has, too; so each pair of owners is looked at once.
        shared_lines: lines that somebody else has, too, of all owners.
        significant_lines: of all owners.
    """

    pairs: list[Pair]
    matches: list[tuple[str, Match]]
    shared_lines: int
    significant_lines: int

    @property
    def share(self) -> float:
        """Of all significant lines those that somebody else has, too."""
        return self.shared_lines / self.significant_lines if self.significant_lines else 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "pairs": [asdict(pair) for pair in self.pairs],
            "matches": [{"org": org, **match.to_json("path")} for org, match in self.matches],
            "totals": {
                "significant_lines": self.significant_lines,
                "shared_lines": self.shared_lines,
                "share": self.share,
            },
        }


def find_clones(corpora: Sequence[Corpus], min_lines: int, reader: Reader) -> Clones:
    """Finds every run of `min_lines` units or more that stands in two places.

    Args:
        corpora: of the owners.
        min_lines: units of the shortest run.
        reader: makes the units.
    """
    for seed in itertools.count():
        try:
            return _find(corpora, min_lines, reader, seed)
        except Collision:
            continue  # with another seed other units collide, if any
    raise AssertionError("there is always another seed")


def _find(corpora: Sequence[Corpus], length: int, reader: Reader, seed: int) -> Clones:
    sources = [Chunks(corpus, reader, seed) for corpus in corpora]
    windows, num_units = _windows(sources, length)
    twice = WindowSet(windows[1:][windows[1:] == windows[:-1]])
    del windows
    pieces = [[piece for chunk in source if (piece := pick(chunk, twice, length))] for source in sources]
    gathered = gather(pieces)
    suffixes = SuffixArray(gathered.ids, gathered.starts)
    pairs, shared = [], 0
    matches: list[tuple[str, Match]] = []
    for number, corpus in enumerate(corpora):
        at = np.flatnonzero(gathered.parts == number)
        anybody = np.zeros(len(at), dtype=np.bool_)
        for other in range(len(corpora)):
            there = gathered.parts == other
            longest = suffixes.repeated(there) if other == number else suffixes.longest(at, there)
            covered = cover(longest, length)
            if other != number:
                anybody |= covered
            pairs.append(_pair(gathered, at, covered, corpus.name, corpora[other].name, num_units[number]))
        shared += int(anybody.sum())
        behind = {other: corpora[other].name for other in range(number + 1, len(corpora))}
        found = find_matches(gathered, suffixes, corpora, number, behind, length)
        matches += [(corpus.name, match) for match in found]
    return Clones(pairs, matches, shared, sum(num_units))


def _windows(sources: Sequence[Chunks], length: int) -> tuple[Hashes, list[int]]:
    """All windows of all corpora, sorted; and how many units each corpus has."""
    found, num_units = [np.zeros(0, dtype=np.uint64)], [0] * len(sources)
    for number, source in enumerate(sources):
        for chunk in source:
            found.append(chunk.windows(length))
            num_units[number] += len(chunk.hashes)
    windows = np.concatenate(found)
    windows.sort()
    return windows, num_units


def _pair(gathered: Gathered, at: Positions, covered: Mask, org: str, other: str, lines: int) -> Pair:
    count = int(covered.sum())
    fragments = _distinct_stretches(gathered.ids[at], covered, np.isin(at, gathered.starts))
    return Pair(org, other, lines, count, count / lines if lines else 0.0, fragments)


def _distinct_stretches(ids: Ids, covered: Mask, first: Mask) -> int:
    """Distinct longest stretches of covered units; one that is the `first` of its segment begins a stretch."""
    before = np.concatenate([[False], covered[:-1]])[: len(covered)]
    begins = np.flatnonzero(covered & (~before | first))
    stops = np.append(np.flatnonzero(~covered | first), len(ids))
    ends = stops[np.searchsorted(stops, begins, side="right")]
    return len({ids[begin:end].tobytes() for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)})
