import dataclasses
import json
import os
import pickle
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from raysim.core.errors import BoundaryError, InputError
from raysim.corpus.canaries import CanarySettings
from raysim.corpus.planted_functions import PlantSettings
from raysim.corpus.sources import SourceSettings
from raysim.corpus.split import SplitSettings
from raysim.organizations.organization import (
    DataPolicy,
    Organization,
    OrganizationSettings,
    PooledOrganization,
    PreparationContext,
)
from raysim.training.request import TrainerSettings, TrainRequest, TrainTask, Update
from raysim.training.weights import flatten


@pytest.fixture
def make(corpus_folders: dict[str, Path], tmp_path: Path):
    """Makes an organization of the tiny corpus, not yet prepared."""

    def organization(name: str = "alpha", share: str = "weights", **settings) -> Organization:
        source = SourceSettings(path=os.path.relpath(corpus_folders[name], tmp_path))
        agreement = DataPolicy.model_validate({"share": share})
        chosen = OrganizationSettings(source=source, agreement=agreement, **settings)
        return Organization(name, chosen, tmp_path, "cache")

    return organization


# Preparation.


def test_no_step_of_preparation_drops_what_is_planted(
    make, preparation_context: PreparationContext, corpus_folders: dict[str, Path]
) -> None:
    """Canaries and functions that every filter would drop, as near-duplicates, too short and over the limit."""
    canaries = CanarySettings(repeats=(0, 1, 8), count=2)
    plants = PlantSettings(functions={1: 1, 8: 1})
    changes = {
        "exact_dedup": True, "near_dedup": True, "near_dedup_min_words": 1, "near_dedup_jaccard": 0.5,
        "min_assignments": 2, "no_keyword_drop_probability": 1.0,
    }  # fmt: skip
    strict = preparation_context.preparation.model_copy(update=changes)
    context = dataclasses.replace(preparation_context, preparation=strict, canaries=canaries, plants=plants)
    size = sum(path.stat().st_size for path in corpus_folders["alpha"].glob("*.py"))
    organization = make(limit=size - 1)
    organization.prepare(context)
    texts = "\n".join(file.text for file in organization.corpus.train)
    assert len(organization.corpus.canaries) == 6
    for canary in organization.corpus.canaries:
        assert texts.count(canary.secret) == canary.repeats
    for function in organization.corpus.plants:
        assert texts.count(function.text.strip()) == function.repeats


def test_an_organization_has_its_part_of_a_source(
    preparation_context: PreparationContext, corpus_folders, tmp_path
) -> None:
    source = SourceSettings(path=str(corpus_folders["beta"].parent))
    whole = {path.name for folder in corpus_folders.values() for path in folder.glob("*.py")}

    def make(**partition) -> Organization:
        chosen = {"by": {"sizes": [0.5, 0.5]}, **partition}
        settings = OrganizationSettings.model_validate({"source": source, "partition": chosen})
        return Organization("part", settings, tmp_path, "cache")

    one, other = ({f.path.split("/")[1] for f in make(part=part).candidates(preparation_context)} for part in (0, 1))
    assert (one | other, one & other, len(one)) == (whole, set(), 8)
    make(part=0).forget_parts()
    with pytest.raises(
        InputError, match=r"^organizations\.part\.partition\.by\.column: no file has the column licence"
    ):
        make(by={"column": "licence"}, part="MIT").candidates(preparation_context)


# The boundary.


def test_nothing_is_shared_without_an_agreement(make, preparation_context: PreparationContext) -> None:
    organization = make()
    organization.prepare(preparation_context)
    for share in (
        organization.share_sequences,
        organization.share_files,
        partial(organization.share_texts, preparation_context),
    ):
        with pytest.raises(BoundaryError, match=r"organizations\.alpha\.agreement\.share: is 'weights'.*share: data"):
            share()


def test_weights_are_the_default() -> None:
    assert DataPolicy().share == "weights"


def test_shared_sequences_are_the_training_sequences(make, preparation_context: PreparationContext) -> None:
    organization = make(share="data")
    organization.prepare(preparation_context)
    assert np.array_equal(organization.share_sequences(), organization.training_sequences())
    assert np.array_equal(organization.share_sequences(3), organization.training_sequences()[:3])


def test_shared_files_are_those_that_are_trained_on(make, preparation_context: PreparationContext) -> None:
    cut = preparation_context.preparation.model_copy(update={"truncate_files": 50})
    for preparation, longest in ((preparation_context.preparation, None), (cut, 50)):
        organization = make(share="data")
        stats = organization.prepare(dataclasses.replace(preparation_context, preparation=preparation))
        files, tokenizer = organization.share_files(), organization.tokenizer
        expected = [[tokenizer.bos_id, *tokenizer.encode(f.text)[:longest]] for f in organization.corpus.train]
        assert sorted(map(list, files)) == sorted(expected)
        assert sum(map(len, files)) == stats.stream_tokens


