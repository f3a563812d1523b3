"""Classes of clones beside brute force over places."""

from pathlib import Path

from raysim.scan.clone_classes import clone_classes
from raysim.scan.command import Input, Lexing, run_clones
from raysim.scan.matches import Match, Owner
from raysim.scan.reading import Reader

FRAGMENT = [f"value_{number} = {number}\n" for number in range(6)]


def test_all_places_of_a_fragment_are_together(tmp_path: Path) -> None:
    """Three owners have it, one of them twice; another fragment is in two places."""
    other = [f"call({number})\n" for number in range(4)]
    files = {
        "acme/a.py": FRAGMENT,
        "acme/b.py": ["x = 1\n", *FRAGMENT],
        "beta/c.py": [*FRAGMENT, "y = 2\n", *other],
        "gamma/d.py": ["z = 3\n", *FRAGMENT],
        "gamma/e.py": other,
    }
    for name, lines in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(lines))
    owners = [f"{name}={tmp_path / name}" for name in ("acme", "beta", "gamma")]
    found = run_clones(owners, Input(None, "content"), 3, Reader(), Lexing()).found["classes"]
    assert [(one["lines"], one["count"]) for one in found] == [(6, 4), (4, 2)]
    places = {(place["org"], place["path"], place["start"]) for place in found[0]["places"]}
    assert places == {("acme", "a.py", 1), ("acme", "b.py", 2), ("beta", "c.py", 1), ("gamma", "d.py", 2)}


def test_places_that_no_match_names_are_counted() -> None:
    matches = [("a", Match("x.py", 1, 6, 6, (Owner("b", "y.py", 3, 5),)))]
    (found,) = clone_classes(matches)
    assert found.places == (("a", "x.py", 1), ("b", "y.py", 3))
    assert found.count == 6


def test_a_fragment_within_a_longer_one_is_a_class_of_its_own() -> None:
    owners = (Owner("b", "y.py", 1, 1),)
    matches = [("a", Match("x.py", 1, 9, 9, owners)), ("a", Match("z.py", 1, 5, 5, owners))]
    assert [one.length for one in clone_classes(matches)] == [9, 5]
