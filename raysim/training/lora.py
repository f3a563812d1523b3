"""Low-rank adapters: a frozen checkpoint, and beside some of its matrices two small ones that are trained.

Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang & Chen: LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022, arXiv
2106.09685. The matrices are those of `peft`, put into the model in place, so that the model stays what it was for
everybody else. Only what is trained lies in the flat buffer of `raysim.training.weights`: that is what travels, is
averaged and stored; the frozen rest comes from the checkpoint at every client.

An average of products B A is no product of averages. It is one where A is the same at all clients (``train: b``; Sun,
Li, Li & Ding: Improving LoRA in Privacy-preserving Federated Learning, ICLR 2024, arXiv 2403.12313). Where the adapted
matrices travel too (``carry_base``), they can take up the difference; see `raysim.strategies.adapters`.
"""

import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pydantic

from raysim.core.errors import InputError
from raysim.core.keys import versions_of
from raysim.core.settings import Settings
from raysim.training.weights import Flat, assign, carry

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

FIRST_FACTORS = ("lora_A.default.weight", "lora_embedding_A.default")
"""Ends of the names of the factors A, of layers and of embeddings."""

FROZEN_SEED = 0
"""Of factors A that stay as they were drawn: no client is told of a run's seed when it builds a model."""

_FROZEN = "raysim_frozen_weight"
"""Buffer of an adapted layer that holds what its matrix was before it was merged."""


class LoraSettings(Settings):
    """Which adapters are trained in place of the model's own weights.

    Attributes:
        ADDED: names of the settings that came later: at their defaults they are in no key.
    """

    ADDED: ClassVar[frozenset[str]] = frozenset({"train", "carry_base"})

    rank: int = pydantic.Field(default=8, ge=1, description="inner dimension of the two small matrices, r in the paper")
    alpha: int = pydantic.Field(default=16, ge=1, description="their product is scaled by alpha / rank")
    dropout: float = pydantic.Field(
        default=0.0, ge=0, lt=1, description="dropout of the adapters' input during training"
    )
    targets: list[str] | Literal["all-linear"] | None = pydantic.Field(
        default=None, description="names of layers that get them; unset: those that peft adapts in this type of model"
    )

    train: Literal["both", "b"] = pydantic.Field(
        default="both",
        description="both: A and B; b: B alone, beside an A that stays as it was drawn, once for all seeds, so that"
        " averages are exact (FFA-LoRA)",
    )
    carry_base: bool = pydantic.Field(
        default=False,
        description="the adapted matrices travel with their adapters, frozen in training, so that strategies with"
        " adapters: exact can add to them",
    )

    @pydantic.model_validator(mode="after")
    def _nothing_to_carry(self) -> "LoraSettings":
        if self.carry_base and self.train == "b":
            raise ValueError("carry_base: averages of train: b are exact without it; leave one of the two out")
        return self

    def recipe(self) -> dict[str, Any]:
        """Everything that decides the adapters."""
        fields = type(self).model_fields
        unused = {name for name in self.ADDED if getattr(self, name) == fields[name].default}
        return {**self.model_dump(mode="json", exclude=unused), "libraries": versions_of("peft")}


def add_adapters(model: "PreTrainedModel", settings: LoraSettings, seed: int) -> None:
    """Freezes `model` and puts adapters into it, whose first product is zero.

    Args:
        model: to change, in place.
        settings: of the adapters.
        seed: of their random halves; one that stays as it was drawn is drawn by `FROZEN_SEED`, at all clients alike.

    Raises:
        InputError: no layer of the model has one of the names, or one that cannot be adapted has; or a layer's matrix
            is another's, too.
    """
    import torch

    if not torch.cuda.is_available():
        # DeepSpeed, which peft reads where it is installed, would say on the terminal that it found no accelerator.
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, target_modules=settings.targets
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to ")  # peft sets it right by itself
        warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True`")  # which is refused below
        torch.manual_seed(FROZEN_SEED if settings.train == "b" else seed)
        try:
            inject_adapter_in_model(config, model)
        except ValueError as error:
            layers = sorted({name.rpartition(".")[2] for name, _ in model.named_modules() if name})
            raise InputError(
                f"model.lora.targets: {str(error).splitlines()[0]} Layers of this model: {', '.join(layers)}"
            ) from None
    _refuse_tied(model)
    if settings.train == "b":
        for name, parameter in model.named_parameters():
            if any(name.endswith(end) for end in FIRST_FACTORS):
                parameter.requires_grad_(False)
    if settings.carry_base:
        carry(model, [f"{name}.base_layer.weight" for name, _ in adapted_layers(model)])


def _refuse_tied(model: "PreTrainedModel") -> None:
    """A matrix that two layers share cannot take up the adapter of one: the other would change, too."""
    owners: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owners.setdefault(id(parameter), []).append(name.removesuffix(".weight").removesuffix(".base_layer"))
    adapted = {id(layer.get_base_layer().weight) for _, layer in adapted_layers(model)}
    if tied := [names for matrix, names in owners.items() if matrix in adapted and len(names) > 1]:
        raise InputError(
            f"model.lora.targets: {' and '.join(tied[0])} are one matrix (tie_word_embeddings), so that adapters of one"
            " cannot be merged; leave them out"
        )


def assign_merged(model: "PreTrainedModel", flat: Flat) -> None:
    """Copies `flat` into `model` and adds adapters up with the matrices beside them, to measure as fast as without."""
    split(model)
    assign(model, flat)
    merge(model)


def merge(model: "torch.nn.Module") -> None:
    """Adds adapters up with the matrices beside them, of which copies are kept for `split`."""
    for _, layer in adapted_layers(model):
        frozen = layer.get_base_layer().weight
        layer.register_buffer(_FROZEN, frozen.detach().clone(), persistent=False)
        layer.merge()


def split(model: "torch.nn.Module") -> None:
    """Takes adapters apart again, to the bits that the frozen matrices had."""
    for _, layer in adapted_layers(model):
        if layer.merged:
            layer.get_base_layer().weight.data.copy_(getattr(layer, _FROZEN))
            layer.merged_adapters.clear()
            delattr(layer, _FROZEN)


def plain_state(model: "torch.nn.Module") -> "dict[str, torch.Tensor]":
    """The state of `model`, whose adapters are merged, by the names that it has without any."""
    return {
        name.replace(".base_layer.", "."): tensor for name, tensor in model.state_dict().items() if "lora_" not in name
    }


def has_adapters(model: "torch.nn.Module") -> bool:
    """Whether `add_adapters` has changed the model."""
    return any("lora_" in name for name, _ in model.named_parameters())


def adapted_layers(model: "torch.nn.Module") -> Iterator[tuple[str, Any]]:
    """The layers of `model` that have adapters, with their names."""
    if not has_adapters(model):
        return  # peft takes a second to import
    from peft.tuners.lora import LoraLayer

    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            yield name, module
