"""What the report says of uploads: what the server receives of each client, beside the average that it makes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc

from raysim.analysis.results import RunResults
from raysim.measures.base import Section, SectionTable

Row = Mapping[str, Any]


def section(results: RunResults) -> Section | None:
    """The section of the report on the server's view: the last round that was probed; None where none was."""
    every = results.run.table("uploads").to_pylist()
    if not every:
        return None
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in every:
        groups.setdefault((f"{row['strategy']}: {row['order']}", row["organization"]), []).append(row)
    exposures = _exposures(results)
    rows = []
    for (setting, organization), of_group in groups.items():
        last = max(row["round"] for row in of_group)
        chosen = [row for row in of_group if row["round"] == last]
        rows.append((setting, organization, last, *_cells(results, chosen, exposures)))
    return Section(
        "uploads",
        "What the server receives",
        "The server's view",
        870,
        lead="Each client's weights before they are averaged, probed with its own organization's prompts and canaries,"
        " beside the average of the same round probed with the same: upload / average.",
        tables=[
            SectionTable(
                (
                    "Setting",
                    "Organization",
                    "Round",
                    "Exclusive lines a prompt",
                    "Covered lines a prompt",
                    "Exposure, bits",
                    "Training loss, nats",
                ),
                rows,
            )
        ],
        note="Means over seeds. An upload that gives away more than the average is what secure aggregation would"
        " hide from the server.",
    )


def _cells(
    results: RunResults, uploads: Sequence[Row], exposures: Mapping[tuple[str, str], float]
) -> tuple[str, str, str, str]:
    """Upload and average of each measure."""
    exclusive, covered, exposure, loss = [], [], [], []
    for row in uploads:
        of, average = row["organization"], row["average"]
        lines = _lines(results, average, of)
        exclusive.append((row["exclusive"], lines and lines[0]))
        covered.append((row["covered"], lines and lines[1]))
        exposure.append((row["exposure"], exposures.get((average, of))))
        loss.append((row["training_loss"], results.measures(average).get(("training_loss", of))))
    return _pair(exclusive, 2), _pair(covered, 2), _pair(exposure, 1), _pair(loss, 3)


def _pair(values: Sequence[tuple[float | None, float | None]], digits: int) -> str:
    means = []
    for side in zip(*values, strict=True):
        known = [value for value in side if value is not None]
        means.append(f"{np.mean(known):.{digits}f}" if known else "–")
    return " / ".join(means)


def _lines(results: RunResults, model: str, organization: str) -> tuple[float, float] | None:
    """Exclusive and covered lines of an organization in a model's answers to its prompts, for each of them."""
    arrays = results.prompts
    i = arrays.model_index.get(model)
    if i is None:
        return None
    asked = (arrays.num_samples[i] > 0) & (np.array(arrays.organizations) == organization)
    owner = arrays.owners.index(organization)
    if not asked.any():
        return None
    return float(arrays.exclusive[i, asked, owner].mean()), float(arrays.covered[i, asked, owner].mean())


def _exposures(results: RunResults) -> dict[tuple[str, str], float]:
    """Mean exposure of planted canaries by model and organization."""
    planted = results.run.table("canaries").filter(pc.field("repeats") > 0)
    means = planted.group_by(["model", "organization"]).aggregate([("exposure", "mean")]).to_pylist()
    return {(row["model"], row["organization"]): row["exposure_mean"] for row in means}
