"""What of `measure.pass_at_k` is refused, and what its limits come to."""

import pydantic
import pytest

from raysim.measures.pass_at_k.settings import PassAtKSettings


def test_the_clock_allows_four_times_the_processor_time() -> None:
    limits = PassAtKSettings.model_validate({"timeout_s": 5, "memory": "2 MB"}).limits
    assert (limits.cpu_s, limits.wall_s, limits.memory_bytes) == (5, 20, 2_000_000)


def test_one_k_needs_no_list() -> None:
    assert PassAtKSettings.model_validate({"k": 3}).k == (3,)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"samples": 5, "k": [1, 6]}, "6 tries need as many samples, there are 5"),
        ({"k": [1, 1]}, "named twice"),
        ({"k": [0]}, "greater than or equal to 1"),
        ({"k": []}, "at least 1 item"),
        ({"timeout_s": 0.5}, "valid integer"),
        ({"problems": ""}, "at least 1 character"),
    ],
)
def test_what_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=says):
        PassAtKSettings.model_validate(settings)
