import gc
import logging
import pickle
import random
from typing import Any

import numpy as np
import pytest
from flwr.app import Message, RecordDict
from flwr.supercore import log
from flwr.supercore.task_identity import TaskIdentity

from raysim.core.errors import InputError
from raysim.training.flower_calls import Refused, explained, flower_call


def drawn(seed: int) -> tuple[float, float]:
    with flower_call(seed):
        return random.random(), float(np.random.random())  # noqa: NPY002


def test_draws_follow_the_seed() -> None:
    assert drawn(2**62 + 1) == drawn(2**62 + 1)
    # Both halves of the seed count, and both generators have it.
    others = [drawn(seed) for seed in (2**62 + 1, 2**62 + 2, 2**61 + 1)]
    assert [len(set(numbers)) for numbers in zip(*others, strict=True)] == [3, 3]


@pytest.mark.parametrize("fails", [False, True])
def test_all_is_put_back(fails: bool) -> None:
    def globals_now() -> list[Any]:
        logger = logging.getLogger("flwr")
        identity = TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id
        numpy_state = pickle.dumps(np.random.get_state())  # noqa: NPY002
        return [random.getstate(), numpy_state, identity, logger.handlers, logger.propagate]

    before = globals_now()
    try:
        with flower_call(3):
            random.random()
            np.random.random()  # noqa: NPY002
            assert Message(RecordDict(), 1, "train").metadata.run_id == 1
            if fails:
                raise KeyError("x")
    except Refused:
        assert fails
    assert globals_now() == before


def test_old_objects_are_no_garbage_of_flowers() -> None:
    gc.unfreeze()  # what an import of transformers by another test has left
    with flower_call(1):
        frozen = gc.get_freeze_count()
        assert frozen > 1000
        with flower_call(1):
            pass
        assert gc.get_freeze_count() >= frozen
    assert gc.get_freeze_count() == 0


def test_warnings_are_heard_and_nothing_else(capfd: pytest.CaptureFixture[str]) -> None:
    with flower_call(1) as heard:
        log(logging.INFO, "all is well")
        log(logging.WARNING, "too\n  few: %d", 3)
    assert heard == ["too few: 3"]
    assert capfd.readouterr() == ("", "")


def test_what_flower_raises_is_told_in_a_line_with_what_it_said_before() -> None:
    def fail() -> None:
        log(logging.WARNING, "careful")
        log(logging.WARNING, "careful")
        raise ValueError("no\nat all")

    with pytest.raises(Refused, match=r"^ValueError: no; Flower says: careful$"), flower_call(1):
        fail()


@pytest.mark.parametrize("error", [Refused("a"), InputError("b")])
def test_errors_of_raysim_pass(error: Exception) -> None:
    with pytest.raises(type(error), match=f"^{error}$"), flower_call(1):
        raise error


def test_a_problem_without_a_word_of_flower() -> None:
    assert explained("stops", []) == "stops"
