"""Masked sums beside plain ones, with and without clients that drop out, and what a single masked vector looks like."""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from raysim.core.errors import InputError
from raysim.training.masking import (
    MASKED,
    MaskAgreement,
    Masked,
    Residues,
    SecureAggregationSettings,
    agreed_secret,
    disclosures,
    from_residues,
    packed,
    prg,
    public_key,
    to_residues,
    unmasked_sum,
)
from raysim.training.upload_form import Sent
from raysim.training.weights import Flat

AGREEMENT = MaskAgreement(7, 0, (("a", 1), ("b", 2), ("c", 5), ("d", 3)), threshold=2, bits=32, clip=1.0)
SIZE = 1001
START = np.random.default_rng(0).normal(size=SIZE).astype(np.float32)


def end_of(client: str) -> Flat:
    update = np.random.default_rng(ord(client)).normal(scale=0.2, size=SIZE)
    return START + update.clip(-0.9, 0.9).astype(np.float32)


def send(client: str, agreement: MaskAgreement = AGREEMENT) -> Sent:
    return Masked(agreement, client).send(START, end_of(client), {}, 0)


def quantized(client: str, agreement: MaskAgreement = AGREEMENT) -> Residues:
    update = np.subtract(end_of(client), START, dtype=np.float64)
    return to_residues(update, agreement, dict(agreement.counts)[client])


def subsets(least: int) -> list[Sequence[str]]:
    return [left for n in range(least, 5) for left in itertools.combinations("abcd", n)]


