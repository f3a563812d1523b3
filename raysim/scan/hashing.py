"""Hashes of units and of windows of units: 64 bits, seeded, of many at once.

They say where to look. Two units or windows that differ may share a hash, so whatever is found by them is compared byte
for byte before it counts.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from raysim.scan.units import Units, words_of

Hashes = npt.NDArray[np.uint64]

# SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): odd constants of a mixer that is a bijection of 64 bits.
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)

_LONG = 1024
"""Bytes of a unit beyond which it is hashed by itself."""


def hash_units(units: Units, seed: int) -> Hashes:
    """Hash of the bytes of each unit: uint64 ``[num_units]``; equal bytes have equal hashes in all buffers."""
    lengths = units.ends - units.begins
    # In the order of their lengths those that have a word to come are a tail of all.
    order = np.argsort(np.minimum(lengths, _LONG + 1).astype(np.uint16), kind="stable")
    begins, lengths = units.begins[order], lengths[order]
    words = words_of(units.buffer)
    mixed = (lengths.astype(np.uint64) + np.uint64(seed << 32)) * _GAMMA
    _mix(mixed)
    short = int(np.searchsorted(lengths, _LONG, side="right"))
    for offset in range(0, int(lengths[short - 1]) if short else 0, 8):
        first = int(np.searchsorted(lengths[:short], offset, side="right"))
        word = words[begins[first:short] + offset]
        rest = lengths[first:short] - offset
        partial = int(np.searchsorted(rest, 8))
        bits = (8 * rest[:partial]).astype(np.uint64)
        word[:partial] &= (np.uint64(1) << bits) - np.uint64(1)
        part = mixed[first:short]
        part ^= word
        part *= _MIX_1
        part ^= part >> np.uint64(32)
    _mix(mixed)
    for row in range(short, len(order)):
        begin, length = int(begins[row]), int(lengths[row])
        digest = hashlib.blake2b(
            units.buffer[begin : begin + length].tobytes(), digest_size=8, key=seed.to_bytes(8, "little")
        )
        mixed[row] = int.from_bytes(digest.digest(), "little")
    hashes = np.empty_like(mixed)
    hashes[order] = mixed
    return hashes


def window_hashes(hashes: Hashes, length: int) -> Hashes:
    """Hash of each window of `length` consecutive entries: uint64 ``[max(0, len(hashes) - length + 1)]``."""
    count = max(0, len(hashes) - length + 1)
    windows = np.zeros(count, dtype=np.uint64)
    for offset in range(length):
        # Chained through a bijection, so that order counts and no algebraic relation between windows survives.
        windows += _GAMMA
        windows ^= hashes[offset : offset + count]
        _mix(windows)
    return windows


def _mix(values: Hashes) -> None:
    """The mixer of SplitMix64, in place."""
    values ^= values >> np.uint64(30)
    values *= _MIX_1
    values ^= values >> np.uint64(27)
    values *= _MIX_2
    values ^= values >> np.uint64(31)
