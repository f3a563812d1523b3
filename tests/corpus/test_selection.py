"""Files are wanted or counted, by ending or as excluded; what nobody would call code is neither."""

from pathlib import Path

from raysim.corpus.corpus import Drop
from raysim.corpus.reading import DropCounter
from raysim.corpus.selection import Selection, size_of, was_read


def test_what_is_not_wanted_is_counted_when_all_is_seen() -> None:
    counter = DropCounter()
    with Selection(["**/*.py"], ["old/**"], counter) as selection:
        names = [
            "a.py",
            "old/b.py",
            "old/c.txt",
            "d.txt",
            "e/.txt",
            "__pycache__/f.pyc",
            "g/Makefile",
            "h.the secret plan",
        ]
        assert [name for name in names if selection.takes(name, lambda: 3)] == ["a.py"]
        assert not selection.takes("gone.txt", lambda: None)
        assert counter.drops() == (Drop("left out by exclude", 1, 3),)
    assert counter.drops()[1:] == (
        Drop("not matched by include: no ending", 2, 6),
        Drop("not matched by include: .txt", 1, 3),
        Drop("not matched by include: other endings", 1, 3),
    )


def test_what_nobody_asked_for_was_not_read() -> None:
    counter = DropCounter()
    with Selection(["*.py"], ["old*"], counter) as selection:
        assert [selection.takes(path, lambda: 7) for path in ("a.py", "b.so", "old.py")] == [True, False, False]
    reasons = [drop.reason for drop in counter.drops()]
    assert len(reasons) == 2
    assert not any(was_read(given) for reason in reasons for given in (reason, f"held out: {reason}"))
    assert all(map(was_read, ("over the limit", "empty", "held out: empty", "a line over 1000 characters")))


def test_a_size_is_that_of_a_file_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("abc")
    assert (size_of(tmp_path / "a"), size_of(tmp_path / "b")) == (3, None)
