from statistics import mean

import numpy as np
import pytest
import yaml
from run_tables import Setting

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
    TO_ADD,
    all_contrasts,
)
from raysim.analysis.reached_models import finals
from raysim.analysis.results import RunResults
from raysim.simulation.registry import resolve
from raysim.simulation.strategy import ClientInfo, Federation
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


def names_of(found):
    return {contrast.name for contrast in found.contrasts}


def primary(found, name):
    return next(c for c in found.contrasts if c.name == name)


@pytest.mark.parametrize("label", ["small", "single again", "half", "singlehalf"])
def test_f1_takes_a_tenth_of_the_data_neither_for_all_nor_for_half_of_it(build_run, results, label):
    with_small = RunResults(
        open_run(build_run(more=(Setting(label, "single", 0.1, worse=1.0),), memorization=False, perplexity=True))
    )
    found, usual = all_contrasts(with_small)["F1"], all_contrasts(results)["F1"]
    assert names_of(found) == names_of(usual)
    assert [value(found, name) for name in names_of(found)] == [value(usual, name) for name in names_of(usual)]
    assert found.missing == usual.missing


@pytest.mark.parametrize("label", ["single_half", "anything"])
def test_f1_takes_half_of_the_data_by_its_fraction(build_run, label):
    half = Setting(label, "single", 0.5, worse=0.3)
    results = RunResults(open_run(build_run(more=(half,), memorization=False)))
    found = all_contrasts(results)["F1"]
    bits = [exclusive(results, final(results, strategy), ("bits_per_byte", "")) for strategy in ("single", label)]
    assert value(found, F1_SIZE) == pytest.approx(bits[0] - bits[1])
    assert TO_ADD["half"] not in found.missing
    assert TO_ADD["mix"] in found.missing


@pytest.mark.parametrize(("fraction", "enters"), [(0.33, True), (1 / 3, True), (0.5, False), (0.1, False)])
def test_f1_takes_a_mix_for_equal_if_its_tokens_are(build_run, fraction, enters):
    """One organization has a third of all tokens here."""
    mix = Setting("equal?", "centralized", fraction, worse=0.1)
    results = RunResults(open_run(build_run(more=(mix,), memorization=False)))
    found = all_contrasts(results)["F1"]
    assert (F1_MIX in names_of(found)) == enters
    assert (TO_ADD["mix"] in found.missing) != enters
    if enters:
        bits = [exclusive(results, final(results, s), ("bits_per_byte", "")) for s in ("equal?", "single")]
        assert value(found, F1_MIX) == pytest.approx(bits[0] - bits[1])
    # A part of the data is no centralized training on all of it.
    both = [c for c in found.contrasts if c.name.startswith("centralized minus one organization alone")]
    bits = [exclusive(results, final(results, s), ("bits_per_byte", "")) for s in ("centralized", "single")]
    assert value(found, both[0].name) == pytest.approx(bits[0] - bits[1])


def test_the_lines_to_add_add_what_they_name(build_run):
    """Settings as `TO_ADD` spells them, so that a person who follows it has the contrasts."""
    settings = {}
    for name in ("half", "mix", "single"):
        line = TO_ADD[name].partition(", one over")[0]
        (entry,) = yaml.safe_load(line)["strategies"]
        config = resolve(entry, "strategies")
        (variant, *_) = config.variants(Federation(tuple(ClientInfo(o, 9, 9, 1.0, 0.0) for o in "abc"), 1, "reset"))
        settings[name] = Setting(config.label, variant.family, variant.fraction)
    found = all_contrasts(
        RunResults(open_run(build_run(more=(settings["half"], settings["mix"]), memorization=False)))
    )["F1"]
    assert found.missing == []
    assert settings["single"] == Setting("single", "single")
    without = all_contrasts(RunResults(open_run(build_run(without=("single",), memorization=False))))["F1"]
    assert without.missing == [TO_ADD[name] for name in ("single", "half", "mix")]


def test_a_primary_contrast_rests_on_all_settings_of_a_family_and_names_them_where_one_strategy_has_several(build_run):
    variant = Setting("fedavg_dp", "fedavg", variant="noise", worse=0.4)
    results = RunResults(open_run(build_run(more=(variant,))))
    found = all_contrasts(results)
    loss = {
        s: exclusive(results, final(results, s), ("log_perplexity", ""))
        for s in ("fedavg", "fedavg_dp", "fedyogi", "centralized")
    }
    expected = (loss["fedavg"] + loss["fedavg_dp"] + loss["fedyogi"]) / 3 - loss["centralized"]
    assert value(found["F2"], F2_LOSS) == pytest.approx(expected)
    assert value(found["F2"], "fedavg_dp minus centralized") == pytest.approx(loss["fedavg_dp"] - loss["centralized"])
    for name, primary_name in (("F2", F2_LOSS), ("F3", F3_EXPOSURE), ("F6", F6_CROSS)):
        note = primary(found[name], primary_name).note
        assert note.endswith("federated: the mean of fedavg, fedavg_dp, fedyogi")


def test_settings_of_strategies_of_their_own_are_not_named(results):
    found = all_contrasts(results)
    assert not any("the mean of" in contrast.note for name in found for contrast in found[name].contrasts)


def test_a_part_of_the_data_enters_no_contrast_of_all_of_it(build_run, results):
    parts = tuple(Setting(f"{s} in part", s, 0.2, worse=2.0) for s in ("centralized", "incremental", "fedavg"))
    found = all_contrasts(RunResults(open_run(build_run(more=parts))))
    usual = all_contrasts(results)
    for name in ("F2", "F3", "F4", "F6"):
        assert names_of(found[name]) == names_of(usual[name])
        for contrast in usual[name].contrasts:
            assert value(found[name], contrast.name) == value(usual[name], contrast.name)


def test_one_arm_under_two_labels_counts_once(build_run, results):
    """As when leaving one out is a setting of its own: the whole federation is the same arm twice."""
    again = Setting("fedavg again", "fedavg")
    found = all_contrasts(RunResults(open_run(build_run(more=(again,)))))
    usual = all_contrasts(results)
    for name in ("F2", "F3", "F6"):
        assert {c.name: value(found[name], c.name) for c in found[name].contrasts} == {
            c.name: value(usual[name], c.name) for c in usual[name].contrasts
        }
