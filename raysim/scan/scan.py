"""`raysim scan`: whose code does other code repeat?"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raysim.scan.corpora import Corpus
from raysim.scan.gathering import Chunks, Collision, chunks, gather, pick
from raysim.scan.hashing import window_hashes
from raysim.scan.matches import Match, cover, find_matches
from raysim.scan.reading import Reader
from raysim.scan.runs import SuffixArray
from raysim.scan.units import Mask
from raysim.scan.windows import WindowSet

PUBLIC = "(public)"
"""Stands for the reference where the name of an owner is expected."""


@dataclass(frozen=True)
class Scan:
    """What was found.

    Attributes:
        matches: in the order of the generated files.
        samples: generated files.
        significant_lines: of them.
        covered_lines: by owner, those in a window that it has.
        exclusive_lines: by owner, those of them that nobody else covers.
        shared_lines: covered by two owners or more, and not public.
        public_lines: covered by the reference.
        owned_lines: covered by an owner, and not public.
    """

    matches: list[Match]
    samples: int
    significant_lines: int
    covered_lines: Mapping[str, int]
    exclusive_lines: Mapping[str, int]
    shared_lines: int
    public_lines: int
    owned_lines: int

    @property
    def share(self) -> float:
        """Of the significant lines those that have an owner and are not public."""
        return self.owned_lines / self.significant_lines if self.significant_lines else 0.0

    def to_json(self) -> dict[str, Any]:
        totals = {
            "samples": self.samples,
            "significant_lines": self.significant_lines,
            "covered_lines": dict(self.covered_lines),
            "exclusive_lines": dict(self.exclusive_lines),
            "shared_lines": self.shared_lines,
            "public_lines": self.public_lines,
            "owned_lines": self.owned_lines,
            "share": self.share,
        }
        return {"matches": [match.to_json("generated") for match in self.matches], "totals": totals}


def scan(
    generated: Corpus, corpora: Sequence[Corpus], reference: Corpus | None, min_lines: int, reader: Reader
) -> Scan:
    """Finds every run of `min_lines` units or more of generated code that somebody's code has.

    Args:
        generated: the code in question.
        corpora: of the owners.
        reference: public code, or None.
        min_lines: units of the shortest run.
        reader: makes the units.
    """
    for seed in itertools.count():
        try:
            return _scan(generated, corpora, reference, min_lines, reader, seed)
        except Collision:
            continue  # with another seed other units collide, if any
    raise AssertionError("there is always another seed")


def _scan(
    generated: Corpus, corpora: Sequence[Corpus], reference: Corpus | None, length: int, reader: Reader, seed: int
) -> Scan:
    sources = [*corpora, *([reference] if reference else [])]
    windows, num_units = [np.zeros(0, dtype=np.uint64)], 0
    code = Chunks(generated, reader, seed)
    for chunk in code:
        windows.append(chunk.windows(length))
        num_units += len(chunk.hashes)
    wanted = WindowSet(np.concatenate(windows))
    pieces = [
        [piece for chunk in chunks(source, reader, seed) if (piece := pick(chunk, wanted, length))]
        for source in sources
    ]
    found = WindowSet(np.concatenate([windows[0], *(window_hashes(p.hashes, length) for of in pieces for p in of)]))
    own = [piece for chunk in code if (piece := pick(chunk, found, length))]
    gathered = gather([own, *pieces])
    suffixes = SuffixArray(gathered.ids, gathered.starts)
    names = {number: source.name for number, source in enumerate(sources, start=1)}
    matches = find_matches(gathered, suffixes, [generated, *sources], 0, names, length)
    queries = np.flatnonzero(gathered.parts == 0)
    covered = {
        name: cover(suffixes.longest(queries, gathered.parts == number), length) for number, name in names.items()
    }
    return _count(matches, len(generated.paths), num_units, covered, [c.name for c in corpora], reference is not None)


def _count(
    matches: list[Match],
    num_files: int,
    num_units: int,
    covered: Mapping[str, Mask],
    owners: Sequence[str],
    has_reference: bool,
) -> Scan:
    public = covered[PUBLIC] if has_reference else np.zeros(len(next(iter(covered.values()))), dtype=np.bool_)
    number = np.sum([covered[name] for name in owners], axis=0)
    return Scan(
        matches=matches,
        samples=num_files,
        significant_lines=num_units,
        covered_lines={name: int(covered[name].sum()) for name in owners},
        exclusive_lines={name: int((covered[name] & (number == 1) & ~public).sum()) for name in owners},
        shared_lines=int(((number > 1) & ~public).sum()),
        public_lines=int(public.sum()),
        owned_lines=int(((number > 0) & ~public).sum()),
    )
