"""DP-SGD as a local objective: gradients of single sequences, clipped one by one, summed, and noised.

Abadi, Chu, Goodfellow, McMahan, Mironov, Talwar & Zhang: Deep Learning with Differential Privacy, CCS 2016, arXiv
1607.00133, algorithm 1: a step's gradient is ``(sum of g_i * min(1, C / |g_i|) + N(0, (z C)^2)) / B``, where B is the
batch size to expect, however many sequences came. Opacus (Yousefpour et al., 2021, arXiv 2109.12298) computes the
gradients of all sequences in one pass, for models whose layers it knows; `check_gradients` compares them with those of
each alone. Llama, Qwen2, GPT-NeoX and StarCoder2 pass; GPT-2 does not, whose positions are no batch.

Noise is drawn from the seed of the stage, so it protects nobody outside a simulation.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pydantic

from raysim.core.errors import InputError, first_line
from raysim.core.keys import seed_of, versions_of
from raysim.core.settings import Settings
from raysim.training.objectives import Objective, ObjectiveConfig, make_objective
from raysim.training.weights import trainable

if TYPE_CHECKING:
    import torch

DP_SGD = "dp_sgd"
"""The name of the objective."""

_LENGTH = 12
"""Tokens of the sequences that a model is tried on."""
_EQUAL = 1e-4
"""Largest difference of gradients that rounding may make, relative to the largest of them; measured: 1e-7."""


class DPSGDSettings(Settings):
    """How the gradients of sequences are clipped and noised."""

    clip: float = pydantic.Field(default=1.0, gt=0, description="largest norm of a sequence's gradient")
    noise_multiplier: float = pydantic.Field(default=1.0, ge=0, description="deviation of the noise, over the clip")
    poisson: bool = pydantic.Field(
        default=True,
        description="whether a step draws each sequence by itself, as amplification needs it; or passes are shuffled",
    )


class DPSGD(Objective):
    """Names the mechanism; `PrivateSteps` carries it out in the torch backend."""

    Settings = DPSGDSettings

    def __init__(self, settings: DPSGDSettings) -> None:
        self.settings = settings
        self.poisson = settings.poisson

    def recipe(self) -> dict[str, Any]:
        require_opacus()
        return {"version": 1, "libraries": versions_of("opacus"), **self.settings.model_dump()}


def private_settings(config: ObjectiveConfig | None) -> DPSGDSettings | None:
    """Settings of the mechanism where `config` asks for it."""
    objective = make_objective(config) if config else None
    return objective.settings if isinstance(objective, DPSGD) else None


class PrivateSteps:
    """The gradients of private steps of a model: `add` for each piece of a step, `finish` after the last.

    Args:
        model: in training mode; `close` gives it back as it was.
        parameters: that are trained.
        settings: of the mechanism.
        batch_size: sequences a step to expect, the divisor of every sum.

    Attributes:
        forward: what to call in place of the model.
    """

    def __init__(
        self, model: Any, parameters: "Sequence[torch.nn.Parameter]", settings: DPSGDSettings, batch_size: int
    ) -> None:
        import torch

        self._parameters, self._settings, self._batch_size = parameters, settings, batch_size
        self._sums = [torch.zeros_like(parameter, requires_grad=False) for parameter in parameters]
        self.forward = load_grad_sample_module()(model, batch_first=True, loss_reduction="mean")

    def add(self, loss: "torch.Tensor") -> None:
        """Differentiates the mean loss of some sequences, clips the gradient of each, and adds them to the sums."""
        import torch

        _differentiate(loss)
        found: list[Any] = [parameter.grad_sample for parameter in self._parameters]  # type: ignore[attr-defined]
        squares = torch.stack([one.flatten(1).square().sum(1) for one in found]).sum(0)
        factors = (self._settings.clip / squares.sqrt().clamp(min=1e-30)).clamp(max=1.0)
        for total, one, parameter in zip(self._sums, found, self._parameters, strict=True):
            total += torch.tensordot(factors, one, dims=1)
            parameter.grad_sample = None  # type: ignore[attr-defined]
            parameter.grad = None

    def finish(self, seed: int) -> None:
        """Leaves the noisy mean as each parameter's gradient, and begins anew."""
        import torch

        deviation = self._settings.noise_multiplier * self._settings.clip
        generator = torch.Generator(self._sums[0].device).manual_seed(seed_of(seed, "privacy noise"))
        for parameter, total in zip(self._parameters, self._sums, strict=True):
            if deviation:
                noise = torch.empty_like(total).normal_(0.0, deviation, generator=generator)
                total += noise
            parameter.grad = total / self._batch_size
            total.zero_()

    def close(self) -> None:
        """Takes away what was hung onto the model."""
        self.forward.to_standard_module()


