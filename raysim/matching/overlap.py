"""What others' code gives away of an organization's: predicted before training, and compared with what models wrote.

A model can have seen a line of an organization word for word, in a window of `min_lines` significant lines, only if
that window is in a training split that it was trained on. So the lines of an organization that are in windows
of others bound what models without it can repeat of it. What they write beyond that is coincidence, or was put together
from shorter pieces, or was seen before all training by a pretrained model.

Like all matching it does not see renamed or reordered copies. A training split counts as seen as a whole, the tail too
short for a sequence included.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysim.core.keys import DIGEST_BYTES
from raysim.core.windows import Mask, inside_one, spread
from raysim.corpus.files import SourceFile
from raysim.corpus.line_digests import (
    DigestedFiles,
    Digests,
    digest_batches,
    digest_lines,
    digest_windows,
    from_binary,
)
from raysim.corpus.lines import significant_lines
from raysim.inference.prompts import FROM_TRAINING
from raysim.matching.line_index import LineIndex, distinct, find
from raysim.tables.schemas.overlap import COPIES, EMISSIONS

OVERLAP_VERSION = 1
"""Numerics version of all that is counted here."""

MANY = 6
"""Organizations beyond which not every group is looked at."""

COPIES_SCHEMA = COPIES.schema
EMISSIONS_SCHEMA = EMISSIONS.without("model")
SEEN_SCHEMA = pa.schema(
    [
        ("organization", pa.string()),
        ("others", pa.list_(pa.string())),
        ("lines", pa.int64()),
        ("seen", pa.int64()),
        ("public", pa.int64()),
    ]
)


def groups_of(organizations: Sequence[str]) -> list[tuple[str, ...]]:
    """Every set of organizations but the empty one, small ones first; of more than `MANY` each alone, and all."""
    sizes = range(1, len(organizations) + 1) if len(organizations) <= MANY else {1, len(organizations)}
    return [group for size in sorted(sizes) for group in combinations(organizations, size)]


class _Windows:
    """The windows of some files of an organization's training split, and which of their lines they cover."""

    def __init__(self, digested: DigestedFiles, min_lines: int) -> None:
        self._min_lines = min_lines
        self.num_lines = len(digested.digests)
        self.digests = digest_windows(digested.digests, min_lines)
        self._inside = inside_one(digested.starts, min_lines)

    def found_in(self, indexes: Iterable[LineIndex]) -> Mask:
        """Windows that occur in what is trained on, of any of `indexes`."""
        found = np.zeros(len(self.digests), dtype=np.bool_)
        for index in indexes:
            found |= index.trained_counts(self.digests) > 0
        return found & self._inside

    def among(self, digests: Digests) -> Mask:
        """Windows that are among `digests`, which are distinct."""
        return find(self.digests, digests)[1] & self._inside

    def lines(self, matched: Mask) -> Mask:
        """Lines that lie in a matched window."""
        return spread(matched, self.num_lines, self._min_lines)


