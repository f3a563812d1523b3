"""What `raysim init` writes: for the data, limits and agreements that it is given."""

import re
from pathlib import Path
from typing import Any

import pytest

from raysim.cli.init import write_experiment
from raysim.core.errors import InputError
from raysim.core.yaml_files import load_yaml
from raysim.corpus.preparation import prepare
from raysim.corpus.sources import read_source
from raysim.experiment.config import load_experiment


@pytest.fixture
def orgs(tmp_path: Path) -> list[str]:
    found = []
    for name in ("acme", "beta", "gamma", "delta"):
        (tmp_path / name).mkdir()
        found.append(f"{name}={tmp_path / name}")
    return found


def written(tmp_path: Path, orgs: list[str], **asked: Any) -> dict[str, Any]:
    file = tmp_path / "mine.yaml"
    file.unlink(missing_ok=True)
    write_experiment(file, orgs, **asked)
    load_experiment(file, [])  # it is valid
    return load_yaml(file)


def test_limits_and_agreements_are_of_one_or_of_all(tmp_path: Path, orgs: list[str]) -> None:
    raw = written(tmp_path, orgs[:3], limits=["40 KB", "beta=1.5 MB"], shares=["acme=data"])["organizations"]
    assert [one.get("limit") for one in raw.values()] == ["40 KB", "1.5 MB", "40 KB"]
    assert [one["agreement"]["share"] for one in raw.values()] == ["data", "weights", "weights"]


def test_pooling_is_there_exactly_if_all_agree(tmp_path: Path, orgs: list[str]) -> None:
    assert "centralized" in written(tmp_path, orgs[:2], shares=["data"])["strategies"]
    assert "centralized" not in written(tmp_path, orgs[:2], shares=["acme=data"])["strategies"]
    assert "centralized" not in written(tmp_path, orgs[:2], shares=["data", "beta=weights"])["strategies"]
    assert "centralized" not in written(tmp_path, orgs[:1], shares=["data"])["strategies"]


def test_a_small_experiment_has_less_of_everything(tmp_path: Path, orgs: list[str]) -> None:
    for count in range(1, 5):
        small, usual = (written(tmp_path, orgs[:count], small=small) for small in (True, False))
        assert small["trainer"]["epochs"] < usual["trainer"]["epochs"]
        assert small["model"]["config"]["n_embd"] < usual["model"]["config"]["n_embd"]
        assert all(one["limit"].endswith(" KB") for one in small["organizations"].values())
    own = written(tmp_path, orgs[:2], small=True, limits=["beta=7 KB"])["organizations"]
    assert (own["acme"]["limit"], own["beta"]["limit"]) == ("40 KB", "7 KB")


def test_a_small_experiment_has_a_split_that_leaves_nobody_empty(tmp_path: Path, orgs: list[str]) -> None:
    """Of some dozens of small files few are within the limit, and these often fall to one split."""
    for name in ("acme", "beta", "gamma"):
        for number in range(30):
            lines = [f"{name}_{number}_{line} = {line} * {number}" for line in range(20 + number)]
            (tmp_path / name / f"{number}.py").write_text("\n".join(["def f():", *(f"    {one}" for one in lines)]))
    raw = written(tmp_path, orgs[:3], small=True, limits=["6 KB"])
    assert raw["split_seed"] > 1
    load = load_experiment(tmp_path / "mine.yaml", []).experiment
    for name, one in load.organizations.items():
        reading, context = read_source(one.source, tmp_path), load.preparation
        corpus = prepare(
            name, reading, context, limit=one.limit, split_seed=load.split_seed, count_tokens=lambda text: 0
        )
        assert corpus.train
        assert corpus.valid


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"limits": ["many"]}, "--limit many: 'many' is no size"),
        ({"limits": ["acme=-1"]}, "--limit acme=-1: '-1' is no size"),
        ({"limits": ["0"]}, "--limit 0: '0' is no size"),
        ({"limits": ["omega=4 KB"]}, "--limit omega=4 KB: 'omega' is no organization; there are: acme, beta"),
        ({"limits": ["acme=4 KB", "acme=5 KB"]}, "--limit acme=5 KB: 'acme' is given two values"),
        ({"shares": ["data", "weights"]}, "--share weights: 'acme' is given two values"),
        ({"shares": ["acme=code"]}, "--share acme=code: expected data or weights"),
        ({"shares": ["=data"]}, "--share =data: '' is no organization"),
    ],
)
def test_what_is_none_or_nobodys_is_refused(
    tmp_path: Path, orgs: list[str], asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        write_experiment(tmp_path / "mine.yaml", orgs[:2], **asked)
    assert not (tmp_path / "mine.yaml").exists()
