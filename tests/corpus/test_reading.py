"""Texts that can be a source file, and counts of those that cannot."""

import pytest

from raysim.corpus.corpus import Drop
from raysim.corpus.reading import DropCounter, is_lfs_pointer, read_as_text

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"


@pytest.mark.parametrize("marked", ["", "\ufeff"])
def test_bytes_and_text_are_read_alike(marked: str) -> None:
    for text, found in (("a = 'é'\r", ("a = 'é'\n", "")), (" \r", (None, "empty"))):
        assert read_as_text(marked + text) == read_as_text((marked + text).encode()) == found
    for content in (POINTER, POINTER.encode(), POINTER.encode("utf-16")):
        assert read_as_text(content)[1].startswith("a Git LFS pointer")
    assert read_as_text("\ud800") == read_as_text(b"\xe9") == (None, "not UTF-8")


def test_a_file_that_speaks_of_pointers_is_none() -> None:
    assert (is_lfs_pointer(POINTER), is_lfs_pointer(POINTER.encode())) == (True, True)
    assert not is_lfs_pointer(f"# {POINTER}")


def test_counts_of_parts_are_counted_whenever_they_come() -> None:
    part, other = DropCounter(), DropCounter([Drop("b", 1, 5)])
    whole = DropCounter([Drop("a", 1, 1)], parts=[part, other])
    part.add("b", 2)
    part.add("a", 3, files=2)
    assert whole.drops() == (Drop("a", 3, 4), Drop("b", 2, 7))
