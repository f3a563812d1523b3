"""A model's trainable weights as one flat float32 buffer plus a layout; tied weights are in it once.

A flat buffer makes everything outside a trainer simple: it hashes, averages, stores and travels as one array,
whatever the model. GPT-2's tied embedding is counted once (sending it twice costs 18 % of its bytes). Behind what is
trained may lie frozen parameters that a server changes (see `carry`).
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from raysim.core.errors import InputError

if TYPE_CHECKING:
    import torch

Flat = npt.NDArray[np.float32]

_CARRIED = "_raysim_carried"
"""Attribute of a model: names of its frozen parameters that lie in the flat buffer."""


@dataclass(frozen=True)
class Layout:
    """Names and shapes of the parameters, in the order in which they lie in the flat buffer."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of elements of each parameter."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @property
    def num_parameters(self) -> int:
        return sum(self.sizes)


def trainable(model: "torch.nn.Module") -> "list[torch.nn.Parameter]":
    """The parameters that are trained, in the order in which they lie in the flat buffer, at its beginning."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def carry(model: "torch.nn.Module", names: Sequence[str]) -> None:
    """Has frozen parameters of these names lie in the flat buffers of `model`, behind what is trained."""
    setattr(model, _CARRIED, tuple(names))


def buffered(model: "torch.nn.Module") -> "list[torch.nn.Parameter]":
    """The parameters that lie in the flat buffer, in their order: what is `trainable`, then what is carried along."""
    return [*trainable(model), *(model.get_parameter(name) for name in _carried(model))]


def trained_part(model: "torch.nn.Module", flat: Flat) -> Flat:
    """The part of a flat buffer of `model` that is `trainable`: a view."""
    return flat[: sum(p.numel() for p in trainable(model))]


def _carried(model: Any) -> tuple[str, ...]:
    return getattr(model, _CARRIED, ())


def layout_of(model: "torch.nn.Module") -> Layout:
    """The layout of what is `buffered` of `model`: `named_parameters` names a tied weight once.

    Raises:
        InputError: the model has persistent buffers, which a flat buffer of parameters would lose.
    """
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    lost = sorted(set(model.state_dict()) - set(dict(model.named_parameters(remove_duplicate=False))))
    if lost:
        raise InputError(
            f"model {type(model).__name__} has state besides its parameters, which would be lost: {lost[:3]}"
        )
    names = (*parameters, *_carried(model))
    return Layout(names, tuple(tuple(p.shape) for p in buffered(model)))


def flatten(model: "torch.nn.Module") -> Flat:
    """A copy of what is `buffered` of `model` as one float32 array ``[num_parameters]``."""
    return flatten_tensors([p.detach() for p in buffered(model)])


def flatten_tensors(tensors: "list[torch.Tensor]") -> Flat:
    """Concatenates `tensors`, in their order, into one float32 array."""
    flat = np.empty(sum(t.numel() for t in tensors), dtype=np.float32)
    offset = 0
    for tensor in tensors:
        flat[offset : offset + tensor.numel()] = tensor.to("cpu").float().reshape(-1).numpy()
        offset += tensor.numel()
    return flat


def assign(model: "torch.nn.Module", flat: Flat) -> None:
    """Copies `flat` into what is `buffered` of `model`, keeping dtype and device.

    Raises:
        ValueError: `flat` does not have exactly the elements of `model`.
    """
    assign_tensors([p.data for p in buffered(model)], flat)


def assign_tensors(tensors: "list[torch.Tensor]", flat: Flat) -> None:
    """Copies `flat` into `tensors`, the inverse of `flatten_tensors`."""
    import torch

    expected = sum(t.numel() for t in tensors)
    if flat.size != expected:
        raise ValueError(f"weights of {flat.size} elements do not fit a model of {expected}")
    with warnings.catch_warnings():
        # Arrays from the object store and the disk are read-only, and torch warns that writes would be undefined: it
        # only reads.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        source = torch.from_numpy(flat)
    for tensor, part in zip(tensors, source.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view(tensor.shape))


_IN_CACHE = 1 << 13
"""Elements at a time: 64 KB of float64."""


def squared_distance(one: Flat, other: Flat) -> float:
    """Sum of the squared differences of two flat buffers, in float64 and chunk by chunk."""
    total, scratch = 0.0, np.empty(min(_IN_CACHE, one.size))
    for start in range(0, one.size, _IN_CACHE):
        part = slice(start, start + _IN_CACHE)
        gap = np.subtract(one[part], other[part], out=scratch[: one[part].size], dtype=np.float64)
        total += float(gap @ gap)
    return total
