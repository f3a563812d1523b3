"""Many small organizations: those that share processes give the tables of those that do not, whatever is lost."""

import importlib.util
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from drive import hashes

from raysim.cluster.backend import Backend, Hosted, InlineBackend
from raysim.cluster.ray_backend import RayBackend
from raysim.core.errors import ActorLost
from raysim.experiment.run import Options, run
from raysim.organizations.host import OrganizationHost
from raysim.report.write import write_report
from raysim.training.request import Progress

BENCHMARK = Path(__file__).parents[2] / "experiments" / "benchmarks" / "many_clients.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    """The benchmark of many clients, which deals code out to them."""
    spec = importlib.util.spec_from_file_location("many_clients", BENCHMARK)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Study:
    """A federation of small organizations, of which five train in each of two rounds, and all are measured."""

    def __init__(self, benchmark: ModuleType, folder: Path, clients: int, **measured: Any) -> None:
        self.folder = folder
        self._clock = benchmark.Clock
        names = benchmark.deal(folder, clients)
        self._settings = benchmark.experiment(folder, names, "inline", 2, False)
        self._settings |= {"strategies": [{"fedavg": {"clients": 5, "rounds": 2}}], "measure": {"baselines": None}}
        self._settings["measure"] |= measured

    def run(self, name: str, backend: Backend, share_actors: bool | None, **execution: Any) -> Path:
        settings = {**self._settings, "execution": {"share_actors": share_actors, "slots": 1, **execution}}
        out = self.folder / name
        clock = self._clock()
        with clock:
            run(Options(settings, out=out), clock, write_report, lambda *_: backend)
        return out


@pytest.fixture(scope="module")
def dozen(benchmark: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(benchmark, tmp_path_factory.mktemp("dozen"), 12)


@pytest.fixture(scope="module")
def apart(dozen: Study) -> Path:
    """The run in which each of twelve organizations is an actor of its own, as nothing else was asked for."""
    return dozen.run("apart", InlineBackend(), None)


class Losing(InlineBackend):
    """Loses a host in the middle of its third and its seventh stage, and notes who was made."""

    def __init__(self) -> None:
        self.streams = 0
        self.made: list[type] = []

    def spawn(self, plain_class: type, *args: Any, **where: Any) -> Any:
        self.made.append(plain_class)
        return super().spawn(plain_class, *args, **where)

    async def stream(self, actor: Any, method: str, *args: Any) -> AsyncIterator[Any]:
        self.streams += isinstance(actor, Hosted)
        due = isinstance(actor, Hosted) and self.streams in (3, 7)
        async for event in super().stream(actor, method, *args):
            yield event
            if due and isinstance(event, Progress):
                raise ActorLost("gone")


@pytest.fixture(scope="module")
def losing() -> Losing:
    return Losing()


@pytest.fixture(scope="module")
def together(dozen: Study, losing: Losing) -> Path:
    """The run in which the twelve share an actor that is lost twice."""
    return dozen.run("together", losing, True)


def test_a_shared_actor_that_is_lost_gives_the_tables_of_actors_apart(
    apart: Path, together: Path, losing: Losing
) -> None:
    assert losing.made.count(OrganizationHost) == 3
    assert losing.streams == 10 + 2
    assert hashes(together) == hashes(apart)


def test_manifest_and_report_say_so(apart: Path, together: Path) -> None:
    said = [json.loads((out / "manifest.json").read_text())["shared_actors"] for out in (apart, together)]
    assert said == [False, True]
    pages = [(out / "report.html").read_text() for out in (apart, together)]
    assert ["Organizations shared processes" in page for page in pages] == said


@pytest.mark.stress
def test_shared_actors_on_ray_give_the_same_tables(dozen: Study, apart: Path, ray_session: None) -> None:
    """Two processes for twelve organizations, of which one ends in the middle of a stage."""
    backend = KillingRay()
    try:
        out = dozen.run("ray", backend, True, slots=2, retries=2)
    finally:
        backend.close()
    assert backend.killed
    assert hashes(out) == hashes(apart)


class KillingRay(RayBackend):
    """Ends the process of a host for real, once, while it trains."""

    def __init__(self) -> None:
        super().__init__(None, 2)
        self.killed = False

    async def stream(self, actor: Any, method: str, *args: Any) -> AsyncIterator[Any]:
        async for event in super().stream(actor, method, *args):
            yield event
            if isinstance(actor, Hosted) and not self.killed:
                self.killed = True
                self._ray.kill(actor.host)


@pytest.mark.stress
def test_a_round_of_ten_costs_the_same_whether_a_hundred_or_a_thousand_take_part(benchmark: ModuleType) -> None:
    few, many = (benchmark.case(clients, "inline", 5, False) for clients in (100, 1000))
    assert many["round_cpu"] < 1.5 * few["round_cpu"]
    assert many["memory"] < few["memory"] + 100
