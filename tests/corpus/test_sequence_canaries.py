"""Sequences of random tokens, and the coins that put them in."""

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare

from raysim.corpus.sequence_canaries import SequenceCanaries, SequenceCanarySettings, draw_sequence_canaries


def drawn(organization: str = "a", split_seed: int = 1, count: int = 400, bos_id: int = 3) -> SequenceCanaries:
    return draw_sequence_canaries(SequenceCanarySettings(count=count), organization, split_seed, 32, 50, bos_id)


@pytest.mark.parametrize("bos_id", [0, 3, 49])
def test_tokens_are_uniform_over_the_vocabulary_without_the_bos(bos_id: int) -> None:
    tokens = drawn(bos_id=bos_id).tokens
    assert (tokens.shape, tokens.dtype) == ((400, 32), np.int32)
    counts = np.bincount(tokens.reshape(-1), minlength=50)
    assert (len(counts), counts[bos_id]) == (50, 0)
    assert chisquare(np.delete(counts, bos_id)).pvalue > 0.001


def test_coins_are_fair_and_the_planted_ones_are_those_that_they_chose() -> None:
    canaries = drawn(count=2000)
    assert binomtest(int(canaries.included.sum()), 2000).pvalue > 0.001
    assert np.array_equal(canaries.planted, canaries.tokens[canaries.included])


def test_each_organization_and_split_has_its_own() -> None:
    first, again, other, later = drawn(), drawn(), drawn("b"), drawn(split_seed=2)
    assert np.array_equal(first.tokens, again.tokens)
    assert np.array_equal(first.included, again.included)
    for unlike in (other, later):
        assert not np.array_equal(first.tokens, unlike.tokens)
        assert not np.array_equal(first.included, unlike.included)
