"""An object that holds a model in memory and runs functions beside it: the base of clients and ranks."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from raysim.training.lora import assign_merged
from raysim.training.models import ModelSettings, Parameters, build_model, count_parameters
from raysim.training.process_memory import trim_heap
from raysim.training.weights import Flat

if TYPE_CHECKING:
    from transformers import PreTrainedModel

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class ModelSpec:
    """What it takes to build the model that weights are for."""

    settings: ModelSettings
    vocab_size: int
    bos_id: int
    context: int

    def count_parameters(self) -> Parameters:
        """Parameters of the model."""
        return count_parameters(self.settings, self.vocab_size, self.bos_id, self.context)


@dataclass
class ModelMemory:
    """The one model that is in memory, and its spec; clients of one process share it where only one of them works."""

    built: "tuple[ModelSpec, PreTrainedModel] | None" = None


class ModelHost:
    """Holds at most one model in memory, none on a GPU while it is idle, and runs functions beside what it holds.

    Args:
        name: of the client or rank.
        memory: that it holds it in; None: one of its own.
    """

    def __init__(self, name: str, memory: ModelMemory | None = None) -> None:
        self.name = name
        self._memory = memory or ModelMemory()

    def model(self, spec: ModelSpec) -> "PreTrainedModel":
        """The model of `spec`, with whatever weights it last had."""
        memory = self._memory
        if memory.built is None or memory.built[0] != spec:
            memory.built = None
            memory.built = (spec, build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context))
        return memory.built[1]

    def release(self) -> None:
        """Frees what a stage took, but for the model, which comes to the CPU: others may want that GPU now.

        Called when the stage has ended and nothing refers to its optimizer any more.
        """
        import torch

        if self._memory.built:
            model = self._memory.built[1]
            model.zero_grad(set_to_none=True)
            torch.nn.Module.to(model, torch.device("cpu"))
        gc.collect()  # engines and their models are cycles
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        trim_heap()

    def scoring_model(self, spec: ModelSpec, weights: Flat, threads: int) -> "PreTrainedModel":
        """The model of `spec` with `weights` on the CPU, ready to score; torch has `threads` threads from now on."""
        import torch

        torch.set_num_threads(threads)
        model = self.model(spec).eval()
        torch.nn.Module.to(model, torch.device("cpu"))
        assign_merged(model, weights)
        return model

    def run(self, function: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `function(self, ...)` here: the code goes to the data, and only what it returns leaves."""
        return function(self, *args, **kwargs)
