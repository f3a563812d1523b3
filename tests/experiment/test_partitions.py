"""An entry with a partition stands for an organization a part, everywhere behind the loading of an experiment."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from raysim.core.errors import InputError
from raysim.experiment.config import LoadedExperiment, load_experiment, restore_experiment
from raysim.experiment.run import Options
from raysim.experiment.schema import experiment_schema
from raysim.experiment.sweep import load_sweep

RAW: dict[str, Any] = {
    "name": "parts",
    "tokenizer": {"train": {"vocab_size": 300, "corpus": "organizations"}},
    "model": {"config": {"model_type": "gpt2"}},
    "strategies": ["fedavg"],
}


@pytest.fixture
def code(tmp_path: Path) -> Path:
    for path in ("acme/a.py", "acme/b.py", "my team/c.py", "Ünï/d.py", "server/e.py"):
        place = tmp_path / "code" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"name = '{path}'\n")
    return tmp_path


def load(base: Path, *overrides: str, **organizations: Any) -> LoadedExperiment:
    return load_experiment({**RAW, "organizations": organizations}, overrides, base)


def entry(by: Any, source: Any = None, **others: Any) -> dict[str, Any]:
    return {"source": source or {"path": "code"}, "partition": {"by": by, **others}}


def names(loaded: LoadedExperiment) -> list[str]:
    return list(loaded.experiment.organizations)


def test_an_entry_becomes_an_organization_a_part_in_its_place(code: Path) -> None:
    """No source is read for it: this one is not there."""
    parted = entry("iid", {"path": "nowhere"}, parts=3) | {"limit": "5 KB", "agreement": {"share": "data"}}
    loaded = load(code, first={"source": "stdlib"}, part=parted, last={"source": "stdlib"})
    assert names(loaded) == ["first", "part-00", "part-01", "part-02", "last"]
    for number, name in enumerate(names(loaded)[1:4]):
        one = loaded.experiment.organizations[name]
        assert (one.partition and one.partition.part, one.limit, one.agreement.share) == (number, 5000, "data")
    assert loaded.experiment.organizations["last"].partition is None


def test_numbers_sort_as_names(code: Path) -> None:
    found = names(load(code, p=entry("iid", parts=1000)))
    assert (found[0], found[-1], len(found)) == ("p-000", "p-999", 1000)
    assert found == sorted(found)
    assert names(load(code, p=entry({"sizes": [0.5, 0.3, 0.2]}))) == ["p-00", "p-01", "p-02"]


def test_parts_are_called_by_the_values_of_a_column(code: Path) -> None:
    loaded = load(code, p=entry({"column": "repository"}))
    assert names(loaded) == ["acme", "my-team", "p-server", "n"]
    values = [one.partition.part for one in loaded.experiment.organizations.values() if one.partition]
    assert values == ["acme", "my team", "server", "Ünï"]
    assert names(load(code, p=entry({"column": "repository"}, min_files=2))) == ["acme"]


def test_a_manifest_has_the_parts_and_needs_no_source(code: Path) -> None:
    loaded = load(code, p=entry({"column": "repository"}))
    manifest = {"experiment": loaded.experiment.model_dump(mode="json"), "base": str(loaded.base)}
    for file in code.rglob("*.py"):
        file.unlink()
    assert restore_experiment(json.loads(json.dumps(manifest))) == loaded


def test_overrides_reach_a_partition_and_settings_name_its_parts(code: Path) -> None:
    skew = entry({"dirichlet": {"column": "repository", "alpha": 0.5}}, parts=2)
    loaded = load(code, "organizations.p.partition.by.dirichlet.alpha=0.1", "canaries={organizations: [p-01]}", p=skew)
    assert names(loaded) == ["p-00", "p-01"]
    skews = [one.partition.by.dirichlet for one in loaded.experiment.organizations.values() if one.partition]
    assert [skew.alpha for skew in skews if skew] == [0.1, 0.1]


def test_a_sweep_runs_over_settings_of_a_partition(code: Path) -> None:
    raw = {**RAW, "organizations": {"p": entry("iid", parts=2)}, "sweep": {"organizations.p.partition.parts": [2, 4]}}
    points = load_sweep(Options(raw, out=code / "out", base=code)).points
    assert [names(point.loaded) for point in points] == [["p-00", "p-01"], ["p-00", "p-01", "p-02", "p-03"]]


def test_one_part_alone_may_be_an_organization(code: Path) -> None:
    """For parts that differ in what they agree to."""
    loaded = load(
        code,
        a=entry("iid", parts=2, part=0) | {"agreement": {"share": "data"}},
        b=entry("iid", parts=2, part=1),
    )
    assert names(loaded) == ["a", "b"]


@pytest.mark.parametrize(
    ("organizations", "words"),
    [
        (
            {"acme": {"source": "stdlib"}, "p": entry({"column": "repository"})},
            r"organizations\.p\.partition: one of its parts is called acme, as is one of organizations\.acme",
        ),
        (
            {"p": entry({"column": "repository"}, {"path": "nowhere"})},
            r"organizations\.p\.source: path: nowhere: no such folder",
        ),
        (
            {"p": entry({"column": "licence"})},
            r"organizations\.p\.partition\.by\.column: no file has the column licence",
        ),
        (
            {"p": entry({"column": "author"}, parts=2)},
            r"organizations\.p: partition: no column 'author'; of this source there are repository, folder",
        ),
        (
            {"p": entry({"dirichlet": {"column": "folder", "alpha": -1}}, parts=2)},
            r"organizations\.p\.partition\.by\.dirichlet\.alpha: input should be greater than 0 \(given: -1\)",
        ),
    ],
    ids=["names", "source", "column", "no record", "alpha"],
)
def test_errors_name_the_setting(code: Path, organizations: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=rf"^experiment: {words}") as raised:
        load(code, **organizations)
    assert "\n" not in str(raised.value)


def test_the_schema_knows_partitions() -> None:
    validator = Draft202012Validator(experiment_schema())
    for by in ("iid", {"sizes": "linear"}, {"sizes": [0.5, 0.5]}, {"column": "folder"},
               {"dirichlet": {"column": {"name": "folder", "depth": 2}, "alpha": 0.1}}):  # fmt: skip
        assert validator.is_valid({**RAW, "organizations": {"p": entry(by, parts=2)}})
    for by in ("alike", {"sizes": "large"}, {"dirichlet": {"column": "folder", "alpha": 0}}):
        assert not validator.is_valid({**RAW, "organizations": {"p": entry(by, parts=2)}})
