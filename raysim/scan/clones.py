"""`raysim clones`: who has what in common with whom, before any training?"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raysim.core.windows import Mask, Positions
from raysim.matching.runs import Ids, SuffixArray
from raysim.matching.window_set import WindowSet
from raysim.scan.chunks import Watch, Workers
from raysim.scan.corpora import CodeCollection
from raysim.scan.gathering import Collision, Gathered, gather
from raysim.scan.index import Index
from raysim.scan.matches import Match, cover, find_matches
from raysim.scan.reading import Reader, Unit
from raysim.scan.source import RereadCorpus


@dataclass(frozen=True)
class Pair:
    """What one owner has in common with another, or within itself.

    Attributes:
        org: whose lines are counted.
        other: who has them, too; the same name for what is in two places of one owner.
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
    """What was found; where tokens are compared, tokens are counted in place of lines.

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

    def to_json(self, unit: Unit) -> dict[str, Any]:
        """For people and programs; members are named after the unit that they count."""
        return {
            "pairs": [{unit if name == "lines" else name: n for name, n in vars(pair).items()} for pair in self.pairs],
            "matches": [{"org": org, **match.to_json("path", unit)} for org, match in self.matches],
            "totals": {
                f"significant_{unit}": self.significant_lines,
                f"shared_{unit}": self.shared_lines,
                "share": self.share,
            },
        }


def find_clones(
    corpora: Sequence[CodeCollection],
    min_lines: int,
    reader: Reader,
    index: Index | None = None,
    watch: Watch | None = None,
) -> Clones:
    """Finds every run of `min_lines` units or more that is in two places.

    Args:
        corpora: of the owners.
        min_lines: units of the shortest run.
        reader: makes the units.
        index: of what lexers made of files before.
        watch: receives the number of files that became ready, if lexers are at work.
    """
    with Workers(reader, index, watch) as workers:
        for seed in itertools.count():
            try:
                return _find(corpora, min_lines, workers, seed)
            except Collision:
                continue  # with another seed other units collide, if any
    raise AssertionError("there is always another seed")


def _find(corpora: Sequence[CodeCollection], length: int, workers: Workers, seed: int) -> Clones:
    sources = [RereadCorpus(corpus, workers, seed) for corpus in corpora]
    windows = np.concatenate([source.windows(length) for source in sources])
    windows.sort()
    twice = WindowSet(windows[1:][windows[1:] == windows[:-1]])
    del windows
    gathered = gather([source.pick(twice, length) for source in sources])
    suffixes = SuffixArray(gathered.ids, gathered.starts)
    longest = [_longest(suffixes, gathered.parts == number) for number in range(len(sources))]
    pairs, shared = [], 0
    matches: list[tuple[str, Match]] = []
    for number, source in enumerate(sources):
        at = np.flatnonzero(gathered.parts == number)
        anybody = np.zeros(len(at), dtype=np.bool_)
        for other, corpus in enumerate(corpora):
            covered = cover(longest[other][at], length)
            if other != number:
                anybody |= covered
            pairs.append(_pair(gathered, at, covered, source.corpus.name, corpus.name, source.num_units))
        shared += int(anybody.sum())
        behind = {other: (corpora[other].name, longest[other][at]) for other in range(number + 1, len(corpora))}
        found = find_matches(gathered, suffixes, corpora, number, behind, length)
        matches += [(source.corpus.name, match) for match in found]
    return Clones(pairs, matches, shared, sum(source.num_units for source in sources))


def _longest(suffixes: SuffixArray, part: Mask) -> Positions:
    """The longest run at each place that `part` has, too; at places of the part in a second place of it."""
    lengths = np.empty(len(part), dtype=np.int64)
    lengths[~part] = suffixes.longest(np.flatnonzero(~part), part)
    lengths[part] = suffixes.repeated(part)
    return lengths


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
