"""What a model makes of given tokens, one by one: teacher-forced log-probabilities, plain and normalised."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Window = npt.NDArray[np.int32]
"""Token ids ``[length + 1]``: each but the first is predicted from all before it."""

_MIN_DEVIATION = 1e-4
"""Below this the deviation over the vocabulary is rounding: the prediction is uniform, or certain to seven digits."""


@dataclass(frozen=True)
class TokenScores:
    """Of the predicted tokens of one window.

    Attributes:
        log_probs: natural logarithm of each one's probability, float64 ``[length]``.
        normalised: the same, minus its mean and divided by its standard deviation over the vocabulary, both under the
            model's own prediction; float64 ``[length]``.
    """

    log_probs: npt.NDArray[np.float64]
    normalised: npt.NDArray[np.float64]


def score_tokens(model: "torch.nn.Module", windows: Sequence[Window], batch_size: int) -> list[TokenScores]:
    """Scores every window in float32, `batch_size` at a time in their order, the shorter ones padded behind their end.

    With z distributed like the next token, mean and deviation are those of ``log p(z)`` (Zhang et al., Min-K%++, 2024,
    arXiv 2404.02936, equation 3).
    """
    import torch

    found: list[TokenScores] = []
    with torch.inference_mode():
        for start in range(0, len(windows), batch_size):
            batch = windows[start : start + batch_size]
            ids_BL = torch.zeros(len(batch), max(map(len, batch)), dtype=torch.int64)
            for row, window in zip(ids_BL, batch, strict=True):
                row[: len(window)] = torch.from_numpy(window.astype(np.int64))
            # Causal attention never looks at the padding behind a window, so no mask is needed.
            log_probs_BLV = model(input_ids=ids_BL[:, :-1], use_cache=False).logits.float().log_softmax(-1)
            probs_BLV = log_probs_BLV.exp()
            mean_BL = (probs_BLV * log_probs_BLV).sum(-1)
            # Around the mean: the difference of two squares would lose what a nearly certain prediction leaves.
            deviation_BL = (probs_BLV * (log_probs_BLV - mean_BL[..., None]).square()).sum(-1).sqrt()
            own_BL = log_probs_BLV.gather(-1, ids_BL[:, 1:, None])[..., 0]
            normalised_BL = (own_BL - mean_BL) / deviation_BL.clamp(min=_MIN_DEVIATION)
            for window, own, normalised in zip(batch, own_BL, normalised_BL, strict=True):
                length = len(window) - 1
                found.append(TokenScores(own[:length].double().numpy(), normalised[:length].double().numpy()))
    return found
