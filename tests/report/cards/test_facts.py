import pytest

from raysim.report.cards.facts import FIGURES, OrganizationRows, agreement, figures, markdown_table, means
from raysim.tables.io import schema


def test_a_table_stays_one_whatever_is_in_it() -> None:
    table = markdown_table(["a|b", "n"], [["x\ny", 1_234], ["<script>\\", True]])
    assert table.splitlines() == ["| a\\|b | n |", "|---|---|", "| x y | 1,234 |", "| &lt;script>\\\\ | True |"]
    assert markdown_table(["a"], []) == ""


def test_what_was_measured_of_nobody_has_no_column() -> None:
    rows = [{"own_lines": 1.25, "exposure": None}, {"own_lines": None, "exposure": None, "own_leaking": 0.125}]
    titles, texts = figures(rows)
    assert titles == ["exclusive lines a prompt", "prompts answered with such a line"]
    assert texts == [["1.250", ""], ["", "12.5%"]]


def test_means_are_of_the_rows_that_have_a_figure() -> None:
    assert means([{"own_lines": 1.0}, {"own_lines": 2.0, "exposure": 3.0}, {"exposure": None}]) == {
        "own_lines": 1.5,
        "exposure": 3.0,
    }


def test_figures_are_columns_of_the_summary() -> None:
    assert {name for name, _, _ in FIGURES} <= set(schema("summary").names)


@pytest.mark.parametrize("share", ["data", "weights"])
def test_an_agreement_is_told_with_what_it_leaves_open(share: str, build_results) -> None:
    results = build_results(memorization=False)
    agreed = {"share": share, "train_on": ["MIT", "0BSD"], "expires": "2027-01-31", "owner": "Jane"}
    results.run.manifest["experiment"] = {"organizations": {"meta": {"agreement": agreed}}}
    told = dict(agreement(results, "meta"))
    assert ("pooled" in told["Sharing"]) == (share == "data")
    assert told["Licences it may be trained on"] == "MIT and 0BSD"
    assert (told["Holds until"], told["Owner"], told["Liability"]) == ("2027-01-31", "Jane", "not stated")
    assert dict(agreement(results, "google"))["Holds until"] == "no day is set"


def test_rows_are_told_apart_by_organization(build_results) -> None:
    rows = OrganizationRows(build_results(memorization=False))
    assert [row["reason"] for row in rows.of("drops", "meta")] == [
        "duplicate of another file",
        "fewer than 5 assignments",
    ]
    assert rows.of("drops", "nobody") == rows.of("redactions", "meta") == []
