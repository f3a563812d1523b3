import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raysim.analysis.arrays import loss_arrays, prompt_arrays
from raysim.core.errors import InputError
from raysim.tables.io import schema, write_table
from raysim.tables.results import open_run
from raysim.tables.schemas.runs import LOSSES


def sample(prompt, number, owner, covered=0, exclusive=0, shared=0, public=0, model="m", lines=20):
    where = {"model": model, "prompt": prompt, "sample": number, "owner": owner, "lines": lines}
    return {**where, "covered": covered, "exclusive": exclusive, "shared": shared, "public": public}


@pytest.fixture
def folder(build_run):
    return build_run(organizations=("a", "b"), prompts=2)


def with_samples(folder, rows):
    write_table(folder, "samples", pa.Table.from_pylist(rows, schema("samples")))
    return prompt_arrays(open_run(folder))


def test_counts_are_summed_over_the_samples_of_a_prompt(folder):
    first = prompt_arrays(open_run(folder)).prompts[0]
    arrays = with_samples(
        folder,
        [
            sample(first, 0, "a", covered=12, exclusive=4, shared=6, public=2),
            sample(first, 0, "b", covered=9, exclusive=2, shared=6, public=1),
            sample(first, 1, "a", covered=7, exclusive=7),
            sample(first, 1, "b"),
            sample(first, 2, "a"),
            sample(first, 2, "b"),
        ],
    )
    assert arrays.num_samples[0].tolist() == [3, 0, 0, 0]
    assert arrays.num_matched[0, 0] == 2
    assert arrays.lines[0, 0] == 60
    assert arrays.covered[0, 0].tolist() == [19, 9]
    assert arrays.exclusive[0, 0].tolist() == [11, 2]
    assert arrays.hits[0, 0].tolist() == [2, 1]
    # Sample 0: 4 + 2 exclusive, the 6 shared once, the larger number of public lines; sample 1: 7.
    assert arrays.at_least_covered[0, 0] == 4 + 2 + 6 + 2 + 7


def test_rows_of_the_references_are_no_owner(folder):
    first = prompt_arrays(open_run(folder)).prompts[0]
    arrays = with_samples(folder, [sample(first, 0, "a"), sample(first, 0, "(public)", covered=8, public=8)])
    assert arrays.owners == ["a", "b"]
    assert arrays.num_matched.sum() == 0


def test_a_sample_of_an_unknown_prompt_is_named(folder):
    with pytest.raises(InputError, match="name the prompt nobody"):
        with_samples(folder, [sample("nobody", 0, "a")])


def test_losses_are_placed_by_model_and_file(folder):
    row = {"model": "m", "organization": "a", "split": "valid", "file": "x.py"}
    row |= {"nats": 1.5, "tokens": 3, "correct": 1, "bytes": 9}
    other = {**row, "model": "n", "file": "y.py", "nats": 2.5}
    trained = {**row, "split": "train", "file": "", "nats": 9.0}
    write_table(folder, "losses", pa.Table.from_pylist([row, other, trained], schema("losses")))
    arrays = loss_arrays(open_run(folder))
    assert arrays.models == ["m", "n"]
    assert arrays.files == ["x.py", "y.py"]
    np.testing.assert_array_equal(arrays.nats, [[1.5, 0.0], [0.0, 2.5]])
    np.testing.assert_array_equal(arrays.tokens, [[3, 0], [0, 3]])
    of_training = loss_arrays(open_run(folder), "train")
    assert (of_training.models, of_training.files, of_training.nats.tolist()) == (["m"], [""], [[9.0]])


def test_losses_of_before_there_were_splits_are_of_validation(folder):
    row = {"model": "m", "organization": "a", "file": "x.py", "nats": 1.5, "tokens": 3, "correct": 1, "bytes": 9}
    old = pa.Table.from_pylist([row], LOSSES.without("split"))
    (folder / "results").mkdir(exist_ok=True)
    pq.write_table(old, folder / "results/losses.parquet")
    assert loss_arrays(open_run(folder)).nats.tolist() == [[1.5]]
    assert loss_arrays(open_run(folder), "train").empty


def test_empty_tables_give_empty_cubes(build_run):
    run = open_run(build_run(memorization=False, perplexity=False))
    assert prompt_arrays(run).empty
    assert loss_arrays(run).empty
