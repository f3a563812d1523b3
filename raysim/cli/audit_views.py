"""How the verdicts of `raysim audit` look in a terminal."""

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from raysim.analysis.audit import AuditReport, Proportion


def audit_view(found: "AuditReport") -> RenderableType:
    """A row an owner, and where tables and report are."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("owner", "verdict", "lines a prompt", "of its prompts", "of held-out ones", "membership"):
        table.add_column(column, overflow="fold")
    for corpus in found.corpora:
        membership = corpus.membership
        table.add_row(
            corpus.organization,
            f"{corpus.verdict}: {corpus.why}" if corpus.why else corpus.verdict,
            "–" if corpus.lines is None else f"{corpus.lines:.2f}",
            _share(corpus.leaking),
            _share(corpus.control),
            "not measured" if membership is None else f"{membership.verdict} {membership.why}".strip(),
        )
    return Group(table, Text(""), Text(f"Tables and report: {found.folder}", no_wrap=True, overflow="ignore"))


def _share(share: "Proportion | None") -> str:
    return "–" if share is None else f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"
