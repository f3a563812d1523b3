"""What the page says of predictions."""

import re
from pathlib import Path
from typing import Any

from raysim.analysis.predictions import predictions_table
from raysim.analysis.results import RunResults
from raysim.report.run_page import write_run_page
from raysim.report.sections.predictions import Predictions, predictions
from raysim.tables.io import read_table
from raysim.tables.results import open_run


def rows_of(run: Path) -> list[dict[str, Any]]:
    return predictions_table(RunResults(open_run(run))).to_pylist()


def section(run: Path) -> Predictions | None:
    results = RunResults(open_run(run))
    return predictions(results, predictions_table(results).to_pylist())


def test_the_section_by_hand(run: Path) -> None:
    """The bound of final models that were not trained on an owner, and shares of prompts by places, over all."""
    found = section(run)
    assert found is not None
    finals = {row["model"] for row in read_table(run, "models").to_pylist() if row["final"]}
    rows = [
        row for row in {(r["model"], r["organization"]): r for r in rows_of(run)}.values() if row["model"] in finals
    ]
    apart = [row for row in rows if row["trained"] is False]
    bound, measured, seen = (sum(row[n] for row in apart) / len(apart) for n in ("bound", "measured", "foreseen"))
    assert (
        f"could on average have seen {100 * bound:.1f} % in others' code ({100 * max(r['bound'] for r in apart):.1f} %"
        in found.bound
    )
    assert f"{100 * measured:.2f} % were given away, and {100 * (1 - seen / measured):.1f} % of that" in found.bound
    together = [row for row in rows if not row["organization"]]
    for number, name in enumerate(("nowhere", "there once", "there more often")):
        share = sum(r[f"given_{number}"] for r in together) / sum(r[f"prompts_{number}"] for r in together)
        assert re.search(
            rf"{100 * share:.1f} % \([^)]*\) of the prompts whose continuation stands {name}", found.copies
        )
    assert "copies predict what is given away" in found.copies
    singles = [row for row in found.rows if row.label.startswith("single")]
    assert len(singles) == 3
    assert all(row.cells[0].text != "–" for row in singles)
    (central,) = (row for row in found.rows if row.label == "centralized")
    assert [cell.text for cell in central.cells[:4]] == ["–"] * 4  # trained on all: no bound, and every place is seen


def test_one_model_has_wilsons_interval_of_its_prompts(run: Path) -> None:
    """Of a setting with one model: 95 % score interval of k of n, from its formula."""
    found = section(run)
    assert found is not None
    (central,) = (row for row in found.rows if row.label == "centralized")
    model = next(
        r["model"] for r in read_table(run, "models").to_pylist() if r["strategy"] == "centralized" and r["final"]
    )
    row = next(r for r in rows_of(run) if r["model"] == model and not r["organization"])
    n, p, z = row["prompts_1"], row["given_1"] / row["prompts_1"], 1.959964
    half = z * (p * (1 - p) / n + z * z / 4 / n / n) ** 0.5
    low, high = ((p + z * z / 2 / n + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    assert central.cells[4].spread == f"{100 * low:.1f}–{100 * high:.1f} %\n{n} prompts"


def test_nothing_was_measured(build_run: Any) -> None:
    folder = build_run(memorization=False)
    assert rows_of(folder) == []
    assert section(folder) is None
    assert "Nothing was predicted of the models of this run" in write_run_page(folder).read_text(encoding="utf-8")


def test_nothing_was_given_away(build_run: Any) -> None:
    found = section(build_run(leak=0.0))
    assert found is not None
    assert "none of them was given away" in found.bound
    assert "none was given away, so there is nothing to rank" in found.copies


def test_there_are_no_copies(run: Path) -> None:
    results = RunResults(open_run(run))
    places = results.run.table("copies").to_pylist()
    owners = {row["prompt"]: row["organization"] for row in results.run.table("prompts").to_pylist()}
    alone = [row | {"places": int(row["organization"] == owners[row["prompt"]])} for row in places]
    results.run._tables["copies"] = results.run.table("copies").from_pylist(alone, results.run.table("copies").schema)
    found = predictions(results, predictions_table(results).to_pylist())
    assert found is not None
    assert found.duplicates.endswith("there are no copies to rank by: each continuation stands once.")


def test_nothing_is_shared(run: Path) -> None:
    results = RunResults(open_run(run))
    rows = predictions_table(results).to_pylist()
    apart = [row | {"bound": 0.0, "foreseen": 0.0} if row["trained"] is False else row for row in rows]
    found = predictions(results, apart)
    assert found is not None
    assert found.bound.startswith("No line of an organization stands in the code that a final model without it")
    assert "% were given away, and 100.0 % of that had not been seen there" in found.bound


def test_every_model_was_trained_on_everything(run: Path) -> None:
    results = RunResults(open_run(run))
    results.reached_models = [point for point in results.reached_models if len(point.organizations) == 3]
    found = predictions(results, predictions_table(results).to_pylist())
    assert found is not None
    assert "nothing was predicted of what others give away; add `single`" in found.bound


def test_the_page_shows_it(run: Path) -> None:
    text = write_run_page(run).read_text(encoding="utf-8")
    found = section(run)
    assert found is not None
    assert found.duplicates in text
    assert text.count('id="predictions"') == 1
