"""A run folder: its lock, its manifest, and where things lie in it."""

import json
import os
import platform
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from raysim.core.errors import InputError, os_error, os_errors
from raysim.core.json_text import parse_json
from raysim.core.locks import try_lock
from raysim.core.names import is_plain

PACKAGES = ("ray", "torch", "transformers", "tokenizers", "pyarrow", "numpy")
"""Whose versions a manifest has."""


class RunFolder:
    """Paths of one run, and what is written there besides the store."""

    def __init__(self, path: Path, store: Path | None = None) -> None:
        self.path = path
        self.store = store or path / "store"
        self.results = path / "results"
        self.stages = path / "stages.jsonl"
        self.progress = path / "progress.jsonl"
        self.secret = path / ".secret"
        self.manifest = path / "manifest.json"
        self.ledger = path / "ledger.parquet"
        self.report = path / "report.html"

    @classmethod
    def reopen(cls, path: Path) -> "RunFolder":
        """The folder of a run that is there, with the store that it has.

        Raises:
            InputError: no run folder, or its store is gone.
        """
        named = cls(path).read_manifest().get("store")
        folder = cls(path, (path / named).resolve() if named else None)
        if not folder.store.is_dir():
            raise InputError(f"{path}: its store is not at {folder.store}; run its command again with --store")
        return folder

    def store_for_manifest(self) -> str | None:
        """The way from here to a store elsewhere: the two may move together; None: it is inside."""
        return None if self.store == self.path / "store" else os.path.relpath(self.store.resolve(), self.path.resolve())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder for this process; the lock goes with it, however it ends.

        Raises:
            InputError: the folder cannot be made, or another run is at work in it.
        """
        lock, stack = self.path / ".lock", ExitStack()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            held = stack.enter_context(try_lock(lock))
        except OSError as error:
            found = os_error(error)
            raise type(found)(f"--out {self.path}: cannot be used: {found}") from None
        with stack:
            if not held:
                holder = lock.read_text().strip() or "unknown"
                raise InputError(
                    f"--out {self.path}: another raysim run (process {holder}) is at work there;"
                    " wait for it, or give another --out"
                )
            with os_errors(lock, begun=True):
                lock.write_text(str(os.getpid()))
            yield

    def read_secret(self) -> bytes:
        """The key of the run's line hashes, made at its first start; a kill leaves none or a whole one."""
        if not self.secret.is_file():
            unfinished = self.secret.with_name(f"{self.secret.name}.unfinished")
            with os_errors(self.secret, begun=True):
                unfinished.touch(mode=0o600)
                unfinished.write_bytes(secrets.token_bytes(32))
                unfinished.replace(self.secret)
        return self.secret.read_bytes()

    def clear(self) -> None:
        """Removes what a run has written here besides its store, its secret, and what it tells of itself."""
        shutil.rmtree(self.results, ignore_errors=True)
        logs = self.stages, self.stages.with_name("attempts.jsonl")
        for file in (self.ledger, self.report, *logs, self.manifest):
            file.unlink(missing_ok=True)

    def is_finished(self) -> bool:
        """Whether a run has come to its end here before."""
        try:
            return bool(self.read_manifest().get("finished"))
        except InputError:
            return False

    def read_manifest(self) -> dict[str, Any]:
        """The manifest.

        Raises:
            InputError: there is none, or it cannot be read.
        """
        try:
            manifest = parse_json(self.manifest.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(
                f"{self.path}: no run folder (it has no manifest.json); give the --out folder of a run, or begin one:"
                f" `raysim run EXPERIMENT --out {self.path}`"
            ) from None
        except (OSError, ValueError) as error:
            raise InputError(f"{self.manifest}: cannot be read ({error}); run again to write it anew") from None
        if not isinstance(manifest, dict):
            raise InputError(f"{self.manifest}: expected a JSON object; run again to write it anew")
        if not _names_folders(manifest):
            raise InputError(f"{self.manifest}: names a store or points that are none; run again to write it anew")
        return manifest

    def write_manifest(self, **facts: Any) -> None:
        """Writes the manifest anew, keeping when the run was first created."""
        try:
            facts["created"] = self.read_manifest()["created"]
        except (InputError, KeyError):
            facts["created"] = now()
        draft = self.manifest.with_suffix(".json.new")
        with os_errors(self.manifest, begun=True):
            draft.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            draft.replace(self.manifest)


def _names_folders(manifest: Mapping[str, Any]) -> bool:
    """Whether the store of a manifest is text that may be a path, and its points lie below it."""
    store = manifest.get("store") or ""
    if not isinstance(store, str) or "\0" in store:
        return False
    try:
        return all(map(is_plain, (part for row in manifest.get("points") or () for part in row["folder"].split("/"))))
    except (AttributeError, KeyError, TypeError):
        return False


def now() -> str:
    """The time in UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def provenance() -> dict[str, Any]:
    """Versions and machine: what may explain a difference, but is in no table."""
    import psutil

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    machine = {
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
    }
    return {"raysim": version("raysim"), **versions, "machine": machine}


def processor() -> str:
    """The name that the processor gives itself."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
