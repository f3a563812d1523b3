"""Local objectives: what a stage minimizes beside the loss of the next token, or does to its gradients.

FedProx adds a penalty for the distance to the weights that the server sent (`raysim.training.proximal`), SCAFFOLD
corrects gradients by what clients and server keep from round to round (`raysim.training.control_variates`). An
objective is a class behind an entry point of the group ``raysim.objectives``, and the `plan` of a strategy names it in
its instructions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

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

    Attributes:
        poisson: whether a step draws each sequence by itself, with the probability ``batch_size / sequences``, in place
            of passes over all.
    """

    Settings: type[Settings]
    poisson: bool = False

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


class StatefulObjective(Objective):
    """Base of objectives with buffers beside the weights: of the server, and of the client, which stay with it.

    All are flat, float32 ``[num_parameters]``, and zeros until there are any.

    Attributes:
        server_buffers: names of tensors of the server's state, which come along with its weights.
        client_buffers: names of what a client keeps from a stage for the one that names it as `objective_state`.
        optimizers: those whose steps it takes for granted; none: any will do.
    """

    server_buffers: ClassVar[tuple[str, ...]] = ()
    client_buffers: ClassVar[tuple[str, ...]] = ()
    optimizers: ClassVar[tuple[str, ...]] = ()

    def begin(self, buffers: Mapping[str, Flat], place: "Callable[[Flat], list[torch.Tensor]]") -> None:
        """Takes the buffers before the first step; `place` cuts one into tensors like the parameters, on the device."""

    def end(self, buffers: Mapping[str, Flat], start: Flat, end: Flat, learning_rate_sum: float) -> dict[str, Flat]:
        """What the client keeps of a stage, by `client_buffers`.

        Args:
            buffers: that the stage began with.
            start: weights that it started from.
            end: weights that it ended with.
            learning_rate_sum: of its steps.
        """
        return {}


def make_objective(config: ObjectiveConfig) -> Objective:
    """The objective that `config` asks for.

    Raises:
        InputError: it is not installed, or does not take these settings.
    """
    objective_class: type[Objective] = load_extension(OBJECTIVES, config.name, "objective", "objective", Objective)
    return objective_class(validate(objective_class.Settings, dict(config.settings), f"objective.{config.name}"))


def stateful(config: ObjectiveConfig | None) -> StatefulObjective | None:
    """The objective that `config` asks for, if it has buffers."""
    objective = make_objective(config) if config else None
    return objective if isinstance(objective, StatefulObjective) else None


def whole_buffers(objective: StatefulObjective, found: Mapping[str, Flat], like: Flat) -> dict[str, Flat]:
    """All buffers of `objective`: those that were `found`, and zeros for the others."""
    names = (*objective.server_buffers, *objective.client_buffers)
    return {name: found[name] if name in found else np.zeros_like(like) for name in names}


class AppliedObjective:
    """The objective of one stage with the weights that the stage started from, on the device; perhaps none at all.

    Args:
        config: of the objective; None: nothing is added or corrected.
        parameters: that are trained; the weights that they hold now are not looked at.
        start: weights that the stage started from, as a flat buffer.
        buffers: of the objective, as far as there are any; see `StatefulObjective`.
    """

    def __init__(
        self,
        config: ObjectiveConfig | None,
        parameters: "Sequence[torch.Tensor]",
        start: Flat,
        buffers: Mapping[str, Flat] | None = None,
    ) -> None:
        self._parameters = parameters
        self._objective = make_objective(config) if config else None
        self._start = self._place(start) if self._objective else []
        if isinstance(self._objective, StatefulObjective):
            self._objective.begin(whole_buffers(self._objective, buffers or {}, start), self._place)

    def _place(self, flat: Flat) -> "list[torch.Tensor]":
        """`flat` as tensors like the parameters."""
        import torch

        tensors = [torch.empty_like(p, requires_grad=False) for p in self._parameters]
        assign_tensors(tensors, flat)
        return tensors

    def add_to(self, loss: "torch.Tensor") -> "torch.Tensor":
        """The loss with the objective's penalty."""
        penalty = self._objective.penalty(self._parameters, self._start) if self._objective else None
        return loss if penalty is None else loss + penalty

    def correct_gradients(self) -> None:
        """Has the objective correct the gradients of the step."""
        if self._objective:
            self._objective.correct_gradients(self._parameters, self._start)
