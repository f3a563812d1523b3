"""Unequal training is found where it was planted, and nowhere else."""

from contrast_values import change, compared
from run_tables import Setting

from raysim.analysis.confounds_of_budgets import (
    dropouts,
    exposures,
    learning_rates,
    sequential_steps,
    tokens_in_all,
    training_losses,
    tuning,
)
from raysim.analysis.leakage_contrasts import F3_BEST, F3_EXPOSURE, F3_LOSS, F7_WITHOUT
from raysim.analysis.loss_contrasts import F2_LOSS


def is_federated(m):
    return m.family == "federated"


def test_training_losses_that_are_apart(build_results):
    results = build_results()
    # Federated ends at 0.65 nats, centralized at 0.45.
    assert "(0.65 against 0.45 nats), and a model" in training_losses(compared(results, "F3", F3_BEST, "fedavg")).found
    assert training_losses(compared(results, "F2", F2_LOSS, "fedavg")).found.endswith("0.45 nats)")
    matched = training_losses(compared(results, "F3", F3_LOSS, "fedavg"))
    assert (matched.known, matched.found) == (True, "")
    for m in results.reached_models:
        results.measures(m.model)["training_loss", ""] = 0.5
    assert not training_losses(compared(results, "F3", F3_BEST, "fedavg")).found


def test_training_losses_that_were_not_measured(build_results):
    assert not training_losses(compared(build_results(training_losses=False), "F3", F3_BEST, "fedavg")).known


def test_dropout_and_rates_that_differ(build_results):
    results = build_results()
    one = compared(results, "F3", F3_EXPOSURE, "fedavg")
    assert (dropouts(one).found, learning_rates(one).found) == ("", "")
    change(results, is_federated, dropout=0.0)
    change(results, lambda m: is_federated(m) and m.steps > 0, learning_rate_sum=1e-9)
    one = compared(results, "F3", F3_EXPOSURE, "fedavg")
    assert dropouts(one).found == "dropout differs (0 against 0.1)"
    assert learning_rates(one).found == "0.00 times the mean learning rate"


def test_equal_exposures_with_unequal_steps(build_results):
    results = build_results()
    one = compared(results, "F3", F3_EXPOSURE, "fedavg")
    # The slowest of three clients of 14,600, 14,100 and 14,300 tokens.
    assert sequential_steps(one).found == "equal exposures, yet 0.34 times the steps in sequence"
    assert exposures(one).found == ""
    change(results, is_federated, steps_in_sequence=209)
    assert not sequential_steps(compared(results, "F3", F3_EXPOSURE, "fedavg")).found


def test_unequal_exposures(build_results):
    twice = compared(build_results(federated_epochs=2), "F3", F3_BEST, "fedavg")
    assert exposures(twice).found.startswith("2.00 times the tokens of ")
    assert not sequential_steps(twice).found.startswith("equal exposures")


def test_one_setting_alone_is_not_tuned(build_results):
    found = tuning(compared(build_results(memorization=False), "F2", F2_LOSS, "fedavg"))
    assert found.found.startswith("fedavg was run at one setting: unless its learning rates were tuned before")
    assert found.found.endswith("the gap may be smaller")
    slow = Setting("fedavg_slow", "fedavg", variant="slow", worse=0.1)
    assert not tuning(compared(build_results(memorization=False, more=(slow,)), "F2", F2_LOSS, "fedavg")).found
    better = Setting("good", "fedavg", variant="x", worse=-1.0)
    against = tuning(compared(build_results(memorization=False, more=(better,)), "F2", F2_LOSS, "good"))
    assert against.found.startswith("centralized was run at one setting")
    assert against.found.endswith("the gap may be larger")


def test_a_point_of_a_sweep_does_not_know_of_the_others(build_results):
    results = build_results(memorization=False)
    results.run.manifest["point"] = "learning_rate=0.001"
    assert not tuning(compared(results, "F2", F2_LOSS, "fedavg")).known


def test_a_federation_without_an_owner_is_trained_less(build_results):
    results = build_results(leave_one_out=True)
    assert (
        "without the owner saw 0.67 times the tokens"
        in tokens_in_all(compared(results, "F7", F7_WITHOUT, "fedavg")).found
    )
    change(results, lambda m: len(m.members) == 2, tokens_seen={"meta": 430_000})
    assert not tokens_in_all(compared(results, "F7", F7_WITHOUT, "fedavg")).found
