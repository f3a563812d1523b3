"""What else than its cause could explain a finding: checked on the tables of a run, in one line beside each verdict."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from raysim.analysis.confound_checks import ArmContrast, Check
from raysim.analysis.confounds_of_budgets import (
    dropouts,
    exposures,
    learning_rates,
    sequential_steps,
    tokens_in_all,
    training_losses,
    tuning,
)
from raysim.analysis.confounds_of_material import (
    base_model,
    common_duplicates,
    few_prompts,
    licences,
    lines_in_common,
    predictable_duplicates,
    public_clones,
)
from raysim.analysis.confounds_of_order import last_rate, one_order_each, who_came_last
from raysim.analysis.loss_contrasts import F1_MIX
from raysim.analysis.paired import Contrast, Found
from raysim.analysis.results import RunResults

MOST_SHOWN = 2
"""Confounds that a line names; the others are in the notes of the contrasts."""

NO_OVERLAP = "training losses do not overlap, so that one side fits its text better explains any difference"
"""Of an arm that is not comparable."""

Place = tuple[str, str, str]
"""A finding, the name of a contrast, its arm."""


def confounds(results: RunResults, found: Mapping[str, Found]) -> dict[Place, str]:
    """For every contrast that was taken the line on what could overturn it."""
    lines: dict[Place, str] = {}
    for finding, one in found.items():
        groups: dict[Place, list[Contrast]] = {}
        for contrast in one.contrasts:
            groups.setdefault((finding, contrast.name, contrast.arm), []).append(contrast)
        measured = frozenset(contrast.name for contrast in one.contrasts)
        for place, contrasts in groups.items():
            compared = ArmContrast(results, tuple(contrasts), measured)
            lines[place] = line(check(compared) for check in CHECKS[finding])
    return lines


def line(checks: Iterable[Check]) -> str:
    """The first confounds that apply, or which were looked for and do not; and which the tables leave open."""
    looked = list(checks)
    found = [check.found for check in looked if check.found][:MOST_SHOWN]
    absent = [check.about for check in looked if check.known and not check.found]
    unknown = [check.about for check in looked if not check.known]
    parts = found or [f"none of those checked: {', '.join(absent)}"] * bool(absent)
    if unknown and len(found) < MOST_SHOWN:
        parts.append(f"not known from the tables: {', '.join(unknown)}")
    return "; ".join(parts)


def size_with_diversity(compared: ArmContrast) -> Check:
    """F1: whether more data are always more diverse data in what was measured."""
    about = "size apart from diversity"
    if compared.name == F1_MIX or F1_MIX in compared.measured:
        return Check(about)
    return Check(about, "size and diversity vary together: no mix of organizations at equal tokens was measured")


def longer_training(compared: ArmContrast) -> Check:
    """F1: whether the side with more data, or more diverse ones, was also trained for more steps."""
    check = sequential_steps(compared)
    found = f"{check.found}: longer training, not the data, may explain it" if check.found else ""
    return Check("length of training", found, check.known)


CHECKS: dict[str, Sequence[Callable[[ArmContrast], Check]]] = {
    "F1": (size_with_diversity, dropouts, longer_training, learning_rates),
    "F2": (dropouts, tuning, training_losses, sequential_steps),
    "F3": (training_losses, dropouts, learning_rates, exposures, sequential_steps),
    "F4": (who_came_last, one_order_each, last_rate),
    "F5": (licences, common_duplicates, predictable_duplicates),
    "F6": (few_prompts, training_losses, dropouts, public_clones, sequential_steps),
    "F7": (base_model, lines_in_common, tokens_in_all, dropouts),
}
"""Of each finding, what may overturn it most first."""
