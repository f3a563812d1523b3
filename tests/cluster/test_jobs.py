"""Names, exit codes and the log of a job; whole jobs are in ``tests/flows/test_jobs.py``."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from raysim.cluster.connect import ClusterAddress
from raysim.cluster.jobs import Job, JobServer, is_passing, next_attempt, server_address
from raysim.core.errors import InputError, RunError

JOB = Job("j-1", "RUNNING", None, "", 1.0, None, {})


def ended(name: str, status: str = "SUCCEEDED", exit_code: int | None = 0) -> Job:
    return replace(JOB, name=name, status=status, exit_code=exit_code)


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ([], ("j-1", True)),
        ([JOB], ("j-1", False)),
        ([replace(JOB, status="PENDING")], ("j-1", False)),
        ([ended("j-1")], ("j-2", True)),
        ([ended("j-9", "FAILED", 3), ended("j-10", "STOPPED", None)], ("j-11", True)),
        ([ended("j-1"), replace(JOB, name="j-2")], ("j-2", False)),
        ([replace(JOB, name="j-more-1"), replace(JOB, name="another-j-1")], ("j-1", True)),
    ],
)
def test_one_at_work_is_followed_and_one_that_has_ended_has_a_successor(
    there: list[Job], expected: tuple[str, bool]
) -> None:
    assert next_attempt("j", {job.name: job for job in there}) == expected


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_the_exit_code_is_that_of_raysim(code: int) -> None:
    assert ended("j-1", "FAILED" if code else "SUCCEEDED", code).check() == code


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (ended("j-1", "STOPPED", None), "j-1: it was stopped; submitted again"),
        (ended("j-1", "FAILED", -9), "j-1: its command ended with -9; submitted again"),
        (ended("j-1", "FAILED", 127), "its command ended with 127"),
        (replace(ended("j-1", "FAILED", None), message="Job supervisor\nactor died"), "j-1: Job supervisor actor died"),
    ],
)
def test_what_raysim_did_not_end_can_go_on(job: Job, said: str) -> None:
    with pytest.raises(RunError, match=said):
        job.check()


def test_the_address_is_the_given_one_then_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://b:8265")
    monkeypatch.setenv("RAY_ADDRESS", "http://c:8265")
    assert server_address("https://a/ray/") == ClusterAddress("https://a/ray", "--address")
    assert server_address(None) == ClusterAddress("http://b:8265", "RAY_API_SERVER_ADDRESS")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "")
    assert server_address(None) == ClusterAddress("http://c:8265", "RAY_ADDRESS")
    monkeypatch.setenv("RAY_ADDRESS", "c:6379")
    with pytest.raises(InputError, match=r"^RAY_ADDRESS c:6379: .*--address http://HEAD:8265"):
        server_address(None)
    monkeypatch.delenv("RAY_ADDRESS")
    with pytest.raises(InputError, match=r"^--address: .*--address http://HEAD:8265"):
        server_address(None)


def test_folders_that_ray_unpacks_are_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    passing = tmp_path / "runtime_resources" / "working_dir_files" / "_ray_pkg_1"
    passing.mkdir(parents=True)
    assert [is_passing(tmp_path), is_passing(passing / "runs")] == [False, True]
    monkeypatch.chdir(passing)
    assert [is_passing(Path()), is_passing(Path("out")), is_passing(tmp_path)] == [True, True, False]


class Head:
    """A job server whose log connections and answers are as bad as a test wants; one job, called j-1.

    Attributes:
        pieces: of the log, as the job writes them.
        tails: what becomes of each log connection in turn: how many pieces it brings, and whether it then ends.
        ends_after: how many times the job is asked for before it says that it has ended.
        away: answers, among those to this question, that are errors of the server.
    """

    def __init__(self, pieces: list[str], tails: list[tuple[int, bool]], ends_after: int, away: range) -> None:
        self.pieces, self.tails, self.ends_after, self.away = pieces, tails, ends_after, away
        self.asked = 0

    async def version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "4", "ray_version": "2.60.0", "session_name": "session_1"})

    async def job(self, _: web.Request) -> web.Response:
        self.asked += 1
        if self.asked in self.away:
            return web.Response(status=500, text="Traceback\nOSError: no head")
        has_ended = self.asked > self.ends_after
        status = {"status": "FAILED", "driver_exit_code": 2} if has_ended else {"status": "RUNNING"}
        return web.json_response({"type": "SUBMISSION", "submission_id": "j-1", "entrypoint": "x", **status})

    async def tail(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        number, ends = self.tails.pop(0) if self.tails else (len(self.pieces), True)
        for piece in self.pieces[:number]:
            await socket.send_str(piece)
        while not ends and not socket.closed:
            await socket.receive()
        return socket

    async def logs(self, _: web.Request) -> web.Response:
        return web.json_response({"logs": "".join(self.pieces)})


@contextmanager
def serving(head: Head) -> Iterator[str]:
    """The address of a head, in a thread."""
    started, loop = threading.Event(), asyncio.new_event_loop()
    address: list[str] = []

    async def serve() -> None:
        app = web.Application()
        routes: dict[str, Callable[[web.Request], Any]] = {
            "/api/version": head.version,
            "/api/jobs/j-1": head.job,
            "/api/jobs/j-1/logs": head.logs,
            "/api/jobs/j-1/logs/tail": head.tail,
        }
        app.add_routes([web.get(path, answer) for path, answer in routes.items()])
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        started.set()
        await stopped.wait()
        await runner.cleanup()

    stopped = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    started.wait()
    yield address[0]
    loop.call_soon_threadsafe(stopped.set)
    thread.join()
    loop.close()


@pytest.mark.parametrize(
    ("tails", "ends_after", "away"),
    [
        ([(3, True)], 2, range(0)),
        ([(1, True), (0, True), (2, True)], 6, range(0)),  # connections end while the job is at work
        ([(2, False)], 2, range(0)),  # one hangs, and the job ends
        ([(2, False)], 5, range(2, 5)),  # the head is away for a while
        ([(0, True)], 0, range(0)),  # it has ended before
    ],
    ids=["to the end", "broken off", "hanging", "away", "ended"],
)
def test_a_log_is_written_once_and_to_its_end(
    monkeypatch: pytest.MonkeyPatch, tails: list[tuple[int, bool]], ends_after: int, away: range
) -> None:
    for name in ("_LOOK_S", "_LAST_LINES_S", *(["_TELL_AWAY_AFTER_S"] if away else [])):
        monkeypatch.setattr(f"raysim.cluster.jobs.{name}", 0.02)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://another")
    pieces = ["one\n", "zwölf\nth", "ree\n"]
    with serving(Head(pieces, tails, ends_after, away)) as address:
        said, told = list[str](), list[str]()
        job = asyncio.run(JobServer(ClusterAddress(address, "--address")).follow("j-1", said.append, told.append))
    assert "".join(said) == "".join(pieces)
    away_and_back = ["j-1: its head does not answer; waiting up to 300 s for it", "j-1: its head answers again"]
    assert told == (away_and_back if away else [])
    assert job.check() == 2


def test_a_head_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_LOOK_S", "_LAST_LINES_S", "_PATIENCE_S"):
        monkeypatch.setattr(f"raysim.cluster.jobs.{name}", 0.02)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "")
    with serving(Head(["one\n"], [(1, False)], 1000, range(3, 1000))) as address:
        server = JobServer(ClusterAddress(address, "--address"))
        with pytest.raises(RunError, match=r"^j-1: --address .*: OSError: no head; `raysim attach j-1`"):
            asyncio.run(server.follow("j-1", str, str))


def test_a_job_that_is_none_and_one_that_was_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "")
    with serving(Head([], [], 0, range(0))) as address:
        server = JobServer(ClusterAddress(address, "--address"))
        with pytest.raises(InputError, match=r"^j-2: .* knows no such job; `raysim jobs`"):
            server.job("j-2")
        with pytest.raises(RunError, match="j-2: its head has forgotten it"):
            asyncio.run(server._reach("j-2", str))


@pytest.mark.parametrize(("status", "said"), [(404, "no job server of Ray answers there"), (401, "asks for a token")])
def test_what_answers_otherwise_is_no_job_server(monkeypatch: pytest.MonkeyPatch, status: int, said: str) -> None:
    head = Head([], [], 0, range(0))

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status)

    monkeypatch.setattr(head, "version", refuse)
    with serving(head) as address, pytest.raises(InputError, match=rf"^--address {address}: .*{said}"):
        JobServer(ClusterAddress(address, "--address"))
