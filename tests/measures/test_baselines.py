"""Baselines against what they are said to be, on files small enough to do it by hand."""

import zlib
from math import log
from pathlib import Path

import numpy as np
import pytest
from audited import organization_of

from raysim.corpus.files import SourceFile
from raysim.measures.baselines import baselines
from raysim.measures.kneser_ney import KneserNey
from raysim.organizations.organization import Organization

TEXTS = {f"{i}.py": f"value_{i} = {i * 37}\nfor key in range({i}):\n    print(key, value_{i})\n" * 6 for i in range(9)}


@pytest.fixture
def organization(tmp_path: Path) -> Organization:
    return organization_of(tmp_path, TEXTS)


def bits(
    organization: Organization, *others: np.ndarray, public: tuple[SourceFile, ...] = ()
) -> dict[tuple[str, str], float]:
    table = baselines(organization, 5, public, others).to_pylist()
    valid = organization.corpus.valid
    assert {row["bytes"] for row in table} == {sum(f.num_bytes for f in valid)}
    assert {row["tokens"] for row in table} == {sum(len(organization.tokenizer.encode(f.text)) for f in valid)}
    for row in table:
        assert row["bits_per_byte"] == pytest.approx(row["nats"] / log(2) / row["bytes"])
    return {(row["baseline"], row["data"]): row["nats"] for row in table}


def test_each_is_what_its_name_says(organization: Organization) -> None:
    found, valid = bits(organization), organization.corpus.valid
    tokens = sum(len(organization.tokenizer.encode(f.text)) for f in valid)
    assert found["uniform", ""] == pytest.approx(tokens * log(organization.tokenizer.vocab_size))
    packed = sum(8 * len(zlib.compress(f.text.encode(), 9)) for f in valid)
    assert found["zlib", ""] == pytest.approx(packed * log(2))
    own = organization.training_sequences().reshape(-1)
    model = KneserNey([own], organization.tokenizer.vocab_size, 0)
    expected = sum(model.nats(np.array([0, *organization.tokenizer.encode(f.text)], np.int32)).sum() for f in valid)
    assert found["5-gram", "own"] == pytest.approx(expected)
    assert set(found) == {("uniform", ""), ("zlib", ""), ("5-gram", "own")}
    assert found["5-gram", "own"] < found["uniform", ""]


def test_more_of_the_same_kind_of_data_helps_and_names_what_it_is(organization: Organization) -> None:
    kin = tuple(SourceFile(f"{f.path}", f.text, "public") for f in organization.corpus.valid)
    alone = bits(organization, public=kin)
    assert set(alone) == {
        ("uniform", ""), ("zlib", ""), ("5-gram", "own"), ("5-gram", "base"), ("5-gram", "base + own")
    }  # fmt: skip
    assert alone["5-gram", "base + own"] < alone["5-gram", "own"]
    stream = np.array([t for f in kin for t in (0, *organization.tokenizer.encode(f.text))], np.int32)
    together = bits(organization, stream)
    assert set(together) == {("5-gram", "together")}, "what takes no other's data is in the first task"
    assert together["5-gram", "together"] == pytest.approx(alone["5-gram", "base + own"])
