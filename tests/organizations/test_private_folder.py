"""The private folder of an organization: where it lies, and that nobody else looks into it."""

import os
import stat
from pathlib import Path

import pytest

from raysim.core.errors import InputError
from raysim.organizations.private_folder import private_folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("above", "expected"),
    [
        (None, "cache/raysim/alpha"),
        ("~/mine", "home/mine/alpha"),
        ("mine", "base/mine/alpha"),
        ("{here}/there", "there/alpha"),
    ],
)
def test_where_it_lies(above: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    given = above.format(here=tmp_path) if above else None
    folder = private_folder(tmp_path / "base", given, "alpha")
    assert folder == tmp_path / expected
    assert mode(folder) == 0o700


def test_without_a_cache_of_its_own_it_is_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert private_folder(tmp_path, None, "alpha") == tmp_path / ".cache" / "raysim" / "alpha"


def test_one_that_others_could_look_into_is_closed(tmp_path: Path) -> None:
    (tmp_path / "alpha").mkdir(mode=0o755)
    assert mode(private_folder(tmp_path, str(tmp_path), "alpha")) == 0o700


def test_what_is_no_folder_of_this_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "alpha").symlink_to(tmp_path)
    for above in ("file", ".", "~nobody-has-this-name/x", "a\0b"):
        with pytest.raises(InputError, match=r"^execution\.private: .*; name another (folder|one)$"):
            private_folder(tmp_path, above, "alpha")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(InputError, match="is no folder of this user's own"):
        private_folder(tmp_path, "others", "alpha")


def test_what_was_not_used_for_a_month_goes(tmp_path: Path) -> None:
    folder = private_folder(tmp_path, "mine", "alpha")
    for name, days in (("old", 31), ("new", 29)):
        (folder / name).mkdir()
        now = (folder / name).stat().st_mtime
        os.utime(folder / name, (now, now - days * 86_400))
    private_folder(tmp_path, "mine", "alpha")
    assert [path.name for path in folder.iterdir()] == ["new"]
