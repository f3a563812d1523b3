"""Who gains: the first section of the report, and the page of each organization, from the table `gains` alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from raysim.analysis.gains import Gain, best_for
from raysim.analysis.zeros import Zero
from raysim.report.sections.overview import counted, listed
from raysim.report.sections.zeros import TrainedLess

Tone = Literal["gains", "loses", "unclear"]


@dataclass(frozen=True)
class GainCell:
    """One organization in one setting, as text.

    Attributes:
        loss: bits per byte.
        gain: difference to training alone, with its sign.
        interval: of the gain; empty where there is none.
        lines: exclusive lines given away a prompt, or the bound where there was none.
        tone: what the interval says.
        caution: beside a bound, where the setting is trained less than others; else empty.
    """

    loss: str
    gain: str
    interval: str
    lines: str
    tone: Tone
    caution: str = ""


@dataclass(frozen=True)
class GainRow:
    """One organization: its loss alone, a cell for each setting, and what follows for it, in a sentence."""

    organization: str
    alone: str
    cells: tuple[GainCell, ...]
    advice: str


def settings_of(gains: Sequence[Gain]) -> list[str]:
    """The settings, in the order of the rows."""
    return list(dict.fromkeys(gain.strategy for gain in gains))


def gain_rows(gains: Sequence[Gain], less: Mapping[str, TrainedLess] | None = None) -> list[GainRow]:
    """A row an organization; nothing where no loss was measured, alone or together.

    Args:
        gains: of all organizations and settings.
        less: settings that are trained less than the one they are held against; their zeros say so.
    """
    less = less or {}
    organizations = dict.fromkeys(gain.organization for gain in gains if gain.together is not None)
    found: list[GainRow] = []
    for organization in organizations:
        mine = [gain for gain in gains if gain.organization == organization]
        alone = next((gain.reported.alone for gain in mine if gain.reported.alone is not None), None)
        cells = tuple(_cell(gain, less.get(gain.strategy)) for gain in mine)
        found.append(GainRow(organization, _number(alone), cells, advice(mine, less)))
    return found


def who_gains(gains: Sequence[Gain]) -> str:
    """The answer in a sentence or two: who is better off together, in what, and who alone."""
    organizations = list(dict.fromkeys(gain.organization for gain in gains if gain.gain is not None))
    if not organizations:
        return ""
    best = {organization: best_for(gains, organization) for organization in organizations}
    better = [name for name, gain in best.items() if gain and gain.verdict == "gains"]
    worse = [name for name in organizations if all(g.verdict == "loses" for g in gains if g.organization == name)]
    open_ = [name for name in organizations if name not in better and name not in worse]
    parts: list[str] = []
    if better:
        by_setting: dict[str, list[str]] = {}
        for name in better:
            by_setting.setdefault(_best(best, name).strategy, []).append(name)
        where = "; ".join(f"{listed(names)} most in {setting}" for setting, names in by_setting.items())
        if len(by_setting) == 1:
            where = f"most in {next(iter(by_setting))}"
        parts.append(f"{_share(better, organizations)} by training with others, {where}")
    if worse:
        parts.append(f"{listed(worse)} {_verb(worse, 'does', 'do')} better alone than in any setting")
    if open_:
        missing = [name for name in open_ if _best(best, name).reported.low is None]
        lost = [name for name in open_ if _best(best, name).verdict == "loses"]
        undecided = [name for name in open_ if name not in (*missing, *lost)]
        if lost:
            parts.append(f"for {listed(lost)} {_chosen(gains)} is worse than alone, and not every other is shown to be")
        if undecided:
            parts.append(f"for {listed(undecided)} it is undecided: the interval of {_chosen(gains)} holds zero")
        if missing:
            means = ", ".join(
                f"{name} {_signed(_best(best, name).reported.gain)} in {_best(best, name).strategy}" for name in missing
            )
            parts.append(f"for {listed(missing)} there is no interval, only means in bits per byte: {means}")
    text = ". ".join(part[0].upper() + part[1:] for part in parts)
    return f"{text}."


def advice(mine: Sequence[Gain], less: Mapping[str, TrainedLess] | None = None) -> str:
    """Whether one organization should join, in which setting, and at what price; from its rows alone."""
    less = less or {}
    known = [gain for gain in mine if gain.gain is not None]
    if not known:
        return "Nothing to hold against each other: it needs `single` among the strategies, and losses."
    best = best_for(known, known[0].organization)
    assert best is not None
    shown = best.reported
    if best.verdict == "gains":
        cheaper = [g for g in known if g.verdict == "gains" and (g.lines or 0.0) < (best.lines or 0.0)]
        text = f"Join, in {best.strategy}: {_signed(shown.gain)} bits per byte better than alone{_price(best, less)}"
        if cheaper:
            least = min(cheaper, key=lambda gain: (gain.lines or 0.0, gain.strategy))
            text += f"; {least.strategy} gains {_signed(least.reported.gain)}{_price(least, less)}"
        return f"{text}."
    if all(gain.verdict == "loses" for gain in known):
        return f"Stay alone: even the best setting, {best.strategy}, is {-(shown.gain or 0.0):.3f} bits per byte worse."
    if shown.low is None:
        means = f"{best.strategy} is the best ({_signed(shown.gain)} bits per byte)"
        return f"By the means alone {means}; no interval: {best.reported_note}."
    says = "lies below zero, though not every other setting's does" if best.verdict == "loses" else "holds zero"
    return (
        f"Undecided: {best.strategy} is the best{' on validation files' * best.on_test}, {_signed(shown.gain)} bits per"
        f" byte{' on test files' * best.on_test}, and its interval ({_signed(shown.low)} to {_signed(shown.high)})"
        f" {says}{_price(best, less)}."
    )


def _cell(gain: Gain, less: TrainedLess | None) -> GainCell:
    shown = gain.reported
    interval = "" if shown.low is None else f"{_signed(shown.low)} to {_signed(shown.high)}"
    lines = ""
    if gain.lines:
        lines = f"{gain.lines:.2f} lines a prompt"
    elif gain.lines is not None and gain.leaking_high is not None:
        lines = f"no line; {Zero(gain.leaking_high, gain.fit).text}"
    return GainCell(
        _number(shown.together),
        "" if shown.gain is None else _signed(shown.gain),
        interval,
        lines,
        gain.verdict,  # type: ignore[arg-type]
        less.text if less and gain.lines == 0.0 else "",
    )


def _price(gain: Gain, less: Mapping[str, TrainedLess]) -> str:
    if gain.lines is None:
        return ""
    if gain.lines == 0.0:
        bound = [] if gain.leaking_high is None else [Zero(gain.leaking_high, gain.fit).text]
        worth = "; ".join([*bound, *([less[gain.strategy].text] if gain.strategy in less else [])])
        return f"; none of its own lines was given away{f' ({worth})' if worth else ''}"
    return f"; it gives away {gain.lines:.2f} of its lines a prompt"


def _chosen(gains: Sequence[Gain]) -> str:
    return "the setting that is best on validation files" if any(g.on_test for g in gains) else "the best setting"


def _best(best: dict[str, Gain | None], name: str) -> Gain:
    found = best[name]
    assert found is not None
    return found


def _share(some: Sequence[str], all_of: Sequence[str]) -> str:
    if len(some) == len(all_of) > 1:
        return f"all {counted(len(some), 'organization')} gain" if len(some) > 2 else "both organizations gain"
    return f"{listed(some)} {_verb(some, 'gains', 'gain')}"


def _verb(names: Sequence[str], one: str, several: str) -> str:
    return one if len(names) == 1 else several


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:+.3f}".replace("-", "−") if round(value, 3) else "0.000"
