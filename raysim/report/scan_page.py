"""What `raysim scan` and `raysim clones` found, as a page."""

from collections.abc import Mapping, Sequence
from typing import Any

from raysim.report.page import render_page


def scan_page(
    command: str,
    unit: str,
    found: Mapping[str, Any],
    excerpts: Sequence[Mapping[str, Any]],
    facts: Mapping[str, str],
) -> str:
    """The page, as text.

    Args:
        command: ``scan`` or ``clones``.
        unit: what was counted: lines or tokens.
        found: the JSON of the command; ``left_out``: by corpus what was left out and why.
        excerpts: the longest matches: ``file, start, lines, owners, ours, theirs, left_out``.
        facts: when and how it was made, and what came of it, by what each is called.
    """
    names = list(dict.fromkeys(pair["org"] for pair in found.get("pairs", ())))
    pairs = {(pair["org"], pair["other"]): pair for pair in found.get("pairs", ())}
    return render_page(
        "scan.html.j2",
        {},
        manifest={"name": f"raysim {command}"},
        command=command,
        unit=unit,
        facts=facts,
        share=found["totals"]["share"],
        num_units=found["totals"][f"significant_{unit}"],
        totals=found["totals"],
        num_matches=len(found["matches"]),
        names=names,
        pairs=pairs,
        excerpts=excerpts,
        left_out=found.get("left_out"),
    )
