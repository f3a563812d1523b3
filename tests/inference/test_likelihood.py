"""Probabilities of tokens under a sampling scheme against Hugging Face's processors, a token at a time."""

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from raysim.inference.likelihood import PLAIN, log_probabilities
from raysim.inference.sampling import draw
from raysim.inference.settings import Scheme

VOCABULARY, LENGTH, STEPS = 12, 9, 5


def random(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(STEPS, VOCABULARY, generator=generator)
    return logits, torch.randint(VOCABULARY, (LENGTH,), generator=generator)


def plain(logits: torch.Tensor, tokens: torch.Tensor, scheme: Scheme) -> list[float]:
    """Each token as `generate` would draw it: its own processors, in its own order."""
    processors: Any = LogitsProcessorList()  # its arguments are typed as other tensors
    if scheme.repetition_penalty != 1:
        processors.append(RepetitionPenaltyLogitsProcessor(scheme.repetition_penalty))
    processors.append(TemperatureLogitsWarper(float(scheme.temperature)))
    if scheme.top_p < 1:
        processors.append(TopPLogitsWarper(scheme.top_p))
    result = []
    for step in range(STEPS):
        position = LENGTH - STEPS + step
        scores = processors(tokens[None, :position], logits[step : step + 1].double())
        result.append(float(scores.log_softmax(-1)[0, tokens[position]]))
    return result


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.7])
@pytest.mark.parametrize("top_p", [0.3, 0.6, 0.95, 1.0])
@pytest.mark.parametrize("penalty", [0.8, 1.0, 1.1])
def test_equals_the_processors_of_hugging_face(temperature: float, top_p: float, penalty: float) -> None:
    scheme = Scheme(temperature, top_p, penalty)
    for seed in range(20):
        logits, tokens = random(seed)
        found = log_probabilities(logits, tokens, scheme)
        assert found.dtype == torch.float64
        assert found.tolist() == pytest.approx(plain(logits, tokens, scheme), rel=1e-12, abs=1e-12)


def test_logits_are_left_as_they_are() -> None:
    logits, tokens = random(1)
    for given_logits in (logits.clone(), logits.double()):
        before = given_logits.clone()
        log_probabilities(given_logits, tokens, Scheme(0.5, 0.9, 1.3))
        assert torch.equal(given_logits, before)


def test_by_hand() -> None:
    """Masses 4/7, 2/7, 1/7: a nucleus of 0.8 holds the first two, of masses 2/3 and 1/3."""
    logits = torch.tensor([[math.log(4), math.log(2), 0.0]])
    found = [log_probabilities(logits, torch.tensor([0, t]), Scheme(1, 0.8, 1)).exp().item() for t in range(3)]
    assert found == pytest.approx([2 / 3, 1 / 3, 0])
    found = [log_probabilities(logits, torch.tensor([0, t]), PLAIN).exp().item() for t in range(3)]
    assert found == pytest.approx([4 / 7, 2 / 7, 1 / 7])


def test_a_seen_token_is_penalised_from_the_next_step_on() -> None:
    """Token 1 has the logit 2, halved once it has been seen; the prompt is token 0, of logit 0."""
    logits, tokens = torch.tensor([[0.0, 2.0], [0.0, 2.0]]), torch.tensor([0, 1, 1])
    found = log_probabilities(logits, tokens, Scheme(1, 1, 2))
    assert found.exp().tolist() == pytest.approx([1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-1))])


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=8), st.sampled_from([0.23, 0.51, 0.73, 0.91]))
def test_is_what_the_sampler_draws_from(values: list[float], top_p: float) -> None:
    """Ties too, but none where a nucleus ends: the shares of even uniforms that the sampler turns into each token."""
    logits, size = torch.tensor([values]), 4000
    uniforms = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    drawn = draw(logits.expand(size, -1), uniforms, 1.0, top_p).bincount(minlength=len(values)) / size
    scheme = Scheme(1.0, top_p, 1.0)
    found = [log_probabilities(logits, torch.tensor([0, token]), scheme).exp().item() for token in range(len(values))]
    assert sum(found) == pytest.approx(1)
    assert found == pytest.approx(drawn.tolist(), abs=2 / size)


@pytest.mark.parametrize("size", [2, 4])
def test_a_nucleus_ends_where_its_mass_is_reached(size: int) -> None:
    """So many equal tokens, of masses that floats hold exactly: the first half of them has the mass of 0.5."""
    logits = torch.zeros(1, size)
    scheme = Scheme(1, 0.5, 1)
    found = [log_probabilities(logits, torch.tensor([0, token]), scheme).exp().item() for token in range(size)]
    assert found == [2 / size] * (size // 2) + [0] * (size // 2)
    uniforms = (torch.arange(8, dtype=torch.float64) + 0.5) / 8
    drawn = draw(logits.expand(8, -1), uniforms, 1.0, 0.5).bincount(minlength=size) / 8
    assert drawn.tolist() == found


def test_greedy_draws_the_likeliest_and_nothing_else() -> None:
    logits = torch.tensor([[0.0, 1.0], [3.0, 1.0]])
    certain = {
        pair: log_probabilities(logits, torch.tensor([0, *pair]), Scheme(0, 1, 1)).sum().item()
        for pair in itertools.product(range(2), repeat=2)
    }
    assert certain == {(1, 0): 0.0, (0, 0): -math.inf, (0, 1): -math.inf, (1, 1): -math.inf}


def test_products_of_tiny_probabilities_keep_their_digits() -> None:
    """50 tokens of 1e-9 each: their product is below the smallest float, its logarithm is not."""
    logits = torch.zeros(50, 2, dtype=torch.float64)
    logits[:, 0] = -math.log(1e-9)
    found = log_probabilities(logits, torch.ones(51, dtype=torch.int64), PLAIN).sum().item()
    assert found == pytest.approx(-50 * math.log(1e9 + 1), rel=1e-12)
