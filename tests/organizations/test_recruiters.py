"""Who is made for organizations: an actor each, or hosts of all; later ones are as the first."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raysim.cluster.actor_pool import ActorPool
from raysim.cluster.backend import InlineBackend
from raysim.cluster.retries import Retrying, RetryPolicy
from raysim.cluster.scheduler import Scheduler
from raysim.core.errors import RunError
from raysim.corpus.deduplication import Excluded, name_of
from raysim.corpus.sources import SourceSettings
from raysim.organizations.client_stats import ClientStats
from raysim.organizations.organization import PreparationContext
from raysim.organizations.recruiters import HOST, OwnActors, Recruiter, SharedActors, stats_of
from raysim.organizations.settings import OrganizationSettings

Prepared = Callable[..., Awaitable[dict[str, ClientStats]]]


class Counting(InlineBackend):
    """Notes the classes of which actors were made."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def spawn(self, plain_class: type, *args: Any, **where: Any) -> Any:
        self.made.append(plain_class.__name__)
        return super().spawn(plain_class, *args, **where)


class Scene:
    """A pool whose organizations a recruiter makes."""

    def __init__(self, kind: type[Recruiter], folders: dict[str, Path], base: Path, slots: int = 1) -> None:
        self.backend = Counting()
        retrying = Retrying(RetryPolicy(0), lambda _: None, self.backend.await_failure_detection)
        self.pool = ActorPool(self.backend, Scheduler(slots, slots), retrying)
        settings = {
            name: OrganizationSettings(source=SourceSettings(path=str(folder))) for name, folder in folders.items()
        }
        self.recruiter = kind(self.pool, settings, base, "private")


@pytest.fixture(params=[OwnActors, SharedActors])
def scene(request: pytest.FixtureRequest, corpus_folders: dict[str, Path], tmp_path: Path) -> Scene:
    return Scene(request.param, corpus_folders, tmp_path)


def test_all_prepare_and_leave_out_what_they_are_to(
    scene: Scene, corpus_folders: dict[str, Path], preparation_context: PreparationContext
) -> None:
    """Statistics are those of organizations that nobody recruited."""
    text = (corpus_folders["alpha"] / "bisect.py").read_text()
    excluded = {"alpha": Excluded(b"secret", {name_of(text, b"secret"): "copy"})}
    whole = asyncio.run(scene.recruiter.prepare(preparation_context, {}))
    found = asyncio.run(scene.recruiter.prepare(preparation_context, excluded))
    assert list(found) == list(corpus_folders)
    assert {name for name in found if found[name] != whole[name]} == {"alpha"}
    assert {"reason": "copy", "files": 1, "bytes": len(text)} in found["alpha"].drops


def test_nobody_is_made_before_there_is_work_and_hosts_are_fewer(
    scene: Scene, preparation_context: PreparationContext
) -> None:
    assert scene.backend.made == []
    asyncio.run(scene.recruiter.prepare(preparation_context, {}))
    shared = isinstance(scene.recruiter, SharedActors)
    assert scene.backend.made == (["OrganizationHost"] if shared else ["Organization"] * 3)


def test_whoever_is_made_later_prepares_as_the_first(scene: Scene, preparation_context: PreparationContext) -> None:
    async def play() -> None:
        stats = await scene.recruiter.prepare(preparation_context, {})
        client = HOST if isinstance(scene.recruiter, SharedActors) else "beta"
        made = len(scene.backend.made)
        scene.pool._discard(client, scene.pool._replicas[client].idle[0])
        assert await scene.pool.call("beta", "run", stats_of) == stats["beta"]
        assert len(scene.backend.made) == made + 1

    asyncio.run(play())


def test_files_that_have_changed_since_are_refused(
    scene: Scene, preparation_context: PreparationContext, tmp_path: Path
) -> None:
    async def play() -> None:
        stats = await scene.recruiter.prepare(preparation_context, {})
        scene.recruiter._stats = {**stats, "beta": replace(stats["beta"], valid_fingerprint="other")}
        client = HOST if isinstance(scene.recruiter, SharedActors) else "beta"
        scene.pool._discard(client, scene.pool._replicas[client].idle[0])
        with pytest.raises(RunError, match=r"organizations\.beta: its files have changed"):
            await scene.pool.call("beta", "run", stats_of)

    asyncio.run(play())


def test_hosts_that_are_there_learn_what_all_are_prepared_with(
    corpus_folders: dict[str, Path], tmp_path: Path, preparation_context: PreparationContext
) -> None:
    """Two that were made before the tokenizer was trained, as for its texts, know whom they have not seen."""

    async def play() -> None:
        scene = Scene(SharedActors, corpus_folders, tmp_path, slots=2)
        async with scene.pool.acquire("alpha", 0), scene.pool.acquire("beta", 0):
            pass
        stats = await scene.recruiter.prepare(preparation_context, {})
        async with scene.pool.acquire("gamma", 0) as one, scene.pool.acquire("gamma", 0) as two:
            assert one.host is not two.host
            for actor in (one, two):
                assert await scene.backend.call(actor, "run", stats_of) == stats["gamma"]
        assert scene.backend.made == ["OrganizationHost"] * 2

    asyncio.run(play())
