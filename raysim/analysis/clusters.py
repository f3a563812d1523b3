"""Clusters: what counts as one independent piece of material, and the weights that leave one out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raysim.analysis.arrays import Mask
from raysim.analysis.statistics import Floats

MIN_CLUSTERS = 10
"""Of repositories, in each organization, for them to be the clusters; and of clusters, in all, for an interval."""
MIN_STRATUM = 5
"""Clusters are left out within organizations where each has five; of one alone nothing is known."""


@dataclass(frozen=True)
class Clusters:
    """The clusters of the items that take part in a contrast.

    Attributes:
        kind: 'repositories' or 'files'.
        of_item: int64 ``[items]``, number of the cluster of each; -1: the item takes no part.
        strata: of each cluster, the organization, or '' where all are drawn from one.
    """

    kind: str
    of_item: np.ndarray
    strata: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.strata)

    def count(self, items: Mask) -> int:
        """In how many clusters these items are; bool ``[items]``."""
        return len(set(self.of_item[items].tolist()) - {-1})

    def left_out(self) -> Floats:
        """Weights of items ``[clusters, items]``: row c lacks cluster c, the rest of its stratum makes up for it."""
        names = np.array(self.strata)
        sizes = Counter(self.strata)
        weights = np.zeros((len(self), len(self.of_item)))
        taking_part = self.of_item >= 0
        of_item = self.of_item[taking_part]
        rows = np.ones((len(self), len(self)))
        for c, stratum in enumerate(self.strata):
            rows[c, names == stratum] = sizes[stratum] / (sizes[stratum] - 1) if sizes[stratum] > 1 else np.nan
            rows[c, c] = 0.0
        weights[:, taking_part] = rows[:, of_item]
        return weights


def clusters_of(
    in_play: Mask, organizations: Sequence[str], repositories: Sequence[str] | None, files: Sequence[str]
) -> Clusters:
    """Repositories where every organization has ten of them in play, else files.

    Args:
        in_play: bool ``[items]``.
        organizations: of each item.
        repositories: of each item; None: files alone are known.
        files: of each item.
    """
    items: list[int] = np.flatnonzero(in_play).tolist()
    kind, names = "files", files
    if repositories is not None:
        found = {(organizations[i], repositories[i]) for i in items}
        each = Counter(organization for organization, _ in found)
        if each and min(each.values()) >= MIN_CLUSTERS:
            kind, names = "repositories", repositories
    unique = sorted({(organizations[i], names[i]) for i in items})
    number = {name: c for c, name in enumerate(unique)}
    of_item = np.full(len(in_play), -1, np.int64)
    of_item[items] = [number[organizations[i], names[i]] for i in items]
    each = Counter(organization for organization, _ in unique)
    stratified = bool(each) and min(each.values()) >= MIN_STRATUM
    return Clusters(kind, of_item, tuple(organization if stratified else "" for organization, _ in unique))
