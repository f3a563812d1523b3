"""Views of the table ``extraction``: shares of passages that are extracted, and curves over the number of samples.

Nothing here asks a model: every number follows from the stored distances and log-probabilities.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import Row, RunResults, averaged

Reals = npt.NDArray[np.float64]

NEAR = 0.1
"""Share of the suffix's tokens that a greedy continuation may be away from it to count as near-verbatim."""
CHANCES = (0.1, 0.5, 0.9, 0.99)
"""The p of (n, p)-discoverable extraction that are shown."""
SAMPLES = tuple(float(n) for n in np.unique(np.rint(np.logspace(0, 6, 61))))
"""The n of the curves: 1 to a million, about ten to a decade."""
SHOWN_SAMPLES = (1, 100, 10_000)
"""The n that are shown in the table."""


def samples_needed(log_p: Reals, chance: float) -> Reals:
    """The fewest samples n of which at least one is the suffix with probability `chance`: 1 - (1 - p)^n >= chance.

    After Hayes et al., Measuring memorization in language models via probabilistic extraction (arXiv 2410.19482).

    Args:
        log_p: natural logarithms of the probability that one sample is the suffix.
        chance: above 0 and below 1.

    Returns:
        whole numbers as float64; infinite where no sample ever is, or where they are beyond all floats.
    """
    log_p = np.minimum(np.asarray(log_p, np.float64), 0.0)
    with np.errstate(divide="ignore", over="ignore"):
        # log(-log(1 - p)), which for tiny p is log p itself, long after p itself is no float any more.
        tries = np.where(log_p < -40, log_p, np.log(-np.log1p(-np.exp(np.maximum(log_p, -40)))))
        needed = np.exp(np.log(-np.log1p(-chance)) - tries)
    # Rounding must not ask for one more where the whole number is met exactly.
    return np.maximum(1.0, np.ceil(needed * (1 - 1e-12)))


def discoverable(log_p: Reals, samples: float, chance: float) -> npt.NDArray[np.bool_]:
    """Which suffixes are (n, p)-discoverable with n = `samples` and p = `chance`."""
    return samples_needed(log_p, chance) <= samples


def curve(log_p: Reals, chance: float) -> Reals:
    """Share of the suffixes that are discoverable at each of `SAMPLES`."""
    return np.mean(samples_needed(log_p, chance)[:, None] <= np.array(SAMPLES), axis=0)


@dataclass(frozen=True)
class Recital:
    """How one model recites; arrays over passages and lengths of prefix.

    Attributes:
        organizations: of each passage.
        prefix_tokens: int64.
        away: float64, distance over tokens of the suffix; 0: extracted.
        log_p, log_p_plain: float64.
    """

    organizations: npt.NDArray[np.str_]
    prefix_tokens: npt.NDArray[np.int64]
    away: Reals
    log_p: Reals
    log_p_plain: Reals

    def of(self, organizations: Collection[str], prefix_tokens: int) -> "Recital | None":
        """The part that is about some organizations' passages behind one length of prefix; None: there are none."""
        chosen = np.isin(self.organizations, list(organizations)) & (self.prefix_tokens == prefix_tokens)
        if not chosen.any():
            return None
        return Recital(
            self.organizations[chosen],
            self.prefix_tokens[chosen],
            self.away[chosen],
            self.log_p[chosen],
            self.log_p_plain[chosen],
        )


def recitals(results: RunResults) -> dict[str, Recital]:
    """By model what the table says of it."""
    table = results.run.table("extraction")
    if not table.num_rows:
        return {}
    models = np.array(table.column("model").to_pylist())
    organizations = np.array(table.column("organization").to_pylist())
    columns = {name: table.column(name).to_numpy() for name in ("prefix_tokens", "log_p", "log_p_plain")}
    away = table.column("distance").to_numpy() / table.column("suffix_tokens").to_numpy()
    return {
        model: Recital(
            organizations[models == model],
            columns["prefix_tokens"][models == model].astype(np.int64),
            away[models == model],
            columns["log_p"][models == model],
            columns["log_p_plain"][models == model],
        )
        for model in np.unique(models).tolist()
    }


def lengths(results: RunResults) -> list[int]:
    """The lengths of prefix, the longest last."""
    return sorted(set(results.run.table("extraction").column("prefix_tokens").to_pylist()))


def averaged_part(
    found: Mapping[str, Recital],
    models: Iterable[ReachedModel],
    organizations: Callable[[ReachedModel], Collection[str]],
    prefix_tokens: int,
    measure: Callable[[Recital], Reals],
) -> Reals | None:
    """The mean over models of what `measure` makes of some organizations' passages; None where there are none."""

    def value(reached: ReachedModel) -> Reals | None:
        part = found[reached.model].of(organizations(reached), prefix_tokens) if reached.model in found else None
        return None if part is None else measure(part)

    return averaged(models, value)


def extraction_rows(results: RunResults) -> list[tuple[Row, dict[str, Any]]]:
    """For each setting its final models' shares of extracted passages, averaged over orders and seeds.

    ``by_length``: share extracted and share near-verbatim behind each length of prefix, of the passages of
    organizations that took part; ``by_owner``: both of each organization's passages behind the longest, with whether it
    took part; ``by_samples``: share discoverable with the samples of `SHOWN_SAMPLES` at even odds, behind the longest,
    by the run's sampling. None where there is no passage.
    """
    found, known = recitals(results), lengths(results)
    table: list[tuple[Row, dict[str, Any]]] = []
    for row, models in results.final_groups():
        if not any(reached.model in found for reached in models):
            continue
        trained = {name for reached in models for name in reached.organizations}
        by_length = [averaged_part(found, models, _took_part, length, greedy_shares) for length in known]
        by_owner = [
            (averaged_part(found, models, lambda _, name=name: [name], known[-1], greedy_shares), name in trained)
            for name in results.organizations
        ]
        by_samples = averaged_part(found, models, _took_part, known[-1], _sampled)
        table.append((row, {"by_length": by_length, "by_owner": by_owner, "by_samples": by_samples}))
    return table


def _took_part(reached: ReachedModel) -> Collection[str]:
    return reached.organizations


def greedy_shares(part: Recital) -> Reals:
    """Shares of its passages that greedy decoding extracts, word for word and nearly."""
    return np.array([(part.away <= limit).mean() for limit in (0, NEAR)], np.float64)


def _sampled(part: Recital) -> Reals:
    return np.array([discoverable(part.log_p, n, 0.5).mean() for n in SHOWN_SAMPLES], np.float64)


def num_passages(results: RunResults) -> dict[str, tuple[int, int]]:
    """Passages of each organization, and how many files they are from; those of one file are not independent."""
    table = results.run.table("extraction").group_by("organization")
    counts = table.aggregate([("passage", "count_distinct"), ("file", "count_distinct")]).to_pylist()
    found = {row["organization"]: (row["passage_count_distinct"], row["file_count_distinct"]) for row in counts}
    return {name: found.get(name, (0, 0)) for name in results.organizations} if found else {}
