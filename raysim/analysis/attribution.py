"""Whose lines come out when whose code is the prompt: intra- against inter-organization memorization.

A model that is prompted with code of one organization may go on with lines of another, which no prompt of its own would
show. Intra and inter are the two parts that arXiv 2510.08750 tells apart in federated models. Here and in the measure
``intra`` of `raysim.analysis.results` alike, a line counts for each organization that owns it, and for nobody where a
reference holds it too.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import Row, RunResults, averaged


def owned_lines(results: RunResults, model: str) -> npt.NDArray[np.float64] | None:
    """Matched lines a prompt ``[prompts of, lines of]``, organizations as in the experiment; None: not probed.

    Lines that several organizations own count for each of them; lines that a reference holds are nobody's. Only prompts
    that are training text count. A row of an organization without such prompts is all zeros.
    """
    arrays = results.prompts
    i = arrays.model_index.get(model)
    if i is None:
        return None
    found = np.zeros((len(results.organizations), len(arrays.owners)))
    for number, name in enumerate(results.organizations):
        given = (arrays.num_samples[i] > 0) & arrays.from_training & (np.array(arrays.organizations) == name)
        if given.any():
            found[number] = arrays.owned[i, given].sum(0) / given.sum()
    return found[:, : len(results.organizations)]


def origins(results: RunResults) -> list[tuple[Row, list[dict[str, Any]]]]:
    """For each setting a line for each prompted organization with a match.

    ``prompts_of``, ``lines`` (matched, a prompt, of all owners), ``own`` (the share that belongs to the prompted
    organization), ``shares`` (of each owner, as ``of_prompted, lines_of, share``).
    """

    def lines_of(reached: ReachedModel) -> npt.NDArray[np.float64] | None:
        return owned_lines(results, reached.model)

    table: list[tuple[Row, list[dict[str, Any]]]] = []
    for row, models in results.final_groups():
        lines = averaged(models, lines_of)
        if lines is None:
            continue
        rows = [
            {
                "prompts_of": name,
                "lines": float(of_owner.sum()),
                "own": float(of_owner[number] / of_owner.sum()),
                "shares": [float(share) for share in of_owner / of_owner.sum()],
            }
            for number, (name, of_owner) in enumerate(zip(results.organizations, lines, strict=True))
            if of_owner.sum() > 0
        ]
        table.append((row, rows))
    return table
