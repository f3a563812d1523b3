"""How much of a corpus repeats itself: a property of the data, before any training."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from raysim.corpus.files import SourceFile
from raysim.corpus.lines import significant_lines


def duplicate_lines(files: Iterable[SourceFile], min_lines: int) -> tuple[int, int]:
    """Counts significant lines that lie in a repeated window, and all significant lines.

    A window is `min_lines` consecutive significant lines of one file; it is repeated if equal lines start at another
    place too, in the same file or another. It does not see copies with renamed or reordered lines.

    Returns:
        (covered lines, lines).
    """
    if min_lines < 1:
        raise ValueError(f"min_lines is {min_lines}; a window has at least one line")
    numbers: dict[str, int] = {}
    stream: list[int] = []
    separator = -1
    for source in files:
        stream += [numbers.setdefault(line, len(numbers)) for line in significant_lines(source.text)[0]]
        stream.append(separator)  # each its own, so that a window across two files equals no other
        separator -= 1
    lines = np.array(stream, dtype=np.int64)
    is_line = lines >= 0
    starts = _repeated_starts(lines, min_lines)
    # A line is covered if a repeated window starts at it or at one of the min_lines - 1 places before it.
    steps = np.zeros(len(lines) + 1, dtype=np.int64)
    np.add.at(steps, starts, 1)
    np.add.at(steps, starts + min_lines, -1)
    covered = (np.cumsum(steps[:-1]) > 0) & is_line
    return int(covered.sum()), int(is_line.sum())


def _repeated_starts(lines: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int64]:
    """Where windows of `length` start that occur more than once.

    Windows are numbered exactly, without hashing: equal numbers for two halves make equal numbers for the whole
    (Karp, Miller and Rosenberg, 1972), so `length` is reached in logarithmically many steps.
    """
    if len(lines) < length:
        return np.zeros(0, dtype=np.int64)
    names = np.unique(lines, return_inverse=True)[1].astype(np.int64)
    reached = 1
    while reached < length:
        step = min(reached, length - reached)
        pairs = names[:-step] * (int(names.max()) + 1) + names[step:]
        names = np.unique(pairs, return_inverse=True)[1].astype(np.int64)
        reached += step
    return np.flatnonzero(np.bincount(names)[names] > 1)
