"""Optimizers: made in one place, so that every backend trains with the same one; and what they keep between steps.

An optimizer keeps, for each parameter, a count of its steps and some tensors with a name; which, and of what shapes,
`state_shapes` says. They leave as one flat buffer for each name: the tensors of that name of all parameters that have
one, in the order of the parameters.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from raysim.training.request import TrainerSettings
from raysim.training.weights import Flat, assign_tensors, flatten_tensors, trainable

if TYPE_CHECKING:
    import torch

Shape = tuple[int, ...]


def make_optimizer(model: "torch.nn.Module", settings: TrainerSettings) -> "torch.optim.Optimizer":
    """The optimizer that `settings` ask for, with weight decay on matrices alone, as the study has it: none on biases
    and layer norms."""
    import torch

    from raysim.training.yogi import Yogi

    matrices = [p for p in trainable(model) if p.ndim >= 2]
    vectors = [p for p in trainable(model) if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    if settings.optimizer == "adafactor":
        return torch.optim.Adafactor(groups, lr=settings.learning_rate)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate)
    adaptive = {"lr": settings.learning_rate, "betas": settings.adam_betas, "eps": settings.adam_epsilon}
    if settings.optimizer == "yogi":
        return Yogi(groups, **adaptive)
    return torch.optim.AdamW(groups, **adaptive, fused=True)


def state_shapes(settings: TrainerSettings, shape: Shape) -> dict[str, Shape]:
    """Names and shapes of the tensors that the optimizer keeps for a parameter of `shape`.

    Adafactor keeps, of the second moment of a matrix, means of its rows and of its columns alone; it has no first one.
    Plain gradient steps need nothing.
    """
    if settings.optimizer == "sgd":
        return {}
    if settings.optimizer != "adafactor":
        return {"exp_avg": shape, "exp_avg_sq": shape}
    if len(shape) < 2:
        return {"variance": shape}
    return {"row_var": (*shape[:-1], 1), "col_var": (*shape[:-2], 1, shape[-1])}


def state_floats(settings: TrainerSettings, shapes: Iterable[Shape]) -> int:
    """How many float32 numbers the optimizer keeps for parameters of `shapes`; its counts of steps are left out."""
    return sum(math.prod(kept) for shape in shapes for kept in state_shapes(settings, shape).values())


def begin_state(
    optimizer: "torch.optim.Optimizer", settings: TrainerSettings, tensors: "Sequence[torch.Tensor]", steps: float
) -> None:
    """Gives `tensors`, which `optimizer` steps on, a state of zeros, as if after `steps` steps; it would make
    the same itself before its first one."""
    import torch

    for tensor in tensors:
        # Fused AdamW counts where it computes; the others read their counts on the host.
        device = tensor.device if settings.optimizer == "adamw" else "cpu"
        optimizer.state[tensor] = {
            "step": torch.tensor(float(steps), dtype=torch.float32, device=device),
            **{name: _zeros(tensor, shape) for name, shape in state_shapes(settings, tuple(tensor.shape)).items()},
        }


def export_state(
    optimizer: "torch.optim.Optimizer", settings: TrainerSettings, parameters: "Sequence[torch.Tensor]"
) -> dict[str, Flat]:
    """What `optimizer` keeps for `parameters`, as flat buffers by name.

    A parameter that never had a gradient has no state yet; zeros are what it would start with.
    """
    found: dict[str, list[torch.Tensor]] = {}
    for parameter in parameters:
        state = optimizer.state[parameter]
        for name, shape in state_shapes(settings, tuple(parameter.shape)).items():
            found.setdefault(name, []).append(state[name] if name in state else _zeros(parameter, shape))
    return {name: flatten_tensors(tensors) for name, tensors in found.items()}


def restore_state(
    optimizer: "torch.optim.Optimizer",
    settings: TrainerSettings,
    parameters: "Sequence[torch.Tensor]",
    arrays: Mapping[str, Flat],
    steps: float,
) -> None:
    """Puts back what `export_state` took out after `steps` steps, those of earlier rounds counted."""
    begin_state(optimizer, settings, parameters, steps)
    names = dict.fromkeys(name for p in parameters for name in state_shapes(settings, tuple(p.shape)))
    for name in names:
        states = [optimizer.state[p] for p in parameters]
        assign_tensors([state[name] for state in states if name in state], arrays[name])


def _zeros(tensor: "torch.Tensor", shape: Shape) -> "torch.Tensor":
    import torch

    # Of an equal shape they lie in memory as the tensor does, which fused kernels rely on.
    return torch.zeros_like(tensor) if shape == tuple(tensor.shape) else tensor.new_zeros(shape)
