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
    found = [file.path for file in walk(root, counter, skip=lambda folder: folder in skipped)]
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


def test_a_folder_is_entered_once_if_a_link_leads_into_it_before_one_that_leads_around_it(tmp_path: Path) -> None:
    write(tmp_path, "org/a.py", "disk/deep/x.py", "disk/deep/er/y.py", "disk/z.py")
    (tmp_path / "org/inner").symlink_to(tmp_path / "disk/deep")
    (tmp_path / "org/outer").symlink_to(tmp_path / "disk")
    assert walked(tmp_path / "org") == ["a.py", "inner/er/y.py", "inner/x.py", "outer/z.py"]


def test_real_names_tell_which_files_are_one(tmp_path: Path) -> None:
    write(tmp_path, "org/a.py", "disk/b.py")
    (tmp_path / "org/disk").symlink_to(tmp_path / "disk")
    (tmp_path / "org/b.py").symlink_to(tmp_path / "org/disk/b.py")
    real = {file.path: file.real for file in walk(tmp_path / "org", DropCounter())}
    disk = str(tmp_path.resolve() / "disk/b.py")
    assert real == {"a.py": str(tmp_path.resolve() / "org/a.py"), "b.py": disk, "disk/b.py": disk}


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
    assert [file.path for file in walk(tmp_path, counter)] == ["a.py"]
    assert [(drop.reason, drop.files) for drop in counter.drops()] == [("unreadable folder: Permission denied", 1)]