def require_opacus() -> None:
    """Looks for Opacus without loading it.

    Raises:
        InputError: it is not installed.
    """
    if find_spec("opacus") is None:
        raise InputError("dp_sgd: needs Opacus; pip install 'raysim[privacy]'")


def load_grad_sample_module() -> Any:
    """The module of Opacus that computes gradients of single samples.

    Raises:
        InputError: it is not installed.
    """
    require_opacus()
    from opacus.grad_sample import GradSampleModule

    return GradSampleModule


def check_gradients(model: Any) -> None:
    """Checks on a few tokens that Opacus gives the gradient of each sequence as it is when that one is alone.

    Args:
        model: in evaluation mode, on the CPU, in float32.

    Raises:
        InputError: it does not, or Opacus is not installed.
    """
    import torch

    ids = torch.randint(0, model.config.vocab_size, (3, _LENGTH), generator=torch.Generator().manual_seed(0))
    parameters, wrong = trainable(model), ""
    grad_sample_module = load_grad_sample_module()
    with _without_dropout(model):
        alone = []
        for row in ids:
            loss = _mean_loss(model, row[None])
            alone.append(torch.autograd.grad(loss, parameters, allow_unused=True))
        try:
            wrapped = grad_sample_module(model, batch_first=True, loss_reduction="mean")
        except Exception as error:  # whatever Opacus says of the model
            raise _unsuited(model, first_line(error)) from error
        try:
            _differentiate(_mean_loss(wrapped, ids))
            for parameter, *expected in zip(parameters, *alone, strict=True):
                found = getattr(parameter, "grad_sample", None)
                if not _equal(found, expected):
                    wrong = "gradients of its sequences differ from those that each has alone"
        except Exception as error:  # a layer that Opacus does not know
            wrong = first_line(error)
        finally:
            wrapped.to_standard_module()
            model.zero_grad(set_to_none=True)
    if wrong:
        raise _unsuited(model, wrong)


def _equal(found: "torch.Tensor | None", expected: "Sequence[torch.Tensor | None]") -> bool:
    """Whether gradients ``[sequences, ...]`` are those of each sequence."""
    import torch

    if found is None or any(one is None for one in expected):
        return found is None and all(one is None for one in expected)
    whole = torch.stack([one for one in expected if one is not None])
    return found.shape == whole.shape and bool(
        (found - whole).abs().max() <= _EQUAL * whole.abs().max().clamp(min=1e-6)
    )


def _differentiate(loss: "torch.Tensor") -> None:
    with warnings.catch_warnings():
        # Opacus asks embeddings, too, for what they were given, which is no number that has a gradient.
        warnings.filterwarnings("ignore", message="Full backward hook is firing", category=UserWarning)
        loss.backward()


def _mean_loss(model: Any, ids: "torch.Tensor") -> "torch.Tensor":
    import torch

    logits = model(input_ids=ids, use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())


@contextmanager
def _without_dropout(model: Any) -> Iterator[None]:
    """While it lasts the model is in training mode, in which Opacus looks at it, and drops nothing."""
    import torch

    rates = {one: one.p for one in model.modules() if isinstance(one, torch.nn.Dropout)}
    model.train()
    for one in rates:
        one.p = 0.0
    try:
        yield
    finally:
        for one, rate in rates.items():
            one.p = rate
        model.eval()


def _unsuited(model: Any, why: str) -> InputError:
    return InputError(
        f"model: of type {model.config.model_type}: dp_sgd cannot clip its sequences one by one ({why}); take another"
        " family, such as model_type: llama"
    )
