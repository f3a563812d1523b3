"""F5 to F7: what the prompts are made of, and who else holds what is emitted; changed in small tables by hand."""

from dataclasses import replace

import numpy as np
import pytest
from contrast_values import compared

from raysim.analysis.clone_contrasts import F5_COPIES, F6_CROSS
from raysim.analysis.confounds_of_material import (
    base_model,
    common_duplicates,
    few_prompts,
    licences,
    lines_in_common,
    predictable_duplicates,
    public_clones,
)
from raysim.analysis.leakage_contrasts import F7_WITHOUT
from raysim.tables.io import schema


@pytest.fixture
def results(build_results):
    return build_results(prompts=96, leave_one_out=True)


def f5(results):
    return compared(results, "F5", F5_COPIES, "")


def f6(results):
    return compared(results, "F6", F6_CROSS, "centralized")


def f7(results):
    return compared(results, "F7", F7_WITHOUT, "fedavg")


def test_duplicates_that_are_licences(results):
    arrays = results.prompts
    assert not licences(f5(results)).found
    duplicated = arrays.eligible & arrays.from_training & (arrays.copies_within > 0)
    one = f5(results)
    arrays.licence_header[duplicated] = True
    n = duplicated.sum()
    assert licences(one).found.startswith(f"{n} of {n} duplicates are licence headers")


def test_licences_that_were_not_looked_for(results):
    one = f5(results)
    results.prompts = replace(results.prompts, licence_header=None)
    assert not licences(one).known


def test_duplicates_that_others_hold(results):
    one, arrays = f5(results), results.prompts
    assert not common_duplicates(one).found
    arrays.copies_public[arrays.copies_within > 0] = 1
    assert common_duplicates(one).found.startswith("100% of the duplicates stand in others' code or in references")
    arrays.copies_public[:] = 1
    assert not common_duplicates(one).found


def test_duplicates_that_are_easier_for_anybody(results):
    arrays = results.prompts
    unseen = [arrays.model_index[m.model] for m in results.reached_models if m.final and len(m.organizations) < 3]
    arrays.continued[unseen] = 0
    assert not predictable_duplicates(f5(results)).found
    arrays.continued[unseen] = arrays.num_samples[unseen] * (arrays.copies_within > 0)
    assert predictable_duplicates(f5(results)).found.startswith("models that never saw the owner continue duplicates")


def test_without_models_that_never_saw_the_owner_nothing_is_known(results):
    results.reached_models[:] = [m for m in results.reached_models if len(m.organizations) == 3]
    assert not predictable_duplicates(f5(results)).known


def test_few_clones_across(results, build_results):
    one = f6(results)
    prompts = int(one.in_play.sum())
    assert few_prompts(one).found.startswith(f"only {prompts} prompts, from ")
    assert not few_prompts(f6(build_results(prompts=320, leave_one_out=False))).found


def test_clones_in_references(results):
    one = f6(results)
    assert not public_clones(one).found
    results.prompts.copies_public[one.in_play] = 2
    assert public_clones(one).found == "100% of the clones stand in references, too"


def test_lines_in_common(results):
    # Built so: 30 of meta's 1,000 lines in references, at most 26 in another's.
    assert lines_in_common(f7(results)).found.startswith(
        "up to 3.0 % of an owner's lines stand elsewhere (meta in refer"
    )
    clones = results.run.table("clones")
    few = [{**row, "share": 0.002} for row in clones.to_pylist()]
    results.run._tables["clones"] = type(clones).from_pylist(few, schema("clones"))
    assert not lines_in_common(f7(results)).found
    results.run._tables["clones"] = clones.slice(0, 0)
    assert not lines_in_common(f7(results)).known


def test_a_base_that_emits_the_lines_itself(results):
    assert base_model(f7(results)).known
    first = next(m for m in results.reached_models if m.final and m.family == "single")
    results.reached_models.append(replace(first, family="base", strategy="base", order=""))
    results.prompts.exclusive[results.prompts.model_index[first.model]] = 0
    one = f7(results)
    assert not base_model(one).found
    results.prompts.exclusive[results.prompts.model_index[first.model]] = np.eye(1, 3, dtype=np.int64)
    assert base_model(one).found == "the model that training began with emits 1.00 of the lines a prompt by itself"


def test_a_base_of_others_is_not_known(results):
    results.run.manifest["experiment"]["model"] = {"pretrained": "somebody/model"}
    assert not base_model(f7(results)).known
