"""Control variates: a client's gradients, corrected by how its own differ from those of all, as SCAFFOLD has it.

Karimireddy, Kale, Mohri, Reddi, Stich & Suresh: SCAFFOLD: Stochastic Controlled Averaging for Federated Learning, ICML
2020, arXiv 1910.06378, algorithm 1, option II. A client that starts at x and ends at y after K steps of the rate eta
steps by ``g - c_i + c``, and keeps ``c_i - c + (x - y) / (K eta)``: the mean of its own gradients. Where the rate is
scheduled, ``K eta`` is the sum of the rates.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from raysim.core.settings import Settings
from raysim.training.objectives import StatefulObjective
from raysim.training.weights import Flat

if TYPE_CHECKING:
    import torch

CONTROL = "control"
"""The server's control variate c, among the tensors of its state."""
OWN = "client_control"
"""A client's control variate c_i."""


class ControlVariates(StatefulObjective):
    """The correction before clipping. Only plain gradient steps leave a mean of gradients behind, so no other optimizer
    will do: an adaptive one would make ``(x - y) / (K eta)`` a mean of its own normalized steps."""

    Settings = Settings
    server_buffers = (CONTROL,)
    client_buffers = (OWN,)
    optimizers = ("sgd",)

    def __init__(self, settings: Any) -> None:
        self._correction: Sequence[torch.Tensor] = ()

    def recipe(self) -> dict[str, Any]:
        return {"version": 1}

    def begin(self, buffers: Mapping[str, Flat], place: "Callable[[Flat], list[torch.Tensor]]") -> None:
        self._correction = place(buffers[CONTROL] - buffers[OWN])

    def correct_gradients(self, parameters: "Sequence[torch.Tensor]", start: "Sequence[torch.Tensor]") -> None:
        for parameter, correction in zip(parameters, self._correction, strict=True):
            if parameter.grad is not None:
                parameter.grad.add_(correction)

    def end(self, buffers: Mapping[str, Flat], start: Flat, end: Flat, learning_rate_sum: float) -> dict[str, Flat]:
        corrected = np.divide(start - end, learning_rate_sum, dtype=np.float32)
        return {OWN: buffers[OWN] - buffers[CONTROL] + corrected}
