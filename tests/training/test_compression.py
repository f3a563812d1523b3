"""Compression of updates beside brute force: which elements are sent, in how many bytes, what becomes of the rest."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysim.core.errors import InputError
from raysim.core.settings import validate
from raysim.training.compression import RESIDUAL, CompressionSettings, Compressor, Int8, TopK, largest
from raysim.training.weights import Flat

FORMS = {
    "few": TopK(share=0.02),
    "many": TopK(share=0.5, error_feedback=False),
    "stochastic": Int8(block=16),
    "nearest": Int8(block=16, rounding="nearest", error_feedback=True),
}


def drawn(seed: int, size: int = 301) -> Flat:
    return np.random.default_rng(seed).normal(size=size).astype(np.float32)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.data())
def test_the_largest_are_those_of_a_stable_sort(values: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(values)))
    by_hand = sorted(sorted(range(len(values)), key=lambda i: -abs(values[i]))[:count])
    assert largest(np.array(values, np.float32), count).tolist() == by_hand


def test_of_equal_magnitudes_the_first_are_sent() -> None:
    update = np.array([1, -2, 2, 0, -2, 1], np.float32)
    form = TopK(share=0.5, error_feedback=False)
    sent = form.send(np.zeros(6, np.float32), update, {}, 1)
    assert sent.array.tolist() == [0, -2, 2, 0, -2, 0]
    assert sent.facts["cut_norm"] == math.sqrt(2)
    assert sent.kept == {}


@pytest.mark.parametrize(
    ("form", "size", "expected"),
    [
        (TopK(share=0.01), 1000, 10 * (4 + 4)),
        (TopK(share=0.1), 1000, 125 + 100 * 4),
        (TopK(share=0.07), 100, 13 + 7 * 4),
        (TopK(share=1e-6), 1000, 4 + 4),
        (Int8(block=64), 1000, 1000 + 16 * 4),
        (Int8(block=5000), 1000, 1000 + 4),
    ],
    ids=["numbers", "bits", "rounded", "at least one", "blocks", "one block"],
)
def test_bytes_are_those_of_what_is_sent(form: Compressor, size: int, expected: int) -> None:
    assert len(form.encode(drawn(1, size), 1)) == expected


@pytest.mark.parametrize("share", [0.01, 0.03, 0.2, 1.0])
def test_the_elements_that_are_sent_arrive_exactly(share: float) -> None:
    form, update = TopK(share=share), drawn(2)
    received = form.decode(form.encode(update, 1), update.size)
    count = math.ceil(share * update.size)
    by_hand = np.where(np.argsort(np.argsort(-np.abs(update))) < count, update, 0)
    assert np.array_equal(received, by_hand)


@pytest.mark.parametrize("name", FORMS)
def test_what_arrived_and_what_was_kept_sum_to_all_updates(name: str) -> None:
    """Over rounds, whatever arrives late: the server has all of the updates but the last residual."""
    form = FORMS[name].model_copy(update={"error_feedback": True})
    arrived, kept, weights = np.zeros(301), {}, drawn(0)
    updates = [drawn(seed) for seed in range(1, 9)]
    for number, update in enumerate(updates):
        sent = form.send(weights, weights + update, kept, number)
        arrived += sent.array.astype(float) - weights
        kept = sent.kept
        assert sent.facts["cut_norm"] == pytest.approx(np.linalg.norm(kept[RESIDUAL]), rel=1e-6)
    np.testing.assert_allclose(arrived + kept[RESIDUAL], np.sum(updates, axis=0, dtype=float), atol=2e-5)
    assert np.linalg.norm(kept[RESIDUAL]) > 0.01


@pytest.mark.parametrize("name", ["few", "nearest"])
def test_without_error_feedback_nothing_is_kept(name: str) -> None:
    form = FORMS[name].model_copy(update={"error_feedback": False})
    assert form.client_buffers == ()
    assert form.send(drawn(0), drawn(1), {}, 1).kept == {}


@pytest.mark.parametrize(("rounding", "steps"), [("nearest", 0.5), ("stochastic", 1.0)])
@pytest.mark.parametrize("block", [1, 7, 1024])
def test_eight_bits_err_by_less_than_a_step_of_their_block(rounding: str, steps: float, block: int) -> None:
    update = drawn(3) * np.float32(1e-3)
    update[10:30] = 0
    form = validate(Int8, {"rounding": rounding, "block": block}, "test")
    received = form.decode(form.encode(update, 5), update.size)
    for start in range(0, update.size, block):
        part = slice(start, start + block)
        step = np.abs(update[part]).max() / 127
        assert np.abs(update[part] - received[part]).max() <= step * (steps + 1e-4)


def test_stochastic_rounding_is_right_on_average() -> None:
    form, update, draws = Int8(block=8), drawn(4, 8), 4000
    mean = np.mean([form.decode(form.encode(update, seed), 8) for seed in range(draws)], axis=0)
    step = np.abs(update).max() / 127
    # The standard deviation of a draw is at most half a step.
    assert np.abs(mean - update).max() < 5 * step / 2 / math.sqrt(draws)
    assert np.array_equal(form.decode(form.encode(update, 1), 8), form.decode(form.encode(update, 1), 8))


def test_numbers_too_small_for_a_scale_count_as_zero() -> None:
    update = np.full(4, 1e-45, np.float32)
    for rounding in ("nearest", "stochastic"):
        form = validate(Int8, {"rounding": rounding}, "test")
        assert not form.decode(form.encode(update, 1), 4).any()


@pytest.mark.parametrize("given", [{}, {"top_k": {}, "int8": {}}])
def test_exactly_one_way_is_asked_for(given: dict[str, dict[str, int]]) -> None:
    with pytest.raises(InputError, match="exactly one of top_k and int8"):
        validate(CompressionSettings, given, "compression")
    assert CompressionSettings(int8=Int8(block=4)).form == Int8(block=4)
