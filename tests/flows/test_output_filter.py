"""Models that know an organization's code by heart give none of it away under an output filter, in one process or many.

Organizations share weights alone, so what crosses for it are Bloom filters and their keys.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drive import hashes, raysim
from splits import splitting_seed

from raysim.core.errors import InputError
from raysim.core.keys import Key
from raysim.experiment.config import load_experiment
from raysim.store.store import Store
from raysim.tables.io import read_table

pytestmark = pytest.mark.slow

LINES = 2
NAMES = ("alpha", "gamma")
SETTINGS: dict[str, Any] = {
    "trainer": {"epochs": 80, "sequence_length": 64, "batch_size": 4, "learning_rate": 5e-3},
    "model": {"config": {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 64}, "dropout": 0.0},
    "strategies": ["single"],
    "measure": {
        "perplexity": None,
        "memorization": {
            "prompts": {"prefix": 6, "function": 2},
            "prefix_tokens": 8,
            "samples": 2,
            "new_tokens": 48,
            "min_lines": LINES,
        },
    },
}
FILTER = f"measure.memorization.output_filter={{lines: {LINES}}}"
RESAMPLE = f"measure.memorization.output_filter={{lines: {LINES}, action: resample, attempts: 2}}"
WRONG = f"measure.memorization.output_filter={{lines: {LINES}, false_positive_rate: 0.4}}"


@pytest.fixture(scope="module")
def experiment(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_writer: Callable[[Path], Callable[..., Path]],
    corpus_folders: dict[str, Path],
) -> Path:
    """Two organizations with a short file each to train on, learnt by heart by a model each."""
    folder = tmp_path_factory.mktemp("filtered")
    for name, files in {"alpha": ("bisect.py", "sched.py"), "gamma": ("colorsys.py", "codeop.py")}.items():
        (folder / name).mkdir()
        for file in files:
            text = (corpus_folders[name] / file).read_text(encoding="utf-8")
            (folder / name / file).write_text(text[:1600], encoding="utf-8")
    return tiny_writer(folder)(
        split_seed=splitting_seed({name: folder / name for name in NAMES}),
        organizations={n: {"source": {"path": str(folder / n)}, "agreement": {"share": "weights"}} for n in NAMES},
        tokenizer={"train": {"corpus": "references", "vocab_size": 400}},
        references=[{"path": str(corpus_folders["beta"])}],
        **SETTINGS,
    )


def run(experiment: Path, name: str, *changes: str) -> Path:
    """A run in a folder of its own, with a secret of its own, on the store of all."""
    out = experiment.parent / name
    words = [word for change in changes for word in ("--set", change)]
    ended = raysim("run", experiment, "--out", out, "--store", experiment.parent / "store", *words)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return out


def rows(out: Path, table: str) -> list[dict[str, Any]]:
    return read_table(out, table).to_pylist()


@pytest.fixture(scope="module")
def free(experiment: Path) -> Path:
    return run(experiment, "free")


@pytest.fixture(scope="module")
def filtered(experiment: Path, free: Path) -> Path:
    return run(experiment, "filtered", FILTER)


def blocks_by_owner(out: Path) -> dict[str, dict[str, int]]:
    """Counts of all models and kinds together."""
    found: dict[str, dict[str, int]] = {}
    for row in rows(out, "filter_blocks"):
        sums = found.setdefault(row["owner"], {})
        for name, value in row.items():
            if isinstance(value, int):
                sums[name] = sums.get(name, 0) + value
    return found


def test_nothing_is_covered_under_the_filter(free: Path, filtered: Path) -> None:
    assert rows(free, "filter_blocks") == []
    recited = {(r["model"], r["prompt"], r["sample"]) for r in rows(free, "samples") if r["covered"]}
    assert len(recited) > 4
    assert sum(row["covered"] for row in rows(filtered, "samples")) == 0
    stopped = {(r["model"], r["prompt"], r["sample"]) for r in rows(filtered, "generations") if r["ended"] == "filter"}
    assert stopped == recited
    # And what nobody has is as it was.
    before, after = (
        {(r["model"], r["prompt"], r["sample"]): r for r in rows(out, "generations")} for out in (free, filtered)
    )
    assert all(before[key] == after[key] for key in before.keys() - recited)


def test_what_was_blocked_is_counted_by_owner(free: Path, filtered: Path) -> None:
    counts, generations = blocks_by_owner(filtered), rows(filtered, "generations")
    assert counts.keys() == {"", *NAMES}
    stopped = [row for row in generations if row["ended"] == "filter"]
    assert counts[""]["stopped"] == counts[""]["blocks"] == len(stopped)
    assert counts[""]["samples"] == len(generations)
    assert counts[""]["tokens"] == sum(row["new_tokens"] for row in generations)
    assert 0 < counts[""]["lost_tokens"] < sum(row["new_tokens"] for row in rows(free, "generations"))
    # By the matcher's word: whose lines the same samples had where nothing was filtered.
    owners: dict[str, int] = dict.fromkeys(NAMES, 0)
    for row in rows(free, "samples"):
        owners[row["owner"]] += row["covered"] > 0
    assert {name: counts[name]["blocks"] for name in NAMES} == owners
    assert all(one["false_blocks"] == 0 for one in counts.values())


def test_the_ledger_has_filters_and_keys(filtered: Path) -> None:
    ledger = rows(filtered, "ledger")
    sent = {(row["sender"], row["kind"]) for row in ledger}
    for name in NAMES:
        assert {(name, "line filter"), (name, "filter key")} <= sent
    assert {row["kind"] for row in ledger}.isdisjoint({"sequences", "texts"})


@pytest.mark.stress
def test_ray_gives_the_same_tables(experiment: Path, filtered: Path, tmp_path: Path) -> None:
    """In a store of its own, with a secret of its own."""
    ended = raysim("run", experiment, "--out", tmp_path, "--set", FILTER, "--set", "execution.backend=ray")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert hashes(tmp_path) == hashes(filtered)


def test_samples_are_drawn_anew_before_they_are_stopped(experiment: Path, filtered: Path) -> None:
    out = run(experiment, "resampled", RESAMPLE)
    assert sum(row["covered"] for row in rows(out, "samples")) == 0
    one, other = blocks_by_owner(filtered)[""], blocks_by_owner(out)[""]
    assert other["stopped"] <= one["stopped"] < other["blocks"] <= 3 * one["stopped"]
    assert other["tokens"] >= one["tokens"]


def test_a_loose_filter_blocks_what_nobody_has(experiment: Path, free: Path) -> None:
    """And says so; another run, whose line hashes have another secret, is blocked alike."""
    out = run(experiment, "loose", WRONG)
    counts = blocks_by_owner(out)
    assert counts[""]["false_blocks"] > 5
    assert all(one["false_blocks"] <= one["blocks"] for one in counts.values())
    again = raysim("run", experiment, "--out", experiment.parent / "anew", "--set", WRONG)
    assert again.returncode == 0, again.stdout + again.stderr
    assert hashes(experiment.parent / "anew") == hashes(out)


def test_the_filter_is_in_the_keys_of_generations_alone(free: Path, filtered: Path, experiment: Path) -> None:
    def keys(out: Path, kind: str) -> set[Key]:
        return {row["key"] for row in read_log_rows(out) if row["kind"] == kind}

    store = Store(experiment.parent / "store")
    for kind in ("train", "prompts"):
        assert keys(free, kind) == keys(filtered, kind)
    assert keys(free, "generate").isdisjoint(keys(filtered, "generate"))
    recipes = [entry.recipe for key in keys(free, "generate") if (entry := store.peek(key))]
    assert recipes
    assert all("output_filter" not in recipe for recipe in recipes)


def read_log_rows(out: Path) -> list[dict[str, Any]]:
    from raysim.store.task_log import read_log

    return list(read_log(out / "stages.jsonl"))


def test_greedy_decoding_cannot_draw_anew(experiment: Path) -> None:
    with pytest.raises(InputError, match=r"output_filter.action: resample would draw the same again"):
        load_experiment(experiment, [RESAMPLE, "measure.memorization.temperature=0"])
