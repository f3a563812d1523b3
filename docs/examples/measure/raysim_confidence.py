"""A measure: is a model as sure as it is right? Mean probability of the likeliest next token, beside its accuracy.

Their difference is the calibration error of Guo, Pleiss, Sun & Weinberger (ICML 2017, arXiv 1706.04599) with one bin.
It does not show whether generated code works.
"""

from collections.abc import Iterable

import pyarrow as pa

from raysim.core.settings import Settings
from raysim.measures.base import ClientTask, EvalContext, Measure, Section, SectionTable
from raysim.measures.perplexity import scoring_recipe
from raysim.organizations.organization import ModelSpec, Organization
from raysim.simulation.strategy import ModelCheckpoint
from raysim.tables.results import Results
from raysim.tables.spec import REAL, TEXT, table_spec
from raysim.tasks.kinds import WorkKind
from raysim.tasks.task import TaskOutput
from raysim.training.weights import Flat

COLUMNS = [("model", TEXT, "key of the model"), ("organization", TEXT, "whose validation files")]
SHARES = [("sure", REAL, "mean probability of the likeliest token"), ("right", REAL, "how often that token is right")]
CONFIDENCE = table_spec("confidence", "How sure a model is, and how right.", "model organization", COLUMNS + SHARES)


class Confidence(Measure):
    """Confidence and accuracy of every model at the beginning of every validation file."""

    name, Settings, tables = "confidence", Settings, (CONFIDENCE,)
    kinds = (WorkKind("confidence", "ask", "asking", passes=1.0, flop_per_parameter=2),)

    def tasks(self, context: EvalContext, checkpoint: ModelCheckpoint) -> Iterable[ClientTask]:
        for name, stats in context.run.client_stats.items():
            recipe = {**scoring_recipe(context.run, checkpoint.model, name, 1), "kind": "confidence", "version": 1}
            arguments = (context.run.spec, context.run.trainer.sequence_length)
            yield ClientTask("confidence", name, "files", recipe, ask, arguments, stats.splits["valid"]["tokens"])

    @classmethod
    def section(cls, results: Results) -> Section | None:
        rows = [list(row.values()) for row in results.table("confidence").to_pylist()]
        return Section("confidence", "Confidence", tables=[SectionTable(CONFIDENCE.schema.names, rows)])


def ask(organization: Organization, weights: Flat, spec: ModelSpec, length: int) -> TaskOutput:
    """Runs inside the organization; two numbers leave."""
    import torch

    model, best = organization.scoring_model(spec, weights, 1), []
    for file in organization.corpus.valid:
        ids = torch.tensor([spec.bos_id, *organization.tokenizer.encode(file.text)][: length + 1])
        likeliest = model(input_ids=ids[None, :-1]).logits[0].softmax(-1).detach().max(-1)
        best.append(torch.stack([likeliest.values, (likeliest.indices == ids[1:]).float()]))
    sure, right = torch.cat(best, dim=1).mean(dim=1).tolist()
    return TaskOutput(tables={"confidence": pa.table({"sure": [sure], "right": [right]})})
