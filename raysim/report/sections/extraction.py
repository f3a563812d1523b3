"""What the report says of extraction: passages of training sequences that models recite, and whose lines come out."""

from raysim.analysis import attribution, extraction
from raysim.analysis.results import RunResults
from raysim.measures.base import Section


def section(results: RunResults) -> Section:
    """The section of the report on extraction."""
    asked = "measure", "memorization", "extraction"
    values = {
        "extraction": extraction.extraction_rows(results),
        "lengths": extraction.lengths(results),
        "shown_samples": extraction.SHOWN_SAMPLES,
        "passages": extraction.num_passages(results),
        "place": results.run.setting(*asked, "place"),
        "asked": results.run.setting(*asked, "passages"),
        "origins": [(row, lines) for row, lines in attribution.origins(results) if lines],
    }
    return Section("extraction", "Extraction", "Extraction", 300, template="extraction.html.j2", values=values)
