"""What the report of a comparison of mitigations shows of the front, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass

from raysim.analysis.front import Choice
from raysim.mitigations.registry import BASELINE


@dataclass(frozen=True)
class FrontLine:
    """A line of the front's table: cells as text.

    Attributes:
        first: whether a setting begins here.
        quiet: whether it is beaten by another one.
    """

    mitigation: str
    setting: str
    bits: str
    bits_more: str
    lines: str
    lines_more: str
    renamed: str
    tokens: str
    note: str
    first: bool
    quiet: bool


def front_lines(choices: Sequence[Choice]) -> list[FrontLine]:
    """The baseline of each setting and what concerns it, in the order of the experiment."""
    shown = [choice for choice in choices if choice.changed or choice.mitigation == BASELINE]
    plain = {choice.strategy: choice for choice in shown if choice.mitigation == BASELINE}
    lines: list[FrontLine] = []
    for choice in shown:
        baseline = plain.get(choice.strategy)
        lines.append(
            FrontLine(
                mitigation=choice.mitigation,
                setting=choice.strategy,
                bits=_number(choice.bits_per_byte, 3),
                bits_more=_shift(choice.bits_more, choice.bits_low, choice.bits_high, 3),
                lines=_number(choice.exclusive, 2),
                lines_more=_shift(choice.lines_more, choice.lines_low, choice.lines_high, 2),
                renamed=_number(choice.renamed, 2),
                tokens=_times(choice, baseline),
                note=f"beaten by {choice.dominated_by}" if choice.dominated_by else "",
                first=not lines or lines[-1].setting != choice.strategy,
                quiet=bool(choice.dominated_by),
            )
        )
    return lines


def unconcerned(choices: Sequence[Choice]) -> list[str]:
    """For each mitigation that leaves settings as they are a sentence that names them."""
    found: dict[str, list[str]] = {}
    for choice in choices:
        if not choice.changed and choice.mitigation != BASELINE:
            found.setdefault(choice.mitigation, []).append(choice.strategy)
    return [f"{mitigation} changes nothing of {', '.join(settings)}" for mitigation, settings in found.items()]


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _shift(value: float | None, low: float | None, high: float | None, digits: int) -> str:
    if value is None:
        return "–"
    text = f"{value + 0.0:+.{digits}f}"
    if low is None or high is None:
        return text.replace("-", "−")
    return f"{text} ({low:+.{digits}f} to {high:+.{digits}f})".replace("-", "−")


def _times(choice: Choice, baseline: Choice | None) -> str:
    if baseline is None or not baseline.tokens_seen:
        return "–"
    return f"{choice.tokens_seen / baseline.tokens_seen:.2f}"
