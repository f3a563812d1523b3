"""`raysim scan`: whose code does other code repeat?"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raysim.core.windows import Mask, window_hashes
from raysim.matching.runs import SuffixArray
from raysim.matching.window_set import WindowSet
from raysim.scan.chunks import Watch, Workers
from raysim.scan.corpora import CodeCollection
from raysim.scan.gathering import Collision, gather
from raysim.scan.index import Index
from raysim.scan.matches import Match, cover, find_matches
from raysim.scan.reading import Reader, Unit
from raysim.scan.source import RereadCorpus
from raysim.tables.names import PUBLIC


@dataclass(frozen=True)
class Scan:
    """What was found; where tokens are compared, tokens are counted in place of lines.

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

    def to_json(self, unit: Unit) -> dict[str, Any]:
        """For people and programs; members are named after the unit that they count."""
        totals = {
            "samples": self.samples,
            f"significant_{unit}": self.significant_lines,
            f"covered_{unit}": dict(self.covered_lines),
            f"exclusive_{unit}": dict(self.exclusive_lines),
            f"shared_{unit}": self.shared_lines,
            f"public_{unit}": self.public_lines,
            f"owned_{unit}": self.owned_lines,
            "share": self.share,
        }
        return {"matches": [match.to_json("generated", unit) for match in self.matches], "totals": totals}


def scan(
    generated: CodeCollection,
    corpora: Sequence[CodeCollection],
    reference: CodeCollection | None,
    min_lines: int,
    reader: Reader,
    index: Index | None = None,
    watch: Watch | None = None,
) -> Scan:
    """Finds every run of `min_lines` units or more of generated code that somebody's code has.

    Args:
        generated: the code in question.
        corpora: of the owners.
        reference: public code, or None.
        min_lines: units of the shortest run.
        reader: makes the units.
        index: of what lexers made of files before.
        watch: receives the number of files that became ready, if lexers are at work.
    """
    with Workers(reader, index, watch) as workers:
        for seed in itertools.count():
            try:
                return _scan(generated, corpora, reference, min_lines, workers, seed)
            except Collision:
                continue  # with another seed other units collide, if any
    raise AssertionError("there is always another seed")


def _scan(
    generated: CodeCollection,
    corpora: Sequence[CodeCollection],
    reference: CodeCollection | None,
    length: int,
    workers: Workers,
    seed: int,
) -> Scan:
    sources = [*corpora, *([reference] if reference else [])]
    code = RereadCorpus(generated, workers, seed)
    wanted = WindowSet(code.windows(length))
    pieces = [RereadCorpus(source, workers, seed).pick(wanted, length) for source in sources]
    windows = [window_hashes(piece.hashes, length) for of_source in pieces for piece in of_source]
    found = WindowSet(np.concatenate([np.zeros(0, dtype=np.uint64), *windows]))
    gathered = gather([code.pick(found, length), *pieces])
    suffixes = SuffixArray(gathered.ids, gathered.starts)
    queries = np.flatnonzero(gathered.parts == 0)
    longest = {
        number: (source.name, suffixes.longest(queries, gathered.parts == number))
        for number, source in enumerate(sources, start=1)
    }
    matches = find_matches(gathered, suffixes, [generated, *sources], 0, longest, length)
    covered = {name: cover(lengths, length) for name, lengths in longest.values()}
    owners = [corpus.name for corpus in corpora]
    return _count(matches, len(generated.paths), code.num_units, covered, owners, reference is not None)


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
