"""The overlap report for people, of numbers made up here."""

from typing import Any

from printed import printed, rows
from rich.console import Group

from raysim.cli.overlap_views import overlap_views
from raysim.tables.names import OTHERS, PUBLIC


def clone(organization: str, other: str, covered: int) -> dict[str, Any]:
    return {"organization": organization, "other": other, "lines": 40, "covered": covered}


def bound(organization: str, others: list[str], seen: int, public: int) -> dict[str, Any]:
    return {"organization": organization, "others": others, "lines": 40, "seen": seen, "public": public}


def policy(organization: str, across: str, files: int) -> dict[str, Any]:
    sizes = {"files": files, "of_files": 8, "bytes": 25 * files, "of_bytes": 200}
    return {"organization": organization, "across": across, "match": "near", **sizes}


FOUND: dict[str, Any] = {
    "min_lines": 6,
    "clones": [clone(a, b, number) for number, (a, b) in enumerate([("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")])],
    "bounds": [bound("a", ["b"], 10, 4), bound("b", ["a"], 20, 0)],
    "split_copies": [
        {"organization": "a", "files": 9, "num_bytes": 200, "copies": 1, "near": 2, "others": 2, "copied_bytes": 30},
        {"organization": "b", "files": 0, "num_bytes": 0, "copies": 0, "near": 0, "others": 0, "copied_bytes": 0},
    ],
    "policies": [policy("a", "first_owner", 2), policy("a", "drop", 4), policy("b", "first_owner", 0),
                 policy("b", "drop", 1)],
    "prompts": {"a": {"asked": 11, "short": 2, "everywhere": [1, 5, 3], "elsewhere": [4, 3, 2]}},
}  # fmt: skip


def shown(organizations: tuple[str, ...] = ("a", "b"), across: str = "keep", **changes: Any) -> str:
    deduplication = {"across": across, "match": "near"}
    inspected = {"xray": FOUND | changes, "organizations": dict.fromkeys(organizations), "deduplication": deduplication}
    return printed(Group(*overlap_views(inspected)))


def test_who_shares_what_is_a_row_an_owner() -> None:
    assert ["a", "0 (0.0%)", "1 (2.5%)"] in rows(shown())
    assert ["b", "2 (5.0%)", "3 (7.5%)"] in rows(shown())
    assert PUBLIC not in shown()


def test_public_code_has_a_column_where_there_is_some() -> None:
    public = [clone("a", PUBLIC, 8), clone("b", PUBLIC, 40)]
    text = shown(clones=FOUND["clones"] + public)
    assert PUBLIC in text
    assert ["b", "2 (5.0%)", "3 (7.5%)", "40 (100.0%)"] in rows(text)


def test_bounds_are_shown_for_each_other_and_for_all() -> None:
    assert ["a", "", "10 (25.0%)", "10 (25.0%)", "4"] in rows(shown())
    assert ["b", "20 (50.0%)", "", "20 (50.0%)", "0"] in rows(shown())


def test_held_out_copies_are_counted_by_kind_and_by_whom() -> None:
    assert ["a", "9", "1", "2", "2", "15.0%"] in rows(shown())
    assert ["b", "0", "0", "0", "0", ""] in rows(shown())


def test_prompts_are_counted_by_places() -> None:
    assert ["a", "11", "2", "1", "5", "3", "5", "2"] in rows(shown())
    assert "prompts" not in shown(prompts={})


def test_policies_are_columns_and_shares_are_of_bytes() -> None:
    assert ["a", "2 of 8 (25.0% of bytes)", "4 of 8 (50.0% of bytes)"] in rows(shown())
    assert ["b", "0 of 8", "1 of 8 (12.5% of bytes)"] in rows(shown())
    assert "In force: keep." in shown()
    assert "In force: drop, near;" in shown(across="drop")


def test_one_organization_is_compared_with_nobody() -> None:
    text = shown(("a",), clones=[clone("a", "a", 5)], bounds=[], policies=[], prompts={}, split_copies=[])
    assert rows(text) == [["a", "5 (12.5%)"]]
    assert "In force" not in text


def test_of_very_many_the_first_are_shown_and_sums_over_all() -> None:
    names = [f"o{number:02}" for number in range(60)]
    clones = [
        row
        for name in names
        for row in (clone(name, name, 2), clone(name, OTHERS, 0), clone(name, "o02" if name == "o01" else "o01", 0))
    ]
    clones[4] |= {"covered": 8}  # o01 with all others
    clones[3 * 7 + 1] |= {"covered": 10}
    clones[3 * 7 + 2] |= {"covered": 6}
    copies = [FOUND["split_copies"][0] | {"organization": name} for name in names]
    text = shown(tuple(names), clones=clones, split_copies=copies)
    found = rows(text)
    assert ["o07", "2 (5.0%)", "10 (25.0%)", "", "o01 6"] in found
    assert ["o01", "2 (5.0%)", "8 (20.0%)", "", ""] in found
    assert sum(row[0].startswith("o") and len(row) == 5 for row in found) == 20
    assert ["training lines that others hold, too", "18 (0.8%)", "2,400"] in found
    assert ["organizations that share a line", "2 (3.3%)", "60"] in found
    assert ["held-out files that somebody trains on a copy or near-copy of", "180 (33.3%)", "540"] in found
    assert "In force: keep." in text
