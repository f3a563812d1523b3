"""Whether models were fitted to their training text at all: one that was not gives nothing away, whatever it is."""

from collections.abc import Iterable, Sequence
from math import log
from typing import Literal

import numpy as np

from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import RunResults, averaged

Fit = Literal["fitted", "undertrained", ""]
"""Whether a model codes its training text in fewer bits than zlib does; '': not measured."""


def fit_of(results: RunResults, models: Iterable[ReachedModel], organizations: Sequence[str]) -> Fit:
    """Whether models are fitted to the text of organizations that they were trained on.

    Their loss on the sample of training sequences (`losses`, split ``train``), averaged over orders within a seed and
    then over seeds, is held against what zlib makes of the same organizations' validation files, both in bits per byte:
    a model that is worse has learned less of its text than repetition within one file gives.
    """
    to_beat = zlib_bits(results, organizations)
    bits = averaged(models, lambda m: training_bits(results, m, organizations))
    if to_beat is None or bits is None:
        return ""
    return "fitted" if bits < to_beat else "undertrained"


def training_bits(results: RunResults, model: ReachedModel, organizations: Sequence[str]) -> float | None:
    """Bits per byte of a model on training text of those of the organizations that it has seen; None: not measured."""
    arrays = results.training_losses
    row = arrays.model_index.get(model.model)
    if row is None:
        return None
    seen = np.isin(arrays.organizations, [name for name in organizations if name in model.organizations])
    num_bytes = arrays.bytes[row, seen].sum()
    return float(arrays.nats[row, seen].sum() / log(2) / num_bytes) if num_bytes else None


def zlib_bits(results: RunResults, organizations: Sequence[str]) -> float | None:
    """Bits per byte of zlib, file by file, on the validation files of organizations together; None: not computed."""
    rows = [
        row
        for row in results.run.table("baselines").to_pylist()
        if row["baseline"] == "zlib" and row["organization"] in organizations and row["split"] == "valid"
    ]
    num_bytes = sum(row["bytes"] for row in rows)
    if {row["organization"] for row in rows} != set(organizations) or not num_bytes:
        return None
    return sum(row["bits_per_byte"] * row["bytes"] for row in rows) / num_bytes
