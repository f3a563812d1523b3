import os
from pathlib import Path

import pytest
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.core.names import is_plain


@pytest.mark.parametrize("name", ["weights.npy", "a", "ä ö.parquet", "a..b", "point=1,2", "-x"])
def test_names_right_below_a_folder(name: str) -> None:
    assert is_plain(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "/abs", "../x", "a/b", "a/../../b", "a\\b", "a\0b", "a\nb", 7, None, ["a"]]
)
def test_names_that_lead_elsewhere_or_are_none(name: object) -> None:
    assert not is_plain(name)


@settings(max_examples=scaled(100))
@given(st.text(st.sampled_from("ab./\\\0\n~"), max_size=8))
def test_a_plain_name_stays_in_its_folder(name: str) -> None:
    if is_plain(name):
        assert os.path.normpath(Path("/folder") / name) == f"/folder/{name}"
