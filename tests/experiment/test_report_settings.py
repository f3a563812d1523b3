import pytest

from raysim.core.errors import InputError
from raysim.core.settings import validate
from raysim.experiment.report_settings import ReportSettings


@pytest.mark.parametrize("weight", [-0.1, float("inf"), float("nan"), "much"])
def test_a_weight_that_ranks_nothing_is_refused(weight):
    with pytest.raises(InputError, match="leakage_weight"):
        validate(ReportSettings, {"leakage_weight": weight}, "x.yaml")


def test_a_weight_of_zero_ranks_by_quality_alone():
    assert validate(ReportSettings, {"leakage_weight": 0}, "x.yaml").leakage_weight == 0.0
