"""Ray's job API: submits a command to the head of a cluster, follows what it says, stops it.

A job's name is made of what it does, so that it is there once, however often it is submitted: while one of a name is at
work, submitting means following it; when it has ended, the next attempt gets the next number, since Ray takes no name
twice. What Ray cannot be asked, whether the cluster has raysim, a tiny job says, once for each state of raysim.
"""

import asyncio
import functools
import inspect
import json
import logging
import os
import re
import shlex
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysim.cluster.connect import SESSION, UNAUTHENTICATED, ClusterAddress, reason_of, token
from raysim.core import own_source
from raysim.core.errors import InputError, RunError

_SERVER = "RAY_API_SERVER_ADDRESS"

_HOW = "give --address http://HEAD:8265, the address of the dashboard that `ray start --head` printed"

_CHATTY = ("ray", "ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk")
"""What would log each upload and each connection between the lines of a job."""

_CONNECT_TIMEOUT_S = 5.0
_REQUEST_TIMEOUT_S = 60.0

_LOOK_S = 1.0
"""How often a job is asked whether it has ended."""

_LAST_LINES_S = 3.0
"""How long the log of a job that has ended may take to end, too: Ray looks at it once a second."""

_PATIENCE_S = 300.0
"""How long a head may be away, as when it is started anew."""

_TELL_AWAY_AFTER_S = 5.0
"""How long a head may be away before a person hears of it."""

_PROBE_PATIENCE_S = 120.0
"""How long a head may take to start a small job and end it."""

_NO_PYTHON = 127
"""What a shell ends with when there is no such command."""


@dataclass(frozen=True)
class Job:
    """A job as its cluster describes it.

    Attributes:
        name: under which it was submitted.
        status: PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED.
        exit_code: of its command; None: it has not come to its end.
        message: what the cluster says about the status.
        started_s: when, in seconds since 1970; None: not yet.
        ended_s: likewise.
        about: what was noted with it when it was submitted.
    """

    name: str
    status: str
    exit_code: int | None
    message: str
    started_s: float | None
    ended_s: float | None
    about: Mapping[str, str]

    @property
    def has_ended(self) -> bool:
        """Whether its status is final."""
        return self.status not in ("PENDING", "RUNNING")

    def check(self) -> int:
        """The exit code of a job that has ended, as `raysim` gave it.

        Raises:
            RunError: it has none of raysim's: the job was stopped or killed, or never began.
        """
        if self.status == "SUCCEEDED":
            return 0
        if self.status == "STOPPED":
            raise RunError(f"{self.name}: it was stopped; submitted again, it goes on from there")
        if self.exit_code in (1, InputError.exit_code, RunError.exit_code):
            return self.exit_code
        how = f"its command ended with {self.exit_code}" if self.exit_code is not None else _one_line(self.message)
        raise RunError(f"{self.name}: {how}; submitted again, it goes on from what was finished")


def next_attempt(name: str, jobs: Mapping[str, Job]) -> tuple[str, bool]:
    """The job to follow or to submit where the job `name`, without a number, is asked for.

    Returns:
        its name with the number of the attempt, and whether it is to be submitted.
    """
    numbers = [int(found[1]) for one in jobs if (found := re.fullmatch(rf"{re.escape(name)}-(\d+)", one))]
    last = max(numbers, default=0)
    if last and not jobs[f"{name}-{last}"].has_ended:
        return f"{name}-{last}", False
    return f"{name}-{last + 1}", True


def is_passing(folder: Path) -> bool:
    """Whether a folder is one that Ray unpacked for a job, and removes some time after it."""
    return "working_dir_files" in folder.absolute().parts


def server_address(given: str | None) -> ClusterAddress:
    """Where jobs are submitted: the address that is given, else that of ``RAY_API_SERVER_ADDRESS`` or ``RAY_ADDRESS``.

    Raises:
        InputError: there is none, or none of a job server.
    """
    named = {"--address": given, _SERVER: os.environ.get(_SERVER), "RAY_ADDRESS": os.environ.get("RAY_ADDRESS")}
    for origin, address in named.items():
        if address and (address := address.strip().rstrip("/")):
            if not address.startswith(("http://", "https://")):
                raise InputError(f"{origin} {address}: jobs go to the head's job server; {_HOW}")
            return ClusterAddress(address, origin)
    raise InputError(f"--address: of which cluster is not said; {_HOW}, or set {_SERVER}")


