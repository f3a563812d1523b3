"""The scores of a setting: what the scoreboards of report and terminal show of its final models, each in one place.

A score more is an entry of `SCORES`; it then has a column in the report of a run, of a sweep and in the terminal as far
as it says so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from raysim.measures.perplexity import perplexity


@dataclass(frozen=True)
class Score:
    """One number of a setting.

    Attributes:
        name: of the measure, as in `raysim.analysis.results.MEASURES`.
        heading: of its column in the report of a run.
        detail: below the heading.
        better: sign of what is better; 0: neither.
        short: heading in the terminal; empty: it has no column there.
        swept: heading and detail in the report of a sweep; None: it has no column there.
        swept_short: heading in the terminal for a sweep; empty: it has no column there.
        digits: behind the decimal point.
        scale: that values are multiplied by.
        unit: behind the number.
        transform: of values, before they are shown.
        spread: what stands below a mean: ranges over seeds and orders, or Wilson's interval of a share.
        bar: whether a bar shows its part of the largest.
        folded: whether the report of a run shows it behind a click: it says nearly what one that is shown says.
        value: ``(RunResults, key of a model) -> float | None``, for a score that `RunResults` does not have anyway.
    """

    name: str
    heading: str
    detail: str
    better: Literal[-1, 0, 1]
    short: str = ""
    swept: tuple[str, str] | None = None
    swept_short: str = ""
    digits: int = 2
    scale: float = 1.0
    unit: str = ""
    transform: Callable[[float], float] = float
    spread: Literal["ranges", "wilson"] = "ranges"
    bar: bool = False
    folded: bool = False
    value: Callable[[Any, str], float | None] | None = None


def _share(name: str, heading: str, detail: str, better: Literal[-1, 0, 1], short: str, **more: Any) -> Score:
    return Score(name, heading, detail, better, short, digits=1, scale=100.0, unit=" %", **more)


SCORES: tuple[Score, ...] = (
    Score(
        "bits_per_byte",
        "Bits per byte",
        "joint validation; lower is better",
        -1,
        "Bits/byte",
        ("Bits per byte", "joint validation"),
        "Bits/byte",
        digits=3,
    ),
    Score(
        "test_bits_per_byte",
        "Test",
        "bits per byte; nothing is chosen on it",
        0,
        "Test",
        ("Test", "bits per byte; nothing is chosen on it"),
        "Test",
        digits=3,
    ),
    Score(
        "log_perplexity",
        "Perplexity",
        "of a token; lower is better",
        -1,
        "Perplexity",
        ("Perplexity", "of a token"),
        transform=perplexity,
    ),
    _share("accuracy", "Next token", "ranked first", 1, "Next token", swept=("Next token", "ranked first")),
    _share("parses", "Parses", "function samples", 1, "Parses"),
    _share(
        "passes",
        "pass@1",
        "solutions that pass",
        1,
        "pass@1",
        swept=("pass@1", "of the solutions"),
        swept_short="pass@1",
    ),
    Score(
        "exclusive",
        "Exclusive lines",
        "one owner's alone, a prompt",
        -1,
        "Exclusive",
        ("Exclusive lines", "one owner's, a prompt"),
        "Exclusive",
        bar=True,
    ),
    Score(
        "renamed",
        "Under any names",
        "exclusive lines, a prompt",
        -1,
        swept=("Under any names", "exclusive lines, a prompt"),
        folded=True,
    ),
    Score("ratio", "Covered lines", "of anybody, a prompt", -1, folded=True),
    Score(
        "ratio_eligible",
        "Covered, eligible",
        "an eligible prompt",
        -1,
        swept=("Covered lines", "an eligible prompt"),
        folded=True,
    ),
    _share(
        "matched_share",
        "Samples matched",
        "with a covered line; 95 % Wilson interval",
        -1,
        "Matched",
        swept=("Matched", "of the samples; 95 %"),
        swept_short="Matched",
        spread="wilson",
    ),
    Score("fragments", "Fragments", "distinct, at equal samples", -1, digits=1, folded=True),
)
"""In the order of the columns."""
