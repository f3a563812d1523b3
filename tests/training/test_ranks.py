"""A place that has one rank."""

import numpy as np
import pytest
from train_requests import make_request

from raysim.core.errors import InputError
from raysim.training.ranks import NO_RANK_LAUNCHER
from raysim.training.request import TrainerSettings


def test_one_process_has_one_rank(make_task) -> None:
    assert not NO_RANK_LAUNCHER.wanted(TrainerSettings())
    assert NO_RANK_LAUNCHER.wanted(TrainerSettings(ranks=2))
    request = make_request(make_task(ranks=2), np.ones((2, 8), np.int32), np.ones(3, np.float32))
    with pytest.raises(InputError, match=r"trainer\.ranks: 2 ranks need processes of their own"):
        NO_RANK_LAUNCHER.train(request)
