"""How much of each held-out file stands in training splits: what models are measured on may be what they were shown."""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysim.corpus.files import SourceFile
from raysim.matching.line_index import LineIndex, digest_files, digest_windows
from raysim.matching.windows import inside_one, spread
from raysim.tables.schemas.corpora import HELD_OUT_COPIES


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
    for split, files in splits.items():
        digested = digest_files(files, secret)
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