@pytest.mark.parametrize("left", subsets(2), ids="".join)
def test_masks_cancel_exactly_whoever_drops_out(left: Sequence[str]) -> None:
    vectors = {name: send(name).array for name in left}
    total = unmasked_sum(vectors, AGREEMENT, disclosures(AGREEMENT, left))
    plain = np.stack([quantized(name) for name in left]).sum(axis=0, dtype=np.uint32)
    assert np.array_equal(total, from_residues(plain, AGREEMENT))


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_the_sum_is_that_of_the_updates_within_half_a_step_a_client(bits: int) -> None:
    agreement = replace(AGREEMENT, bits=bits)
    counts = dict(agreement.counts)
    total = unmasked_sum({n: send(n, agreement).array for n in counts}, agreement, disclosures(agreement, "abcd"))
    exact = sum(count * (end_of(name).astype(float) - START) for name, count in counts.items())
    assert agreement.step == pytest.approx(11 / 2 ** (bits - 1), rel=1e-3)
    assert 0 < np.abs(total - exact).max() <= 4 / 2 * agreement.step * (1 + 1e-9)
    sent = send("a", agreement)
    assert (len(sent.content), sent.name) == (SIZE * bits // 8, MASKED)
    assert sent.array.max() < 2**bits


def test_the_largest_sum_does_not_wrap_around() -> None:
    agreement = replace(AGREEMENT, bits=16)
    for sign in (1, -1):
        end = START + np.float32(sign) * 3
        sent = {name: Masked(agreement, name).send(START, end, {}, 0) for name in agreement.names}
        told = disclosures(agreement, agreement.names)
        total = unmasked_sum({name: one.array for name, one in sent.items()}, agreement, told)
        np.testing.assert_allclose(total, sign * 11.0, atol=4 * agreement.step)
        assert all(one.facts["clipped"] == SIZE for one in sent.values())
        assert sent["a"].facts["cut_norm"] == pytest.approx(2 * np.sqrt(SIZE), rel=1e-3)


def test_keys_agree_as_published() -> None:
    """Langley, Hamburg & Turner: Elliptic Curves for Security, RFC 7748, section 6.1."""
    bob = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    alices = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    assert public_key(bob).hex() == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    assert agreed_secret(bob, alices).hex() == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"


def test_a_vector_by_hand() -> None:
    """Of two clients, from their keys and seeds: the quantized update, its own mask, and the common one."""
    two = MaskAgreement(7, 3, (("a", 1), ("b", 2)), threshold=2, bits=32, clip=1.0)
    shared = agreed_secret(two.secret_key("a"), public_key(two.secret_key("b")))
    common = prg(hashlib.sha256(b"mask" + shared).digest(), SIZE)
    for client, sign in (("a", np.uint32(1)), ("b", np.uint32(2**32 - 1))):
        expected = quantized(client, two) + prg(two.own_seed(client), SIZE) + sign * common
        assert np.array_equal(send(client, two).array, expected)


def test_a_masked_vector_is_uniform_and_another_in_each_round() -> None:
    """Chi-square of the high and the low byte of 40,000 elements, of an update that is zero almost everywhere."""
    start, end = np.zeros(40_000, np.float32), np.zeros(40_000, np.float32)
    end[0] = 0.5
    vectors = [Masked(replace(AGREEMENT, round=n), "a").send(start, end, {}, 0).array for n in range(2)]
    for vector in (*vectors, vectors[0] - vectors[1]):
        for byte in (vector >> 24, vector & 255):
            counts = np.bincount(byte, minlength=256)
            chi_square = np.square(counts - 156.25).sum() / 156.25
            # 255 degrees of freedom: mean 255, standard deviation 22.6.
            assert abs(chi_square - 255) < 5 * 22.6


def test_own_masks_stay_on_a_vector_that_comes_late() -> None:
    """Once it is taken for dropped, the server has its common masks alone."""
    left = ("a", "b", "c")
    told = disclosures(AGREEMENT, left)
    assert {frozenset(one.own_masks) for one in told} == {frozenset(left)}
    assert {frozenset(one.keys) for one in told} == {frozenset("d")}
    key = AGREEMENT.secret_key("d")
    late = send("d").array.copy()
    for sign, seed in AGREEMENT.masks("d", key, left):
        late -= np.uint32(sign % 2**32) * prg(seed, SIZE)
    assert np.array_equal(late - prg(AGREEMENT.own_seed("d"), SIZE), quantized("d"))
    assert np.count_nonzero(late == quantized("d")) < 3


def test_fewer_than_the_threshold_cannot_remove_the_masks() -> None:
    agreement = replace(AGREEMENT, threshold=3, round=4)
    with pytest.raises(
        InputError, match=r"2 of the 4 clients of round 5 are left, and .* takes threshold: 3; lower it"
    ):
        disclosures(agreement, ["a", "c"])
    told = disclosures(agreement, ["a", "b", "c"])[:2]
    vectors = {name: send(name, agreement).array for name in "abc"}
    with pytest.raises(OverflowError):  # what two shares of a polynomial of degree 2 give is no secret of 32 bytes
        unmasked_sum(vectors, agreement, told)


def test_what_crosses_before_and_after_the_vector_is_counted() -> None:
    assert [len(part) for part in send("a").agreed or ()] == [32 + 3 * 2 * 66, 3 * (32 + 2 * 66)]
    assert {len(one.content) for one in disclosures(AGREEMENT, ["a", "b", "c"])} == {4 * 66}


def test_a_vector_is_packed_by_its_low_bytes() -> None:
    assert packed(np.array([1, 0x0A0B0C], np.uint32), 24) == bytes([1, 0, 0, 0x0C, 0x0B, 0x0A])


@pytest.mark.parametrize(
    ("threshold", "clients", "expected"), [(None, 2, 2), (None, 3, 2), (None, 4, 3), (None, 10, 6), (5, 6, 5)]
)
def test_more_than_half_must_be_left_unless_a_threshold_says_otherwise(
    threshold: int | None, clients: int, expected: int
) -> None:
    assert SecureAggregationSettings(threshold=threshold).threshold_of(clients) == expected


def test_thresholds_that_cannot_be_met_are_refused() -> None:
    with pytest.raises(InputError, match=r"threshold: 4, but a round has 3 clients"):
        SecureAggregationSettings(threshold=4).threshold_of(3)
    with pytest.raises(InputError, match=r"a sum of one client's update is that update"):
        SecureAggregationSettings().threshold_of(1)
