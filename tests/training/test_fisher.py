"""The diagonal Fisher information beside a loop over sequences and their tokens in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from raysim.training.fisher import diagonal_fisher
from raysim.training.goldfish import GoldfishSettings, kept_targets
from raysim.training.model_host import ModelSpec
from raysim.training.models import build_model
from raysim.training.request import TrainerSettings


def made(spec: ModelSpec) -> Any:
    return build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context, seed=3)


def brute_force(model: Any, sequences: np.ndarray, goldfish: GoldfishSettings | None) -> np.ndarray:
    """The mean of squared gradients, each of a sequence alone, token by token, in float64."""
    model = model.double().eval()
    squares = []
    for row in sequences:
        ids = torch.tensor(row[None], dtype=torch.long)
        logits = model(input_ids=ids).logits[0]
        kept = kept_targets(ids, goldfish)[0] if goldfish else torch.ones(len(row) - 1, dtype=torch.bool)
        nats = [-torch.log_softmax(logits[i], 0)[row[i + 1]] for i in range(len(row) - 1) if kept[i]]
        model.zero_grad()
        torch.stack(nats).mean().backward()
        squares.append(np.concatenate([p.grad.numpy().ravel() ** 2 for p in model.parameters() if p.requires_grad]))
    return np.mean(squares, axis=0)


@pytest.mark.parametrize("goldfish", [None, GoldfishSettings(k=2, context=3)])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_it_is_the_mean_of_squared_gradients_of_sequences(
    gpt2_spec: Callable[..., ModelSpec], sequences: np.ndarray, goldfish: GoldfishSettings | None, dropout: float
) -> None:
    """Without dropout, whatever the model has in training; tied weights are there once."""
    spec = gpt2_spec(dropout=dropout)
    settings = TrainerSettings(sequence_length=16, goldfish=goldfish, precision="bf16")
    found = diagonal_fisher(made(spec).eval(), sequences, settings)
    expected = brute_force(made(spec), sequences, goldfish)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-9)
    assert expected.max() > 1e-4


def test_it_is_no_square_of_a_mean(gpt2_spec: Callable[..., ModelSpec], sequences: np.ndarray) -> None:
    """Two sequences whose gradients differ matter more than the gradient of both."""
    settings, model = TrainerSettings(sequence_length=16), made(gpt2_spec()).eval()
    both, each = (diagonal_fisher(model, sequences[part], settings) for part in (slice(0, 2), slice(0, 1)))
    other = diagonal_fisher(model, sequences[1:2], settings)
    np.testing.assert_allclose(both, (each + other) / 2, rtol=1e-4, atol=1e-12)


def test_frozen_weights_have_none(llama_spec: ModelSpec, sequences: np.ndarray) -> None:
    model = made(llama_spec).eval()
    model.model.embed_tokens.weight.requires_grad_(False)
    settings = TrainerSettings(sequence_length=16)
    found = diagonal_fisher(model, sequences, settings)
    assert found.size == sum(p.numel() for p in model.parameters() if p.requires_grad)
    np.testing.assert_allclose(found, brute_force(model, sequences, None), rtol=2e-3, atol=1e-9)
