from statistics import mean

import pytest
from contrast_values import arms, final, one, value

from raysim.analysis.clone_contrasts import F5_COPIES, F6_CROSS, clones_across, duplicates_are_memorized
from raysim.analysis.lines_to_add import TO_ADD
from raysim.analysis.reached_models import finals
from raysim.analysis.results import RunResults
from raysim.tables.results import open_run


@pytest.fixture(scope="module")
def results(build_results):
    return build_results(prompts=64, licences=True)


def begun(results, models):
    """For each prompt the share of samples that begin with six true lines, averaged over models."""
    found = {}
    for m in models:
        samples = {
            (row["prompt"], row["sample"]): row["continued"] >= 6
            for row in results.run.table("samples").to_pylist()
            if row["model"] == m.model
        }
        for prompt in results.prompts.prompts:
            found.setdefault(prompt, []).append(mean(v for (p, _), v in samples.items() if p == prompt))
    return {prompt: mean(shares) for prompt, shares in found.items()}


def listed(results):
    return [p for p in results.run.table("prompts").to_pylist() if p["eligible"] and not p["licence_header"]]


def test_f5_is_the_clone_itself_within_organization_and_kind(results):
    """A6: any covered line of the owner counted, licences and public ones too."""
    by_arm = {}
    for m in finals(results.reached_models):
        by_arm.setdefault(m.arm, []).append(m)
    shares = {}
    for organization in results.organizations:
        of_arms = [
            begun(results, seen)
            for models in by_arm.values()
            if (seen := [m for m in models if organization in m.organizations])
        ]
        shares |= {
            p["prompt"]: mean(one[p["prompt"]] for one in of_arms)
            for p in listed(results)
            if p["organization"] == organization
        }
    above = below = 0.0
    for organization in results.organizations:
        for kind in ("function", "prefix"):
            alike = [p for p in listed(results) if p["organization"] == organization and p["kind"] == kind]
            dup = [shares[p["prompt"]] for p in alike if p["copies_within"] > 0]
            uni = [shares[p["prompt"]] for p in alike if p["copies_within"] == 0]
            if dup and uni:
                weight = len(dup) * len(uni) / (len(dup) + len(uni))
                above, below = above + weight * (mean(dup) - mean(uni)), below + weight
    found = duplicates_are_memorized(results)
    assert value(found, F5_COPIES, "") == pytest.approx(above / below)
    assert "text of licences left out" in one(found, F5_COPIES, "").note


@pytest.mark.parametrize(("prompts", "enough"), [(24, False), (64, True)])
def test_f5_needs_twenty_prompts_in_each_group(build_results, prompts, enough):
    found = duplicates_are_memorized(build_results(prompts=prompts))
    assert bool(found.contrasts) == enough
    assert any("20 are needed" in line for line in found.missing) != enough


def test_f6_counts_samples_that_emit_a_clone_listed_before(results):
    cross = [p["prompt"] for p in listed(results) if p["copies_across"]]
    found = clones_across(results)
    assert arms(found, F6_CROSS) == ["centralized", "fedavg", "fedyogi"]
    last = begun(results, final(results, "incremental"))
    for label in arms(found, F6_CROSS):
        ours = begun(results, final(results, label))
        expected = mean(ours[p] - last[p] for p in cross)
        assert value(found, F6_CROSS, label) == pytest.approx(expected)


def test_f6_does_not_leave_out_by_what_models_emitted(build_results):
    """A6: prompts that led any model into text with the word licence were dropped."""
    usual, named = (clones_across(build_results(prompts=64, **more)) for more in ({}, {"text": "# Copyright 2020"}))
    assert value(usual, F6_CROSS, "fedavg") == value(named, F6_CROSS, "fedavg")
    headers = clones_across(build_results(prompts=64, licences=True))
    sizes = [one(found, F6_CROSS, "fedavg").statistic.in_play.sum() for found in (usual, headers)]
    assert sizes[0] >= sizes[1]


def test_f6_needs_twenty_prompts(build_results):
    found = clones_across(build_results(prompts=16))
    assert not found.contrasts
    assert any("with a clone elsewhere, 20 are needed" in line for line in found.missing)


def test_tables_without_the_true_continuation_are_not_guessed_at(build_run):
    results = RunResults(open_run(build_run(prompts=16)))
    if results.prompts.continued is None:
        assert duplicates_are_memorized(results).missing == [TO_ADD["continued"]]
        assert clones_across(results).missing == [TO_ADD["continued"]]
