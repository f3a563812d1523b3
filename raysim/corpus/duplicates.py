"""How much of a corpus repeats itself: a property of the data, before any training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from raysim.core.hash_groups import HashGroups
from raysim.core.windows import inside_one
from raysim.corpus.files import SourceFile
from raysim.corpus.line_digests import digest_batches, digest_windows
from raysim.corpus.lines import expected_lines


def duplicate_lines(files: Sequence[SourceFile], min_lines: int, folder: Path | None = None) -> tuple[int, int]:
    """Counts significant lines that lie in a repeated window, and all significant lines.

    A window is `min_lines` consecutive significant lines of one file; it is repeated if equal lines start at another
    place too, in the same file or another. It does not see copies with renamed or reordered lines. Windows are known by
    128-bit hashes, so two that differ are taken for one with a chance of 1e-21 among a billion.

    Args:
        files: in any order.
        min_lines: significant lines of a window.
        folder: where hashes lie that do not fit into memory; None: where temporary files do.

    Returns:
        (covered lines, lines).
    """
    if min_lines < 1:
        raise ValueError(f"min_lines is {min_lines}; a window has at least one line")
    groups, num_lines = HashGroups(expected_lines(files), folder), 0
    for digested in digest_batches(files, b""):
        begins = np.flatnonzero(inside_one(digested.starts, min_lines))
        groups.add(digest_windows(digested.digests, min_lines)[begins], begins + num_lines)
        num_lines += len(digested.digests)
    repeated = np.zeros(max(0, num_lines - min_lines + 1), dtype=np.bool_)
    for _, positions, begins in groups.parts():
        sizes = np.diff(begins)
        repeated[positions[np.repeat(sizes > 1, sizes)]] = True
    covered = np.zeros(num_lines, dtype=np.bool_)
    for offset in range(min_lines):
        covered[offset : offset + len(repeated)] |= repeated
    return int(np.count_nonzero(covered)), num_lines
