from raysim.analysis.contrasts import all_contrasts
from raysim.analysis.results import RunResults
from raysim.tables.results import open_run


def test_what_was_not_run_is_named(build_results):
    found = all_contrasts(build_results(prompts=64))
    assert len(found["F1"].missing) == 2
    assert found["F7"].missing
    assert not any(found[name].missing for name in ("F2", "F3", "F4", "F5", "F6"))


def test_without_memorization_only_losses_are_compared(build_run):
    found = all_contrasts(RunResults(open_run(build_run(memorization=False))))
    assert {name for name in found if found[name].contrasts} == {"F1", "F2"}
    assert found["F4"].missing == ["measure: {memorization: {}}"]


def test_every_contrast_says_which_models_entered(build_results):
    found = all_contrasts(build_results(prompts=64, leave_one_out=True))
    assert all(contrast.models for one in found.values() for contrast in one.contrasts)
