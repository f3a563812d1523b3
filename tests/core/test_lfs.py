from pathlib import Path

import pytest

from raysim.core.errors import InputError
from raysim.core.lfs import is_lfs_pointer, refuse_lfs_pointer
from raysim.core.yaml_files import load_yaml

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def test_pointers_are_told_from_files() -> None:
    assert is_lfs_pointer(POINTER)
    assert is_lfs_pointer(POINTER.encode()[:50])
    for other in ("", "version 2\n", f" {POINTER}", f"# {POINTER}"):
        assert not is_lfs_pointer(other)
        assert not is_lfs_pointer(other.encode())
        refuse_lfs_pointer(other, "here")
    with pytest.raises(InputError, match=r"^here: a Git LFS pointer, not the file; fetch it with git lfs pull$"):
        refuse_lfs_pointer(POINTER, "here")


def test_an_experiment_that_was_not_fetched_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POINTER)
    with pytest.raises(InputError, match=r"a\.yaml: a Git LFS pointer"):
        load_yaml(tmp_path / "a.yaml")
