"""Every file below a folder once, however links lead to it."""

import os
from pathlib import Path

import pytest

from raysim.corpus.folders import walk
from raysim.corpus.reading import DropCounter


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def walked(root: Path, *skipped: str) -> list[str]:
    counter = DropCounter()
    found = [path for path, _ in walk(root, counter, skip=lambda folder: folder in skipped)]
    assert counter.drops() == ()
    return sorted(found)


def test_folders_may_be_skipped(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "b/c.py", "b/d/e.py", "f/g.py")
    assert walked(tmp_path) == ["a.py", "b/c.py", "b/d/e.py", "f/g.py"]
    assert walked(tmp_path, "b/d", "f") == ["a.py", "b/c.py"]


def test_a_linked_folder_is_entered_if_it_is_new(tmp_path: Path) -> None:
    write(tmp_path, "org/a/x.py", "disk/y.py")
    (tmp_path / "org/b").symlink_to(tmp_path / "org/a")
    (tmp_path / "org/up").symlink_to(tmp_path)
    (tmp_path / "org/self").symlink_to(tmp_path / "org/self")
    (tmp_path / "org/one").symlink_to(tmp_path / "disk")
    (tmp_path / "org/two").symlink_to(tmp_path / "disk")
    assert walked(tmp_path / "org") == ["a/x.py", "one/y.py", "self"]


def test_dead_links_are_there_to_be_counted_and_pipes_are_not(tmp_path: Path) -> None:
    write(tmp_path, "a.py")
    (tmp_path / "dead.py").symlink_to(tmp_path / "gone.py")
    os.mkfifo(tmp_path / "pipe.py")
    assert walked(tmp_path) == ["a.py", "dead.py"]


def test_a_folder_that_cannot_be_listed_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.py", "closed/b.py")
    scandir = os.scandir

    def refused(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    counter = DropCounter()
    assert [path for path, _ in walk(tmp_path, counter)] == ["a.py"]
    assert [(drop.reason, drop.files) for drop in counter.drops()] == [("unreadable folder: Permission denied", 1)]
