"""Where the matrices of adapters lie in a flat buffer: what a server must know to average products, not factors."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from raysim.training.lora import LoraSettings, adapted_layers
from raysim.training.model_host import ModelSpec
from raysim.training.models import build_skeleton
from raysim.training.weights import Flat, layout_of

if TYPE_CHECKING:
    import torch

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Factor:
    """A matrix in a flat buffer: ``[rows, columns]``, row by row from element `offset` on."""

    offset: int
    rows: int
    columns: int

    def of(self, flat: Flat) -> npt.NDArray[np.float32]:
        """The matrix in `flat`: a view, so that what is written to it is written to `flat`."""
        return flat[self.offset : self.offset + self.rows * self.columns].reshape(self.rows, self.columns)


@dataclass(frozen=True)
class Adapter:
    """The adapter of one layer: what is added to its matrix is ``scale * B A``, float32 ``[out, in]``.

    Attributes:
        b: B, ``[out, rank]``.
        a: A, ``[rank, in]``; None: it does not travel, and is the same at all clients.
        scale: alpha / rank.
        base: the matrix itself, where it travels, too; else None.
        transposed: whether the matrix lies there as ``[in, out]``.
    """

    b: Factor
    a: Factor | None
    scale: float
    base: Factor | None = None
    transposed: bool = False


@dataclass(frozen=True)
class Adapters:
    """The adapters of a model; what costs a look at the model is read when it is asked for.

    Attributes:
        settings: of the adapters.
        read: finds them.
    """

    settings: LoraSettings
    read: Callable[[], tuple[Adapter, ...]]

    @cached_property
    def layers(self) -> tuple[Adapter, ...]:
        """One for each adapted layer."""
        return self.read()

    def looked_up(self) -> "Adapters":
        """The same; copies of it in other processes know `layers`, and load no library to read them."""
        assert self.layers, "a model whose adapters are trained has some"
        return self

    @staticmethod
    def of(spec: ModelSpec) -> "Adapters | None":
        """Those of the model of `spec`, if it has any."""
        lora = spec.settings.lora
        return Adapters(lora, partial(read_adapters, spec)) if lora else None


def read_adapters(spec: ModelSpec) -> tuple[Adapter, ...]:
    """The adapters of a model of which shapes are enough.

    Raises:
        InputError: the model cannot be built.
    """
    return adapters_in(build_skeleton(spec.settings, spec.vocab_size, spec.bos_id, spec.context))


def adapters_in(model: "torch.nn.Module") -> tuple[Adapter, ...]:
    """The adapters of `model`, in the order of its layers."""
    layout = layout_of(model)
    offsets = accumulate(layout.sizes, initial=0)
    places = {
        name: Factor(offset, shape[0], math.prod(shape[1:]))
        for name, shape, offset in zip(layout.names, layout.shapes, offsets, strict=False)
    }
    found = []
    for name, layer in adapted_layers(model):
        of_embedding = f"{name}.lora_embedding_B.default"
        b = places.get(of_embedding)
        a = places.get(f"{name}.lora_embedding_A.default")
        if b is None:
            b, a = places[f"{name}.lora_B.default.weight"], places.get(f"{name}.lora_A.default.weight")
        transposed = of_embedding in places or bool(getattr(layer, "fan_in_fan_out", False))
        base = places.get(f"{name}.base_layer.weight")
        found.append(Adapter(b, a, float(layer.scaling["default"]), base, transposed))
    return tuple(found)
