"""The server's view: what each client sends to be aggregated, probed with its own organization's prompts and canaries.

A server that follows the protocol receives every client's weights before it averages them, so what they give away is
what an honest but curious server can have, whatever the average forgets.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysim.core.keys import Key
from raysim.measures.base import ClientTask, EvalContext
from raysim.measures.exposure import ExposureSettings, exposure_task
from raysim.measures.perplexity import PerplexitySettings, training_task
from raysim.simulation.executor import TrainedModel
from raysim.store.entries import Entry
from raysim.tables.schemas.uploads import UPLOADS
from raysim.tasks.batch_jobs import Probe
from raysim.tasks.executor import TaskExecutor
from raysim.tasks.task import Task


def upload_tasks(context: EvalContext, model: Key, organization: str) -> list[ClientTask]:
    """What is asked of an upload at its organization beside prompts, as far as the experiment measures it of models."""
    found = []
    perplexity, exposure = context.measures.get("perplexity"), context.measures.get("exposure")
    if isinstance(perplexity, PerplexitySettings) and perplexity.training_sequences:
        found.append(training_task(context.run, model, organization, perplexity))
    if isinstance(exposure, ExposureSettings) and context.canaries and context.canaries.planted_in(organization):
        found.append(exposure_task(context, model, organization, exposure))
    return found


class Uploads:
    """Probes of uploads.

    Args:
        executor: does keyed work.
        context: of the run.
    """

    def __init__(self, executor: TaskExecutor, context: EvalContext) -> None:
        self._executor = executor
        self._context = context

    async def tables(self, uploads: Sequence[TrainedModel], matched: Mapping[Probe, Entry]) -> list[pa.Table]:
        """Parts of the table ``uploads``.

        Args:
            uploads: one after the other, in every setting that received them.
            matched: the matches of each, for the prompts of its organization.
        """
        # Of organizations with the same code, which send the same weights, one was asked for all.
        of_model = {model: entry for (model, _), entry in matched.items()}
        found = await asyncio.gather(
            *(self._row(one, matched.get(_probe(one)) or of_model.get(one.checkpoint.model)) for one in uploads)
        )
        return [pa.Table.from_pylist(list(found), schema=UPLOADS.schema)]

    async def _row(self, upload: TrainedModel, matches: Entry | None) -> dict[str, Any]:
        run, checkpoint = upload.strategy_run, upload.checkpoint
        model, organization = _probe(upload)
        row = {
            "seed": run.context.seed,
            "strategy": run.label,
            "order": run.strategy.order,
            "round": checkpoint.index,
            "organization": organization,
            "model": model,
            "average": checkpoint.average,
            **_lines(matches, organization),
        }
        for task in upload_tasks(self._context.at(run.context), model, organization):
            label = f"{upload.name} on {task.about}"
            entry = await self._executor.run_on_client(
                Task(task.recipe, label, organization, task.function, task.arguments, task.tokens)
            )
            table = entry.table(task.table)
            if task.table == "canaries":
                planted = table.filter(pc.field("repeats") > 0)["exposure"].to_pylist()
                row["exposure"] = float(np.mean(planted)) if planted else None
            else:
                row["training_loss"] = table["nats"][0].as_py() / table["tokens"][0].as_py()
        return row


def _probe(upload: TrainedModel) -> Probe:
    return upload.checkpoint.model, upload.checkpoint.last


def _lines(matches: Entry | None, organization: str) -> dict[str, Any]:
    """Lines of the organization in answers to its own prompts, for each of them."""
    if matches is None:
        return {"prompts": 0, "covered": None, "exclusive": None}
    samples = matches.table("samples").filter(pc.field("owner") == organization)
    prompts = len(samples["prompt"].unique())
    per_prompt = {name: sum(samples[name].to_pylist()) / prompts for name in ("covered", "exclusive")}
    return {"prompts": prompts, **per_prompt}