class JobServer:
    """The job server of a cluster.

    Raises:
        InputError: none answers at the address, or it does not know our token.
    """

    def __init__(self, place: ClusterAddress) -> None:
        self.place = place
        headers, self._session = _agree_with(place)
        # Which Ray takes rather than what it is given.
        os.environ[_SERVER] = place.address
        os.environ.setdefault("RAY_AUTH_MODE", "token" if headers else "disabled")
        from ray.job_submission import JobSubmissionClient

        for library in _CHATTY:
            logging.getLogger(library).setLevel(logging.WARNING)
        with self._asking():
            self._client: Any = JobSubmissionClient(place.address, headers=headers)
        # Ray itself would wait for ever for a head that has gone.
        self._client._do_request = functools.partial(self._client._do_request, timeout=_REQUEST_TIMEOUT_S)

    def jobs(self) -> dict[str, Job]:
        """All jobs that were submitted to the cluster, by name, in the order of their start."""
        with self._asking():
            found = [_job(details) for details in self._client.list_jobs() if details.submission_id]
        return {job.name: job for job in sorted(found, key=lambda job: job.started_s or 0.0)}

    def job(self, name: str) -> Job:
        """The job `name`.

        Raises:
            InputError: there is none.
        """
        with self._asking(name):
            return _job(self._client.get_job_info(name))

    def has_our_raysim(self) -> bool:
        """Whether the Python of the head has the very raysim that runs here.

        Raises:
            InputError: there is no Python.
            RunError: it cannot be told.
        """
        digest = own_source.own_digest()
        program = f"{inspect.getsource(own_source)}\nraise SystemExit(own_digest() != {digest!r})\n"
        name, is_new = next_attempt(f"raysim-probe-{digest[:12]}", self.jobs())
        if is_new:  # asked afresh each time: what is installed there may have changed since
            self.submit(name, shlex.join(["python", "-c", program]), None, {})
        job = self._ended(name, _PROBE_PATIENCE_S)
        if job.exit_code == _NO_PYTHON:
            raise InputError(
                f"{self.place}: its head finds no `python`; start Ray there with the environment's folder in PATH"
            )
        if job.exit_code is None:
            raise RunError(f"{name}: {_one_line(job.message)}; look at `ray status` there, and submit again")
        return job.exit_code == 0

    def submit(self, name: str, command: str, package: Path | None, about: Mapping[str, str]) -> bool:
        """Submits a job, unless there is one of its name; whether it did.

        Args:
            name: of the job, with the number of its attempt.
            command: for a shell.
            package: a zip file whose content is the folder in which the command runs; None: an empty one.
            about: noted with the job.
        """
        environment = {"env_vars": {SESSION: self._session}} | ({"working_dir": str(package)} if package else {})
        given = {"entrypoint": command, "runtime_env": environment, "metadata": dict(about)}
        try:
            with self._asking():
                self._client.submit_job(submission_id=name, **given)
        except RunError:
            if name not in self.jobs():  # somebody else may have submitted it in the same moment
                raise
            return False
        return True

    def stop(self, name: str) -> bool:
        """Has a job end, and waits for that; whether it was at work.

        Raises:
            InputError: there is none of that name.
        """
        if self.job(name).has_ended:
            return False
        with self._asking(name):
            self._client.stop_job(name)
        self._ended(name, _PATIENCE_S)
        return True

    def _ended(self, name: str, patience_s: float) -> Job:
        """The job `name` once it has ended.

        Raises:
            RunError: it does not in time.
        """
        deadline_s = time.monotonic() + patience_s
        while not (job := self.job(name)).has_ended:
            if time.monotonic() > deadline_s:
                raise RunError(
                    f"{name}: is {job.status} after {patience_s:.0f} s; look at `ray status` there, and try again"
                )
            time.sleep(_LOOK_S / 2)
        return job

    async def follow(self, name: str, write: Callable[[str], object], note: Callable[[str], object]) -> Job:
        """Writes what a job has said and says, until it has ended.

        Connections may break off, and a log may end early; only the job's status says that it has ended.

        Args:
            name: of the job.
            write: receives pieces of its log.
            note: receives a line for a person when its head is away, and when it is back.

        Raises:
            InputError: there is none of that name.
            RunError: the head is gone.
        """
        log = _Log(write)
        job = self.job(name)
        while not job.has_ended:
            tail = asyncio.ensure_future(self._tail(name, log))
            try:
                while not (tail.done() or job.has_ended):
                    await asyncio.wait([tail], timeout=_LOOK_S)
                    job = await self._reach(name, note)
                await asyncio.wait([tail], timeout=_LAST_LINES_S if job.has_ended else _LOOK_S)
            finally:
                tail.cancel()
            await asyncio.wait([tail])
            if not tail.cancelled():
                tail.result()  # raises what could not be written
            if not job.has_ended:
                await asyncio.sleep(_LOOK_S)
        log.add(0, self._whole_log(name))
        return job

    async def _tail(self, name: str, log: "_Log") -> None:
        """Writes what a job says until the connection ends, however it does."""
        chunks, begin = self._client.tail_job_logs(name), 0
        while True:
            try:
                chunk = await anext(chunks)
            except Exception:  # of aiohttp, of Ray, or the end
                return
            log.add(begin, chunk)
            begin += len(chunk)

    async def _reach(self, name: str, note: Callable[[str], object]) -> Job:
        """The job `name`, of a head that may be away for a while."""
        since_s, told = time.monotonic(), False
        while True:
            try:
                # A head that hangs answers late, or never.
                asked = asyncio.ensure_future(asyncio.to_thread(self.job, name))
                while not (await asyncio.wait([asked], timeout=_TELL_AWAY_AFTER_S))[0] and not told:
                    told = self._tell_away(name, since_s, note)
                job = await asked
                if told:
                    note(f"{name}: its head answers again")
                return job
            except InputError as error:
                raise RunError(
                    f"{name}: its head has forgotten it, as one does that was started anew; submit it again, and it"
                    " goes on from what was finished"
                ) from error
            except RunError as error:
                if time.monotonic() - since_s > _PATIENCE_S:
                    raise RunError(f"{name}: {error}; `raysim attach {name}` follows it when it answers") from error
                told = told or self._tell_away(name, since_s, note)
            await asyncio.sleep(_LOOK_S)

    def _tell_away(self, name: str, since_s: float, note: Callable[[str], object]) -> bool:
        """Says that a head is away, and how long that will do; whether it has been long enough to say so."""
        if time.monotonic() - since_s < _TELL_AWAY_AFTER_S:
            return False
        note(f"{name}: its head does not answer; waiting up to {_PATIENCE_S:g} s for it")
        return True

    def _whole_log(self, name: str) -> str:
        """What a job has said; empty where its node is gone, which alone has it."""
        try:
            with self._asking(name):
                return self._client.get_job_logs(name)
        except RunError:
            return ""

    @contextmanager
    def _asking(self, name: str = "") -> Iterator[None]:
        """Raises what an error of the server means that comes from the block."""
        try:
            yield
        except Exception as error:  # Ray raises RuntimeError with the answer's text; requests has a tree of its own
            if name and "status code 404" in str(error):
                raise InputError(f"{name}: {self.place} knows no such job; `raysim jobs` lists them") from error
            raise RunError(f"{self.place}: {_one_line(reason_of(error))}") from error


