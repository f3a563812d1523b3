"""What is held out and trained on nearly as it is, seen before any training."""

from pathlib import Path

import pytest
from loaded_experiments import loaded

from raysim.core.event_loop import run_coroutine
from raysim.corpus.split import split_of
from raysim.experiment.overlap_report import held_out_copies
from raysim.experiment.plan import inline_pool, plan_run
from raysim.matching.held_out import cautions, copied_files
from raysim.store.store import Store

OFF = {"min_assignments": 0, "min_characters_per_token": 0, "no_keyword_drop_probability": 0}


def text(owner: str, number: int) -> str:
    return "".join(f"{owner}_{number}_{i} = call({i}, {number})\n" for i in range(20))


@pytest.mark.parametrize("copied", [True, False])
def test_edited_copies_across_splits_are_counted(tmp_path: Path, copied: bool) -> None:
    for number in range(24):
        for owner in ("alpha", "beta"):
            (tmp_path / owner).mkdir(exist_ok=True)
            own = text("shared" if copied else owner, number) + f"{owner}_only = {number}\n"
            (tmp_path / owner / f"{number}.py").write_text(own)
    experiment = loaded(
        organizations={name: {"source": {"path": str(tmp_path / name)}} for name in ("alpha", "beta")},
        references=[{"path": str(tmp_path / "alpha")}],
        tokenizer={"train": {"vocab_size": 300}},
        preparation={**OFF, "config_or_test_drop_probability": 0, "split": {"valid": 0.3}},
        model={"config": {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 16}},
        trainer={"sequence_length": 64},
    )

    async def look() -> list[dict[str, object]]:
        pool = inline_pool()
        run_plan = await plan_run(experiment, pool, Store(tmp_path / "store"))
        return await held_out_copies(pool, run_plan.setup)

    rows = run_coroutine(look())
    found = copied_files(rows)
    # An edited file falls by a hash of its own, so that one may train on what the other holds out.
    split = experiment.experiment.preparation.split
    falls = {
        owner: [split_of((tmp_path / owner / f"{number}.py").read_text(), split, 1) for number in range(24)]
        for owner in ("alpha", "beta")
    }
    if copied:
        for one, other in (("alpha", "beta"), ("beta", "alpha")):
            apart = list(zip(falls[one], falls[other], strict=True)).count(("valid", "train"))
            assert (found[one].files, len(found[one].copies)) == (falls[one].count("valid"), apart)
            assert apart > 0
        assert len(cautions(rows)) == 2
    else:
        assert all(one.share == 0 and not one.copies for one in found.values())
        assert cautions(rows) == []
