"""Local objectives: what a stage minimizes beside the loss of the next token, or does to its gradients.

FedProx, for example, adds a penalty for the distance to the weights that the server sent (Li, Sahu, Zaheer, Sanjabi,
Talwalkar & Smith: Federated Optimization in Heterogeneous Networks, MLSys 2020, arXiv 1812.06127); SCAFFOLD corrects
gradients. An objective is a class behind an entry point of the group ``raysim.objectives``, and the `plan` of a
strategy names it in its instructions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from raysim.core.extensions import load_extension
from raysim.core.settings import Settings, validate
from raysim.training.weights import Flat, assign_tensors

if TYPE_CHECKING:
    import torch

OBJECTIVES = "raysim.objectives"
"""Entry-point group of local objectives; each is a class that implements `Objective`."""


@dataclass(frozen=True)
class ObjectiveConfig:
    """An objective as a strategy asks for it.

    Attributes:
        name: of the entry point.
        settings: that it takes; they travel to clients as they are.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def recipe(self) -> dict[str, Any]:
        """What of it decides numbers, for the key of a stage.

        Raises:
            InputError: it is not installed, or does not take these settings.
        """
        return {"name": self.name, **make_objective(self).recipe()}


class Objective(Protocol):
    """A local objective. Each rank of a stage makes one at its beginning, and calls it in every step.

    Both methods see what is trained of the model, in the order in which it lies in flat buffers, and the weights that
    the stage started from, of the same shapes and on the same device. A subclass overrides the one that it needs.

    Args:
        settings: validated by `Settings`.
    """

    Settings: type[Settings]

    def __init__(self, settings: Any) -> None: ...

    def recipe(self) -> dict[str, Any]:
        """Settings that decide numbers, with a numerics ``version``."""
        ...

    def penalty(self, parameters: "Sequence[torch.Tensor]", start: "Sequence[torch.Tensor]") -> "torch.Tensor | None":
        """A scalar, differentiable in `parameters`, that is added to the loss of a step; None: nothing.

        The loss that is reported is that of the next token alone.
        """
        return None

    def correct_gradients(self, parameters: "Sequence[torch.Tensor]", start: "Sequence[torch.Tensor]") -> None:
        """Changes ``parameter.grad`` in place: once a step, after sums over pieces and ranks, before clipping."""


def make_objective(config: ObjectiveConfig) -> Objective:
    """The objective that `config` asks for.

    Raises:
        InputError: it is not installed, or does not take these settings.
    """
    objective_class: type[Objective] = load_extension(OBJECTIVES, config.name, "objective", "objective", Objective)
    return objective_class(validate(objective_class.Settings, dict(config.settings), f"objective.{config.name}"))


class AppliedObjective:
    """The objective of one stage with the weights that the stage started from, on the device; perhaps none at all.

    Args:
        config: of the objective; None: nothing is added or corrected.
        parameters: that are trained; the weights that they hold now are not looked at.
        start: weights that the stage started from, as a flat buffer.
    """

    def __init__(self, config: ObjectiveConfig | None, parameters: "Sequence[torch.Tensor]", start: Flat) -> None:
        import torch

        self._parameters = parameters
        self._objective = make_objective(config) if config else None
        self._start: list[torch.Tensor] = []
        if self._objective:
            self._start = [torch.empty_like(p, requires_grad=False) for p in parameters]
            assign_tensors(self._start, start)

    def add_to(self, loss: "torch.Tensor") -> "torch.Tensor":
        """The loss with the objective's penalty."""
        penalty = self._objective.penalty(self._parameters, self._start) if self._objective else None
        return loss if penalty is None else loss + penalty

    def correct_gradients(self) -> None:
        """Has the objective correct the gradients of the step."""
        if self._objective:
            self._objective.correct_gradients(self._parameters, self._start)
