"""How much of each held-out file stands in training splits: what models are measured on may be what they were shown."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysim.core.windows import inside_one, spread
from raysim.corpus.files import SourceFile
from raysim.corpus.line_digests import digest_batches, digest_windows
from raysim.matching.line_index import LineIndex
from raysim.tables.schemas.corpora import HELD_OUT_COPIES

NEARLY = 0.5
"""Share of a file's lines from which on it counts as a copy: it is measured on more of what was shown than of new."""

NOTEWORTHY = 0.01
"""Share of an organization's held-out lines in others' training splits from which on one is cautioned."""


@dataclass(frozen=True)
class CopiedFiles:
    """The validation files of one organization.

    Attributes:
        files, lines: of all.
        others: lines that stand in others' training splits.
        copies: files of which at least half stands in training splits, its own included.
    """

    organization: str
    files: int
    lines: int
    others: int
    copies: frozenset[str]

    @cached_property
    def share(self) -> float:
        """Of the lines, those that stand in others' training splits."""
        return self.others / self.lines if self.lines else 0.0

    @property
    def caution(self) -> str:
        """A sentence, where it is worth one; else ''."""
        found: list[str] = []
        if self.share >= NOTEWORTHY:
            lines = f"{self.share:.0%} of the validation lines of {self.organization}"
            found.append(f"{lines} stand in others' training splits")
        if self.copies:
            files = f"{len(self.copies)} of the {self.files} validation files of {self.organization}"
            found.append(f"{files} stand for at least half in training splits, its own included")
        return f"{', and '.join(found)}: what is measured on them is partly memory" if found else ""


def held_out_rows(
    organization: str,
    splits: Mapping[str, Iterable[SourceFile]],
    min_lines: int,
    indexes: Mapping[str, LineIndex],
    reference: LineIndex | None,
    secret: bytes,
) -> pa.Table:
    """Counts, file by file, the held-out lines that stand in training splits, in windows of `min_lines` lines.

    An edited copy keeps the windows that were not touched; a copy with other names or another order has none.

    Args:
        organization: whose files are counted.
        splits: its held-out files, by split.
        min_lines: significant lines of a window.
        indexes: an index of each organization's training split.
        reference: index of public code, or None.
        secret: the key of all line digests.

    Returns:
        rows of the table `held_out_copies`.
    """
    others = [index for name, index in indexes.items() if name != organization]
    groups = {
        "own": [indexes[organization]],
        "others": others,
        "trained": [*indexes.values()],
        "public": [reference] if reference is not None else [],
    }
    rows = []
    parts = ((split, digested) for split, files in splits.items() for digested in digest_batches(files, secret))
    for split, digested in parts:
        windows = digest_windows(digested.digests, min_lines)
        inside = inside_one(digested.starts, min_lines)
        covered: dict[str, npt.NDArray[np.bool_]] = {}
        for name, group in groups.items():
            found = np.zeros(len(windows), np.bool_)
            for index in group:
                found |= index.places(windows)[1] > 0
            covered[name] = spread(found & inside, len(digested.digests), min_lines)
        for number, path in enumerate(digested.paths):
            place = slice(int(digested.starts[number]), int(digested.starts[number + 1]))
            counts = {name: int(lines[place].sum()) for name, lines in covered.items()}
            own = {"organization": organization, "split": split, "file": path, "lines": place.stop - place.start}
            rows.append({**own, **counts})
    return pa.Table.from_pylist(rows, schema=HELD_OUT_COPIES.schema)


def copied_files(rows: Iterable[Mapping[str, Any]]) -> dict[str, CopiedFiles]:
    """Of each organization that has validation files in rows of the table `held_out_copies`."""
    by_owner: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["split"] == "valid":
            by_owner.setdefault(row["organization"], []).append(row)
    found: dict[str, CopiedFiles] = {}
    for name, mine in by_owner.items():
        copies = frozenset(row["file"] for row in mine if row["lines"] and row["trained"] >= NEARLY * row["lines"])
        lines, others = (sum(row[column] for row in mine) for column in ("lines", "others"))
        found[name] = CopiedFiles(name, len(mine), lines, others, copies)
    return found


def cautions(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """A sentence for each organization whose validation files are partly trained on."""
    return [one.caution for one in copied_files(rows).values() if one.caution]
