"""Held-out files that somebody trains on nearly as they are, and what losses are without them."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import log

import numpy as np

from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import RunResults, averaged

NEARLY = 0.5
"""Share of a file's lines from which on it counts as a copy: it is measured on more of what was shown than of new."""

NOTEWORTHY = 0.01
"""Share of an organization's held-out lines in others' training splits from which on the report cautions."""


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
        if self.share < NOTEWORTHY and not self.copies:
            return ""
        return (
            f"{self.share:.0%} of the validation lines of {self.organization} stand in others' training splits, and"
            f" {len(self.copies)} of its {self.files} validation files stand there or in its own for at least half:"
            " what is measured on them is partly memory"
        )


def copied_files(results: RunResults) -> dict[str, CopiedFiles]:
    """Of each organization whose held-out files were looked at."""
    rows = [row for row in results.run.table("held_out_copies").to_pylist() if row["split"] == "valid"]
    found: dict[str, CopiedFiles] = {}
    for name in results.organizations:
        if mine := [row for row in rows if row["organization"] == name]:
            copies = frozenset(row["file"] for row in mine if row["lines"] and row["trained"] >= NEARLY * row["lines"])
            lines, others = (sum(row[column] for row in mine) for column in ("lines", "others"))
            found[name] = CopiedFiles(name, len(mine), lines, others, copies)
    return found


def cautions(results: RunResults) -> list[str]:
    """A sentence for each organization whose validation files are partly trained on."""
    return [one.caution for one in copied_files(results).values() if one.caution]


def bits_without_copies(results: RunResults, models: Iterable[ReachedModel], organization: str) -> float | None:
    """Bits per byte on an organization's validation files that are no copies, over orders and then seeds.

    None where copies were not looked for, or no file is left.
    """
    copied = copied_files(results).get(organization)
    if copied is None:
        return None
    arrays = results.losses
    places = zip(arrays.organizations, arrays.files, strict=True)
    kept = np.array([owner == organization and file not in copied.copies for owner, file in places], dtype=np.bool_)

    def bits(m: ReachedModel) -> np.float64 | None:
        row = arrays.model_index.get(m.model)
        if row is None or not (num_bytes := arrays.bytes[row, kept].sum()):
            return None
        return arrays.nats[row, kept].sum() / log(2) / num_bytes

    value = averaged(models, bits)
    return None if value is None or not np.isfinite(value) else float(value)
