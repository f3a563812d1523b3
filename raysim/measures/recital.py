"""Recital of planted functions: what a model goes on with, greedily, behind the signature of a function that is nowhere
else in the world. Runs inside the organization.

Greedy decoding gives a function's tokens one after the other as long as each is the likeliest behind the true ones
before it, so one pass over the true function tells how far it comes: nothing has to be generated. It says nothing of
what sampling could draw out of the model.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from raysim.core.keys import Key
from raysim.core.settings import Settings
from raysim.corpus.corpus import PlantedFunction
from raysim.corpus.planted_functions import PlantSettings
from raysim.corpus.tokenizer import Tokenizer
from raysim.measures.base import ClientTask, EvalContext, Measure, MeasureScope
from raysim.measures.when import CheckpointKinds
from raysim.organizations.organization import ModelSpec, Organization
from raysim.simulation.run_context import RunContext
from raysim.simulation.strategy import ModelCheckpoint
from raysim.tables.schemas.audits import RECITALS
from raysim.tasks.kinds import WorkKind
from raysim.tasks.task import TaskOutput
from raysim.training.process_memory import oom_hint
from raysim.training.weights import Flat

if TYPE_CHECKING:
    import torch

RECITAL_VERSION = 1
"""Numerics version; part of the recipe."""

RECITAL_SCHEMA = RECITALS.without("model", "organization")

_TOKENS = 250
"""Of a function, about, for estimates."""


class RecitalSettings(Settings):
    """How planted functions are asked for."""

    batch_size: int = Field(default=16, ge=1, description="functions scored together; sums round by it")
    when: CheckpointKinds = Field(default=("final",), description="which of a strategy's models are measured")


class PlantRecital(Measure):
    """How many lines of planted functions models recite from their signatures."""

    name = "recital"
    Settings = RecitalSettings
    default = RecitalSettings()
    kinds = (WorkKind("recital", "score", "reciting", 1.0, flop_per_parameter=2, token_s=1e-5, piece_s=0.02),)
    tables = (RECITALS,)
    report = ("raysim.report.sections.recitals:section",)

    def applies(self, scope: MeasureScope) -> bool:
        """Only where there are planted functions."""
        return scope.plants is not None

    def tasks(self, context: EvalContext, checkpoint: ModelCheckpoint) -> Iterable[ClientTask]:
        run, plants, batch_size = context.run, context.plants, self.settings.batch_size
        if plants is None:
            return
        for name in context.organizations:
            if plants.planted_in(name):
                recipe = recital_recipe(run, checkpoint.model, name, plants, batch_size)
                arguments = (run.spec, run.trainer.sequence_length, batch_size, run.trainer.threads)
                tokens = plants.num_functions * min(_TOKENS, run.trainer.sequence_length)
                yield ClientTask("recitals", name, "planted functions", recipe, recite_at, arguments, tokens)


def recital_recipe(
    context: RunContext, model: Key, organization: str, plants: PlantSettings, batch_size: int
) -> dict[str, Any]:
    """Recipe of what `model` recites of an organization's functions, which depend on its name but not on its code."""
    return {
        "kind": "recital",
        "version": RECITAL_VERSION,
        "weights": model,
        "model": context.model_recipe,
        "tokenizer": context.tokenizer,
        "organization": organization,
        "plants": plants.recipe(),
        "split_seed": context.split_seed,
        "sequence_length": context.trainer.sequence_length,
        "batch_size": batch_size,
        "threads": context.trainer.threads,
        "libraries": context.libraries,
    }


def recite_at(
    organization: Organization, weights: Flat, spec: ModelSpec, sequence_length: int, batch_size: int, threads: int
) -> TaskOutput:
    """Asks for an organization's functions; runs there, and none of them leaves."""
    with oom_hint("measure.recital.batch_size"):
        model = organization.scoring_model(spec, weights, threads)
        found = recitals(model, organization.corpus.plants, organization.tokenizer, sequence_length, batch_size)
    return TaskOutput(tables={"recitals": found})


def recitals(
    model: "torch.nn.Module",
    functions: Sequence[PlantedFunction],
    tokenizer: Tokenizer,
    sequence_length: int,
    batch_size: int,
) -> pa.Table:
    """Scores every function behind a BOS, in float32; of one that is longer than a sequence what fits into it.

    A line is recited when its last token is, and all before it: what follows a line is white space, which the first
    token of the next line holds.

    Returns:
        a row a function, columns `RECITAL_SCHEMA`.
    """
    import torch

    rows: list[dict[str, Any]] = []
    with torch.inference_mode():
        for start in range(0, len(functions), batch_size):
            batch = functions[start : start + batch_size]
            tokens = [np.array([tokenizer.bos_id, *tokenizer.encode(f.text)][: sequence_length + 1]) for f in batch]
            ids_BL = torch.zeros(len(batch), max(map(len, tokens)), dtype=torch.int64)
            for row, own in zip(ids_BL, tokens, strict=True):
                row[: len(own)] = torch.from_numpy(own)
            # Causal attention never looks at the padding behind a function, so no mask is needed.
            log_probs_BLV = model(input_ids=ids_BL[:, :-1], use_cache=False).logits.float().log_softmax(-1)
            hits_BL = log_probs_BLV.argmax(-1) == ids_BL[:, 1:]
            own_BL = log_probs_BLV.gather(-1, ids_BL[:, 1:, None])[..., 0].double()
            for function, own, hits, log_probs in zip(batch, tokens, hits_BL.numpy(), own_BL.numpy(), strict=True):
                rows.append(_row(function, own, hits[: len(own) - 1], log_probs[: len(own) - 1], tokenizer))
    return pa.Table.from_pylist(rows, schema=RECITAL_SCHEMA)


def _row(
    function: PlantedFunction,
    tokens: npt.NDArray[np.int64],
    hits: npt.NDArray[np.bool_],
    log_probs: npt.NDArray[np.float64],
    tokenizer: Tokenizer,
) -> dict[str, Any]:
    """What was recited; `hits` and `log_probs` are of all tokens but the BOS."""
    ends = _ends_of_lines(function.text, tokens[1:].tolist(), tokenizer)
    shown = ends[0]  # the prompt: everything up to the end of the signature
    wrong = np.flatnonzero(~hits[shown:])
    recited = int(wrong[0]) if len(wrong) else len(hits) - shown
    return {
        "function": function.name,
        "repeats": function.repeats,
        "lines": len(ends) - 1,
        "recited_lines": sum(end <= shown + recited for end in ends[1:]),
        "tokens": len(hits) - shown,
        "recited_tokens": recited,
        "nats": float(-log_probs[shown:].sum()),
    }


def _ends_of_lines(text: str, tokens: list[int], tokenizer: Tokenizer) -> list[int]:
    """For each line of `text`, all of them significant, how many tokens it takes to hold it whole, without line end."""
    ends: list[int] = []
    lines, held = text.rstrip("\n").split("\n"), ""
    wanted = ""
    at = 0
    for number, line in enumerate(lines):
        wanted += line if number == 0 else f"\n{line}"
        while len(held) < len(wanted) and at < len(tokens):
            at += 1
            held = tokenizer.decode(tokens[:at])
        if len(held) < len(wanted):
            break
        ends.append(at)
    return ends
