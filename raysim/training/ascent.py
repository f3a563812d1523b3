"""Gradient ascent: a stage that climbs the loss of its sequences, so that a model unlearns them.

Jang, Yoon, Yang, Cha, Lee, Logeswaran & Seo: Knowledge Unlearning for Mitigating Privacy Risks in Language Models, ACL
2023, arXiv 2210.01504: the loss with its sign turned. It has no minimum, so few steps are taken.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raysim.core.settings import Settings
from raysim.training.objectives import Objective

if TYPE_CHECKING:
    import torch


class Ascent(Objective):
    """Turns the sign of every gradient, before clipping; weight decay still shrinks weights."""

    Settings = Settings

    def __init__(self, settings: Any) -> None:
        del settings

    def recipe(self) -> dict[str, Any]:
        return {"version": 1}

    def correct_gradients(self, parameters: "Sequence[torch.Tensor]", start: "Sequence[torch.Tensor]") -> None:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.neg_()
