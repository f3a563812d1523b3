import numpy as np
import pytest
from simulated_studies import MARGINS, tally

from raysim.analysis.crossed import Spread
from raysim.analysis.detectable import ASSUMED, _seen, detectable, smallest_effect
from raysim.analysis.findings import FINDINGS
from raysim.experiment.findings_settings import FindingsSettings

FILES = {"valid": 45, "prompts": 60}


def effects(seeds=5, files=FILES, seen=None):
    return {one.finding: one for one in detectable(seeds, files, FindingsSettings(), seen or {})}


def test_the_smallest_effect_by_hand():
    # 60 files, no seeds: t(1 - 0.05 / 14, 59) = 2.784 and t(0.8, 59) = 0.848.
    assert smallest_effect(Spread(0.0, 0.0, 4.0, 0.0, 1, 59)) == pytest.approx(2 * (2.784 + 0.848), rel=1e-3)


def test_more_seeds_and_files_tell_smaller_effects():
    usual, more = effects(), effects(10, {"valid": 90, "prompts": 240})
    assert all((more[name].effect or 0) < (usual[name].effect or 0) for name in MARGINS)


def test_no_effect_below_the_margin_is_one():
    assert effects(seen={"F4": (1e-6, 1e-6)})["F4"].effect == MARGINS["F4"]
    assert effects(seen={"F4": (1e-6, 1e-6)})["F4"].seen


@pytest.mark.parametrize(
    ("seeds", "files", "why"),
    [(4, FILES, "a verdict needs 5 seeds"), (5, {"valid": 45, "prompts": 9}, "9 files, 10 are needed")],
)
def test_where_no_verdict_is_possible_it_is_said(seeds, files, why):
    one = effects(seeds, files)["F4"]
    assert (one.effect, one.why) == (None, why)


def test_simulated_studies_find_an_effect_of_that_size():
    """About four in five, at a level that is not always the strictest."""
    sizes = {name: one.effect / MARGINS[name] for name, one in effects().items() if one.effect}
    found = tally(40, sizes | {"F5": 3.0}, seed=3)
    told = [verdict for name in ("F3", "F4", "F6", "F7") for verdict in found.verdicts[name]]
    assert np.mean([verdict == "supported" for verdict in told]) > 0.6


def test_an_earlier_run_says_how_much_contrasts_vary(build_run, tmp_path):
    assert _seen(tmp_path) == {}
    seen = _seen(build_run(seeds=(1, 2), files=12, memorization=False))
    assert set(seen) == {"F2"}
    assert all(value > 0 for value in seen["F2"])


def test_every_finding_has_an_assumption():
    assert set(ASSUMED) == {finding.name for finding in FINDINGS}
