"""The table `pass_at_k`: how likely one of k solutions passes.

Chen et al., Evaluating Large Language Models Trained on Code (arXiv 2107.03374), equation 1. It says nothing of how a
solution reads, nor of what tests do not ask.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysim.tables.io import schema
from raysim.tables.results import Results

_RESAMPLES = 10_000
_LEVEL = 0.95
_SEED = 1

Floats = npt.NDArray[np.float64]


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """The chance that of `k` of `samples` solutions, of which `passed` pass, drawn without replacement, one passes.

    ``1 - C(samples - passed, k) / C(samples, k)``, as a product of k factors at most, so that nothing overflows.

    Raises:
        ValueError: more tries than samples, or more passed than there are.
    """
    if not 0 <= passed <= samples or not 1 <= k <= samples:
        raise ValueError(f"of {samples} samples {passed} cannot have passed, or {k} be drawn")
    failed = samples - passed
    if failed < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(failed + 1, samples + 1)))


def pass_at_k_table(run: Results) -> pa.Table:
    """The table `pass_at_k` of a run, for the k that its experiment names."""
    tries: Sequence[int] = run.setting("measure", "pass_at_k", "k") or ()
    of_model: dict[str, list[dict[str, Any]]] = {}
    for row in run.table("executions").select(["model", "problem", "samples", "passed"]).to_pylist():
        of_model.setdefault(row["model"], []).append(row)
    rows: list[dict[str, Any]] = []
    for model, found in sorted(of_model.items()):
        found.sort(key=lambda row: row["problem"])
        for k in sorted(tries):
            values = np.array([pass_at_k(row["samples"], row["passed"], k) for row in found])
            low, high = _interval(values)
            facts = {"problems": len(values), "samples": found[0]["samples"]}
            rows.append({"model": model, "k": k, "value": values.mean(), "low": low, "high": high, **facts})
    return pa.Table.from_pylist(rows, schema("pass_at_k"))


def _interval(values: Floats) -> tuple[float, float] | tuple[None, None]:
    """Percentiles of the mean over problems drawn with replacement (Efron 1979).

    Where all problems are alike the resamples are, too, and say nothing: there is no interval.
    """
    if np.ptp(values) == 0:
        return None, None
    draws = np.random.Generator(np.random.Philox(_SEED)).integers(len(values), size=(_RESAMPLES, len(values)))
    low, high = np.quantile(values[draws].mean(1), [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)
