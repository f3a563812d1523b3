"""What the report says of memorization by owner: whose code is given away."""

from raysim.analysis.results import RunResults
from raysim.measures.base import Section


def section(results: RunResults) -> Section:
    """The section of the report on whose code each model gives away; its figure is ``owners``."""
    del results
    return Section("owners", "Whose code is given away", "Whose code", 200, template="owners.html.j2")