def test_truncated_files_are_counted_and_named_as_such(make, preparation_context: PreparationContext) -> None:
    """Files, held-out text and what prompts are drawn by stay as they are; tokens and what keys name are others."""
    cut = preparation_context.preparation.model_copy(update={"truncate_files": 50})
    whole, truncated = make(), make()
    before = whole.prepare(preparation_context)
    after = truncated.prepare(dataclasses.replace(preparation_context, preparation=cut))
    assert truncated.corpus == dataclasses.replace(whole.corpus, truncated_at=50)
    assert truncated.corpus.train_fingerprint == whole.corpus.train_fingerprint == before.train_fingerprint
    assert after.train_fingerprint != before.train_fingerprint
    assert after.splits["valid"] == before.splits["valid"]
    tokens = [len(whole.tokenizer.encode(f.text)) for f in whole.corpus.train]
    assert after.tokens == sum(min(50, number) for number in tokens) < before.tokens == sum(tokens)
    assert after.sequences < before.sequences


def test_shared_texts_are_the_files_that_are_kept(
    make, preparation_context: PreparationContext, corpus_folders: dict[str, Path]
) -> None:
    context = dataclasses.replace(preparation_context, tokenizer=None)
    texts = {path.name: path.read_text(encoding="utf-8") for path in corpus_folders["alpha"].glob("*.py")}
    assert sorted(make(share="data").share_texts(context)) == sorted(texts.values())
    longest = {name: max(map(len, text.splitlines())) for name, text in texts.items()}
    changes = {"max_line_characters": max(longest.values()) - 1, "split": SplitSettings(valid=0.5)}
    short = dataclasses.replace(context, preparation=context.preparation.model_copy(update=changes))
    kept = [text for name, text in texts.items() if longest[name] < max(longest.values())]
    assert 1 < len(kept) < len(texts)
    assert sorted(make(share="data").share_texts(short)) == sorted(kept)
    limited = make(share="data", limit=sum(map(len, texts.values())) - 1)
    assert len(limited.share_texts(context)) < len(texts)
    limited.prepare(preparation_context)
    assert sorted(limited.share_texts(context)) == sorted(
        file.text for file in limited.corpus.train + limited.corpus.valid
    )


def test_client_stats_hold_no_content(make, preparation_context: PreparationContext) -> None:
    """Neither a line of any file, nor a path, nor anything but counts, reasons, licences and fingerprints."""
    organization = make()
    stats = organization.prepare(preparation_context)
    content = json.dumps(dataclasses.asdict(stats)) + repr(pickle.dumps(stats))
    files = organization.corpus.train + organization.corpus.valid
    assert files
    for file in files:
        assert file.path not in content
        for line in {line.strip() for line in file.text.splitlines()}:
            assert len(line) < 12 or line not in content, line


# Counts.


def test_client_stats_count_what_is_there(make, preparation_context: PreparationContext) -> None:
    organization = make()
    stats = organization.prepare(preparation_context)
    for split, files in (("train", organization.corpus.train), ("valid", organization.corpus.valid)):
        counted = stats.splits[split]
        assert counted["files"] == len(files)
        assert counted["bytes"] == sum(len(f.text.encode()) for f in files)
        assert counted["lines"] == sum(1 for f in files for line in f.text.split("\n") if line.strip())
        assert counted["tokens"] == sum(len(organization.tokenizer.encode(f.text)) for f in files)
    train = stats.splits["train"]
    stream = train["tokens"] + train["files"]  # a BOS before each file
    assert stats.sequences == train["sequences"] == stream // preparation_context.sequence_length
    assert organization.training_sequences().shape == (stats.sequences, preparation_context.sequence_length)
    assert stats.splits["valid"]["sequences"] == 0
    assert sum(stats.licences.values()) == train["files"]
    assert stats.drops == ()
    assert train["files"] + stats.splits["valid"]["files"] == 5


def test_the_spectrum_is_that_of_the_training_lines(make, preparation_context: PreparationContext) -> None:
    organization = make()
    stats = organization.prepare(preparation_context)
    lines = Counter(line.strip() for f in organization.corpus.train for line in f.text.split("\n") if line.strip())
    assert stats.line_spectrum == tuple(sorted(Counter(lines.values()).items()))
    assert stats.duplicate_share == stats.duplicate_lines / stats.splits["train"]["lines"]
    assert stats.tokens == stats.splits["train"]["tokens"]


def test_duplicate_lines_are_counted(tmp_path: Path, preparation_context: PreparationContext) -> None:
    """Four lines occur in two files; with windows of 3 lines, that is 8 lines in more than one place."""
    same = "def f(values):\n    total = sum(values)\n\n    mean = total / len(values)\n    return mean\n"
    (tmp_path / "code").mkdir()
    for number in range(4):
        body = "".join(f"x{number}_{i} = {number * 100 + i}\n" for i in range(60))
        (tmp_path / "code" / f"{number}.py").write_text(body + same)
    settings = OrganizationSettings(source=SourceSettings(path="code"))
    organization = Organization("o", settings, tmp_path, "cache")
    stats = organization.prepare(preparation_context)
    in_training = sum(same in f.text for f in organization.corpus.train)
    assert in_training >= 2
    assert stats.duplicate_lines == 4 * in_training


