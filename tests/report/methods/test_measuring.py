"""Sentences on measures, statistics and software."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    "33 tokens",
)


def test_measures_that_were_not_taken_are_not_mentioned(tmp_path: Path) -> None:
    text = text_of(with_experiment(tmp_path / "run", unchanged, memorization=False, perplexity=False))
    assert [word for word in (*MEASURES, "contrasts", "Margins", "95") if word in text] == []
    results = with_experiment(tmp_path / "all", unchanged, files=12)
    solved(counted(held_against(audited(results.run.path))))
    whole = text_of(recited(results.run.path))
    assert [word for word in (*MEASURES, "contrasts", "Margins", "95 %") if word not in whole] == []
    assert "Holm" not in whole  # with one seed nothing is tested


def test_an_output_filter_is_named(tmp_path: Path) -> None:
    """Counts of covered lines say little without it."""

    def filtered(**settings: object) -> Callable[[dict[str, Any]], None]:
        return lambda raw: raw["measure"]["memorization"].update(output_filter={"lines": 4, **settings})

    text = text_of(with_experiment(tmp_path / "stop", filtered()))
    assert "would have completed 4 consecutive significant lines of any organization's training text was ended" in text
    text = text_of(with_experiment(tmp_path / "resample", filtered(action="resample")))
    assert "training text was drawn anew from the start of that line or ended there" in text
    assert "output filter" not in text_of(with_experiment(tmp_path / "none", unchanged))
