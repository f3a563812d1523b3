"""What the report says of memorization by owner: whose code is given away."""

from raysim.analysis.results import RunResults
from raysim.measures.base import Section
from raysim.report.sections.overview import NUM_OPEN, evidence, why_no_owners


def section(results: RunResults) -> Section:
    """The section of the report on whose code each model gives away; beside the longest matches; its figure is
    ``owners``."""
    values = {"why": why_no_owners(results), "evidence": evidence(results)[:NUM_OPEN]}
    title = "Whose code is given away"
    return Section("owners", title, "Whose code", 40, template="owners.html.j2", values=values, front=True)
