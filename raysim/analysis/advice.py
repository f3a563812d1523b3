"""Advice: which setting under which mitigation an organization should join, by its own files and its own lines.

The rule is one a reader can check: of all that cost at most a margin more than the least loss that the organization can
have on its own files, the one that gives away the fewest of its lines; where nothing beats training alone, that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import pyarrow as pa

from raysim.analysis.front import Choice
from raysim.analysis.gains import Gain, gains
from raysim.analysis.sweep import SweepResults
from raysim.mitigations.registry import BASELINE
from raysim.tables.io import schema


@dataclass(frozen=True)
class OwnChoice:
    """A setting under a mitigation as one organization sees it; see the table `front_owners` for the fields."""

    organization: str
    mitigation: str
    strategy: str
    bits_per_byte: float | None
    gain: float | None
    low: float | None
    high: float | None
    lines: float | None
    leaking: float | None
    leaking_high: float | None
    affordable: bool = False
    recommended: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Advice:
    """What an organization is advised.

    Attributes:
        choice: that is recommended; None: to train alone, or nothing can be said.
        reason: in a sentence.
    """

    organization: str
    choice: OwnChoice | None
    reason: str


def own_choices(sweep: SweepResults, found: Iterable[Choice]) -> list[OwnChoice]:
    """Every organization in every setting under every mitigation that concerns it, with what it is advised.

    Args:
        sweep: the experiment as it is, and under mitigations.
        found: its choices.
    """
    concerned = {(one.mitigation, one.strategy) for one in found if one.changed or one.mitigation == BASELINE}
    gained = {point.name: gains(results) for point, results in sweep.begun} if concerned else {}
    plain = {gain.organization: gain for gain in gained.get(BASELINE, ())}
    rows = [
        _own_choice(name, gain, plain.get(gain.organization))
        for name, of_point in gained.items()
        for gain in of_point
        if (name, gain.strategy) in concerned
    ]
    margin = margin_of(sweep)
    organizations = list(dict.fromkeys(row.organization for row in rows))
    return [
        row for name in organizations for row in _advised([row for row in rows if row.organization == name], margin)
    ]


def margin_of(sweep: SweepResults) -> float:
    """Bits per byte over the least loss that count as affordable: those by which F1 says that a loss is another."""
    return sweep.begun[0][1].findings_settings.F1.margin if sweep.begun else 0.0


def advice(rows: Iterable[OwnChoice]) -> list[Advice]:
    """What each organization is advised, in a sentence."""
    by_organization: dict[str, list[OwnChoice]] = {}
    for row in rows:
        by_organization.setdefault(row.organization, []).append(row)
    return [_advice(name, own) for name, own in by_organization.items()]


def advice_table(rows: Iterable[OwnChoice]) -> pa.Table:
    """The table `front_owners` of these rows."""
    return pa.Table.from_pylist([asdict(row) for row in rows], schema("front_owners"))


def _own_choice(mitigation: str, gain: Gain, plain: Gain | None) -> OwnChoice:
    """A row of an organization; `plain` is any of it without a mitigation: that is how it would train alone."""
    shown = gain.reported
    if mitigation != BASELINE:
        alone = plain.reported.alone if plain and plain.files == gain.files else None
        more = None if alone is None or shown.together is None else alone - shown.together
        shown = replace(shown, alone=alone, gain=more, low=None, high=None)  # no seeds and files are paired here
    return OwnChoice(
        organization=gain.organization,
        mitigation=mitigation,
        strategy=gain.strategy,
        bits_per_byte=shown.together,
        gain=shown.gain,
        low=shown.low,
        high=shown.high,
        lines=gain.lines,
        leaking=gain.leaking,
        leaking_high=gain.leaking_high,
    )


def _advised(rows: Sequence[OwnChoice], margin: float) -> list[OwnChoice]:
    """The rows of one organization, of which one at most is recommended."""
    known = [row for row in rows if row.bits_per_byte is not None and row.lines is not None]
    if not known:
        return list(rows)
    least = min(known, key=_loss)
    affordable = [row for row in known if _loss(row) <= _loss(least) + margin]
    # Alone an organization gives nothing away: what does not model its files better is not worth joining.
    gaining = [row for row in affordable if row.gain is None or row.gain > 0]
    best = min(gaining, key=lambda row: (row.lines, _loss(row)), default=None)
    found = []
    for row in rows:
        row = replace(row, affordable=row in affordable)
        if best and (row.mitigation, row.strategy) == (best.mitigation, best.strategy):
            row = replace(row, recommended=True, reason=_reason(best, least, rows))
        found.append(row)
    return found


def _reason(best: OwnChoice, least: OwnChoice, rows: Sequence[OwnChoice]) -> str:
    """Why `best`: what it gives away, beside the same setting without a mitigation, and what it costs."""
    parts = [f"{best.lines:.2f} exclusive lines a prompt"]
    plain = next((r for r in rows if (r.mitigation, r.strategy) == (BASELINE, best.strategy)), None)
    if plain and plain is not best and plain.lines is not None and best.mitigation != BASELINE:
        parts[0] += f" in place of {plain.lines:.2f} without a mitigation"
    more = _loss(best) - _loss(least)
    parts.append("the least loss of all" if more <= 0 else f"{more:.3f} bits per byte over the least loss")
    if best.gain is not None:
        unsure = ", of which there is no interval" if best.low is None else ", which may be chance"
        doubt = "" if best.low is not None and best.low > 0 else unsure
        parts.append(f"{best.gain:+.3f} over training alone as it is{doubt}")
    return "; ".join(parts)


def _advice(name: str, rows: Sequence[OwnChoice]) -> Advice:
    chosen = next((row for row in rows if row.recommended), None)
    if chosen:
        return Advice(name, chosen, chosen.reason)
    if any(row.affordable for row in rows):
        return Advice(name, None, "alone: no setting within the margin models its files better than its own model does")
    return Advice(name, None, "losses or leaked lines were not measured")


def _loss(row: OwnChoice) -> float:
    return row.bits_per_byte if row.bits_per_byte is not None else float("inf")
