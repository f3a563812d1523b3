import dataclasses

import numpy as np
import pytest
from scipy.stats import t

from raysim.analysis.estimates import estimates
from raysim.analysis.paired import Contrast, Ratio


@dataclasses.dataclass
class SomeItems:
    organizations: list[str]
    files: list[str]


def taken(per_seed, files=None, axis="files"):
    """Estimates of the mean over items, one of a file each unless `files` says otherwise."""
    number = len(per_seed[0])
    items = SomeItems(["a"] * number, files or [f"f{i}" for i in range(number)])
    contrasts = [
        Contrast("F2", "x", seed, "nats", axis, Ratio(np.array(values, dtype=np.float64), np.ones(number)), "note")
        for seed, values in enumerate(per_seed, 1)
    ]
    return estimates(contrasts, items, ["r"] * number, items)


def test_a_mean_over_five_seeds_counts_seeds_and_files():
    rng = np.random.default_rng(3)
    values = rng.standard_normal((5, 12))
    (found,) = taken(values)
    variance = values.mean(1).var(ddof=1) / 5 + values.mean(0).var(ddof=1) / 12
    assert (found.mean, found.spread.variance) == (pytest.approx(values.mean()), pytest.approx(variance))
    assert (found.seeds, found.sizes, found.refused) == ((1, 2, 3, 4, 5), (12,) * 5, "")
    assert found.note == "note; 12 files"


def test_fewer_seeds_leave_the_files_alone():
    values = np.random.default_rng(4).standard_normal((4, 12))
    (found,) = taken(values)
    assert found.spread.variance == pytest.approx(values.mean(0).var(ddof=1) / 12)
    assert found.spread.df == pytest.approx(11)
    half = t.ppf(0.975, 11) * values[2].std(ddof=1) / np.sqrt(12)
    low, high = found.interval_within(2)
    assert min(values[2].mean() - low, high - values[2].mean()) == pytest.approx(half)


def test_prompts_of_one_file_are_one_cluster():
    values = np.random.default_rng(5).standard_normal((5, 24))
    (found,) = taken(values, [f"f{i // 2}" for i in range(24)], "prompts")
    by_file = values.mean(0).reshape(12, 2).mean(1)
    assert found.spread.cluster_variance == pytest.approx(by_file.var(ddof=1) / 12)


def test_nine_files_are_too_few():
    (found,) = taken(np.random.default_rng(6).standard_normal((5, 9)))
    assert found.refused == "too few files: 9, 10 are needed"
    assert np.isnan(found.interval()).all()
    assert found.note == "note; too few files: 9, 10 are needed"


@pytest.mark.parametrize(("differ", "refused"), [(9, "too few files: 9 of 30 differ, 10 are needed"), (10, "")])
def test_ten_files_must_differ(differ, refused):
    values = np.zeros((5, 30))
    values[:, :differ] = np.random.default_rng(7).exponential(size=(5, differ))
    assert taken(values)[0].refused == refused


def test_what_is_equal_everywhere_is_refused():
    (found,) = taken(np.full((5, 12), 0.3))
    assert found.refused == "the values do not vary over seeds or files"
    (zeros,) = taken(np.zeros((5, 12)))
    assert zeros.refused == "too few files: 0 of 12 differ, 10 are needed"


def test_a_diverged_model_has_no_number():
    values = np.random.default_rng(8).standard_normal((5, 12))
    values[1, 3] = np.nan
    (found,) = taken(values)
    assert not found.finite


def test_a_contrast_without_items_is_none():
    empty = Contrast("F2", "x", 1, "nats", "files", Ratio(np.zeros(2), np.zeros(2)))
    assert estimates([empty], SomeItems(["a"] * 2, ["f", "g"]), ["r"] * 2, SomeItems(["a"] * 2, ["f", "g"])) == []
