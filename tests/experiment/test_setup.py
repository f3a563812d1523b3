"""What is there before the first stage, and what is refused before it."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from loaded_experiments import loaded

from raysim.core.errors import BoundaryError, InputError
from raysim.corpus.corpus import Drop
from raysim.experiment.config import LoadedExperiment
from raysim.experiment.plan import inline_pool
from raysim.experiment.setup import Setup, asks_for_bf16, check_agreements, set_up
from raysim.simulation.planner import plan
from raysim.store.store import Store

OPEN: dict[str, Any] = {"tokenizer": {"train": {"corpus": "organizations", "vocab_size": 300}}}


def experiment(folders: dict[str, Path], share: str = "data", **changes: Any) -> LoadedExperiment:
    """Of alpha and beta, every file of whom is kept."""
    off = {"min_assignments": 0, "min_characters_per_token": 0, "no_keyword_drop_probability": 0}
    defaults = {
        "organizations": {
            name: {"source": {"path": str(folders[name])}, "agreement": {"share": share}} for name in ("alpha", "beta")
        },
        "references": [{"path": str(folders["gamma"])}],
        "tokenizer": {"train": {"vocab_size": 300}},
        "preparation": {**off, "config_or_test_drop_probability": 0, "split": {"valid": 0.3}},
        "trainer": {"sequence_length": 64},
    }
    return loaded(**(defaults | changes))


def prepared(one: LoadedExperiment, store: Path) -> Setup:
    return asyncio.run(set_up(one, inline_pool(), Store(store)))


def test_seeds_have_run_contexts_of_one_corpus(corpus_folders: dict[str, Path], tmp_path: Path) -> None:
    setup = prepared(experiment(corpus_folders, seed=[3, 4]), tmp_path / "store")
    assert list(setup.client_stats) == ["alpha", "beta"]
    assert [run.context.seed for run in setup.strategy_runs] == [3, 3, 4, 4]
    assert {id(run.context.client_stats) for run in setup.strategy_runs} == {id(setup.client_stats)}
    assert {source.path for source in setup.references} == {file.name for file in corpus_folders["gamma"].glob("*.py")}


def test_only_inventories_cross_where_the_tokenizer_knows_references_alone(
    corpus_folders: dict[str, Path], tmp_path: Path
) -> None:
    setup = prepared(experiment(corpus_folders), tmp_path / "store")
    assert [(t.sender, t.receiver, t.kind) for t in setup.transfers] == [
        ("alpha", "server", "inventory"),
        ("beta", "server", "inventory"),
    ]


def test_texts_cross_for_a_tokenizer_that_is_trained_on_organizations(
    corpus_folders: dict[str, Path], tmp_path: Path
) -> None:
    setup = prepared(experiment(corpus_folders, **OPEN), tmp_path / "store")
    assert [t.sender for t in setup.transfers if t.kind == "texts"] == ["alpha", "beta"]


def test_a_tokenizer_is_trained_once(corpus_folders: dict[str, Path], tmp_path: Path) -> None:
    one, other = (prepared(experiment(corpus_folders), tmp_path / "store") for _ in range(2))
    (key,) = one.used
    assert other.used == one.used
    assert other.tokenizer == one.tokenizer
    assert set(Store(tmp_path / "store")) == {key}
    changed = prepared(experiment(corpus_folders, split_seed=5), tmp_path / "store")
    assert changed.used != one.used


def test_a_tokenizer_of_references_needs_some(corpus_folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tokenizer\.train\.corpus: is 'references', but there are none"):
        prepared(experiment(corpus_folders, references=[]), tmp_path / "store")


def test_what_is_wrong_with_a_reference_is_named(corpus_folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^references: .*nowhere"):
        prepared(experiment(corpus_folders, references=[{"path": "nowhere"}]), tmp_path / "store")


def test_a_reference_that_gives_nothing_would_make_all_code_somebodys_own(
    corpus_folders: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.ipynb").write_text("{}")
    references = [{"path": str(corpus_folders["gamma"])}, {"path": str(tmp_path / "notes")}]
    with pytest.raises(InputError, match=r"references: path: .*nothing matches `\*\*/\*\.py`; it holds 1 \.ipynb file"):
        prepared(experiment(corpus_folders, references=references), tmp_path / "store")
    (tmp_path / "notes/a.py").write_text("a = 1\n")
    setup = prepared(experiment(corpus_folders, references=references), tmp_path / "store")
    assert setup.reference_drops == (Drop("not matched by include: .ipynb", 1, 2),)


def test_no_file_that_is_dropped_trains_the_tokenizer(corpus_folders: dict[str, Path], tmp_path: Path) -> None:
    """Neither numbers on one line, nor a copy that deduplication leaves out, nor what is over a limit."""
    folders = {name: tmp_path / name for name in corpus_folders}
    for name, folder in folders.items():
        shutil.copytree(corpus_folders[name], folder)
    changes: dict[str, Any] = OPEN | {"deduplication": {"across": "first_owner"}}
    before = prepared(experiment(folders, **changes), tmp_path / "store").tokenizer
    (folders["alpha"] / "numbers.py").write_text(f"n = {list(range(50_000))}\n")
    shutil.copy(folders["alpha"] / "bisect.py", folders["beta"] / "bisect.py")
    assert prepared(experiment(folders, **changes), tmp_path / "store").tokenizer == before
    kept: dict[str, Any] = OPEN | {"deduplication": {"across": "keep"}}
    assert prepared(experiment(folders, **kept), tmp_path / "store").tokenizer != before


def test_no_tokenizer_learns_from_a_line_of_megabytes(corpus_folders: dict[str, Path], tmp_path: Path) -> None:
    """A word of so many letters takes minutes, wherever it is."""
    references = [{"path": str(corpus_folders["gamma"])}, {"path": str(tmp_path / "data")}]
    (tmp_path / "data").mkdir()
    (tmp_path / "data/small.py").write_text("a = 1\n")
    before = prepared(experiment(corpus_folders, references=references), tmp_path / "store")
    (tmp_path / "data/large.py").write_text("a = '" + "".join(map(chr, range(97, 123))) * 80_000 + "'\n")
    after = prepared(experiment(corpus_folders, references=references), tmp_path / "store")
    assert len(after.references) == len(before.references) + 1
    assert after.tokenizer == before.tokenizer


@pytest.mark.parametrize("share", ["weights", "data"])
def test_code_is_replayed_only_where_it_is_shared(corpus_folders: dict[str, Path], tmp_path: Path, share: str) -> None:
    strategy = {"incremental": {"orders": [["alpha", "beta"]], "replay": 0.1}}
    one = experiment(corpus_folders, share, strategies=[strategy])
    planned = asyncio.run(plan(prepared(one, tmp_path / "store").strategy_runs))
    if share == "data":
        check_agreements(one, planned)
        return
    with pytest.raises(BoundaryError, match=r"incremental replays the code of alpha, but alpha shares weights only"):
        check_agreements(one, planned)


@pytest.mark.parametrize(
    ("share", "strategy"), [("weights", "centralized"), ("data", "centralized"), ("weights", "single")]
)
def test_data_is_pooled_only_where_it_is_shared(
    corpus_folders: dict[str, Path], tmp_path: Path, share: str, strategy: str
) -> None:
    one = experiment(corpus_folders, share, strategies=[strategy])
    planned = asyncio.run(plan(prepared(one, tmp_path / "store").strategy_runs))
    if (share, strategy) == ("weights", "centralized"):
        with pytest.raises(BoundaryError, match=r"centralized pools the code of alpha, beta, but alpha, beta shares"):
            check_agreements(one, planned)
    else:
        check_agreements(one, planned)


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, False),
        ({"trainer": {"precision": "bf16"}}, True),
        ({"measure": {"memorization": {"prompts": {"prefix": 1}, "precision": "bf16"}}}, True),
        ({"measure": {"memorization": {"prompts": {"prefix": 1}}}}, False),
    ],
)
def test_bf16_is_asked_about_where_something_depends_on_it(changes: dict[str, Any], asked: bool) -> None:
    assert asks_for_bf16(loaded(**changes)) is asked


def test_a_base_may_be_of_another_domain_than_what_is_indexed(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("alpha", "beta", "gamma")}
    for name, folder in folders.items():
        folder.mkdir()
        for number in range(16):
            words = " ".join(f"The page {number} of {name} has {i} lines that are like this one." for i in range(20))
            text = f'"""{words}"""\n' + f"x_{number} = {number}\n" * 40
            (folder / f"{number}.py").write_text(text, encoding="utf-8")
    preparation = {"domain": "text", "split": {"valid": 0.3}, "min_characters_per_token": 0}
    found = {}
    for domain in (None, "text", "code"):
        config = {"config": {"model_type": "gpt2"}, "pretrain": {"domain": domain}}
        one = experiment(folders, model=config, preparation=preparation, measure={"perplexity": {}})
        setup = prepared(one, tmp_path / f"store{domain}")
        assert all("x_" not in source.text for source in (*setup.references, *setup.public.held_out))
        found[domain] = setup
    assert found[None].public == found["text"].public
    held_out = {(source.repository, source.path) for source in found["code"].public.held_out}
    assert held_out
    assert held_out.isdisjoint((source.repository, source.path) for source in found["code"].public.trained)
    assert all("x_" in source.text for source in found["code"].public.trained)
    keys = {domain: setup.strategy_runs[0].context.start for domain, setup in found.items()}
    assert keys[None] == keys["text"]
    assert keys["code"] != keys["text"]
