"""Maps a step over tables, in this process or by Ray Data. The one place that imports ray.data.

A step is a plain class: constructed once for each worker, called with a table, answers with a table. Its rows carry
their own ids, so the order in which tables come back means nothing, and both backends give the same rows.
"""

import logging
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, Literal

import pyarrow as pa

from raysim.core import errors
from raysim.core.errors import RaysimError

Backend = Literal["inline", "ray"]
Step = Callable[[pa.Table], pa.Table]

IN_FLIGHT = 2
"""Tables that a worker of Ray Data has at a time: one that it works on, and the next."""

_ERROR = "raysim.error"


def map_tables(
    step: type,
    step_arguments: Mapping[str, Any],
    tables: Iterable[pa.Table],
    workers: int,
    backend: Backend,
    num_gpus: float = 0,
    retries: int = 0,
    node: Mapping[str, str] | None = None,
) -> Generator[pa.Table, None, None]:
    """Applies ``step(**step_arguments)`` to each table and yields the answers as they come, in any order.

    Tables are handed out in their order. Empty answers and the metadata of schemas are left out. With Ray each worker
    is an actor of one CPU, so at least one CPU must be free of other reservations; large arguments travel once if they
    are ``ray.put`` before, at the top level of `step_arguments` or as values of a dict in it, which a step resolves by
    `fetch`.

    Args:
        step: a class whose instances map a table to a table.
        step_arguments: keyword arguments of its constructor.
        tables: each is handed to one call, whole.
        workers: Ray actors at most; inline has one.
        backend: ``inline`` or ``ray`` (initialised by the caller).
        num_gpus: reserved for each Ray actor.
        retries: times that a Ray actor is replaced when it is lost; the tables that it had are tried again. The others
            meanwhile go on.
        node: labels of the nodes that Ray actors may be on; None: of any.

    Raises:
        RaysimError: as a call of the step raised it (with Ray, of the nearest kind that raysim has); other errors as
            they are (inline) or as Ray wraps them.
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
        workers = min(workers, len(blocks))
        yield from _map_with_ray(step, dict(step_arguments), blocks, workers, num_gpus, retries, dict(node or {}))


def _map_with_ray(
    step: type,
    step_arguments: dict[str, Any],
    blocks: list[pa.Table],
    workers: int,
    num_gpus: float,
    retries: int,
    node: dict[str, str],
) -> Generator[pa.Table, None, None]:
    import ray.data
    from ray.util.annotations import RayDeprecationWarning

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # its errors are raised, too
    source = ray.data.from_arrow(blocks)
    for context in (source.context, ray.data.DataContext.get_current()):
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.execution_options.preserve_order = False
    with warnings.catch_warnings():
        # Restarts and retries have no named parameters in this Ray, and what has none is deprecated.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        answers = source.map_batches(
            _Worker,
            fn_constructor_kwargs={"step": step, "step_arguments": step_arguments},
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=IN_FLIGHT),
            num_cpus=1,
            num_gpus=num_gpus or None,
            batch_size=None,
            batch_format="pyarrow",
            label_selector=node,
            max_restarts=retries,
            # A restart is what counts: that an actor cannot be reached, before Ray knows of the loss, would count too.
            max_task_retries=-1 if retries else 0,
        )
    answer: Any
    for answer in answers.iter_batches(batch_size=None, batch_format="pyarrow"):
        if _ERROR in answer.column_names:
            raise getattr(errors, answer[_ERROR][0].as_py())(answer["message"][0].as_py())
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
            known = next(kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
            return pa.table({_ERROR: [known.__name__], "message": [str(error)]})


def fetch(value: Any) -> Any:
    """The value behind an object reference; anything else as it is. Arrays come without a copy, read-only."""
    if type(value).__name__ != "ObjectRef":  # so that the inline backend does not import Ray
        return value
    import ray

    return ray.get(value)
