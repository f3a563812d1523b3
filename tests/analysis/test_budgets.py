from dataclasses import replace

import pytest
from run_tables import Setting

from raysim.analysis.budgets import budgets, compare, warnings
from raysim.analysis.reached_models import finals, read_reached_models
from raysim.tables.results import open_run


def points_of(folder):
    return read_reached_models(open_run(folder))


def test_equal_exposures_raise_no_warning(run):
    assert warnings(points_of(run)) == []


def test_twice_the_exposures_are_named(build_run):
    found = warnings(points_of(build_run(federated_epochs=2, perplexity=False, memorization=False)))
    assert len(found) == 2
    assert "2.00 times the tokens of meta" in found[0]
    assert "compared with centralized" in found[0]


def test_dropout_lost_on_the_way_is_named(run):
    points = [replace(p, dropout=0.0) if p.family == "incremental" else p for p in points_of(run)]
    assert warnings(points) == ["incremental has dropout 0 instead of 0.1 compared with centralized"]


def test_another_mean_learning_rate_is_named(run):
    points = [
        replace(p, learning_rate_sum=p.learning_rate_sum / 2) if p.strategy == "fedavg" else p for p in points_of(run)
    ]
    assert warnings(points) == ["fedavg has 0.50 times the mean learning rate compared with centralized"]


def test_another_batch_size_is_named(run):
    points = [
        replace(p, steps=p.steps * 2, learning_rate_sum=p.learning_rate_sum * 2) if p.strategy == "fedavg" else p
        for p in points_of(run)
    ]
    assert warnings(points) == ["fedavg has 2.00 times the steps a token compared with centralized"]


def test_a_comparison_with_one_organization_names_the_tokens_in_all(run):
    ended = finals(points_of(run))
    single, centralized = ([p for p in ended if p.family == family] for family in ("single", "centralized"))
    assert compare(centralized, single, lambda _: 1.0).startswith("budgets differ: 3.00 times the tokens in all")
    assert compare(centralized, centralized, lambda _: 1.0) == "equal budgets"


@pytest.mark.parametrize(
    ("losses", "says"),
    [
        ((1.0, 1.019), "equal budgets"),
        ((1.31, 0.42), "budgets differ: training loss 1.31 against 0.42 nats"),
        ((1.31, None), "equal exposures, steps and rates; training losses not measured"),
        ((float("nan"), 0.42), "budgets differ: training loss nan against 0.42 nats"),
    ],
)
def test_budgets_are_equal_only_if_training_losses_are_known_to_be(run, losses, says):
    """A2: "equal budgets" stood beside a training loss of 0.02 against 1.2 to 3.4."""
    (end,) = [m for m in finals(points_of(run)) if m.family == "centralized"]
    other = replace(end, model="other")
    assert compare([end], [other], lambda m: losses[m.model == "other"]) == says


def test_steps_in_sequence_are_compared_and_not_their_sum_over_clients(run):
    """A2: the sum hides that a federated model takes a third of the steps."""
    ended = {m.strategy: m for m in finals(points_of(run))}
    note = compare([ended["fedavg"]], [ended["centralized"]], lambda _: 1.0)
    assert note == "budgets differ: 0.34 times the steps in sequence"


def test_steps_of_clients_at_once_are_counted_once_in_sequence(run):
    spent = {budget.strategy: budget for budget in budgets(points_of(run)) if budget.family != "single"}
    assert spent["centralized"].steps_in_sequence == spent["centralized"].steps
    assert spent["fedavg"].steps == spent["centralized"].steps
    assert spent["fedavg"].steps_in_sequence == 146_000 // 2048  # of meta, the largest of three


def test_single_settings_have_a_budget_each(run):
    spent = {budget.label: budget for budget in budgets(points_of(run))}
    assert spent["single (meta)"].tokens_seen == {"meta": 146_000}
    assert spent["incremental"].tokens == 10 * (14_600 + 14_100 + 14_300)


def test_personalized_settings_have_a_budget_each(build_run):
    spent = {b.label: b for b in budgets(points_of(build_run(more=(Setting("own", "personalized"),))))}
    assert spent["own (meta + microsoft + google > meta)"].tokens == 10 * (14_600 + 14_100 + 14_300)
