"""The sentence on who gives away most is a function of the table: ties, zeros, one setting, one seed, no range."""

import pytest

from raysim.report.headlines import key_numbers
from raysim.report.who_leaks import Leak, differs_in_tables, leaks_of, who_leaks


def leak(setting: str, mean: float, seeds: int = 5, by: float = 0.1, orders: int = 1) -> Leak:
    by = by if seeds > 1 else 0.0
    return Leak(setting, seeds, orders, mean, mean - by, mean + by, mean - 2 * by, mean + 2 * by)


@pytest.mark.parametrize(
    ("leaks", "text"),
    [
        ([], ""),
        (
            [leak("centralized", 1.34), leak("incremental", 1.53)],
            "Incremental gives away the most: 1.53 exclusive lines a prompt (1.43 to 1.63 over five seeds); next is"
            " centralized with 1.34 (1.24 to 1.44): the ranges overlap, no clear difference.",
        ),
        (
            [leak("a", 1.0), leak("b", 2.0, seeds=3), leak("c", 1.0)],
            "B gives away the most: 2.00 exclusive lines a prompt (1.90 to 2.10 over three seeds); next are a and c"
            " with 1.00: the ranges do not overlap.",
        ),
        (
            [leak("a", 1.0, seeds=1), leak("b", 2.0, seeds=1)],
            "B gives away the most: 2.00 exclusive lines a prompt (one seed); next is a with 1.00. One seed gives no"
            " range, so how sure that is cannot be said.",
        ),
        (
            [leak("a", 0.0, by=0.0), leak("b", 2.0)],
            "B gives away the most: 2.00 exclusive lines a prompt (1.90 to 2.10 over five seeds); no other setting"
            " gives away any.",
        ),
        (
            [leak("a", 2.0), leak("b", 2.004), leak("c", 1.0)],
            "A and b give away the most, 2.00 exclusive lines a prompt each (five seeds); next is c with 1.00 (0.90 to"
            " 1.10): the ranges do not overlap.",
        ),
        ([leak("a", 2.0), leak("b", 2.0)], "All 2 settings give away 2.00 exclusive lines a prompt (five seeds)."),
        (
            [leak("a", 2.0, seeds=1)],
            "A, the only setting measured, gives away 2.00 exclusive lines a prompt (one seed).",
        ),
        (
            [leak("a", 0.0, by=0.0), leak("b", 0.0, by=0.0)],
            "No setting gives away a line that one organization alone owns (five seeds).",
        ),
        (
            [leak("a", 0.004, by=0.0), leak("b", 0.0, by=0.0)],
            "No setting gives away as much as 0.005 exclusive lines a prompt (five seeds).",
        ),
    ],
    ids=["none", "overlap", "apart", "one seed", "others none", "tie", "all alike", "one setting", "zeros", "nearly"],
)
def test_who_gives_away_most(leaks: list[Leak], text: str) -> None:
    assert who_leaks(leaks) == text


def test_those_at_zero_come_after_it() -> None:
    assert who_leaks([leak("a", 2.0)], "No line from b.").endswith("(1.90 to 2.10 over five seeds). No line from b.")


def test_means_over_orders_are_said_with_their_range() -> None:
    assert "; incremental a mean over three orders (0.80 to 1.20). In" in differs_in_tables(
        [leak("incremental", 1.0, orders=3), leak("centralized", 1.0)]
    )
    assert "mean" not in differs_in_tables([leak("centralized", 1.0)])
    assert differs_in_tables([]) == ""


def test_the_setting_is_that_of_the_scoreboard(build_results) -> None:
    results = build_results(prompts=64)
    leaks = leaks_of(results.final_rows())
    (number,) = [number for number in key_numbers(results) if number.name == "Given away"]
    (first,) = [one for one in leaks if number.detail.endswith(f": {one.setting}")]
    text = who_leaks(leaks)
    assert text.startswith(f"{first.setting.capitalize()} gives away the most: {number.value} exclusive lines a prompt")
    assert text.endswith("One seed gives no range, so how sure that is cannot be said.")
    assert leaks_of(build_results(memorization=False).final_rows()) == []
