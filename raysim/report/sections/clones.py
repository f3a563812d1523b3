"""What the report says of clones before training."""

from raysim.analysis.results import RunResults
from raysim.measures.base import Section


def section(results: RunResults) -> Section:
    """The section of the report on who shares what, before any training; its figure is ``clones``."""
    del results
    return Section("clones", "Before training: who shares what", "Before training", 800, template="clones.html.j2")
