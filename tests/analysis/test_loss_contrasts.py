from math import log

import numpy as np
import pytest
import yaml
from contrast_values import arms, final, measured_mean, one, value
from run_tables import Setting

from raysim.analysis.contrasts import all_contrasts
from raysim.analysis.lines_to_add import TO_ADD
from raysim.analysis.loss_contrasts import F1_BOTH, F1_MIX, F1_SIZE, F2_LOSS, close_to_centralized, size_and_diversity
from raysim.analysis.results import RunResults
from raysim.simulation.registry import resolve
from raysim.simulation.strategy import ClientInfo, Federation
from raysim.tables.results import open_run

BITS, NATS = ("bits_per_byte", ""), ("log_perplexity", "")


@pytest.fixture(scope="module")
def results(run):
    return RunResults(open_run(run))


@pytest.fixture(scope="module")
def of(build_results):
    """Makes a run without memorization whose tables have all columns."""

    def make(*more, **options):
        return build_results(more=more, memorization=False, **options)

    return make


def test_f2_is_the_difference_of_log_perplexities_of_each_arm(results):
    found = close_to_centralized(results)
    assert arms(found, F2_LOSS) == ["fedavg", "fedyogi"]
    for label in arms(found, F2_LOSS):
        loss = [measured_mean(results, final(results, s), NATS) for s in (label, "centralized")]
        assert value(found, F2_LOSS, label) == pytest.approx(loss[0] - loss[1])


def test_two_arms_of_one_strategy_are_two(of):
    """A4: only one of the settings of a strategy was compared by itself, by its label."""
    results = of(Setting("fedavg2", "fedavg", variant="noise", worse=0.4))
    found = close_to_centralized(results)
    assert arms(found, F2_LOSS) == ["fedavg", "fedavg2", "fedyogi"]
    assert value(found, F2_LOSS, "fedavg2") - value(found, F2_LOSS, "fedavg") == pytest.approx(0.4, abs=0.02)


def test_one_arm_under_two_labels_is_one(of):
    """As when leaving one out is a setting of its own: the whole federation is the same arm twice."""
    assert arms(close_to_centralized(of(Setting("fedavg again", "fedavg"))), F2_LOSS) == ["fedavg", "fedyogi"]


def test_two_references_are_compared_each(of):
    found = close_to_centralized(of(Setting("tuned", "centralized", variant="dropout", worse=-0.2)))
    names = [f"{label} against {other}" for label in ("fedavg", "fedyogi") for other in ("centralized", "tuned")]
    assert arms(found, F2_LOSS) == names


def test_arms_that_are_declared_are_the_only_ones(of):
    settings = {"F2": {"arms": ["fedyogi"], "references": ["tuned"]}}
    found = close_to_centralized(of(Setting("tuned", "centralized", variant="dropout"), findings=settings))
    assert arms(found, F2_LOSS) == ["fedyogi"]
    assert one(found, F2_LOSS, "fedyogi").models == "1 of fedyogi against 1 of tuned"


def test_training_losses_are_no_validation_losses(of):
    """A table that has them compares as one without."""
    with_them, without = of(), of(training_losses=False)
    for label in ("fedavg", "fedyogi"):
        values = [value(close_to_centralized(results), F2_LOSS, label) for results in (with_them, without)]
        assert values[0] == values[1]
    mine, theirs = (results.measures(final(results, "fedavg")[0].model) for results in (with_them, without))
    assert {name: one for name, one in mine.items() if name[0] != "training_loss"} == theirs


@pytest.mark.parametrize("label", ["small", "single again", "half", "singlehalf"])
def test_f1_takes_a_tenth_of_the_data_neither_for_all_nor_for_half_of_it(of, results, label):
    """A4: `single: {label: small, fraction: 0.1}` turned the contrast from -0.14 to +0.22."""
    found, usual = size_and_diversity(of(Setting(label, "single", 0.1, worse=1.0))), size_and_diversity(results)
    told = [[(c.name, c.arm, value(one, c.name, c.arm)) for c in one.contrasts] for one in (found, usual)]
    assert told[0] == told[1]
    assert found.missing == usual.missing


