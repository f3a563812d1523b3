import numpy as np
import pytest
from contrast_values import arms, final, measured_mean, one, value
from run_tables import ORGANIZATIONS

from raysim.analysis.leakage_contrasts import (
    F3_BEST,
    F3_EXPOSURE,
    F3_LOSS,
    F4_LAST,
    F7_ALL,
    F7_WITHOUT,
    federated_memorizes_less,
    last_is_memorized_most,
    never_shown,
)
from raysim.analysis.lines_to_add import TO_ADD


@pytest.fixture(scope="module")
def results(build_results):
    return build_results(leave_one_out=True)


def test_f3_compares_final_models_at_equal_exposures(results):
    found = federated_memorizes_less(results)
    for label in ("fedavg", "fedyogi"):
        whole = [m for m in final(results, label) if len(m.organizations) == 3]
        expected = measured_mean(results, whole) - measured_mean(results, final(results, "centralized"))
        assert value(found, F3_EXPOSURE, label) == pytest.approx(expected)


def test_f3_takes_the_round_with_equal_exposures_and_not_the_last(build_results):
    results = build_results(federated_epochs=2)
    half = [m for m in results.reached_models if m.strategy == "fedavg" and m.index == 5]
    expected = measured_mean(results, half) - measured_mean(results, final(results, "centralized"))
    assert value(federated_memorizes_less(results), F3_EXPOSURE, "fedavg") == pytest.approx(expected)


def test_f3_interpolates_where_the_training_losses_meet(results):
    """Federated ends at 0.65 nats; centralized has 0.70 after epoch 9 and 0.45 after epoch 10."""
    found = federated_memorizes_less(results)
    nine, ten = ([m for m in results.reached_models if m.strategy == "centralized" and m.index == i] for i in (9, 10))
    (end,) = final(results, "fedyogi")
    at = 0.8 * measured_mean(results, nine) + 0.2 * measured_mean(results, ten)
    contrast = one(found, F3_LOSS, "fedyogi")
    assert value(found, F3_LOSS, "fedyogi") == pytest.approx(measured_mean(results, [end]) - at)
    assert "fedyogi at round 10, centralized between epoch 9 and 10" in contrast.note
    assert "0.34 times the steps in sequence" in contrast.note
    assert "training loss 0" not in contrast.note


def test_budgets_are_not_equal_where_one_is_fitted_better(results):
    """A2: "equal budgets" stood beside a training loss of 0.02 against 1.2 to 3.4."""
    note = one(federated_memorizes_less(results), F3_EXPOSURE, "fedavg").note
    assert "equal budgets" not in note
    assert "training loss 0.65 against 0.45 nats" in note


def test_f3_at_the_best_validation_loss_of_each(results):
    found = federated_memorizes_less(results)

    def best(label):
        path = [m for m in results.reached_models if m.strategy == label and len(m.organizations) == 3]
        return min(path, key=lambda m: results.measures(m.model)["log_perplexity", ""])

    expected = measured_mean(results, [best("fedavg")]) - measured_mean(results, [best("centralized")])
    assert value(found, F3_BEST, "fedavg") == pytest.approx(expected)


def test_without_training_losses_f3_says_what_to_add(build_results):
    found = federated_memorizes_less(build_results(training_losses=False))
    assert found.missing == [TO_ADD["training loss"]]
    assert arms(found, F3_LOSS) == []
    assert arms(found, F3_EXPOSURE) == ["fedavg", "fedyogi"]
    exposures = build_results(training_losses=False, findings={"F3": {"primary": "equal_exposures"}})
    assert federated_memorizes_less(exposures).missing == []


def test_paths_that_do_not_overlap_are_incomparable(build_results):
    results = build_results()
    for m in results.reached_models:
        if m.family == "centralized":
            results.measures(m.model)["training_loss", ""] = 0.1
    found = federated_memorizes_less(results)
    assert found.missing == []
    assert set(found.incomparable) == {"fedavg", "fedyogi"}
    assert found.incomparable["fedavg"].startswith(
        "fedavg ends at 0.65 nats of training loss, centralized begins at 0.10"
    )


def test_f4_is_an_owner_on_its_own_prompts(results):
    orders = final(results, "incremental")
    arrays = results.prompts
    gaps = []
    for p, organization in enumerate(arrays.organizations):
        if arrays.from_training[p]:
            o = arrays.owners.index(organization)
            lines = {m.model: arrays.exclusive[arrays.model_index[m.model], p, o] for m in orders}
            last = np.mean([lines[m.model] for m in orders if m.last == organization])
            gaps.append(last - np.mean([lines[m.model] for m in orders if m.last != organization]))
    assert value(last_is_memorized_most(results), F4_LAST, "incremental") == pytest.approx(np.mean(gaps))


def test_f4_does_not_shrink_with_the_number_of_organizations(build_results):
    """A9: its effect was divided by the number of organizations, its margin was not."""
    values = []
    for names in (ORGANIZATIONS, (*ORGANIZATIONS, "anyscale", "hugging face")):
        orders = tuple(tuple(names[(i + k) % len(names)] for k in range(len(names))) for i in range(len(names)))
        results = build_results(organizations=names, orders=orders, prompts=48, files=2)
        values.append(value(last_is_memorized_most(results), F4_LAST, "incremental"))
    assert values[1] > 0.9 * values[0]


def test_f7_subtracts_the_federation_without_the_owner(results):
    arrays, total = results.prompts, 0.0
    (full,) = final(results, "fedavg", order=" + ".join(ORGANIZATIONS))
    for o, owner in enumerate(arrays.owners):
        (without,) = [m for m in final(results, "fedavg") if set(m.organizations) == set(arrays.owners) - {owner}]
        rows = [arrays.exclusive[arrays.model_index[m.model], :, o].mean() for m in (full, without)]
        total += rows[0] - rows[1]
    found = never_shown(results)
    assert value(found, F7_WITHOUT, "fedavg") == pytest.approx(total)
    assert one(found, F7_WITHOUT, "fedavg").models == "1 of fedavg against 3 of fedavg (3 sets of members)"
    held_out = one(found, f"{F7_WITHOUT}, held-out prompts", "fedavg").statistic.in_play
    assert (held_out == ~arrays.from_training).all()


def test_without_leaving_out_f7_says_that_nothing_is_subtracted(build_results):
    found = never_shown(build_results())
    assert arms(found, F7_ALL) == ["fedavg", "fedyogi"]
    assert found.missing == [TO_ADD["without"]]


def test_arms_are_one_each_and_none_is_averaged(results):
    """A3: the federated arms were one mean."""
    found = federated_memorizes_less(results)
    assert arms(found, F3_LOSS) == arms(found, F3_EXPOSURE) == arms(found, F3_BEST) == ["fedavg", "fedyogi"]
    one_arm, other = (value(found, F3_EXPOSURE, label) for label in ("fedavg", "fedyogi"))
    assert abs(one_arm - other) > 1e-6


def test_what_is_best_on_validation_has_its_test_losses_in_the_note(build_results):
    results = build_results(test={"fedavg": 0.5})
    note = one(federated_memorizes_less(results), F3_BEST, "fedavg").note
    ends = [final(results, label)[0].model for label in ("fedavg", "centralized")]
    ours, theirs = (results.measures(model)["test_bits_per_byte", ""] for model in ends)
    assert f"chosen on validation, on the test split {ours:.3f} and {theirs:.3f} bits per byte" in note
    without = one(federated_memorizes_less(build_results()), F3_BEST, "fedavg").note
    assert "test split" not in without
