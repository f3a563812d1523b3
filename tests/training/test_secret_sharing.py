"""Shares of a secret: a polynomial by hand, any threshold of them, and fewer."""

import itertools

import pytest

from raysim.training.secret_sharing import PRIME, SHARE_BYTES, recover_secret, split_secret

SECRET = 2**255 + 12345


def test_a_line_by_hand() -> None:
    """Two shares of a line: its slope follows from the first, and holds for the others."""
    first, *others = split_secret(SECRET, range(1, 5), 2, b"seed")
    slope = (first - SECRET) % PRIME
    assert slope
    assert others == [(SECRET + slope * holder) % PRIME for holder in (2, 3, 4)]


@pytest.mark.parametrize("threshold", [1, 2, 3, 5])
def test_any_shares_as_many_as_the_threshold_give_the_secret_and_fewer_do_not(threshold: int) -> None:
    shares = dict(enumerate(split_secret(SECRET, range(1, 6), threshold, b"seed"), start=1))
    for count in range(1, 6):
        for holders in itertools.combinations(shares, count):
            recovered = recover_secret({holder: shares[holder] for holder in holders})
            assert (recovered == SECRET) == (count >= threshold)


def test_shares_depend_on_the_seed_and_fit_their_bytes() -> None:
    shares = split_secret(SECRET, range(1, 4), 2, b"one")
    assert shares == split_secret(SECRET, range(1, 4), 2, b"one") != split_secret(SECRET, range(1, 4), 2, b"other")
    assert all(share < PRIME < 2 ** (8 * SHARE_BYTES) for share in shares)
