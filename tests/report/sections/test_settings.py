from dataclasses import replace

import pytest

from raysim.analysis.reached_models import finals
from raysim.report.sections.settings import gloss, settings_said


@pytest.fixture(scope="module")
def results(build_results):
    return build_results(prompts=4)


def test_every_setting_has_its_line(results):
    said = dict(settings_said(results))
    assert list(said) == list(dict.fromkeys(row.strategy for row in results.final_rows()))
    assert said["single"] == "each organization trains alone"
    assert said["incremental"].endswith("in six orders, of which numbers are means")
    assert said["fedyogi"].endswith("a server combines them (the mean change, a step of Yogi, an adaptive optimizer)")


def test_a_part_of_the_data_and_a_label_of_ones_own(results):
    (one, *_) = [m for m in finals(results.reached_models) if m.strategy == "centralized"]
    assert gloss([replace(one, fraction=0.333)], "centralized") == (
        "all data in one place, one model, on 33 % of the data, for comparison"
    )
    foreign = replace(one, family="federated")
    assert gloss([foreign], "somebody's") == (
        "each organization trains a copy, only weights travel, and every round a server combines them"
    )
