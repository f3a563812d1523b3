"""What the report says of memorization by owner: whose code is given away."""

from raysim.analysis.results import RunResults
from raysim.measures.base import Section
from raysim.report.sections.overview import why_no_owners


def section(results: RunResults) -> Section:
    """The section of the report on whose code each model gives away; its figure is ``owners``."""
    why = {"why": why_no_owners(results)}
    return Section("owners", "Whose code is given away", "Whose code", 200, template="owners.html.j2", values=why)
