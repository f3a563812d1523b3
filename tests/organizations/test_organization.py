import dataclasses
import json
import os
import pickle
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from code_in_languages import CODE

from raysim.core.errors import BoundaryError, InputError
from raysim.corpus.canaries import CanarySettings
from raysim.corpus.line_digests import digest_lines
from raysim.corpus.lines import significant_lines
from raysim.corpus.obfuscation.settings import ObfuscationSettings
from raysim.corpus.planted_functions import PlantSettings
from raysim.corpus.redaction import RedactionSettings
from raysim.corpus.sources import SourceSettings
from raysim.corpus.split import SplitSettings
from raysim.matching.clones import clone_rows
from raysim.matching.line_index import build_index
from raysim.measures.memorization.client_functions import index_at
from raysim.organizations.data_policy import DataPolicy
from raysim.organizations.organization import Organization, PreparationContext
from raysim.organizations.settings import OrganizationSettings
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


def test_an_organization_knows_the_languages_of_its_files(
    preparation_context: PreparationContext, tmp_path: Path
) -> None:
    """Of all in a folder those that are included; what is no Python is prepared as it is."""
    for number in range(6):
        for code in CODE.values():
            path = tmp_path / str(number) / code.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"// {number}\n{code.text}")
    source = SourceSettings(path=str(tmp_path), include=["**/*.go", "**/*.rs"])
    organization = Organization("acme", OrganizationSettings(source=source), tmp_path, "cache")
    stats = organization.prepare(preparation_context)
    assert stats.languages == ("go", "rust")
    files = (*organization.corpus.train, *organization.corpus.valid)
    assert len(files) == 12


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


def test_what_is_not_agreed_to_is_in_no_split(preparation_context: PreparationContext, tmp_path: Path) -> None:
    """Nor among the candidates, which are compared with files of others, nor in a validation split of its own."""
    for folder in ("code", "kept_out"):
        (tmp_path / folder).mkdir()
        for number in range(8):
            licence = "MIT" if number % 2 else "GPL-3.0-only"
            text = f"# SPDX-License-Identifier: {licence}\n" + f"{folder} = {number}\n" * 40
            (tmp_path / folder / f"{number}.py").write_text(text)
    settings = OrganizationSettings(
        source=SourceSettings(path="code"),
        held_out=SourceSettings(path="kept_out"),
        agreement=DataPolicy(train_on=("MIT",)),
    )
    organization = Organization("alpha", settings, tmp_path, "cache")
    stats = organization.prepare(preparation_context)
    files = organization.corpus.train + organization.corpus.valid
    assert {source.path for source in files} == {"1.py", "3.py", "5.py", "7.py"}
    assert {drop["reason"]: drop["files"] for drop in stats.drops} == {
        "licence not agreed to: GPL-3.0-only": 4,
        "held out: licence not agreed to: GPL-3.0-only": 4,
    }
    assert len(Organization("alpha", settings, tmp_path, "cache").candidates(preparation_context)) == 4
    nothing = settings.model_copy(update={"agreement": DataPolicy(train_on=("0BSD",))})
    with pytest.raises(InputError, match=r"agree to more licences \(agreement\.train_on\)"):
        Organization("alpha", nothing, tmp_path, "cache").prepare(preparation_context)


def test_what_is_redacted_is_in_no_text_and_no_token(preparation_context: PreparationContext, tmp_path: Path) -> None:
    """It is counted by kind; a tokenizer that is trained on what is shared does not see it either."""
    (tmp_path / "code").mkdir()
    for number in range(8):
        said = f"# by jane{number}@roe.org\npassword = 'h0rse-battery{number}'\n"
        (tmp_path / "code" / f"{number}.py").write_text(said + f"name_{number} = {number}\n" * 40)
    redact = RedactionSettings(secrets="redact", personal="redact")
    preparation = preparation_context.preparation.model_copy(update={"redact": redact})
    context = dataclasses.replace(preparation_context, preparation=preparation)
    settings = OrganizationSettings(source=SourceSettings(path="code"), agreement=DataPolicy(share="data"))
    organization = Organization("alpha", settings, tmp_path, "cache")
    stats = organization.prepare(context)
    texts = [f.text for f in organization.corpus.train + organization.corpus.valid]
    tokens = organization.tokenizer.decode(organization.training_sequences().ravel().tolist())
    for text in (*texts, tokens, *organization.share_texts(context)):
        assert "<EMAIL>" in text
        assert "'<SECRET>'" in text
        assert not any(word in text for word in ("jane", "roe.org", "h0rse"))
    assert [(row["kind"], row["files"], row["occurrences"]) for row in stats.redactions] == [
        ("e-mail address", 8, 8),
        ("Secret Keyword", 8, 8),
    ]


def test_what_is_obfuscated_is_trained_on_and_what_it_was_is_compared_with(
    preparation_context: PreparationContext, tmp_path: Path
) -> None:
    """A model that writes the original again is found out, as is one that writes what it was trained on."""
    (tmp_path / "code").mkdir()
    body = "".join(f"    summand_{n} = argument + {n}  # said\n" for n in range(30)) + "    return summand_3\n"
    for number in range(8):
        (tmp_path / "code" / f"{number}.py").write_text(f"def f_{number}(argument):\n{body.replace('3', '3' * number)}")
    settings = OrganizationSettings(source=SourceSettings(path="code"))
    plain = Organization("alpha", settings, tmp_path, "cache")
    plain.prepare(preparation_context)
    obfuscate = ObfuscationSettings(rename=True, comments="drop", copies=2)
    preparation = preparation_context.preparation.model_copy(update={"obfuscate": obfuscate})
    organization = Organization("alpha", settings, tmp_path, "cache")
    stats = organization.prepare(dataclasses.replace(preparation_context, preparation=preparation))
    corpus = organization.corpus
    assert corpus.valid == plain.corpus.valid
    assert {source.text for source in corpus.originals} == {source.text for source in plain.corpus.train}
    assert len(corpus.train) == 2 * len(plain.corpus.train)
    tokens = organization.tokenizer.decode(organization.training_sequences().ravel().tolist())
    assert not any(word in text for text in (tokens, *(f.text for f in corpus.train)) for word in ("summand", "# said"))
    assert {(row["transformation"], row["outcome"]) for row in stats.obfuscations} == {
        ("rename", "changed"), ("comments", "changed"),
    }  # fmt: skip
    assert stats.train_fingerprint not in (plain.stats.train_fingerprint, corpus.train_fingerprint)
    index = index_at(organization, 6, b"secret")
    for source in corpus.train + plain.corpus.train:
        assert index.covered(digest_lines(significant_lines(source.text)[0], b"secret")).all()
    alone = index_at(plain, 6, b"secret")
    assert not alone.covered(digest_lines(significant_lines(corpus.train[0].text)[0], b"secret")).any()
    clones = clone_rows("alpha", corpus.train, 6, {"alpha": index}, None, b"secret").to_pylist()
    trained = build_index(corpus.train, 6, b"secret")
    assert clones == clone_rows("alpha", corpus.train, 6, {"alpha": trained}, None, b"secret").to_pylist()


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


# Apps.


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
