"""A Bloom filter: a set of hashes that can be asked for one, not read.

It forgets nothing that was put in, and takes a share of all else for something that was. Bloom: Space/time trade-offs
in hash coding with allowable errors, Communications of the ACM 13(7), 1970.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysim.core.hash_groups import HashPairs
from raysim.core.windows import Hashes, Mask, mix

_FEWEST_BITS = 64


@dataclass(frozen=True)
class BloomFilter:
    """A set of pairs of hashes.

    Attributes:
        bits: uint8 ``[num_bytes]``, eight to a byte, the first is the lowest.
        num_hashes: bits that stand for a member.
    """

    bits: npt.NDArray[np.uint8]
    num_hashes: int

    @classmethod
    def of(cls, members: HashPairs, false_positive_rate: float) -> "BloomFilter":
        """Holds `members`, distinct ones, and about that share of what is none: ``1.44 log2(1 / rate)`` bits a member.

        Args:
            members: uint64 ``[n, 2]``.
            false_positive_rate: above 0, below 1.
        """
        wanted = math.ceil(-len(members) * math.log(false_positive_rate) / math.log(2) ** 2)
        num_bits = -(-max(wanted, _FEWEST_BITS) // 8) * 8
        num_hashes = max(1, round(-math.log2(false_positive_rate)))
        flags = np.zeros(num_bits, dtype=np.bool_)
        for number in range(num_hashes):
            flags[_positions(members, number, num_bits)] = True
        return cls(np.packbits(flags, bitorder="little"), num_hashes)

    def holds(self, hashes: HashPairs) -> Mask:
        """Which of `hashes` are members, or taken for such: bool ``[len(hashes)]``."""
        held = np.ones(len(hashes), dtype=np.bool_)
        rows = np.arange(len(hashes))
        for number in range(self.num_hashes):
            at = _positions(hashes[rows], number, 8 * len(self.bits))
            found = (self.bits[at >> np.uint64(3)] >> (at & np.uint64(7)).astype(np.uint8)) & 1 > 0
            held[rows[~found]] = False
            rows = rows[found]
        return held


def _positions(hashes: HashPairs, number: int, num_bits: int) -> Hashes:
    """The bit of each pair for the hash function `number`: mixed, so that two that share one share no other."""
    mixed = hashes[:, 0] + np.uint64(number) * (hashes[:, 1] | np.uint64(1))
    mix(mixed)
    return mixed % np.uint64(num_bits)
