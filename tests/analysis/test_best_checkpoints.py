"""The best checkpoint on validation beside the last, where training went on too long."""

import pytest

from raysim.analysis.best_checkpoints import best_checkpoints_table, best_on_validation


def overfit(results, strategy, best):
    """Makes the losses of a setting's models on validation files smallest at the checkpoint `best`."""
    arrays = results.losses
    for m in results.reached_models:
        if m.strategy == strategy and m.moment != "initial":
            arrays.nats[arrays.model_index[m.model]] = (2.0 + 0.1 * abs(m.index - best)) * arrays.tokens[0]
    return results


def rows_of(results):
    return {(row["strategy"], row["order"], row["seed"]): row for row in best_checkpoints_table(results).to_pylist()}


def test_the_best_round_and_the_last(build_results):
    results = overfit(build_results(memorization=True), "fedavg", best=4)
    row = rows_of(results)["fedavg", "meta + microsoft + google", 1]
    assert (row["moment"], row["checkpoints"], row["best"], row["last"]) == ("round", 10, 4, 10)
    bits = results.losses.tokens[0].sum() / results.losses.bytes[0].sum() / 0.6931471805599453
    assert row["best_bits_per_byte"] == pytest.approx(2.0 * bits)
    assert row["last_bits_per_byte"] == pytest.approx(2.6 * bits)
    for which in ("best", "last"):
        assert row[f"{which}_exclusive"] == results.measures(row[f"{which}_model"])["exclusive", ""]
        assert row[f"{which}_test_bits_per_byte"] is None


def test_of_equal_ones_the_first_is_the_best(build_results):
    results = overfit(build_results(memorization=False), "fedavg", best=4)
    path = [m for m in results.reached_models if m.strategy == "fedavg" and m.index in (3, 5)]
    best = best_on_validation(results, path)
    assert best is not None
    assert best.index == 3


def test_a_diverged_checkpoint_is_never_the_best(build_results):
    results = overfit(build_results(memorization=False), "fedavg", best=4)
    (four,) = [m for m in results.reached_models if m.strategy == "fedavg" and m.index == 4]
    results.losses.nats[results.losses.model_index[four.model]] = float("nan")
    assert rows_of(results)["fedavg", "meta + microsoft + google", 1]["best"] == 3


def test_it_is_chosen_on_validation_and_the_test_split_is_beside_it(build_results):
    results = overfit(build_results(memorization=False, test={}), "fedavg", best=4)
    test = results.test_losses
    rounds = {m.index: m.model for m in results.reached_models if m.strategy == "fedavg"}
    for index, model in rounds.items():
        test.nats[test.model_index[model]] = (5.0 - 0.1 * index) * test.tokens[0]  # the last is best there
    row = rows_of(results)["fedavg", "meta + microsoft + google", 1]
    bits = test.tokens[0].sum() / test.bytes[0].sum() / 0.6931471805599453
    assert row["best"] == 4
    assert row["best_test_bits_per_byte"] == pytest.approx(4.6 * bits)
    assert row["last_test_bits_per_byte"] == pytest.approx(4.0 * bits)


def test_settings_that_were_looked_at_once_have_no_row(build_results):
    assert {strategy for strategy, _, _ in rows_of(build_results(memorization=False))} == {
        "centralized",
        "fedavg",
        "fedyogi",
    }
    assert rows_of(build_results(perplexity=False)) == {}