@pytest.mark.parametrize("label", ["single_half", "anything"])
def test_f1_takes_half_of_the_data_by_its_fraction(of, label):
    results = of(Setting(label, "single", 0.5, worse=0.3))
    found = size_and_diversity(results)
    bits = [measured_mean(results, final(results, strategy), BITS) for strategy in ("single", label)]
    assert value(found, F1_SIZE, "single") == pytest.approx(bits[0] - bits[1])
    assert found.missing == [TO_ADD["mix"]]


@pytest.mark.parametrize(("fraction", "enters"), [(0.33, True), (1 / 3, True), (0.5, False), (0.1, False)])
def test_f1_takes_a_mix_for_equal_if_its_tokens_are(of, fraction, enters):
    """One organization has a third of all tokens here."""
    results = of(Setting("equal?", "centralized", fraction, worse=0.1))
    found = size_and_diversity(results)
    assert arms(found, F1_MIX) == ["equal?"] * enters
    assert (TO_ADD["mix"] in found.missing) != enters
    # A part of the data is no centralized training on all of it.
    bits = [measured_mean(results, final(results, s), BITS) for s in ("centralized", "single")]
    assert value(found, F1_BOTH, "centralized") == pytest.approx(bits[0] - bits[1])


def test_a_mix_is_compared_on_the_files_of_each_organization_that_was_alone(of):
    results = of(Setting("mix", "centralized", 0.33, worse=0.1))
    (mix,) = final(results, "mix")
    nats = {}
    for row in results.run.table("losses").to_pylist():
        if row["split"] == "valid":
            nats[row["model"], row["organization"], row["file"]] = row["nats"], row["bytes"]
    gap = num_bytes = 0.0
    for alone in final(results, "single"):
        for (model, organization, file), (loss, size) in nats.items():
            if model == alone.model and organization == alone.order:
                gap += nats[mix.model, organization, file][0] - loss
                num_bytes += size
    assert value(size_and_diversity(results), F1_MIX, "mix") == pytest.approx(gap / log(2) / num_bytes)


def test_primaries_that_are_not_asked_for_are_not_missed(of):
    assert size_and_diversity(of(Setting("h", "single", 0.5), findings={"F1": {"primaries": ["size"]}})).missing == []


def test_the_lines_to_add_add_what_they_name(of):
    """Settings as `TO_ADD` spells them, so that a person who follows it has the contrasts."""
    settings = {}
    for name in ("half", "mix", "single"):
        line = TO_ADD[name].partition(", one over")[0]
        (entry,) = yaml.safe_load(line)["strategies"]
        config = resolve(entry, "strategies")
        (variant, *_) = config.variants(Federation(tuple(ClientInfo(o, 9, 9, 1.0, 0.0) for o in "abc"), 1, "reset"))
        settings[name] = Setting(config.label, variant.family, variant.fraction)
    assert size_and_diversity(of(settings["half"], settings["mix"])).missing == []
    assert settings["single"] == Setting("single", "single")
    without = size_and_diversity(of(without=("single",)))
    assert without.missing == [TO_ADD[name] for name in ("single", "half", "mix")]


def test_a_part_of_the_data_enters_no_contrast_of_all_of_it(build_results):
    parts = tuple(Setting(f"{s} in part", s, 0.2, worse=2.0) for s in ("centralized", "incremental", "fedavg"))
    found, usual = (all_contrasts(build_results(more=more, prompts=64)) for more in (parts, ()))
    for name in ("F2", "F3", "F4", "F6"):
        told = [
            [(c.name, c.arm, c.models, value(one[name], c.name, c.arm)) for c in one[name].contrasts]
            for one in (found, usual)
        ]
        assert told[0] == told[1] != []


def test_every_comparison_names_budgets_and_models(of):
    contrast = one(close_to_centralized(of(federated_epochs=2)), F2_LOSS, "fedavg")
    assert "2.00 times the tokens of meta" in contrast.note
    assert "training loss 0.65 against 0.45 nats" in contrast.note
    assert contrast.models == "1 of fedavg against 1 of centralized"


def test_diverged_losses_stay_to_be_seen(of):
    results = of()
    row = results.losses.model_index[final(results, "fedavg")[0].model]
    results.losses.nats[row, 0] = np.nan
    assert np.isnan(value(close_to_centralized(results), F2_LOSS, "fedavg"))
