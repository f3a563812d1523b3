"""What the report says of settings that gave nothing away: what that is worth, and who is trained less than others."""

from collections.abc import Mapping
from dataclasses import dataclass

from raysim.analysis.arms import FULL
from raysim.analysis.budgets import SAME_LOSS
from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import Row, RunResults, averaged
from raysim.analysis.zeros import zero_of_setting
from raysim.report.sections.overview import listed

_APART = ("base", "single")
"""Families that nobody joins."""


@dataclass(frozen=True)
class TrainedLess:
    """A setting that fits its training text less than the one it is held against.

    Attributes:
        loss: nats a token on training text, of the setting.
        reference: the setting it is held against.
        reference_loss: that of the reference.
    """

    loss: float
    reference: str
    reference_loss: float

    @property
    def text(self) -> str:
        """For a cell of a table: 'trained less: 1.17 against 0.68 nats'."""
        return f"trained less: {self.loss:.2f} against {self.reference_loss:.2f} nats"


def trained_less(results: RunResults) -> dict[str, TrainedLess]:
    """Settings over all organizations that are fitted less than centralized training on all data is.

    Without such a setting each is held against the one that is fitted best.
    """
    settings: dict[str, list[ReachedModel]] = {}
    for row, models in results.final_groups():
        if not row.partial and row.family not in _APART:
            settings.setdefault(row.strategy, []).extend(models)
    losses = {name: averaged(models, results.training_loss) for name, models in settings.items()}
    firsts = [models[0] for models in settings.values()]
    central = [first.strategy for first in firsts if first.family == "centralized" and first.fraction == FULL]
    return behind({name: loss for name, loss in losses.items() if loss is not None}, next(iter(central), None))


def behind(losses: Mapping[str, float], reference: str | None) -> dict[str, TrainedLess]:
    """The settings whose training loss lies above that of the reference, by more than counts as equal.

    Args:
        losses: by setting, nats a token.
        reference: that to hold against; None, or without a loss: the lowest one.
    """
    if not losses:
        return {}
    name = reference if reference is not None and reference in losses else min(losses, key=lambda one: losses[one])
    lowest = losses[name]
    return {one: TrainedLess(loss, name, lowest) for one, loss in losses.items() if loss - lowest > SAME_LOSS}


def at_zero(results: RunResults) -> str:
    """Which settings gave no exclusive line away, and what that is worth; '' where each gave one.

    Settings that are worth the same are named together.
    """
    alike = _alike(results, partial=True)
    if not alike:
        return ""
    text = f"At zero, with the most that so few files allow (Wilson, 95 %): {_named(alike)}."
    return f"{text}{less_said(alike, trained_less(results))}"


def none_given(results: RunResults) -> str:
    """For the first screen: which settings over all organizations gave no exclusive line away; '' where none did."""
    alike = _alike(results, partial=False)
    if not alike:
        return ""
    return f"No line from {_named(alike)}.{less_said(alike, trained_less(results))}"


def less_said(alike: Mapping[str, list[Row]], less: Mapping[str, TrainedLess]) -> str:
    """A sentence on those at zero that are trained less, with a space before it; '' where none is."""
    found = {row.strategy: less[row.strategy] for rows in alike.values() for row in rows if _applies(row, less)}
    if not found:
        return ""
    first = next(iter(found.values()))
    losses = listed([f"{one.loss:.2f}" for one in found.values()])
    verb = "is" if len(found) == 1 else "are"
    return (
        f" But {listed(list(found))} {verb} trained less than {first.reference}: training loss {losses} against"
        f" {first.reference_loss:.2f} nats."
    )


def _applies(row: Row, less: Mapping[str, TrainedLess]) -> bool:
    return row.strategy in less and not row.partial


def _alike(results: RunResults, partial: bool) -> dict[str, list[Row]]:
    """Settings at zero, by what that is worth; with `partial` those over some of the organizations, too."""
    alike: dict[str, list[Row]] = {}
    for row, models in results.final_groups():
        if (partial or not (row.partial or row.family in _APART)) and (zero := zero_of_setting(results, models)):
            alike.setdefault(zero.text, []).append(row)
    return alike


def _named(alike: Mapping[str, list[Row]]) -> str:
    return "; ".join(f"{listed([row.label for row in rows])} ({text})" for text, rows in alike.items())
