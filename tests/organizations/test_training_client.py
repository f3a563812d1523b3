"""What a client trains on, and what it sends."""

import dataclasses

import numpy as np
import pytest

from raysim.organizations.training_client import PooledOrganization
from raysim.training.request import TrainerSettings, TrainRequest, TrainTask, Update
from raysim.training.weights import flatten


def test_a_pooled_organization_holds_sequences_one_after_the_other() -> None:
    parts = [np.full((n, 4), n, np.int32) for n in (1, 3)]
    pooled = PooledOrganization("a+b", parts)
    assert pooled.training_sequences().tolist() == [[1] * 4] + [[3] * 4] * 3


@pytest.mark.parametrize("count", [None, 3])
def test_training_is_on_the_first_sequences_of_the_client(gpt2_spec, count: int | None) -> None:
    sequences = np.random.Generator(np.random.Philox(1)).integers(0, 300, (6, 16)).astype(np.int32)
    spec, settings = gpt2_spec(), TrainerSettings(batch_size=2, sequence_length=16)
    task = TrainTask("t", settings, 1, 1, seed=1, num_sequences=count)
    client = PooledOrganization("a", [sequences])
    start = flatten(client.model(spec))
    *_, weights, update = client.train(TrainRequest(spec, task), start)
    all_of_them = TrainRequest(spec, dataclasses.replace(task, num_sequences=None))
    *_, wanted, expected = PooledOrganization("b", [sequences[:count]]).train(all_of_them, start)
    assert isinstance(update, Update)
    assert isinstance(expected, Update)
    assert update.metrics["sequences"] == (count or 6)
    assert not update.weights.size  # they are an item of their own
    assert isinstance(weights, np.ndarray)
    assert isinstance(wanted, np.ndarray)
    assert np.array_equal(weights, wanted)
