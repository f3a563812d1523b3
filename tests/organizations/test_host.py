"""Organizations that live together: prepared when they are called, forgotten in turn, the same to the last bit."""

import gc
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysim.core.errors import RunError
from raysim.corpus.deduplication import Excluded, name_of
from raysim.corpus.sources import SourceSettings
from raysim.organizations.host import RECORD_BYTES, OrganizationHost
from raysim.organizations.organization import Organization, PreparationContext
from raysim.organizations.settings import OrganizationSettings

NAMES = ("alpha", "beta", "gamma")


@pytest.fixture
def settings(corpus_folders: dict[str, Path]) -> dict[str, OrganizationSettings]:
    return {name: OrganizationSettings(source=SourceSettings(path=str(corpus_folders[name]))) for name in NAMES}


@pytest.fixture
def alone(settings: dict[str, OrganizationSettings], tmp_path: Path, preparation_context: PreparationContext):
    """The same organizations, each by itself."""
    found = {name: Organization(name, one, tmp_path, "own") for name, one in settings.items()}
    for organization in found.values():
        organization.prepare(preparation_context)
    return found


def sequences_at(organization: Organization) -> np.ndarray:
    return np.array(organization.training_sequences())


def itself(organization: Organization) -> Organization:
    return organization


def taught(settings: Any, base: Path, context: PreparationContext, held_bytes: int, **stats: Any) -> OrganizationHost:
    host = OrganizationHost(settings, base, "shared", held_bytes)
    host.learn(context, {}, stats)
    return host


@pytest.mark.parametrize("held_bytes", [0, 2_000_000])
def test_what_it_says_and_trains_on_is_what_each_would_by_itself(
    settings: Any, alone: Any, tmp_path: Path, preparation_context: PreparationContext, held_bytes: int
) -> None:
    host = taught(settings, tmp_path, preparation_context, held_bytes)
    for name in (*NAMES, *reversed(NAMES)):
        assert host.call(name, "run", sequences_at).tolist() == alone[name].training_sequences().tolist()
        assert host.call(name, "run", itself).stats == alone[name].stats


def test_whom_nobody_called_for_longest_is_forgotten_first(
    settings: Any, tmp_path: Path, preparation_context: PreparationContext
) -> None:
    """Each counts half a megabyte at least, so there is room for one beside that which works."""
    host = taught(settings, tmp_path, preparation_context, 600_000)
    seen = []
    for name in ("alpha", "beta", "alpha", "gamma", "beta"):
        host.call(name, "run", itself)
        seen.append(host.held)
    assert seen == [("alpha",), ("alpha", "beta"), ("beta", "alpha"), ("alpha", "gamma"), ("gamma", "beta")]


def test_memory_is_level_in_the_number_of_organizations(
    corpus_folders: dict[str, Path], tmp_path: Path, preparation_context: PreparationContext
) -> None:
    """What is held of code after 8 and after 24 were at work, and of records."""

    def held_bytes(count: int) -> int:
        sources = {f"org{n}": SourceSettings(path=str(corpus_folders[NAMES[n % 3]])) for n in range(count)}
        settings = {name: OrganizationSettings(source=source) for name, source in sources.items()}
        tracemalloc.start()
        try:
            host = taught(settings, tmp_path, preparation_context, 3 * RECORD_BYTES)
            for name in settings:
                host.call(name, "run", itself)
            assert len(host.held) == min(count, 4)
            gc.collect()
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    held_bytes(3)  # what is made once
    few, many = held_bytes(8), held_bytes(24)
    assert abs(many - few) < 0.1 * few
    assert few / 4 < RECORD_BYTES


def test_all_have_one_model_and_an_organization_alone_its_own(
    settings: Any, alone: Any, tmp_path: Path, preparation_context: PreparationContext, gpt2_spec: Any
) -> None:
    host, spec = taught(settings, tmp_path, preparation_context, 2_000_000), gpt2_spec()
    assert host.call("alpha", "model", spec) is host.call("beta", "model", spec)
    assert alone["alpha"].model(spec) is not alone["beta"].model(spec)


def test_files_that_have_changed_since_are_refused(
    settings: Any, alone: Any, tmp_path: Path, preparation_context: PreparationContext
) -> None:
    known = alone["alpha"].stats
    changed = replace(known, train_fingerprint="other")
    with pytest.raises(RunError, match=r"^organizations\.alpha: its files have changed"):
        taught(settings, tmp_path, preparation_context, 0, alpha=changed).call("alpha", "run", itself)
    drops = replace(known, drops=({"reason": "binary", "files": 1, "bytes": 9},))
    taught(settings, tmp_path, preparation_context, 0, alpha=drops).call("alpha", "run", itself)


def test_each_leaves_out_what_it_is_to_leave_out(
    settings: Any, alone: Any, tmp_path: Path, preparation_context: PreparationContext
) -> None:
    one = alone["alpha"].corpus.train[0]
    host = OrganizationHost(settings, tmp_path, "shared")
    host.learn(preparation_context, {"alpha": Excluded(b"secret", {name_of(one.text, b"secret"): "copy"})}, {})
    without, all_of_beta = (host.call(name, "run", itself).stats.splits["train"] for name in ("alpha", "beta"))
    assert without["files"] == alone["alpha"].stats.splits["train"]["files"] - 1
    assert all_of_beta == alone["beta"].stats.splits["train"]


def test_a_stream_of_one_goes_on_while_others_are_called(
    settings: Any, tmp_path: Path, preparation_context: PreparationContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Organization, "lines", lambda self: (f.path for f in self.corpus.train), raising=False)
    host = taught(settings, tmp_path, preparation_context, 0)
    whole = list(host.stream("alpha", "lines"))
    stream = host.stream("alpha", "lines")
    first = next(stream)
    host.call("beta", "run", itself)
    assert host.held == ("beta",)
    assert [first, *stream] == whole
    assert len(whole) > 1
