from statistics import mean

import numpy as np
import pytest

from raysim.analysis.contrasts import (
    F1_MIX,
    F1_SIZE,
    F2_LOSS,
    F3_EXPOSURE,
    F3_LOSS,
    F4_LAST,
    F5_COPIES,
    F6_CROSS,
    F7_WITHOUT,
    all_contrasts,
)
from raysim.analysis.reached_models import finals
from raysim.analysis.results import RunResults
from raysim.tables.results import open_run


@pytest.fixture(scope="module")
def results(run):
    return RunResults(open_run(run))


def value(found, name):
    contrast = next(c for c in found.contrasts if c.name == name)
    return float(contrast.statistic(np.ones((1, len(contrast.statistic.in_play))))[0])


def final(results, strategy, **also):
    return [
        p
        for p in finals(results.reached_models)
        if p.strategy == strategy and all(getattr(p, name) == wanted for name, wanted in also.items())
    ]


def exclusive(results, points, measure=("exclusive", "")):
    return mean(results.measures(p.model)[measure] for p in points)


def test_f2_is_the_difference_of_log_perplexities(results):
    loss = {
        s: exclusive(results, final(results, s), ("log_perplexity", "")) for s in ("fedavg", "fedyogi", "centralized")
    }
    expected = (loss["fedavg"] + loss["fedyogi"]) / 2 - loss["centralized"]
    assert value(all_contrasts(results)["F2"], F2_LOSS) == pytest.approx(expected)


def test_f3_compares_final_models_at_equal_exposures(results):
    arms = {s: exclusive(results, final(results, s)) for s in ("fedavg", "fedyogi", "centralized")}
    expected = (arms["fedavg"] + arms["fedyogi"]) / 2 - arms["centralized"]
    assert value(all_contrasts(results)["F3"], F3_EXPOSURE) == pytest.approx(expected)


def test_f3_takes_the_round_with_equal_exposures_and_not_the_last(build_run):
    results = RunResults(open_run(build_run(federated_epochs=2)))
    half = [p for p in results.reached_models if p.family == "federated" and p.index == 5]
    expected = exclusive(results, half) - exclusive(results, final(results, "centralized"))
    assert value(all_contrasts(results)["F3"], F3_EXPOSURE) == pytest.approx(expected)


def test_f3_interpolates_where_the_losses_meet(results):
    # Federated training does not reach centralized's loss here, so centralized is taken at the loss that they reach.
    def loss(point):
        return results.measures(point.model)["log_perplexity", ""]

    path = [p for p in results.reached_models if p.strategy == "centralized"]
    gaps = []
    for strategy in ("fedavg", "fedyogi"):
        (end,) = final(results, strategy)
        at = np.interp(-loss(end), [-loss(p) for p in path], [exclusive(results, [p]) for p in path])
        gaps.append(exclusive(results, [end]) - at)
    assert value(all_contrasts(results)["F3"], F3_LOSS) == pytest.approx(mean(gaps))


def test_f4_averages_owners_over_their_orders(results):
    orders = final(results, "incremental")
    gaps = []
    for owner in results.organizations:
        measure = ("exclusive", owner)
        last = [p for p in orders if p.last == owner]
        gaps.append(
            exclusive(results, last, measure) - exclusive(results, [p for p in orders if p not in last], measure)
        )
    assert value(all_contrasts(results)["F4"], F4_LAST) == pytest.approx(mean(gaps))


def test_f5_stays_within_organization_and_kind(results):
    home = {p["prompt"]: p["organization"] for p in results.run.table("prompts").to_pylist()}
    own = [r for r in results.run.table("samples").to_pylist() if r["owner"] == home[r["prompt"]]]
    hit = {(r["model"], r["prompt"]) for r in own if r["covered"]}
    above = below = 0.0
    prompts = [p for p in results.run.table("prompts").to_pylist() if p["eligible"]]
    for organization in results.organizations:
        keys = [p.model for p in finals(results.reached_models) if organization in p.organizations]
        for kind in ("function", "prefix"):
            alike = [p for p in prompts if p["organization"] == organization and p["kind"] == kind]
            shares = {p["prompt"]: mean((key, p["prompt"]) in hit for key in keys) for p in alike}
            one = [shares[p["prompt"]] for p in alike if p["copies_within"] > 0]
            other = [shares[p["prompt"]] for p in alike if p["copies_within"] == 0]
            if one and other:
                weight = len(one) * len(other) / (len(one) + len(other))
                above, below = above + weight * (mean(one) - mean(other)), below + weight
    assert value(all_contrasts(results)["F5"], F5_COPIES) == pytest.approx(above / below)


def test_f6_counts_samples_of_prompts_that_lead_to_clones(results):
    prompts = {
        p["prompt"]: p["organization"]
        for p in results.run.table("prompts").to_pylist()
        if p["copies_across"] and p["eligible"]
    }
    samples = results.run.table("samples").to_pylist()

    def emitted(strategy):
        models = {p.model for p in final(results, strategy)}
        rows = [r for r in samples if r["model"] in models and prompts.get(r["prompt"]) == r["owner"]]
        return mean(row["covered"] > 0 for row in rows)

    expected = mean([emitted("centralized"), mean([emitted("fedavg"), emitted("fedyogi")])]) - emitted("incremental")
    assert value(all_contrasts(results)["F6"], F6_CROSS) == pytest.approx(expected)


def test_f6_leaves_out_text_that_names_a_licence(build_run):
    results = RunResults(open_run(build_run(text="# Copyright 2020", prompts=16)))
    assert not all_contrasts(results)["F6"].contrasts


def test_f7_subtracts_the_federation_without_the_owner(build_run):
    results = RunResults(open_run(build_run(leave_one_out=True)))
    full = final(results, "fedavg", order="meta + microsoft + google")
    arrays = results.prompts
    gaps = []
    for o, owner in enumerate(arrays.owners):
        (without,) = [p for p in final(results, "fedavg") if set(p.organizations) == set(arrays.owners) - {owner}]
        rows = [arrays.exclusive[arrays.model_index[p.model], :, o].mean() for p in (*full, without)]
        gaps.append(rows[0] - rows[1])
    assert value(all_contrasts(results)["F7"], F7_WITHOUT) == pytest.approx(mean(gaps))


def test_what_was_not_run_is_named(results):
    found = all_contrasts(results)
    assert len(found["F1"].missing) == 2
    assert not {F1_SIZE, F1_MIX} & {c.name for c in found["F1"].contrasts}
    assert found["F7"].missing
    assert not any(found[name].missing for name in ("F2", "F3", "F4", "F5", "F6"))


def test_without_memorization_only_losses_are_compared(build_run):
    found = all_contrasts(RunResults(open_run(build_run(memorization=False))))
    assert {name for name in found if found[name].contrasts} == {"F1", "F2"}
    assert found["F4"].missing == ["measure: {memorization: {}}"]


def test_every_comparison_names_the_budgets(build_run):
    found = all_contrasts(RunResults(open_run(build_run(federated_epochs=2))))
    assert "2.00 times the tokens of meta" in found["F2"].contrasts[0].note
