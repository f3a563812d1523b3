"""Hashes of units and of windows of units: 64 bits, seeded, of many at once.

They say where to look. Two units or windows that differ may share a hash, so whatever is found by them is compared byte
for byte before it counts.
"""

import hashlib

import numpy as np

from raysim.core.windows import GAMMA, MIX_1, Hashes, mix
from raysim.matching.units import BLOCK, MASKS, Units, blocks_at

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
    mixed = (lengths.astype(np.uint64) + np.uint64(seed << 32)) * GAMMA
    mix(mixed)
    for number, end in enumerate(having):
        _chain_blocks(mixed[num_long:end], blocks_at(units.buffer, begins[num_long:end] + BLOCK * number))
    last = blocks_at(units.buffer, begins + np.maximum(lengths - BLOCK, 0))
    last[num_filled:] &= blocks_at(MASKS, BLOCK * lengths[num_filled:])
    _chain_blocks(mixed, last)
    mix(mixed)
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


def _chain(values: Hashes, parts: Hashes) -> None:
    """Takes one more part into each value, in place; for every part a bijection of the value."""
    values ^= parts
    values *= MIX_1
    values ^= values >> np.uint64(32)
