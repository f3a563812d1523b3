"""What leaves a client in the form that its request names, and what then stays with it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from raysim.core.errors import Diverged
from raysim.core.keys import seed_of
from raysim.training.compression import Int8, TopK
from raysim.training.control_variates import CONTROL, OWN
from raysim.training.masking import MASKED, MaskAgreement, Masked
from raysim.training.objectives import ObjectiveConfig
from raysim.training.request import TrainRequest, TrainTask, Update
from raysim.training.throughput import Speed
from raysim.training.upload import to_send
from raysim.training.weights import Flat

START = np.arange(8, dtype=np.float32)
END = START + np.array([0, 3, -1, 0.5, 0, 0, -4, 2], np.float32)


def update_to(end: Flat, **state: Any) -> Update:
    speed = Speed(tokens=1, seconds=1.0, data_seconds=0.0, peak_memory_bytes=0, flop_per_token=1, peak_flop_per_s=None)
    return Update(end, None, {"learning_rate_sum": 0.5}, speed, **state)


@pytest.fixture
def request_of(make_task: Callable[..., TrainTask]) -> Callable[..., TrainRequest]:
    def make(**task: Any) -> TrainRequest:
        buffers = {CONTROL: np.full(8, 0.25, np.float32), OWN: np.full(8, 1.0, np.float32)}
        return TrainRequest(None, make_task(**task), weights=START, objective_buffers=buffers)  # type: ignore[arg-type]

    return make


def test_without_a_form_whole_weights_leave(request_of: Callable[..., TrainRequest]) -> None:
    update = update_to(END)
    assert to_send(request_of(), update) is update


def test_the_facts_are_those_of_what_was_sent(request_of: Callable[..., TrainRequest]) -> None:
    sent = to_send(request_of(upload=TopK(share=0.25, error_feedback=False)), update_to(END))
    assert (sent.weights - START).tolist() == [0, 3, 0, 0, 0, 0, -4, 0]
    facts = {name: sent.upload[name] for name in ("form", "kind", "array", "raw_bytes", "bytes")}
    assert facts == {"form": "top_k", "kind": "compressed update", "array": "weights", "raw_bytes": 32, "bytes": 1 + 8}
    assert sent.upload["update_norm"] == pytest.approx(np.linalg.norm(END - START))
    assert sent.upload["cut_norm"] == pytest.approx(np.linalg.norm([1, 0.5, 2]))
    assert sent.upload_state == {}


def test_what_is_drawn_follows_from_the_stage(request_of: Callable[..., TrainRequest]) -> None:
    form = Int8(block=8)
    sent = to_send(request_of(upload=form, seed=5), update_to(END)).weights
    by_hand = form.send(START, END, {}, seed_of(5, "upload"))
    assert np.array_equal(sent, by_hand.array)


def test_a_control_variate_follows_from_what_the_server_received(request_of: Callable[..., TrainRequest]) -> None:
    """SCAFFOLD: c_i - c + (x - y) / (K eta), with the y that was sent, from which the server infers it, too."""
    request = request_of(upload=TopK(share=0.25), objective=ObjectiveConfig("control_variates"))
    sent = to_send(request, update_to(END, objective_state={OWN: START}))
    assert sent.objective_state[OWN].tolist() == (0.75 + (START - sent.weights) / 0.5).tolist()


def test_of_a_masked_update_nothing_else_leaves(request_of: Callable[..., TrainRequest]) -> None:
    form = Masked(MaskAgreement(1, 0, (("a", 1), ("b", 1)), 2, 16, 8.0), "a")
    sent = to_send(request_of(upload=form), update_to(END))
    assert (sent.upload["array"], sent.weights.dtype) == (MASKED, np.uint32)
    assert sent.upload["bytes"] == 16
    assert [part["bytes"] for part in sent.upload["agreed"]] == [32 + 2 * 66] * 2


@pytest.mark.parametrize("form", [TopK(share=0.1), Int8()], ids=["top_k", "int8"])
@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_an_update_that_is_not_finite_is_refused_before_a_form_can_hide_it(
    form: Any, lost: float, request_of: Callable[..., TrainRequest]
) -> None:
    end = END.copy()
    end[3] = lost
    with pytest.raises(Diverged, match="training has diverged"):
        to_send(request_of(upload=form), update_to(end))
