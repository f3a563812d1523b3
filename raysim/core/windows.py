"""Windows of consecutive units: their hashes, which of them stay inside one part, and what they cover."""

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]

# SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): odd constants of a mixer that is a bijection of 64 bits.
GAMMA = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def window_hashes(hashes: Hashes, length: int) -> Hashes:
    """Hash of each window of `length` consecutive entries: uint64 ``[max(0, len(hashes) - length + 1)]``."""
    count = max(0, len(hashes) - length + 1)
    windows = np.zeros(count, dtype=np.uint64)
    for offset in range(length):
        # Chained through a bijection, so that order counts and no algebraic relation between windows survives.
        windows += GAMMA
        windows ^= hashes[offset : offset + count]
        mix(windows)
    return windows


def mix(values: Hashes) -> None:
    """The mixer of SplitMix64, in place."""
    values ^= values >> np.uint64(30)
    values *= MIX_1
    values ^= values >> np.uint64(27)
    values *= _MIX_2
    values ^= values >> np.uint64(31)


def spread(matched: Mask, num_units: int, length: int) -> Mask:
    """Units that lie in a matched window: bool ``[num_units]`` from bool ``[max(0, num_units - length + 1)]``."""
    change = np.zeros(num_units + 1, dtype=np.int32)
    change[: len(matched)] += matched
    change[length : length + len(matched)] -= matched
    return np.cumsum(change[:num_units], dtype=np.int32) > 0


def inside_one(starts: Positions, length: int) -> Mask:
    """Which windows of a concatenation stay inside one of its parts, which begin at `starts` (the end included)."""
    total = int(starts[-1])
    count = max(0, total - length + 1)
    part = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    return part[:count] == part[total - count :]
