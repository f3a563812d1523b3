from pathlib import Path

import pytest

from raysim.inference.numerics import knows_bf16, numerics_of
from raysim.inference.settings import Numerics, Precision


@pytest.mark.parametrize(
    ("precision", "bf16", "wanted"),
    [("fp32", True, "fp32"), ("fp32", False, "fp32"), ("bf16", True, "bf16"), ("bf16", False, "bf16 in fp32")],
)
def test_bf16_is_computed_where_there_are_instructions(precision: Precision, bf16: bool, wanted: Numerics) -> None:
    assert numerics_of(precision, bf16) == wanted


def test_instructions_are_those_that_the_kernel_lists() -> None:
    listed = Path("/proc/cpuinfo").read_text().split()
    assert knows_bf16() == ("avx512_bf16" in listed or "amx_tile" in listed)
