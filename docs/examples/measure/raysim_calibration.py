"""A measure: is a model as sure as it is right? Mean probability of the likeliest token against accuracy.

Guo, Pleiss, Sun & Weinberger: On Calibration of Modern Neural Networks, ICML 2017, arXiv 1706.04599; this is their gap
with a single bin. It does not show whether generated code works.
"""

from collections.abc import Iterable

import pyarrow as pa
import torch

from raysim.core.settings import Settings
from raysim.corpus.packing import encode_validation
from raysim.measures.base import Cost, EvalContext, ModelCheckpoint, Task
from raysim.organizations.organization import ModelSpec, Organization
from raysim.tables.spec import COUNT, REAL, TEXT, table_spec
from raysim.tasks.executor import TaskOutput
from raysim.training.weights import Flat

CALIBRATION = table_spec(
    "calibration",
    "How sure a model is on an organization's validation split, and how often it is right.",
    "model organization",
    [
        ("model", TEXT, "key of the model"),
        ("organization", TEXT, "whose validation split"),
        ("confidence", REAL, "mean probability of the likeliest token"),
        ("tokens", COUNT, "tokens predicted"),
    ],
)


class Calibration:
    """Implements `raysim.measures.base.Measure`."""

    name, Settings, tables = "calibration", Settings, (CALIBRATION,)
    cost = Cost(flop_per_token="forward", verb="calibrating")

    def tasks(self, context: EvalContext, checkpoint: ModelCheckpoint) -> Iterable[Task]:
        for organization in context.organizations:
            recipe = {"kind": "calibration", "version": 1, **context.recipe_of(checkpoint, organization)}
            yield Task(recipe, organization, calibrate, (context.spec, context.sequence_length))

    def section(self, results: object) -> None:
        return None  # the table is enough


def calibrate(organization: Organization, weights: Flat, spec: ModelSpec, length: int) -> TaskOutput:
    """Runs inside the organization; only a number leaves."""
    model, sure, tokens = organization.scoring_model(spec, weights, 1), 0.0, 0
    for windows in encode_validation(organization.corpus.valid, organization.tokenizer, length):
        probabilities = model(torch.from_numpy(windows[:, :-1])).logits.softmax(-1).amax(-1)
        sure, tokens = sure + float(probabilities.sum()), tokens + probabilities.numel()
    row = {"organization": organization.name, "confidence": sure / tokens, "tokens": tokens}
    return TaskOutput(tables={"calibration": pa.Table.from_pylist([row])})
