"""The contrasts behind the findings: what is compared, per seed and paired over the same prompts or files.

Each contrast keeps its items (prompts or validation files) apart, so that clusters of them can be left out. Orders of
incremental training are averaged within a seed; arms never are. What a contrast needs and the run lacks is named, with
the YAML line that adds it.
"""

from collections.abc import Callable

from raysim.analysis.clone_contrasts import clones_across, duplicates_are_memorized
from raysim.analysis.leakage_contrasts import federated_memorizes_less, last_is_memorized_most, never_shown
from raysim.analysis.loss_contrasts import close_to_centralized, size_and_diversity
from raysim.analysis.paired import Found
from raysim.analysis.results import RunResults


def all_contrasts(results: RunResults) -> dict[str, Found]:
    """The contrasts of F1 to F7 that the tables of a run allow."""
    makers: dict[str, Callable[[RunResults], Found]] = {
        "F1": size_and_diversity,
        "F2": close_to_centralized,
        "F3": federated_memorizes_less,
        "F4": last_is_memorized_most,
        "F5": duplicates_are_memorized,
        "F6": clones_across,
        "F7": never_shown,
    }
    return {name: make(results) for name, make in makers.items()}
