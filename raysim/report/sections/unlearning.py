"""What the report says of organizations that have gone: what is left of them, and what forgetting cost the others."""

from collections.abc import Sequence

from raysim.analysis.unlearning import Unlearning
from raysim.measures.base import Section, SectionTable


def section(found: Sequence[Unlearning]) -> Section | None:
    """The section, a row an organization that has gone; None where nobody has."""
    if not found:
        return None
    rows = [
        (
            row.strategy,
            row.organization,
            _three(row.lines_before, row.lines_after, row.lines_without, 2),
            _three(row.own_before, row.own_after, row.own_without, 3),
            _three(row.others_before, row.others_after, row.others_without, 3),
        )
        for row in found
    ]
    return Section(
        "unlearning",
        "Unlearning",
        "An organization goes",
        885,
        lead="What a pooled model gives away of an organization, and how well it models code: before it was to forget"
        " the organization, afterwards, and trained again without it, which is what forgetting should come to.",
        tables=[
            SectionTable(
                (
                    "Setting",
                    "Gone",
                    "Exclusive lines of it a prompt: before, after, without",
                    "Bits per byte on its code: before, after, without",
                    "On the others' code: before, after, without",
                ),
                rows,
            )
        ],
        note="A loss on its code far above that of the model without it says that the model was damaged rather than"
        " that it forgot: whoever has both models can tell who has gone.",
    )


def _three(before: float | None, after: float | None, without: float | None, digits: int) -> str:
    return ", ".join("–" if value is None else f"{value:.{digits}f}" for value in (before, after, without))