class _Log:
    """Writes a log once, however often it is read from its begin."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._written = 0

    def add(self, begin: int, text: str) -> None:
        """Writes what is new of a piece that begins at character `begin` of the log."""
        if new := text[max(0, self._written - begin) :]:
            self._write(new)
            self._written += len(new)


def _agree_with(place: ClusterAddress) -> tuple[dict[str, str], str]:
    """Asks whether a job server is there: the headers to bring, with a token where one is wanted, and Ray's session."""
    bearer = {"Authorization": f"Bearer {token()}"} if token() else {}
    for headers in ({}, bearer) if bearer else ({},):
        try:
            request = urllib.request.Request(f"{place.address}/api/version", headers=headers)  # noqa: S310
            with urllib.request.urlopen(request, timeout=_CONNECT_TIMEOUT_S) as answer:  # noqa: S310
                return headers, str(json.load(answer)["session_name"])
        except urllib.error.HTTPError as error:
            if error.code not in (401, 403):
                raise InputError(f"{place}: no job server of Ray answers there (HTTP {error.code}); {_HOW}") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = _one_line(str(getattr(error, "reason", error)))
            raise InputError(f"{place}: no job server of Ray answers there ({reason}); {_HOW}") from error
    raise InputError(f"{place}: {UNAUTHENTICATED}")


def _job(details: Any) -> Job:
    def seconds(stamp_ms: int | None) -> float | None:
        return stamp_ms / 1000 if stamp_ms else None

    return Job(
        name=details.submission_id,
        status=str(details.status),
        exit_code=details.driver_exit_code,
        message=details.message or "",
        started_s=seconds(details.start_time),
        ended_s=seconds(details.end_time),
        about=details.metadata or {},
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300].rstrip(". ")
