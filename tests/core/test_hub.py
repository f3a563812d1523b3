"""Files of the hub: one commit, whatever its branches do."""

from pathlib import Path

import pytest
from hub_cache import COMMITS, publish

from raysim.core.errors import InputError
from raysim.core.hub import commit_of, hub_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/config.json").write_text("{}")
    return tmp_path / "files"


def test_a_branch_is_read_as_it_is_now_and_a_commit_as_it_was(hub_cache: Path, folder: Path) -> None:
    for commit in COMMITS:
        publish(hub_cache, "someone/model", commit, folder)
        assert commit_of(hub_file("someone/model", "config.json")) == commit
    for commit in COMMITS:
        assert commit_of(hub_file("someone/model", "config.json", commit)) == commit


@pytest.mark.parametrize("name", ["nobody/nothing", "no/such/name", "", "../up", "a b"])
def test_names_that_are_none(name: str, hub_cache: Path) -> None:
    with pytest.raises((InputError, FileNotFoundError)) as caught:
        hub_file(name, "config.json")
    assert len(str(caught.value).splitlines()) == 1


def test_files_and_revisions_that_are_not_there(hub_cache: Path, folder: Path) -> None:
    publish(hub_cache, "someone/model", COMMITS[0], folder)
    for file, revision in (("tokenizer.json", None), ("config.json", "no-branch"), ("config.json", COMMITS[1])):
        with pytest.raises((InputError, FileNotFoundError)):
            hub_file("someone/model", file, revision)
