"""Who shares lines with whom, before any training."""

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysim.core.keys import keyed_hash
from raysim.core.windows import inside_one, spread
from raysim.corpus.files import SourceFile
from raysim.corpus.line_digests import Digests, digest_batches, digest_windows
from raysim.matching.line_index import LineIndex
from raysim.tables.names import PUBLIC
from raysim.tables.schemas.corpora import CLONES


def clone_rows(
    organization: str,
    files: Iterable[SourceFile],
    min_lines: int,
    indexes: Mapping[str, LineIndex],
    reference: LineIndex | None,
    secret: bytes,
) -> pa.Table:
    """Counts the lines of an organization that others have too, in windows of `min_lines` significant lines.

    Args:
        organization: whose lines are counted.
        files: its files, the very ones that its own index was built from.
        min_lines: significant lines of a window.
        indexes: an index for each other organization, and its own for the duplicates inside.
        reference: index of public code, or None.
        secret: the key of all line digests.

    Returns:
        rows of the table `clones`, one for each index: ``lines`` significant lines of `organization`, ``covered``
        those in a window that `other` has too (for ``other == organization``: a window with two places or more),
        ``share = covered / lines``, ``fragments`` distinct maximal runs of covered lines.
    """
    others = {**indexes, **({PUBLIC: reference} if reference is not None else {})}
    num_lines, counts = 0, Counter[str]()
    runs: dict[str, set[bytes]] = {other: set() for other in others}
    for digested in digest_batches(files, secret):
        windows = digest_windows(digested.digests, min_lines)
        valid = inside_one(digested.starts, min_lines)
        num_lines += len(digested.digests)
        for other, index in others.items():
            least = 2 if other == organization else 1
            matched = (index.places(windows)[1] >= least) & valid
            covered = spread(matched, len(digested.digests), min_lines)
            counts[other] += int(covered.sum())
            runs[other] |= _runs(digested.digests, covered, digested.starts)
    rows = [
        {
            "organization": organization,
            "other": other,
            "lines": num_lines,
            "covered": counts[other],
            "share": counts[other] / num_lines if num_lines else 0.0,
            "fragments": len(runs[other]),
        }
        for other in others
    ]
    return pa.Table.from_pylist(rows, schema=CLONES.schema)


def _runs(digests: Digests, covered: npt.NDArray[np.bool_], starts: npt.NDArray[np.int64]) -> set[bytes]:
    """Names of the distinct maximal runs of covered lines inside one file."""
    first = np.zeros(len(covered) + 1, dtype=np.bool_)
    first[starts] = True
    before = np.concatenate([[False], covered[:-1]]) if len(covered) else covered
    after = np.concatenate([covered[1:], [False]]) if len(covered) else covered
    begins = np.flatnonzero(covered & (~before | first[:-1]))
    ends = np.flatnonzero(covered & (~after | first[1:])) + 1
    return {
        keyed_hash(digests[begin:end].tobytes(), b"") for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
    }