def seen_rows(
    organization: str,
    files: Iterable[SourceFile],
    min_lines: int,
    indexes: Mapping[str, LineIndex],
    reference: LineIndex | None,
    secret: bytes,
) -> pa.Table:
    """The bound: how many of an organization's lines models could have seen that were trained on others alone.

    Args:
        organization: whose lines are counted.
        files: its training split.
        min_lines: significant lines of a window.
        indexes: an index for each organization; its own is not looked at.
        reference: index of public code, or None.
        secret: the key of all line digests.

    Returns:
        a table of `SEEN_SCHEMA`, a row for each of the `groups_of` the others: of ``lines`` significant lines
        those ``seen`` by a model that was trained on them, and of these the ones that are ``public``.
    """
    groups = groups_of([name for name in indexes if name != organization])
    num_lines, counts = 0, np.zeros((len(groups), 2), dtype=np.int64)
    for digested in digest_batches(files, secret):
        windows = _Windows(digested, min_lines)
        num_lines += windows.num_lines
        public = windows.lines(windows.found_in([reference] if reference is not None else []))
        held = {name: windows.found_in([index]) for name, index in indexes.items() if name != organization}
        for count, group in zip(counts, groups, strict=True):
            seen = windows.lines(np.logical_or.reduce([held[name] for name in group]))
            count += seen.sum(), (seen & public).sum()
    rows = [
        {"organization": organization, "others": list(group), "lines": num_lines, "seen": seen, "public": public}
        for group, (seen, public) in zip(groups, counts.tolist(), strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=SEEN_SCHEMA)


@dataclass(frozen=True)
class Written:
    """What one model has written, and what it was trained on.

    Attributes:
        trained_on: organizations.
        windows: uint64 ``[n, 2]``, digests of windows of significant lines in what it wrote; see `written_windows`.
    """

    trained_on: tuple[str, ...]
    windows: Digests


def written_windows(matches: pa.Table, begun: Mapping[str, str], owner: str, min_lines: int, secret: bytes) -> Digests:
    """Distinct digests of the windows in the generated runs of lines that `owner` covers: uint64 ``[n, 2]``.

    A window counts if the model wrote all of its lines, or went on with its first one; one that begins in an earlier
    line of the prompt does not. Runs at the organization whose prompts were answered.

    Args:
        matches: of `raysim.matching.matches.match`.
        begun: for each prompt the beginning of the line that its continuations go on with.
        owner: whose lines are meant.
        min_lines: significant lines of a window.
        secret: the key of all line digests.
    """
    found = [np.zeros((0, 2), dtype=np.uint64)]
    runs = matches.filter(pc.field("owner") == owner).select(["prompt", "start", "text"]).to_pylist()
    texts = {(begun[run["prompt"]] if run["start"] == 1 else "") + run["text"] for run in runs}
    found += [digest_windows(digest_lines(significant_lines(text)[0], secret), min_lines) for text in sorted(texts)]
    return distinct(np.concatenate(found))


def emission_rows(
    owner: str,
    files: Iterable[SourceFile],
    min_lines: int,
    written: Sequence[Written],
    indexes: Mapping[str, LineIndex],
    reference: LineIndex | None,
    secret: bytes,
) -> list[pa.Table]:
    """How much of an owner's training split each of some models gives away, and how much of that it had seen.

    Args:
        owner: whose lines are counted.
        files: its training split.
        min_lines: significant lines of a window.
        written: for each model.
        indexes: an index for each organization, the owner's included.
        reference: index of public code, or None.
        secret: the key of all line digests.

    Returns:
        for each model a table of `EMISSIONS_SCHEMA` with one row: of ``lines`` significant lines those ``seen`` in
        windows of what it was trained on, those ``emitted`` in windows that it wrote, those ``foreseen`` in windows
        that it wrote and had seen, which are at most ``seen``, and those emitted that are ``public``.
    """
    rows = [dict.fromkeys(("lines", "seen", "emitted", "foreseen", "public"), 0) for _ in written]
    for digested in digest_batches(files, secret):
        windows = _Windows(digested, min_lines)
        held = {name: windows.found_in([index]) for name, index in indexes.items()}
        public = windows.lines(windows.found_in([reference] if reference is not None else []))
        for row, model in zip(rows, written, strict=True):
            seen = np.zeros(len(windows.digests), dtype=np.bool_)
            for name in model.trained_on:
                seen |= held[name]
            own = windows.among(model.windows)
            emitted = windows.lines(own)
            row["lines"] += windows.num_lines
            row["seen"] += int(windows.lines(seen).sum())
            row["emitted"] += int(emitted.sum())
            row["foreseen"] += int(windows.lines(own & seen).sum())
            row["public"] += int((emitted & public).sum())
    return [pa.Table.from_pylist([{"owner": owner, **row}], schema=EMISSIONS_SCHEMA) for row in rows]


def copies_by_organization(facts: pa.Table, truths: pa.Table, indexes: Mapping[str, LineIndex]) -> pa.Table:
    """In how many places of each training split the true continuation of each prompt occurs.

    Extraction grows with such copies (Lee et al., arXiv 2107.06499; Kandpal et al., arXiv 2202.06539; Carlini et al.,
    arXiv 2202.07646), so their sum over what a model was trained on says, without any model, which prompts it is
    likely to give away.

    Args:
        facts: columns ``prompt``, ``organization`` and ``kind``.
        truths: columns ``prompt`` and ``window``, row by row as `facts`; see
            `raysim.matching.truths.truth_windows`.
        indexes: an index for each organization.

    Returns:
        a table of `COPIES_SCHEMA`, a row for each prompt and organization, zeros included; where a prompt is training
        text its own place is among those of its organization. A continuation without a window has no rows, nor has
        one of training text whose window is not in its own split: the end of a sequence cuts its last line.
    """
    valid = np.array(truths["window"].is_valid().to_pylist(), dtype=np.bool_)
    digests = from_binary(window or bytes(DIGEST_BYTES) for window in truths["window"].to_pylist())
    places = {name: index.trained_counts(digests).astype(np.int32) for name, index in indexes.items()}
    whole = np.array(
        [
            kind not in FROM_TRAINING or bool(places[organization][i])
            for i, (organization, kind) in enumerate(
                zip(facts["organization"].to_pylist(), facts["kind"].to_pylist(), strict=True)
            )
        ],
        dtype=np.bool_,
    )
    known = np.flatnonzero(valid & whole)
    prompts = truths["prompt"].combine_chunks().take(pa.array(known))
    tables = [
        pa.table([prompts, [name] * len(known), found[known]], schema=COPIES_SCHEMA) for name, found in places.items()
    ]
    return pa.concat_tables(tables) if tables else COPIES_SCHEMA.empty_table()


def by_places(copies: pa.Table, members: Collection[str]) -> list[int]:
    """How many prompts of `copies` have a continuation in none, in one, and in more places of the members' splits."""
    places: dict[str, int] = {}
    for row in copies.to_pylist():
        places[row["prompt"]] = places.get(row["prompt"], 0) + (row["places"] if row["organization"] in members else 0)
    counts = [0, 0, 0]
    for count in places.values():
        counts[min(count, 2)] += 1
    return counts
