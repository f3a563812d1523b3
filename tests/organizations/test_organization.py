import dataclasses
import json
import os
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from raysim.core.errors import BoundaryError, InputError
from raysim.corpus.sources import SourceSettings
from raysim.organizations.organization import Agreement, Coalition, Organization, OrganizationSettings, Preparing
from raysim.training.request import Task, TrainerSettings, Update
from raysim.training.weights import flatten


@pytest.fixture
def make(corpus_folders: dict[str, Path], tmp_path: Path):
    """Makes an organization of the tiny corpus, not yet prepared."""

    def organization(name: str = "alpha", share: str = "weights", **settings) -> Organization:
        source = SourceSettings(path=os.path.relpath(corpus_folders[name], tmp_path))
        agreement = Agreement.model_validate({"share": share})
        chosen = OrganizationSettings(source=source, agreement=agreement, **settings)
        return Organization(name, chosen, tmp_path, tmp_path / "cache" / name)

    return organization


# The boundary.


@pytest.mark.parametrize("method", ["share_sequences", "share_texts"])
def test_nothing_is_shared_without_an_agreement(make, preparing: Preparing, method: str) -> None:
    organization = make()
    organization.prepare(preparing)
    with pytest.raises(BoundaryError, match=r"organizations\.alpha\.agreement\.share: is 'weights'.*share: data"):
        getattr(organization, method)()


def test_weights_are_the_default() -> None:
    assert Agreement().share == "weights"


def test_shared_sequences_are_the_training_sequences(make, preparing: Preparing) -> None:
    organization = make(share="data")
    organization.prepare(preparing)
    assert np.array_equal(organization.share_sequences(), organization.training_sequences())
    assert np.array_equal(organization.share_sequences(3), organization.training_sequences()[:3])


def test_shared_texts_are_the_files_as_read(make, corpus_folders: dict[str, Path]) -> None:
    texts = make(share="data").share_texts()
    assert sorted(texts) == sorted(p.read_text(encoding="utf-8") for p in corpus_folders["alpha"].glob("*.py"))


def test_an_inventory_holds_no_content(make, preparing: Preparing) -> None:
    """Neither a line of any file, nor a path, nor anything but counts, reasons, licences and fingerprints."""
    organization = make()
    inventory = organization.prepare(preparing)
    told = json.dumps(dataclasses.asdict(inventory)) + repr(pickle.dumps(inventory))
    files = organization.corpus.train + organization.corpus.valid
    assert files
    for file in files:
        assert file.path not in told
        for line in {line.strip() for line in file.text.splitlines()}:
            assert len(line) < 12 or line not in told, line


# Counts.


def test_the_inventory_counts_what_is_there(make, preparing: Preparing) -> None:
    organization = make()
    inventory = organization.prepare(preparing)
    for split, files in (("train", organization.corpus.train), ("valid", organization.corpus.valid)):
        counted = inventory.splits[split]
        assert counted["files"] == len(files)
        assert counted["bytes"] == sum(len(f.text.encode()) for f in files)
        assert counted["lines"] == sum(1 for f in files for line in f.text.split("\n") if line.strip())
        assert counted["tokens"] == sum(len(preparing.tokenizer.encode(f.text)) for f in files)
    train = inventory.splits["train"]
    stream = train["tokens"] + train["files"]  # a BOS before each file
    assert inventory.sequences == train["sequences"] == stream // preparing.sequence_length
    assert organization.training_sequences().shape == (inventory.sequences, preparing.sequence_length)
    assert inventory.splits["valid"]["sequences"] == 0
    assert sum(inventory.licences.values()) == train["files"]
    assert inventory.drops == ()
    assert train["files"] + inventory.splits["valid"]["files"] == 5


def test_the_spectrum_is_that_of_the_training_lines(make, preparing: Preparing) -> None:
    organization = make()
    inventory = organization.prepare(preparing)
    lines = Counter(line.strip() for f in organization.corpus.train for line in f.text.split("\n") if line.strip())
    assert inventory.line_spectrum == tuple(sorted(Counter(lines.values()).items()))
    assert inventory.duplicate_share == inventory.duplicate_lines / inventory.splits["train"]["lines"]
    assert inventory.tokens == inventory.splits["train"]["tokens"]


