"""Maps a step over tables, in this process or by Ray Data. The one place that imports ray.data.

A step is a plain class: constructed once for each worker, called with a table, answers with a table. Its rows carry
their own ids, so the order in which tables come back means nothing, and both backends give the same rows.
"""

import logging
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from raysim.errors import RaysimError
from raysim.memorization.matching import MATCH_SCHEMA, SAMPLE_SCHEMA, match
from raysim.memorization.settings import MemorizationSettings, Precision

if TYPE_CHECKING:
    from raysim.corpus.tokens import CodeTokenizer
    from raysim.training.models import ModelSettings

Backend = Literal["inline", "ray"]
Step = Callable[[pa.Table], pa.Table]

_ERROR = "raysim.error"


def map_tables(
    step: type,
    step_arguments: Mapping[str, Any],
    tables: Iterable[pa.Table],
    workers: int,
    backend: Backend,
    num_gpus: float = 0,
) -> Iterator[pa.Table]:
    """Applies ``step(**step_arguments)`` to each table and yields the answers as they come, in any order.

    Empty answers and the metadata of schemas are left out. With Ray each worker is an actor of one CPU, so at least one
    CPU must be free of other reservations; large arguments travel once if they are ``ray.put`` before, at the top level
    of `step_arguments` or as values of a dict in it, which the steps here resolve themselves.

    Args:
        step: a class whose instances map a table to a table.
        step_arguments: keyword arguments of its constructor.
        tables: each is handed to one call, whole.
        workers: Ray actors at most; inline has one.
        backend: ``inline`` or ``ray`` (initialised by the caller).
        num_gpus: reserved for each Ray actor.

    Raises:
        RaysimError: as a call of the step raised it; other errors as they are (inline) or as Ray wraps them.
    """
    if backend == "inline":
        worker: Step = step(**step_arguments)
        for table in tables:
            answer = worker(table)
            if len(answer):
                yield answer.replace_schema_metadata(None)
        return
    blocks = [table.replace_schema_metadata(None) for table in tables if len(table)]
    if blocks:
        yield from _map_with_ray(step, dict(step_arguments), blocks, min(workers, len(blocks)), num_gpus)


def _map_with_ray(
    step: type, step_arguments: dict[str, Any], blocks: list[pa.Table], workers: int, num_gpus: float
) -> Iterator[pa.Table]:
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    source = ray.data.from_arrow(blocks)
    for context in (source.context, ray.data.DataContext.get_current()):
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.execution_options.preserve_order = False
    answers = source.map_batches(
        _Worker,
        fn_constructor_kwargs={"step": step, "step_arguments": step_arguments},
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
        num_gpus=num_gpus or None,
        batch_size=None,
        batch_format="pyarrow",
    )
    answer: Any
    for answer in answers.iter_batches(batch_size=None, batch_format="pyarrow"):
        if _ERROR in answer.column_names:
            raise pickle.loads(answer[_ERROR][0].as_py())  # noqa: S301 - from a worker of this very job
        if len(answer):
            yield answer.replace_schema_metadata(None)


class _Worker:
    """What Ray Data makes an actor of: the step, behind a signature that Ray can inspect."""

    def __init__(self, step: type, step_arguments: dict[str, Any]) -> None:
        self._step: Step = step(**step_arguments)

    def __call__(self, batch: pa.Table) -> pa.Table:
        try:
            return self._step(batch)
        except RaysimError as error:
            # Ray Data replaces what a step raises by an error of its own, and loses the cause on the way.
            return pa.table({_ERROR: [pickle.dumps(error)]})


def fetch(value: Any) -> Any:
    """What an object reference stands for; anything else as it is. Arrays come without a copy, read-only."""
    if type(value).__name__ != "ObjectRef":  # so that the inline backend does not import Ray
        return value
    import ray

    return ray.get(value)


def generation_blocks(prompts: pa.Table, models: Sequence[str], settings: MemorizationSettings) -> list[pa.Table]:
    """The input of `GenerateStep` for many models: each block is one batch of prompts with a ``model`` column.

    Batches are formed here, over the whole table, so that who computes a block cannot change its bits.
    """
    from raysim.memorization.generation import split_batches

    batches = split_batches(prompts, settings)
    return [_with_model(batch, model) for model in models for batch in batches]


