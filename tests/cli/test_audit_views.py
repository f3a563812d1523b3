import io

from rich.console import Console

from raysim.analysis.audit import AuditReport, CorpusVerdict, MembershipVerdict, Proportion
from raysim.cli.audit_views import audit_view


def test_a_row_an_owner() -> None:
    corpora = [
        CorpusVerdict(
            organization="acme",
            prompts=200,
            lines=1.25,
            leaking=Proportion(value=0.5, low=0.4, high=0.6, trials=90),
            control=Proportion(value=0.0, low=0.0, high=0.04, trials=90),
            membership=MembershipVerdict(members=9, non_members=9, verdict="refused", why="9 are too few"),
            verdict="gives code away",
            why="50% of its prompts against 0% of held-out ones",
        ),
        CorpusVerdict(organization="other", prompts=0, verdict="refused", why="no prompt"),
    ]
    text = io.StringIO()
    Console(file=text, width=200).print(audit_view(AuditReport(model="m", folder="runs/audit", corpora=corpora)))
    shown = " ".join(text.getvalue().split())
    assert "acme gives code away: 50% of its prompts" in shown
    assert "1.25 50.0% (40.0% to 60.0%) 0.0% (0.0% to 4.0%) refused 9 are too few" in shown
    assert "other refused: no prompt – – – not measured" in shown
    assert "Tables and report: runs/audit" in shown