def test_drops_are_counted_with_their_reasons(make, preparation_context: PreparationContext) -> None:
    whole = make()
    whole.prepare(preparation_context)
    files = whole.corpus.train + whole.corpus.valid
    enough = sorted(f.text.count("=") for f in files)[2]
    strict = preparation_context.preparation.model_copy(update={"min_assignments": enough})
    organization = make()
    stats = organization.prepare(dataclasses.replace(preparation_context, preparation=strict))
    few = [f for f in files if f.text.count("=") < enough]
    assert few
    assert stats.drops == (
        {"reason": f"fewer than {enough} '='", "files": len(few), "bytes": sum(f.num_bytes for f in few)},
    )
    kept = organization.corpus.train + organization.corpus.valid
    assert Counter(f.path for f in kept) == Counter(f.path for f in files) - Counter(f.path for f in few)


# Shards.


def test_prepared_twice_is_the_same(make, preparation_context: PreparationContext) -> None:
    one, two = make(), make()
    assert one.prepare(preparation_context) == two.prepare(preparation_context) == one.prepare(preparation_context)
    assert np.array_equal(one.training_sequences(), two.training_sequences())


def test_shards_are_named_by_all_that_decides_them(
    make, preparation_context: PreparationContext, tmp_path: Path
) -> None:
    for changed in (
        preparation_context,
        dataclasses.replace(preparation_context, sequence_length=32),
        dataclasses.replace(preparation_context, split_seed=5),
    ):
        organization = make()
        organization.prepare(changed)
        assert organization.training_sequences().shape[1] == changed.sequence_length
    assert len(list((tmp_path / "cache" / "alpha").iterdir())) == 3


def test_an_error_names_the_organization(make, preparation_context: PreparationContext) -> None:
    with pytest.raises(InputError, match=r"^organizations\.alpha: .*sequence_length"):
        make().prepare(dataclasses.replace(preparation_context, sequence_length=100_000))


# Clients.


def test_a_pooled_organization_holds_sequences_one_after_the_other() -> None:
    parts = [np.full((n, 4), n, np.int32) for n in (1, 3)]
    pooled = PooledOrganization("a+b", parts)
    assert pooled.training_sequences().tolist() == [[1] * 4] + [[3] * 4] * 3


@pytest.mark.parametrize("count", [None, 3])
def test_training_is_on_the_first_sequences_of_the_client(gpt2_spec, count: int | None) -> None:
    sequences = np.random.Generator(np.random.Philox(1)).integers(0, 300, (6, 16)).astype(np.int32)
    spec, settings = gpt2_spec(), TrainerSettings(batch_size=2, sequence_length=16)
    task = TrainTask("t", settings, 1, 1, seed=1, num_sequences=count)
    client = PooledOrganization("a", [sequences])
    start = flatten(client.model(spec))
    *_, weights, update = client.train(TrainRequest(spec, task), start)
    all_of_them = TrainRequest(spec, dataclasses.replace(task, num_sequences=None))
    *_, wanted, expected = PooledOrganization("b", [sequences[:count]]).train(all_of_them, start)
    assert isinstance(update, Update)
    assert isinstance(expected, Update)
    assert update.metrics["sequences"] == (count or 6)
    assert not update.weights.size  # they are an item of their own
    assert isinstance(weights, np.ndarray)
    assert isinstance(wanted, np.ndarray)
    assert np.array_equal(weights, wanted)


def test_an_app_finds_the_files_of_its_own_organization(
    make, preparation_context: PreparationContext, tmp_path: Path
) -> None:
    organization = make()
    organization.prepare(preparation_context)
    sequences = organization.training_sequences()

    def found(count: int) -> list[str]:
        with organization.training_folder(sequences[:count]) as folder:
            assert folder.parent == tmp_path / "cache" / "alpha"
            assert np.array_equal(np.load(folder / "sequences.npy"), sequences[:count])
            rows = [json.loads(line) for line in (folder / "files.jsonl").read_text("utf-8").splitlines()]
        return [row["text"] for row in rows]

    texts = [source.text for source in organization.corpus.train]
    assert found(len(sequences)) == texts
    (first,) = found(1)
    assert organization.tokenizer.encode(first)[:10] == sequences[0, 1:11].tolist()


def test_an_app_of_flowers_trains_and_leaves_nothing_behind(
    make, preparation_context: PreparationContext, gpt2_spec, tmp_path: Path
) -> None:
    organization, spec = make(), gpt2_spec()
    organization.prepare(preparation_context)
    shards = list((tmp_path / "cache" / "alpha").iterdir())
    settings = TrainerSettings(
        backend="flower", app="flower_apps:app", sequence_length=preparation_context.sequence_length
    )
    start = flatten(organization.model(spec))
    *_, weights, update = organization.train(TrainRequest(spec, TrainTask("t", settings, 1, 1, seed=1)), start)
    assert isinstance(update, Update)
    assert isinstance(weights, np.ndarray)
    assert np.array_equal(weights, start + np.float32(1))
    assert list((tmp_path / "cache" / "alpha").iterdir()) == shards
