"""What is in two places: runs of units with their owners."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raysim.core.windows import Mask, Positions
from raysim.matching.runs import SuffixArray, maximal_runs
from raysim.scan.corpora import CodeCollection
from raysim.scan.gathering import Gathered
from raysim.scan.reading import Unit


@dataclass(frozen=True)
class Owner:
    """Somebody whose files have a run.

    Attributes:
        org: name of the owner.
        path: of the first file that has it.
        start: the line (from 1) where it begins there.
        count: its places in all files of the owner.
    """

    org: str
    path: str
    start: int
    count: int


@dataclass(frozen=True)
class Match:
    """A run of units of one file that occurs elsewhere and cannot be made longer on either side.

    Attributes:
        path: of the file.
        start: the line (from 1) where it begins.
        end: the line of its last unit.
        lines: units (significant lines, or tokens) that it has.
        owners: of the same run elsewhere, in the order of their names.
    """

    path: str
    start: int
    end: int
    lines: int
    owners: tuple[Owner, ...]

    def to_json(self, name: str, unit: Unit) -> dict[str, Any]:
        """For people and programs; `name` is what the path is called, `unit` what `lines` counts."""
        owners = [dict(vars(owner)) for owner in self.owners]
        return {name: self.path, "start": self.start, "end": self.end, unit: self.lines, "owners": owners}


def find_matches(
    gathered: Gathered,
    suffixes: SuffixArray,
    corpora: Sequence[CodeCollection],
    asked: int,
    others: Mapping[int, tuple[str, Positions]],
    min_length: int,
) -> list[Match]:
    """Runs of one part that others have, too.

    At each place the longest run, and a shorter one where it adds an owner. An owner is not named again for what is the
    end of a run that began before.

    Args:
        gathered: the units that matter.
        suffixes: of their ids.
        corpora: of its parts.
        asked: number of the part whose places are asked for.
        others: numbers of the parts that are looked into; the name of the owner of each, and how long the longest run
            is at each place that is asked for.
        min_length: of a run.
    """
    queries = np.flatnonzero(gathered.parts == asked)
    found: dict[tuple[int, int], list[Owner]] = defaultdict(list)
    for other, (name, longest) in sorted(others.items(), key=lambda item: item[1][0]):
        runs = maximal_runs(suffixes, queries, longest, gathered.parts == other, min_length)
        for at, length, first, count in zip(
            runs.at.tolist(), runs.lengths.tolist(), runs.first.tolist(), runs.counts.tolist(), strict=True
        ):
            path = corpora[other].paths[int(gathered.files[first])]
            found[at, -length].append(Owner(name, path, int(gathered.numbers[first]), count))
    return [
        Match(
            corpora[asked].paths[int(gathered.files[at])],
            int(gathered.numbers[at]),
            int(gathered.numbers[at - negative - 1]),
            -negative,
            tuple(owners),
        )
        for (at, negative), owners in sorted(found.items())
    ]


def cover(longest: Positions, min_length: int) -> Mask:
    """Units that lie in a run, given the longest run at each of neighbouring units: bool ``[num_units]``."""
    change = np.zeros(len(longest) + 1, dtype=np.int64)
    begins = np.flatnonzero(longest >= min_length)
    np.add.at(change, begins, 1)
    np.add.at(change, begins + longest[begins], -1)
    return np.cumsum(change[:-1]) > 0
