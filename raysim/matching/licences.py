"""Under which licences an organization's training split has generated code. Runs inside the organization.

Only counts by licence leave. A licence is what the source states of the file; what a project says elsewhere is not
known here, and a match of a few lines need not be anybody's work.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from raysim.core.windows import inside_one
from raysim.corpus.files import SourceFile
from raysim.corpus.line_digests import digest_files, digest_lines, digest_windows
from raysim.corpus.lines import significant_lines
from raysim.matching.line_index import build_index, index_digests
from raysim.tables.schemas.solving import LICENCES

LICENCES_VERSION = 1
"""Numerics version; part of the recipe."""

NOT_STATED = "not stated"

LICENCE_SCHEMA = LICENCES.without("model", "organization", "allowed")


def licence_rows(texts: Sequence[str], files: Iterable[SourceFile], min_lines: int) -> pa.Table:
    """Counts, for each licence, what of `texts` is in files under it: a table of `LICENCE_SCHEMA`.

    ``samples``: texts with a run of at least `min_lines` significant lines that is in such a file; ``lines``: their
    lines in such runs; ``files``: files that hold any of the runs. Lines that are under two licences count for each.
    """
    secret = b""  # nothing of this leaves
    digests = [digest_lines(significant_lines(text)[0], secret) for text in texts]
    generated = build_index([SourceFile("", text, "") for text in texts], min_lines, secret)
    groups: dict[str, list[SourceFile]] = {}
    for source in files:
        groups.setdefault(source.licence or NOT_STATED, []).append(source)
    rows = []
    for licence, group in sorted(groups.items()):
        digested = digest_files(group, secret)
        windows = digest_windows(digested.digests, min_lines)
        held = (generated.places(windows)[1] > 0) & inside_one(digested.starts, min_lines)
        if not held.any():
            continue
        index = index_digests(digested, min_lines)
        covered = [index.covered(lines) for lines in digests]
        rows.append(
            {
                "licence": licence,
                "samples": sum(bool(lines.any()) for lines in covered),
                "lines": sum(int(lines.sum()) for lines in covered),
                "files": len(np.unique(np.searchsorted(digested.starts, np.flatnonzero(held), side="right"))),
            }
        )
    return pa.Table.from_pylist(rows, schema=LICENCE_SCHEMA)
