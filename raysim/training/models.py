"""Models of the field: any Hugging Face causal language model, from a config or from a checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic

from raysim.core.errors import InputError, first_line
from raysim.core.keys import key_of, seed_of
from raysim.core.settings import OnlyJson, Settings, Size
from raysim.corpus.preparation_settings import Domain
from raysim.training.checkpoints import hub_commit, identity, read_config, read_model
from raysim.training.libraries import load_transformers
from raysim.training.lora import LoraSettings, add_adapters
from raysim.training.weights import Flat, flatten, layout_of, trainable

if TYPE_CHECKING:
    from transformers import PreTrainedModel

INITIAL_VERSION = 1
"""Numerics version of initial weights; a golden test says when to raise it."""

_CONTEXT_FIELDS = ("n_positions", "max_position_embeddings")
_DROPOUT_FIELDS = (
    "resid_pdrop", "embd_pdrop", "attn_pdrop",  # GPT-2, GPT-J, CodeGen, Phi
    "attention_dropout", "hidden_dropout",  # Llama and its kin, GPT-NeoX, BLOOM, Falcon
    "resid_dropout", "embed_dropout", "residual_dropout", "embedding_dropout",  # GPT-Neo, StarCoder2
    "dropout", "activation_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob",  # OPT, XGLM, BioGPT
)  # fmt: skip
"""What configs call the dropout of layers; that of classifiers, which no language model has, is left out."""


class PretrainSettings(Settings):
    """Training of the base that every setting starts from: one stage on public code, the same for all seeds.

    Whatever is unset is as for `trainer`.
    """

    corpus: Literal["references"] = pydantic.Field(
        default="references",
        description="the public files whose content falls to training by preparation.split; the others stay unseen",
    )
    domain: Domain | None = pydantic.Field(
        default=None, description="what of them it is trained on, code or prose; unset: as preparation.domain"
    )
    limit: Size | None = pydantic.Field(default=None, description="at most this much of them, for example 3 MB")
    epochs: int = pydantic.Field(default=1, ge=1, description="passes over them")
    learning_rate: float | None = pydantic.Field(default=None, gt=0, description="peak learning rate")
    batch_size: int | None = pydantic.Field(default=None, ge=1, description="sequences an optimizer step")
    seed: int = pydantic.Field(default=1, description="of its random weights and batches; `seed` does not change it")


class ModelSettings(Settings):
    """Which model is trained."""

    config: Annotated[dict[str, Any], OnlyJson] | None = pydantic.Field(
        default=None, description="model_type and its Hugging Face config fields; random weights"
    )
    pretrained: str | None = pydantic.Field(default=None, description="folder or hub name of a checkpoint")
    revision: str | None = pydantic.Field(
        default=None, description="branch, tag or commit of a checkpoint on the hub; unset: its main branch"
    )
    dropout: float | None = pydantic.Field(
        default=None, ge=0, lt=1, description="sets every dropout of the model; unset: as its config says"
    )
    pretrain: PretrainSettings | None = pydantic.Field(
        default=None, description="trains random weights on public code first; every setting starts from that base"
    )
    lora: LoraSettings | None = pydantic.Field(
        default=None, description="trains adapters beside a frozen checkpoint; they alone travel in federated rounds"
    )

    @pydantic.model_validator(mode="after")
    def _exactly_one(self) -> "ModelSettings":
        if (self.config is None) == (self.pretrained is None):
            raise ValueError("give exactly one of config and pretrained")
        if self.config is not None and not isinstance(self.config.get("model_type"), str):
            raise ValueError("config needs a model_type, for example gpt2 or llama")
        if self.revision and self.pretrained is None:
            raise ValueError("revision goes with pretrained: a config has none")
        if self.pretrain and self.pretrained is not None:
            raise ValueError("pretrain goes with config: a checkpoint is trained already; leave one of the two out")
        if self.lora and self.pretrained is None:
            raise ValueError("lora adapts what a model has learned, so it needs pretrained in place of config")
        return self

    def resolved(self, base: Path) -> "ModelSettings":
        """With a checkpoint's folder made absolute, if there is one of that name in `base`; else with its hub's commit.

        Raises:
            InputError: there is neither a folder nor a checkpoint on the hub, or a folder with a revision.
        """
        if self.pretrained is None:
            return self
        folder = base / self.pretrained
        if not folder.is_dir():
            return self.model_copy(update={"revision": hub_commit(self.pretrained, self.revision, folder)})
        if self.revision:
            raise InputError(f"model.revision: {self.revision}: goes with names of the hub; {folder} is a folder")
        return self.model_copy(update={"pretrained": str(folder.resolve())})

    def eos(self) -> int | None:
        """The id of the token that ends a text for a checkpoint; the first, where there are several.

        Raises:
            InputError: its config cannot be read.
        """
        if self.pretrained is None:
            return None
        found = read_config(self.pretrained, self.revision).eos_token_id
        return next(iter(found), None) if isinstance(found, list) else found

    def recipe(self, vocab_size: int, bos_id: int, context: int) -> dict[str, Any]:
        """What decides the architecture (and, for a checkpoint, its content)."""
        return {
            "config": self.config,
            "pretrained": None if self.pretrained is None else identity(self.pretrained, self.revision),
            "dropout": self.dropout,
            **({"lora": self.lora.recipe()} if self.lora else {}),
            "vocab_size": vocab_size,
            "bos_id": bos_id,
            "context": context,
        }


def build_model(
    settings: ModelSettings, vocab_size: int, bos_id: int, context: int, seed: int = 0, skeleton: bool = False
) -> "PreTrainedModel":
    """Builds the model in evaluation mode, in float32, on the CPU.

    Args:
        settings: config or checkpoint.
        vocab_size: of the tokenizer; a config takes it over, a checkpoint must have at least as many rows.
        bos_id: the tokenizer's beginning-of-sequence token, which also ends.
        context: longest sequence of tokens that training and generation will show to the model.
        seed: of random weights.
        skeleton: random weights in place of a checkpoint's, for whom shapes are enough.

    Raises:
        InputError: unknown model type, bad config field, missing, broken or too small checkpoint, adapters that do not
            fit.
    """
    import torch

    load_transformers()
    from transformers import AutoConfig, AutoModelForCausalLM

    # No padding token: sequences are packed, and with one transformers would look for it in every batch.
    special = {"bos_token_id": bos_id, "eos_token_id": bos_id, "pad_token_id": None}
    try:
        if settings.pretrained is not None:
            config: Any = read_config(settings.pretrained, settings.revision)
        else:
            fields = dict(settings.config or {})
            model_type = fields.pop("model_type")
            config = AutoConfig.for_model(model_type, **{"vocab_size": vocab_size, **special, **fields})
            _refuse_unknown(fields, config, AutoConfig.for_model(model_type))
            if not any(name in fields for name in _CONTEXT_FIELDS):
                for name in _CONTEXT_FIELDS:
                    if hasattr(config, name):
                        setattr(config, name, context)
                        break
        if "/" in str(config._attn_implementation):
            raise InputError(f"model: attn_implementation {config._attn_implementation} is code of the hub, never run")
        if settings.dropout is not None:
            names = [name for name in _DROPOUT_FIELDS if hasattr(config, name)]
            if settings.dropout and not names:
                raise InputError(f"model.dropout: a model of type {config.model_type} has none; leave it out")
            for name in names:
                setattr(config, name, settings.dropout)
        if config.vocab_size < vocab_size:
            raise InputError(
                f"model: its vocabulary of {config.vocab_size} is smaller than the tokenizer's {vocab_size};"
                " leave vocab_size out or use the checkpoint's own tokenizer"
            )
        longest = context_of(config)
        if longest is not None and longest < context:
            raise InputError(f"model: its context of {longest} tokens is shorter than the {context} that are needed")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if settings.pretrained is not None and not skeleton:
                model = read_model(settings.pretrained, settings.revision, config)
            else:
                model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # a config's fields decide what goes wrong
        if skeleton and isinstance(error, RuntimeError):
            raise  # the meta device has no numbers, which some models look at
        raise InputError(f"model: cannot be built: {first_line(error)}") from error
    if settings.lora:
        add_adapters(model, settings.lora, seed)
    return model.eval()


def _refuse_unknown(fields: dict[str, Any], config: Any, defaults: Any) -> None:
    """Hugging Face configs keep any field in silence, so that a misspelt one would leave a model of the default size.

    A field that the class translates (rope_theta into rope_parameters) is gone from `config`, and so counts as known.
    """
    unknown = sorted(name for name in fields if hasattr(config, name) and not hasattr(defaults, name))
    if unknown:
        known = ", ".join(sorted(name for name in defaults.to_dict() if not name.startswith("_")))
        raise InputError(f"model.config: {unknown[0]}: unknown field; known for {defaults.model_type}: {known}")


def context_of(config: Any) -> int | None:
    """Longest sequence that a model with this Hugging Face config takes, if it says so."""
    for name in _CONTEXT_FIELDS:
        value = getattr(config, name, None)
        if value is not None:
            return int(value)
    return None


def dropout_of(config: Any) -> float:
    """The largest dropout rate of a Hugging Face config."""
    return max((float(getattr(config, name, 0.0) or 0.0) for name in _DROPOUT_FIELDS), default=0.0)


@dataclass(frozen=True)
class Parameters:
    """How many parameters a model has, and how many of them are trained: all, or those of its adapters.

    With `model.lora.carry_base` those that travel with adapters count as trained: they lie in the same buffers.
    """

    total: int
    trained: int


def count_parameters(settings: ModelSettings, vocab_size: int, bos_id: int, context: int) -> Parameters:
    """Parameters of a model, built without memory for its weights where it can be; of a checkpoint the config is read.

    Raises:
        InputError: the model cannot be built, or has state besides its parameters.
    """
    model = build_skeleton(settings, vocab_size, bos_id, context)
    return Parameters(sum(p.numel() for p in model.parameters()), layout_of(model).num_parameters)


def build_skeleton(settings: ModelSettings, vocab_size: int, bos_id: int, context: int) -> "PreTrainedModel":
    """A model for whom shapes are enough, without memory for its weights where it can be; see `build_model`."""
    import torch

    try:
        with torch.device("meta"):
            return build_model(settings, vocab_size, bos_id, context, skeleton=True)
    except RuntimeError:  # it looks at numbers, which this device does not have
        return build_model(settings, vocab_size, bos_id, context)


def initial_recipe(model_recipe: dict[str, Any], seed: int, libraries: str) -> dict[str, Any]:
    """Recipe of the weights that every setting starts from: H(seed, model)."""
    return {"kind": "initial", "version": INITIAL_VERSION, "model": model_recipe, "seed": seed, "libraries": libraries}


def initial_weights(
    settings: ModelSettings, vocab_size: int, bos_id: int, context: int, recipe: dict[str, Any]
) -> tuple[Flat, dict[str, Any]]:
    """The initial weights, and what there is to know about the model: parameters, dropout, context.

    Raises:
        InputError: the model cannot be built, or has state besides its parameters.
    """
    model = build_model(settings, vocab_size, bos_id, context, seed_of(key_of(recipe), "initial weights"))
    layout = layout_of(model)  # refuses a model that a flat buffer would not hold whole
    trained = sum(p.numel() for p in trainable(model))
    carried = layout.num_parameters - trained
    facts = {"parameters": trained, "dropout": dropout_of(model.config), **({"carried": carried} if carried else {})}
    return flatten(model), {**facts, "context": context_of(model.config)}
