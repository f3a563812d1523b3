"""Hashes of units and of windows of units: 64 bits, seeded, of many at once.

They say where to look. Two units or windows that differ may share a hash, so whatever is found by them is compared byte
for byte before it counts.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from raysim.matching.units import BLOCK, MASKS, Units, blocks_at

Hashes = npt.NDArray[np.uint64]

# SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): odd constants of a mixer that is a bijection of 64 bits.
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)

_MOST_BLOCKS = 16
"""Of a unit; a longer one is hashed by itself."""


def hash_units(units: Units, seed: int) -> Hashes:
    """Hash of the bytes of each unit, none of them empty: uint64 ``[num_units]``.

    Equal bytes have equal hashes in all buffers.
    """
    lengths = units.ends - units.begins
    # All blocks but the last one, which ends where the unit ends and may begin inside the one before.
    num_blocks = np.minimum((lengths - 1) // BLOCK, _MOST_BLOCKS)
    # The longest first, so that those that have a block to come are in front.
    order = np.argsort((_MOST_BLOCKS - num_blocks).astype(np.uint8), kind="stable")
    having = (len(order) - np.cumsum(np.bincount(num_blocks, minlength=_MOST_BLOCKS))[:_MOST_BLOCKS]).tolist()
    num_filled, num_long = having[0], having.pop()
    begins, lengths = units.begins[order], lengths[order]
    mixed = (lengths.astype(np.uint64) + np.uint64(seed << 32)) * _GAMMA
    _mix(mixed)
    for number, end in enumerate(having):
        _chain_blocks(mixed[num_long:end], blocks_at(units.buffer, begins[num_long:end] + BLOCK * number))
    last = blocks_at(units.buffer, begins + np.maximum(lengths - BLOCK, 0))
    last[num_filled:] &= blocks_at(MASKS, BLOCK * lengths[num_filled:])
    _chain_blocks(mixed, last)
    _mix(mixed)
    for row in range(num_long):
        begin, length = int(begins[row]), int(lengths[row])
        digest = hashlib.blake2b(
            units.buffer[begin : begin + length].tobytes(), digest_size=8, key=seed.to_bytes(8, "little")
        )
        mixed[row] = int.from_bytes(digest.digest(), "little")
    hashes = np.empty_like(mixed)
    hashes[order] = mixed
    return hashes


def _chain_blocks(values: Hashes, blocks: Hashes) -> None:
    for column in blocks.T:
        _chain(values, column)


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


def _chain(values: Hashes, parts: Hashes) -> None:
    """Takes one more part into each value, in place; for every part a bijection of the value."""
    values ^= parts
    values *= _MIX_1
    values ^= values >> np.uint64(32)


def _mix(values: Hashes) -> None:
    """The mixer of SplitMix64, in place."""
    values ^= values >> np.uint64(30)
    values *= _MIX_1
    values ^= values >> np.uint64(27)
    values *= _MIX_2
    values ^= values >> np.uint64(31)
