"""Scores of tokens against a slow, plain reference."""

import numpy as np
import pytest
from audited import CONFIG, slow_log_probs, slow_normalised

from raysim.inference.scoring import score_tokens
from raysim.training.model_host import ModelHost, ModelSpec
from raysim.training.models import ModelSettings, build_model
from raysim.training.weights import flatten

SPEC = ModelSpec(ModelSettings(config=CONFIG), 30, 0, 16)
WINDOWS = [np.array(row, np.int32) for row in ([0, 5, 7, 7, 29, 1], [0, 3], [4, 4, 9, 12, 2, 2, 8, 0, 11], [0, 1, 2])]


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_equals_a_slow_reference(batch_size: int) -> None:
    """Windows of several lengths, so that batches are padded."""
    model = build_model(SPEC.settings, SPEC.vocab_size, 0, SPEC.context, seed=3)
    scores = score_tokens(ModelHost("a").scoring_model(SPEC, flatten(model), 1), WINDOWS, batch_size)
    assert len(scores) == len(WINDOWS)
    for window, score in zip(WINDOWS, scores, strict=True):
        slow = slow_log_probs(model, window.tolist())
        targets = window[1:].tolist()
        assert score.log_probs == pytest.approx([row[t] for row, t in zip(slow, targets, strict=True)], rel=1e-4)
        assert score.normalised == pytest.approx(
            [slow_normalised(row, t) for row, t in zip(slow, targets, strict=True)], rel=1e-3, abs=1e-4
        )


def test_a_uniform_prediction_is_average() -> None:
    zeros = np.zeros_like(flatten(build_model(SPEC.settings, SPEC.vocab_size, 0, SPEC.context)))
    (score,) = score_tokens(ModelHost("a").scoring_model(SPEC, zeros, 1), WINDOWS[:1], 4)
    assert score.log_probs == pytest.approx([-np.log(30)] * 5)
    assert np.abs(score.normalised).max() < 0.1
