"""What the report says of uploads: what the server receives of each client, beside the average that it makes."""

from collections.abc import Mapping, Sequence

import numpy as np

from raysim.analysis.exposures import mean_exposures
from raysim.analysis.results import RunResults
from raysim.analysis.uploads import Upload, last_uploads
from raysim.measures.base import Section, SectionTable


def section(results: RunResults) -> Section | None:
    """The section of the report on the server's view: the last round that was probed; None where none was."""
    groups = last_uploads(results.run)
    if not groups:
        return None
    exposures = mean_exposures(results.run)
    rows = [
        (f"{strategy}: {order}", organization, sent[0]["round"], *_cells(results, sent, exposures))
        for (strategy, order, organization), sent in groups.items()
    ]
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
    results: RunResults, uploads: Sequence[Upload], exposures: Mapping[tuple[str, str], float]
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
