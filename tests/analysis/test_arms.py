import numpy as np
import pytest
from run_tables import Setting

from raysim.analysis.arms import (
    HALF,
    against,
    arms_of,
    at_equal_tokens,
    entered,
    equally_trained,
    exclusive_lines,
    final_models,
    given,
    measured,
    own_owner,
    path_of,
    seeds_of,
)
from raysim.analysis.results import RunResults
from raysim.tables.results import open_run

MORE = (
    Setting("small", "single", 0.1),
    Setting("a half", "single", 0.5),
    Setting("fedavg again", "fedavg"),
    Setting("fedavg_dp", "fedavg", variant="noise"),
    Setting("tuned", "centralized", variant="dropout"),
)


@pytest.fixture(scope="module")
def results(build_run):
    return RunResults(open_run(build_run(seeds=(1, 2), more=MORE, leave_one_out=True, prompts=4, files=2)))


def labels(models):
    return sorted({m.strategy for m in models})


def test_an_arm_is_there_once_under_its_first_label(results):
    assert sorted(arms_of(results, "federated").values()) == ["fedavg", "fedavg_dp", "fedyogi"]
    assert sorted(arms_of(results, "centralized").values()) == ["centralized", "tuned"]
    assert sorted(arms_of(results, "single").values()) == ["single"]
    assert sorted(arms_of(results, "single", HALF).values()) == ["a half"]
    assert arms_of(results, "incremental", HALF) == {}


def test_final_models_are_those_of_a_family_at_a_fraction_over_all_organizations(results):
    assert [m.order for m in final_models(results, 1, "single")] == ["meta", "microsoft", "google"]
    assert labels(final_models(results, 1, "single", HALF)) == ["a half"]
    assert labels(final_models(results, 1, "single", None)) == ["a half", "small"]
    federated = final_models(results, 2, "federated")
    assert sorted(m.strategy for m in federated) == ["fedavg", "fedavg_dp", "fedyogi"]
    assert {(m.seed, m.final, len(m.organizations)) for m in federated} == {(2, True, 3)}
    (arm,) = (arm for arm, label in arms_of(results, "federated").items() if label == "fedyogi")
    assert labels(final_models(results, 2, "federated", arm=arm)) == ["fedyogi"]
    assert len(final_models(results, 1, "incremental")) == 6


def test_a_mix_has_the_tokens_of_one_organization(results):
    """14,600, 14,100 and 14,300 tokens, ten times over: a third of all is 14,333."""
    singles = final_models(results, 1, "single")
    (whole,) = (m for m in final_models(results, 1, "centralized") if m.strategy == "centralized")

    def matching(total):
        mix = type(whole)(**{**vars(whole), "tokens_seen": {"meta": total}})
        return [m.order for m in at_equal_tokens(mix, singles)]

    assert matching(143_333) == matching(137_000) == ["meta", "microsoft", "google"]
    assert matching(135_000) == ["microsoft"]
    assert matching(153_000) == ["meta"]
    assert matching(100_000) == []
    assert at_equal_tokens(whole, []) == []


def test_the_models_of_each_side_are_named(results):
    federated, single = final_models(results, 1, "federated"), final_models(results, 1, "single")
    assert entered(federated, single) == (
        "1 of fedavg, 1 of fedavg_dp, 1 of fedyogi against 3 of single (3 organizations)"
    )
    assert entered(final_models(results, 1, "incremental")) == "6 of incremental (6 orders)"


def test_an_arm_is_named_with_its_counterpart_unless_that_is_the_only_one():
    assert (against("fedavg", "tuned", False), against("fedavg", "tuned", True)) == ("fedavg against tuned", "fedavg")


def test_declared_labels_choose_among_the_arms(results):
    assert list(arms_of(results, "federated", labels=["fedyogi", "tuned"]).values()) == ["fedyogi"]
    assert arms_of(results, "federated", labels=["nobody"]) == {}


def test_equally_trained_models_are_the_latest_ones(results):
    names = {label: arm for arm, label in arms_of(results, "federated").items()}
    (central, _) = arms_of(results, "centralized")
    pair = equally_trained(results, 1, names["fedyogi"], central)
    assert pair is not None
    assert [(m.strategy in ("fedyogi", "centralized", "tuned"), m.index) for m in pair] == [(True, 10), (True, 10)]
    assert pair[0].tokens_seen == pair[1].tokens_seen
    assert equally_trained(results, 1, names["fedyogi"], "nobody") is None


def test_a_path_has_every_trained_model_once_in_its_order(results):
    (arm,) = (arm for arm, label in arms_of(results, "federated").items() if label == "fedavg")
    path = path_of(results, 2, arm)
    assert [(m.moment, m.index, m.seed, len(m.organizations)) for m in path] == [
        ("round", i, 2, 3) for i in range(1, 11)
    ]


def test_lines_are_averaged_over_models_and_prompts_are_those_that_all_were_given(results):
    models = measured(results, final_models(results, 1, "incremental"))
    arrays = results.prompts
    rows = [arrays.exclusive[arrays.model_index[m.model]] for m in models]
    assert np.allclose(exclusive_lines(results, models, 1), np.mean(rows, axis=0)[:, 1])
    assert np.allclose(exclusive_lines(results, models, None), np.mean(rows, axis=0).sum(1))
    assert given(results, models).tolist() == [1.0] * len(arrays.prompts)
    assert given(results, []).tolist() == [0.0] * len(arrays.prompts)


def test_seeds_and_owners(results):
    assert seeds_of(results) == [1, 2]
    assert [results.prompts.owners[o] for o in own_owner(results)] == results.prompts.organizations
