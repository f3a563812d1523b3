"""A methods paragraph that a paper can quote: what a run did, from its manifest and its tables alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from raysim.analysis.results import RunResults
from raysim.report.methods.data import data_sentences
from raysim.report.methods.measuring import measuring_sentences
from raysim.report.methods.training import training_sentences


def methods(results: RunResults, findings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Paragraphs on data, training and measurement, with the rows of `findings`. What was not done is not mentioned."""
    parts = (data_sentences(results), training_sentences(results), measuring_sentences(results, findings))
    return [" ".join(sentences) for sentences in parts if sentences]


def methods_page(results: RunResults) -> str:
    """The same as a page of Markdown, of a run whose report is written."""
    return "\n\n".join(["# Methods", *methods(results, results.run.table("findings").to_pylist())]) + "\n"
