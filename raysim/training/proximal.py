"""The proximal objective: a pull back to the weights that a stage started from, as FedProx has it.

Li, Sahu, Zaheer, Sanjabi, Talwalkar & Smith: Federated Optimization in Heterogeneous Networks, MLSys 2020, arXiv
1812.06127, equation 2: the loss plus ``mu / 2 * |w - w_start|^2``, whose gradient is ``mu * (w - w_start)``.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pydantic

from raysim.core.settings import Settings
from raysim.training.objectives import Objective

if TYPE_CHECKING:
    import torch


class ProximalSettings(Settings):
    """Strength of the pull."""

    mu: float = pydantic.Field(default=0.01, ge=0, description="weight of half the squared distance")


class Proximal(Objective):
    """Adds the gradient of the pull, which needs no second pass and no copy of the model."""

    Settings = ProximalSettings

    def __init__(self, settings: ProximalSettings) -> None:
        self._mu = settings.mu

    def recipe(self) -> dict[str, Any]:
        return {"version": 1, "mu": self._mu}

    def correct_gradients(self, parameters: "Sequence[torch.Tensor]", start: "Sequence[torch.Tensor]") -> None:
        for parameter, before in zip(parameters, start, strict=True):
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - before, alpha=self._mu)
