"""Yogi as an optimizer of torch: Adam with a second moment that shrinks slowly.

Zaheer, Reddi, Sachan, Kale & Kumar: Adaptive Methods for Nonconvex Optimization, NeurIPS 2018, Algorithm 2. Adam moves
the second moment by a share of its distance to the squared gradient, Yogi by that share of the squared gradient alone:
small gradients after large ones do not make steps long at once.

Two things are not in the algorithm as printed. Both moments are divided by what is missing of them at the beginning, as
in Adam (Kingma & Ba 2015, arXiv 1412.6980), and as TensorFlow Addons and Optax do for Yogi: otherwise first steps would
be three to seven times as long as later ones, in every federated round anew. And weights decay apart from the gradient,
as in AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101).
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch


class Yogi(torch.optim.Optimizer):
    """Steps on each parameter by itself, element by element, so that it may as well be given flat shards.

    The state of a parameter is ``exp_avg`` and ``exp_avg_sq``, of its shape and zero at first, and ``step``, a float on
    the CPU. A step holds one more buffer of the size of all parameters while it lasts.

    Args:
        params: parameters, or groups of them with settings of their own.
        lr: learning rate.
        betas: decay of the first and of the second moment.
        eps: added to the root of the second moment; the paper takes 1e-3.
        weight_decay: share of the weights, times the learning rate, that a step takes away.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-3,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step on every parameter that has a gradient; gives what `closure` gives, which may make them."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if parameters := [p for p in group["params"] if p.grad is not None]:
                self._step(parameters, group)
        return loss

    def _step(self, parameters: list[torch.Tensor], group: Mapping[str, Any]) -> None:
        lists: Any = torch  # its types leave out what works on lists of tensors
        rate, (beta1, beta2) = group["lr"], group["betas"]
        gradients, states = [p.grad for p in parameters], [self._state_of(p) for p in parameters]
        first, second = [s["exp_avg"] for s in states], [s["exp_avg_sq"] for s in states]
        for state in states:
            state["step"] += 1
        steps = [state["step"].item() for state in states]
        lists._foreach_mul_(parameters, 1 - rate * group["weight_decay"])
        lists._foreach_lerp_(first, gradients, 1 - beta1)
        # v <- v + (1 - beta2) sign(g^2 - v) g^2
        buffer = lists._foreach_neg(second)
        lists._foreach_addcmul_(buffer, gradients, gradients)
        lists._foreach_sign_(buffer)
        lists._foreach_mul_(buffer, gradients)
        lists._foreach_mul_(buffer, gradients)
        lists._foreach_add_(second, buffer, alpha=1 - beta2)
        # x <- x - rate m / (sqrt(v) + epsilon), both moments without their bias
        lists._foreach_copy_(buffer, second)
        lists._foreach_sqrt_(buffer)
        lists._foreach_div_(buffer, [math.sqrt(1 - beta2**step) for step in steps])
        lists._foreach_add_(buffer, group["eps"])
        lists._foreach_addcdiv_(parameters, first, buffer, [-rate / (1 - beta1**step) for step in steps])

    def _state_of(self, parameter: torch.Tensor) -> dict[str, torch.Tensor]:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        return state
