"""What was predicted beside what was measured, against the plainest reading of the tables."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from raysim.analysis.predictions import predictions_table
from raysim.analysis.results import RunResults
from raysim.tables.io import read_table
from raysim.tables.results import open_run


def by_hand(run: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Counts and areas of each model and organization, one row of a table after the other."""
    prompts = {row["prompt"]: row for row in read_table(run, "prompts").to_pylist()}
    copies: dict[str, dict[str, int]] = {}
    for row in read_table(run, "copies").to_pylist():
        copies.setdefault(row["prompt"], {})[row["organization"]] = row["places"]
    members = {row["model"]: row["organizations"] for row in read_table(run, "models").to_pylist()}
    given: dict[tuple[str, str], bool] = {}
    for row in read_table(run, "samples").to_pylist():
        if row["owner"] == prompts[row["prompt"]]["organization"]:
            place = row["model"], row["prompt"]
            given[place] = given.get(place, False) or row["covered"] > 0
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for model, organization in itertools.product(members, ["", *copies[next(iter(copies))]]):
        items = [
            (sum(copies[prompt][name] for name in members[model]), taken)
            for (of, prompt), taken in given.items()
            if of == model
            and prompt in copies
            and prompts[prompt]["kind"] != "held_out"
            and organization in ("", prompts[prompt]["organization"])
        ]
        pairs = [
            (a > b) + (a == b) / 2 for (a, one), (b, other) in itertools.product(items, repeat=2) if one and not other
        ]
        counts = {}
        for number in range(3):
            inside = [taken for places, taken in items if min(places, 2) == number]
            counts |= {f"prompts_{number}": len(inside), f"given_{number}": sum(inside)}
        found[model, organization] = {**counts, "auc": sum(pairs) / len(pairs) if pairs else None}
    return found


def rows_of(run: Path) -> list[dict[str, Any]]:
    return predictions_table(RunResults(open_run(run))).to_pylist()


def test_every_number_is_what_the_tables_say(run: Path) -> None:
    expected, rows = by_hand(run), rows_of(run)
    assert {(row["model"], row["organization"]) for row in rows} == expected.keys()
    assert len(rows) == read_table(run, "models").num_rows * 4
    for row in rows:
        for name, value in expected[row["model"], row["organization"]].items():
            assert row[name] == pytest.approx(value), name
        if row["low"] is not None:
            assert 0 <= row["low"] <= row["auc"] <= row["high"] <= 1
    assert any(row["low"] is not None for row in rows)


def test_shares_of_lines_are_those_of_the_emissions(run: Path) -> None:
    emissions = {(row["model"], row["owner"]): row for row in read_table(run, "emissions").to_pylist()}
    members = {row["model"]: row["organizations"] for row in read_table(run, "models").to_pylist()}
    for row in rows_of(run):
        if row["organization"]:
            counted = emissions[row["model"], row["organization"]]
            assert row["trained"] == (row["organization"] in members[row["model"]])
            for name, source in (("bound", "seen"), ("measured", "emitted"), ("foreseen", "foreseen")):
                assert row[name] == counted[source] / counted["lines"]
        else:
            assert row["trained"] is None
            assert row["bound"] is None
