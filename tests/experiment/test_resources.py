"""Where an experiment is executed, and how much is done at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from train_requests import make_request

from raysim.cluster.backend import InlineBackend
from raysim.core.errors import InputError
from raysim.experiment.config import LoadedExperiment
from raysim.experiment.resources import open_backend, slot_count
from raysim.training.ranks import NO_RANK_LAUNCHER
from raysim.training.request import TrainTask


def loaded(**changes: Any) -> LoadedExperiment:
    from raysim.experiment.config import _resolve

    raw = {
        "name": "ranks",
        "organizations": {"a": {"source": {"path": "a"}}},
        "tokenizer": {"train": {}},
        "model": {"config": {"model_type": "gpt2"}},
        "strategies": ["single"],
        **changes,
    }
    return _resolve(raw, "ranks.yaml", Path())


@pytest.mark.parametrize(
    ("trainer", "words"),
    [
        ({"ranks": 3, "batch_size": 3}, r"a stage of 3 ranks that need 1 CPUs each .* this cluster hold 2; lower"),
        ({"ranks": 2, "threads": 2}, r"a stage of 2 ranks that need 2 CPUs each .* hold 1; lower"),
        ({"device": "cuda"}, r"a stage of 1 ranks that need 1 CPUs and a GPU each .* hold 0; lower"),
    ],
)
def test_a_stage_that_could_never_start_is_refused_before_anything_does(
    ray_session: None, trainer: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        open_backend(loaded(trainer=trainer), None)


def test_one_process_has_one_rank() -> None:
    experiment = loaded(trainer={"ranks": 2}, execution={"backend": "inline"})
    with pytest.raises(InputError, match=r"execution\.backend: inline has one; write execution\.backend: ray"):
        open_backend(experiment, None)
    settings = experiment.experiment.trainer
    assert NO_RANK_LAUNCHER.wanted(settings)
    with pytest.raises(InputError, match=r"trainer\.ranks: 2 ranks need processes of their own"):
        NO_RANK_LAUNCHER.train(
            make_request(TrainTask("t", settings, 1, 1, 1), np.ones((1, 8), np.int32), np.ones(1, np.float32))
        )


def test_a_stage_takes_a_slot_for_each_of_its_ranks() -> None:
    assert slot_count(loaded(trainer={"ranks": 64, "batch_size": 64}), InlineBackend()) == 64
    with pytest.raises(InputError, match=r"a slot for each of its 4 ranks .* there are 3; raise it"):
        slot_count(loaded(trainer={"ranks": 4, "batch_size": 4}, execution={"slots": 3}), InlineBackend())
