"""Shamir's secret sharing: Shamir: How to Share a Secret, Communications of the ACM 22, 1979.

A secret is the value at 0 of a polynomial of degree ``threshold - 1`` over a prime field; a share is its value at the
number of who holds it, from 1. Any `threshold` shares give the polynomial, fewer say nothing of the secret.
"""

import hashlib
from collections.abc import Iterable, Mapping

PRIME = 2**521 - 1
"""Of the field, in which a secret of 32 bytes fits."""

SHARE_BYTES = 66
"""Of one share."""


def split_secret(secret: int, holders: Iterable[int], threshold: int, seed: bytes) -> list[int]:
    """Shares of `secret` for the numbers of `holders`; `seed` decides the polynomial: its owner alone has it."""
    coefficients = [secret, *(_drawn(seed, degree) for degree in range(1, threshold))]
    return [_value_at(coefficients, holder) for holder in holders]


def recover_secret(shares: Mapping[int, int]) -> int:
    """The secret of which `shares` are, by the holders' numbers: Lagrange's interpolation at 0.

    Of fewer shares than the threshold it is some other number.
    """
    secret = 0
    for holder, share in shares.items():
        numerator = denominator = 1
        for other in shares:
            if other != holder:
                numerator = numerator * other % PRIME
                denominator = denominator * (other - holder) % PRIME
        secret += share * numerator * pow(denominator, -1, PRIME)
    return secret % PRIME


def _value_at(coefficients: list[int], point: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * point + coefficient) % PRIME
    return value


def _drawn(seed: bytes, degree: int) -> int:
    """A coefficient, uniform up to 2^-55: 576 bits modulo the prime."""
    wide = hashlib.shake_256(seed + degree.to_bytes(4, "big")).digest(72)
    return int.from_bytes(wide, "big") % PRIME
