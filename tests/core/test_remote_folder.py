"""Files below a URL: whole or not there, and errors in one line. On an object store they are in flows."""

from pathlib import Path

import pytest

from raysim.core.errors import InputError, RunError
from raysim.core.remote_folder import RemoteFolder, is_url


def test_what_is_a_url() -> None:
    assert is_url("s3://bucket/run")
    assert is_url("file:///shared/run")
    assert not any(map(is_url, ("runs/a", "/runs/a", "C:/runs", "s3:/bucket", "a b://c")))


def test_files_go_up_and_come_down(tmp_path: Path) -> None:
    folder = RemoteFolder(f"file://{tmp_path}/there")
    assert folder.list() == []
    here = tmp_path / "here"
    here.write_bytes(b"first")
    folder.upload(here, "a/b/one.npy")
    here.write_bytes(b"second!")
    folder.upload(here, "a/b/one.npy")
    folder.upload(here, ".secret")
    assert sorted(folder.list()) == [(".secret", 7), ("a/b/one.npy", 7)]
    folder.download("a/b/one.npy", tmp_path / "new" / "copy")
    assert (tmp_path / "new" / "copy").read_bytes() == b"second!"
    folder.delete("a/b/one.npy")
    assert folder.list() == [(".secret", 7)]


def test_what_is_not_whole_is_not_there(tmp_path: Path) -> None:
    folder = RemoteFolder(f"file://{tmp_path}/there")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "torn.npy.unfinished").write_bytes(b"half")
    assert folder.list() == []


@pytest.mark.parametrize("url", ["gopher://host/run", "s3://", "file://relative"])
def test_a_url_that_is_none_is_named(url: str) -> None:
    with pytest.raises(InputError, match=rf"^{url}: cannot be used: "):
        RemoteFolder(url)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    folder = RemoteFolder(f"file://{tmp_path}/there")
    folder.require_writable()
    assert folder.list() == []
    (tmp_path / "there").rmdir()
    (tmp_path / "there").write_text("a file in its place")
    with pytest.raises(InputError, match=r"there: .*; name a place that can be written"):
        folder.require_writable()


def test_credentials_are_not_shown(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        RemoteFolder("gopher://name:word@host/run")
    assert str(raised.value).startswith("gopher://host/run: ")
    assert "word" not in str(raised.value)


def test_what_is_gone_is_an_error_of_the_run(tmp_path: Path) -> None:
    folder = RemoteFolder(f"file://{tmp_path}/there")
    with pytest.raises(RunError, match=r"file://.*/there: "):
        folder.download("nothing", tmp_path / "copy")
    with pytest.raises(FileNotFoundError):
        folder.upload(tmp_path / "nothing", "nothing")
