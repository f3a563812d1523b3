"""What a person sees of an error of the operating system."""

import errno

import pytest

from raysim.core.errors import RunError, disk_full


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_an_error_of_the_run_that_names_the_file(number: int) -> None:
    found = disk_full(OSError(number, "it is full", "store/objects"))
    assert isinstance(found, RunError)
    assert str(found) == "the disk is full (store/objects); free some room, then run the same command again"
    assert str(disk_full(OSError(number, "it is full"))).startswith("the disk is full; ")


def test_other_errors_of_files_are_none_of_it() -> None:
    assert disk_full(FileNotFoundError(errno.ENOENT, "not there", "x")) is None
