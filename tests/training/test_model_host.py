"""A model in memory, and functions that run beside it."""

import numpy as np
import torch

from raysim.training.model_host import ModelHost
from raysim.training.weights import flatten


def test_a_model_is_built_once_for_a_spec(gpt2_spec) -> None:
    host = ModelHost("a")
    small, other = gpt2_spec(0.1), gpt2_spec(0.2)
    assert host.model(small) is host.model(gpt2_spec(0.1))
    assert host.model(other) is not host.model(small)


def test_a_function_runs_at_the_client() -> None:
    host = ModelHost("a")
    assert host.run(lambda client, n, m=0: (client.name, n + m), 1, m=2) == ("a", 3)


def test_a_spec_counts_what_its_model_has(gpt2_spec) -> None:
    spec, host = gpt2_spec(), ModelHost("a")
    weights = flatten(host.model(spec))
    assert spec.count_parameters().trained == spec.count_parameters().total == weights.size


def test_a_released_model_has_no_gradients_and_is_there_still(gpt2_spec) -> None:
    host, spec = ModelHost("a"), gpt2_spec()
    host.release()  # without a model there is nothing to do
    model = host.model(spec)
    model(input_ids=torch.tensor([[1, 2]])).logits.sum().backward()
    assert any(p.grad is not None for p in model.parameters())
    host.release()
    assert host.model(spec) is model
    assert all(p.grad is None for p in model.parameters())


def test_a_scoring_model_has_the_weights_and_is_in_evaluation_mode(gpt2_spec) -> None:
    host, spec, threads = ModelHost("a"), gpt2_spec(), torch.get_num_threads()
    weights = np.full(spec.count_parameters().trained, 0.25, np.float32)
    try:
        model = host.scoring_model(spec, weights, threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    assert not model.training
    assert np.array_equal(flatten(model), weights)
