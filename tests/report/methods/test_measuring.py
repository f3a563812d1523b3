"""Sentences on measures, statistics and software."""

from pathlib import Path

from described import text_of, unchanged, with_experiment
from measured_tables import audited, counted, held_against, recited, solved

MEASURES = (
    "Effectiveness",
    "Memorization",
    "Extraction",
    "Recital",
    "Exposure",
    "Membership",
    "correctness",
    "uploads",
)


def test_measures_that_were_not_taken_are_not_mentioned(tmp_path: Path) -> None:
    text = text_of(with_experiment(tmp_path / "run", unchanged, memorization=False, perplexity=False))
    assert [word for word in (*MEASURES, "contrasts", "Margins", "95") if word in text] == []
    results = with_experiment(tmp_path / "all", unchanged, files=12)
    solved(counted(held_against(audited(results.run.path))))
    whole = text_of(recited(results.run.path))
    assert [word for word in (*MEASURES, "contrasts", "Margins", "95 %") if word not in whole] == []
    assert "Holm" not in whole  # with one seed nothing is tested
