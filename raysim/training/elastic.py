"""Elastic weight consolidation: a pull back to a stage's start, stronger on weights that mattered to earlier data.

Kirkpatrick et al.: Overcoming catastrophic forgetting in neural networks, PNAS 114(13), 2017, arXiv 1612.00796,
equation 3: the loss plus ``strength / 2 * sum_i F_i (w_i - w*_i)^2``, whose gradient is ``strength * F_i (w_i -
w*_i)``. Of several earlier data sets the online form is taken (Huszar, arXiv 1712.03847; Schwarz et al., Progress &
Compress, ICML 2018, arXiv 1805.06370, without decay): F is the sum of what each of them gave when it was trained on,
and w* are the weights that the stage starts from, so that one buffer is enough however many there are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pydantic

from raysim.core.settings import Settings
from raysim.training.objectives import StatefulObjective
from raysim.training.weights import Flat

if TYPE_CHECKING:
    import torch

EWC = "ewc"
"""The name of the objective."""
FISHER = "fisher"
"""The summed Fisher information of earlier data, which the server sends along with the weights."""


class ElasticSettings(Settings):
    """Strength of the pull."""

    strength: float = pydantic.Field(gt=0, description="weight of half the squared distances, each times its F")


class ElasticWeightConsolidation(StatefulObjective):
    """Adds the gradient of the pull, which needs no second pass; see `raysim.training.fisher` for F."""

    Settings = ElasticSettings
    server_buffers = (FISHER,)

    def __init__(self, settings: ElasticSettings) -> None:
        self._strength = settings.strength
        self._fisher: Sequence[torch.Tensor] = ()

    def recipe(self) -> dict[str, Any]:
        return {"version": 1, "strength": self._strength}

    def begin(self, buffers: Mapping[str, Flat], place: "Callable[[Flat], list[torch.Tensor]]") -> None:
        self._fisher = place(buffers[FISHER])

    def correct_gradients(self, parameters: "Sequence[torch.Tensor]", start: "Sequence[torch.Tensor]") -> None:
        for parameter, before, fisher in zip(parameters, start, self._fisher, strict=True):
            if parameter.grad is not None:
                parameter.grad.addcmul_(fisher, parameter.detach() - before, value=self._strength)