def _with_model(table: pa.Table, model: str) -> pa.Table:
    return table.add_column(0, "model", pa.array([model] * len(table), pa.string()))


def _by_model(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Splits a table with a ``model`` column; models in order of first appearance."""
    for model in dict.fromkeys(table["model"].to_pylist()):
        yield model, table.filter(pc.field("model") == model).drop_columns("model")


class GenerateStep:
    """Prompts with a ``model`` column in; rows of `generation.GENERATION_SCHEMA` behind a ``model`` column out."""

    def __init__(
        self,
        model: "ModelSettings",
        context: int,
        tokenizer: "CodeTokenizer",
        settings: MemorizationSettings,
        weights: Mapping[str, Any],
        seed: int,
        precision: Precision,
        threads: int = 1,
        device: str = "cpu",
    ) -> None:
        """Builds the model once; its weights change with the ``model`` column.

        Args:
            model: architecture of all the models.
            context: tokens that it must take, as in training.
            tokenizer: with a ``vocab_size``; may be an object reference.
            settings: of the run.
            weights: for each model named in the column its flat weights or a reference to them; fetched when its first
                block comes.
            seed: of all samples.
            precision: of the weights while generating.
            threads: of torch.
            device: of torch.
        """
        from raysim.memorization.generation import DTYPES, Generator
        from raysim.training.models import build_model

        tokenizer = fetch(tokenizer)
        built = build_model(model, tokenizer.vocab_size, tokenizer.bos_id, context)
        self._generator = Generator(built, tokenizer, settings, threads, device, DTYPES[precision])
        self._weights = weights
        self._seed = seed
        self._assigned: str | None = None

    def __call__(self, table: pa.Table) -> pa.Table:
        parts = []
        for model, prompts in _by_model(table):
            weights = None if model == self._assigned else fetch(self._weights[model])
            self._assigned = None  # not known, should assigning fail
            parts.append(_with_model(self._generator.generate(weights, prompts, self._seed), model))
            self._assigned = model
        return pa.concat_tables(parts)


_ROW = "row"
_SAMPLE, _MATCH = "sample", "match"


class MatchStep:
    """Generations with a ``model`` column in; the rows of both tables of `matching.match` out, see `split_matches`."""

    def __init__(
        self,
        contexts: Any,
        indexes: Any,
        reference: Any,
        settings: MemorizationSettings,
        secret: bytes,
    ) -> None:
        """Each of the first three, and each index of a dict of indexes, may be an object reference.

        Args:
            contexts: table of `matching.prompt_context` for all prompts.
            indexes: line index of each organization.
            reference: line index of public code, or None.
            settings: of the run.
            secret: the key of all line hashes.
        """
        self._contexts: pa.Table = fetch(contexts)
        self._indexes = {name: fetch(index) for name, index in fetch(indexes).items()}
        self._reference = fetch(reference)
        self._settings = settings
        self._secret = secret

    def __call__(self, table: pa.Table) -> pa.Table:
        parts = []
        for model, generations in _by_model(table):
            both = match(generations, self._contexts, self._indexes, self._reference, self._settings, self._secret)
            for kind, part in zip((_SAMPLE, _MATCH), both, strict=True):
                named = _with_model(part, model)
                parts.append(named.add_column(0, _ROW, pa.array([kind] * len(named), pa.string())))
        return pa.concat_tables(parts, promote_options="default").select(_both_columns())


def _both_columns() -> list[str]:
    names = [_ROW, "model", *SAMPLE_SCHEMA.names]
    return names + [name for name in MATCH_SCHEMA.names if name not in names]


def split_matches(tables: Iterable[pa.Table]) -> tuple[pa.Table, pa.Table]:
    """The samples and the matches among the answers of `MatchStep`, each behind a ``model`` column."""
    schemas = [pa.schema([("model", pa.string()), *schema]) for schema in (SAMPLE_SCHEMA, MATCH_SCHEMA)]
    empty = pa.concat_tables([schema.empty_table() for schema in schemas], promote_options="default")
    empty = empty.append_column(_ROW, pa.array([], pa.string())).select(_both_columns())
    table = pa.concat_tables([empty, *tables])
    samples, matches = (
        table.filter(pc.field(_ROW) == kind).select(schema.names).cast(schema)
        for kind, schema in zip((_SAMPLE, _MATCH), schemas, strict=True)
    )
    return samples, matches