def test_duplicate_lines_are_counted(tmp_path: Path, preparing: Preparing) -> None:
    """Four lines stand in two files; with windows of 3 lines, that is 8 lines in more than one place."""
    same = "def f(values):\n    total = sum(values)\n\n    mean = total / len(values)\n    return mean\n"
    (tmp_path / "code").mkdir()
    for number in range(4):
        body = "".join(f"x{number}_{i} = {number * 100 + i}\n" for i in range(60))
        (tmp_path / "code" / f"{number}.py").write_text(body + same)
    settings = OrganizationSettings(source=SourceSettings(path="code"))
    organization = Organization("o", settings, tmp_path, tmp_path / "cache")
    inventory = organization.prepare(preparing)
    in_training = sum(same in f.text for f in organization.corpus.train)
    assert in_training >= 2
    assert inventory.duplicate_lines == 4 * in_training


def test_drops_are_counted_with_their_reasons(make, preparing: Preparing) -> None:
    whole = make()
    whole.prepare(preparing)
    files = whole.corpus.train + whole.corpus.valid
    enough = sorted(f.text.count("=") for f in files)[2]
    strict = preparing.preparation.model_copy(update={"min_assignments": enough})
    organization = make()
    inventory = organization.prepare(dataclasses.replace(preparing, preparation=strict))
    few = [f for f in files if f.text.count("=") < enough]
    assert few
    assert inventory.drops == (
        {"reason": f"fewer than {enough} '='", "files": len(few), "bytes": sum(f.num_bytes for f in few)},
    )
    kept = organization.corpus.train + organization.corpus.valid
    assert Counter(f.path for f in kept) == Counter(f.path for f in files) - Counter(f.path for f in few)


# Shards.


def test_prepared_twice_is_the_same(make, preparing: Preparing) -> None:
    one, two = make(), make()
    assert one.prepare(preparing) == two.prepare(preparing) == one.prepare(preparing)
    assert np.array_equal(one.training_sequences(), two.training_sequences())


def test_shards_are_named_by_all_that_decides_them(make, preparing: Preparing, tmp_path: Path) -> None:
    for changed in (
        preparing,
        dataclasses.replace(preparing, sequence_length=32),
        dataclasses.replace(preparing, split_seed=2),
    ):
        organization = make()
        organization.prepare(changed)
        assert organization.training_sequences().shape[1] == changed.sequence_length
    assert len(list((tmp_path / "cache" / "alpha").iterdir())) == 3


def test_an_error_names_the_organization(make, preparing: Preparing) -> None:
    with pytest.raises(InputError, match=r"^organizations\.alpha: .*sequence_length"):
        make().prepare(dataclasses.replace(preparing, sequence_length=100_000))


# Sites.


def test_a_coalition_holds_its_members_sequences_one_after_the_other() -> None:
    parts = [np.full((n, 4), n, np.int32) for n in (1, 3)]
    coalition = Coalition("a+b", parts)
    assert coalition.training_sequences().tolist() == [[1] * 4] + [[3] * 4] * 3


def test_a_model_is_built_once_for_a_spec(gpt2_spec) -> None:
    coalition = Coalition("a", [np.zeros((1, 4), np.int32)])
    small, other = gpt2_spec(0.1), gpt2_spec(0.2)
    assert coalition.model(small) is coalition.model(gpt2_spec(0.1))
    assert coalition.model(other) is not coalition.model(small)


def test_a_visitor_runs_at_the_site() -> None:
    coalition = Coalition("a", [np.zeros((2, 4), np.int32)])
    assert coalition.visit(lambda site, n, m=0: (site.name, n + m), 1, m=2) == ("a", 3)


@pytest.mark.parametrize("count", [None, 3])
def test_training_is_on_the_first_sequences_of_the_site(gpt2_spec, count: int | None) -> None:
    sequences = np.random.Generator(np.random.Philox(1)).integers(0, 300, (6, 16)).astype(np.int32)
    spec, settings = gpt2_spec(), TrainerSettings(batch_size=2, sequence_length=16)
    task = Task("t", settings, 1, 1, seed=1, num_sequences=count)
    site = Coalition("a", [sequences])
    start = flatten(site.model(spec))
    *_, update = site.train(spec, task, start, None, None)
    *_, expected = Coalition("b", [sequences[:count]]).train(
        spec, dataclasses.replace(task, num_sequences=None), start, None, None
    )
    assert isinstance(update, Update)
    assert isinstance(expected, Update)
    assert update.metrics["sequences"] == (count or 6)
    assert np.array_equal(update.weights, expected.weights)
