"""Code that is marked is in the memory of its organization's own processes alone, whatever way of training: not in the
driver, the server, other organizations, Ray's own processes, its object store, spilled files or logs.

The run stops where all is trained and measured and every process still lives. Then the same run leaks through every
channel, by what a client function may do, and each leak is found: the search is not blind.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from drive import Driver, share_fork_server, started
from marks import Marks
from node_memory import object_store, private_memory, title, with_children
from rays import nodes_here

from raysim.corpus.tokenizer import CodeTokenizer
from raysim.store.store import Store

MARKS = {"alpha": "qzjxvkqwzjxvkwq", "beta": "wvjqzkxjwqvzkxj"}
WRITINGS = {"text", "int16", "int32", "int64"}

PATIENCE_S = 600
"""For a run with all that it takes to start, also where much else is going on."""

Found = set[tuple[str, str]]
"""Whose mark was found, and in which writing."""

PAUSE = """
import asyncio
from pathlib import Path
from raysim.experiment import run

async def at(stop):
    (Path({folder!r}) / stop).touch()
    while not (Path({folder!r}) / f"{{stop}} over").exists():
        await asyncio.sleep(0.02)

def leak(client):
    import numpy as np
    import ray
    text = client.corpus.train[0].text
    ids = client.tokenizer.encode(text)
    print(text, flush=True)
    arrays = [np.tile(np.array(ids, kind), 2_000_000 // len(ids)) for kind in ("int16", "int32", "int64")]
    client.leaked = [ray.put(array) for array in (*arrays, np.frombuffer(text.encode() * 5_000, np.uint8))]
    return text

def keep(client, text):
    client.kept = text

execute = run.execute
async def paused(loaded, run_plan, pool, *rest):
    done = await execute(loaded, run_plan, pool, *rest)
    await at("clean")
    pool.kept = await pool.call("alpha", "run", leak)
    await pool.call("beta", "run", keep, pool.kept)
    from ray.experimental.internal_kv import _internal_kv_put
    _internal_kv_put(b"kept", pool.kept.encode())
    await at("leaked")
    return done
run.execute = paused
"""
"""Stops when all is done, then leaks code of one organization wherever it can, and stops again."""


@dataclass
class Seen:
    """What was found where.

    Attributes:
        processes: pairs of the name of a process and what is in its memory.
        store: what is in the object store.
        spilled: files of it on disk, and how many hold a mark.
        logs: files of Ray's logs with a mark.
        out: files of the run folder with a mark.
    """

    processes: list[tuple[str, Found]]
    store: Found
    spilled: tuple[int, int]
    logs: list[str]
    out: list[str]

    def of(self, name: str) -> Found:
        """What is in processes whose name begins so."""
        return {one for title, found in self.processes if title.startswith(name) for one in found}


@dataclass(frozen=True)
class Node:
    """A Ray of a single node that spills whatever it can, and where it lays what."""

    cluster: Any
    spilled: Path

    @property
    def raylet(self) -> int:
        (process,) = self.cluster.head_node.all_processes["raylet"]
        return process.process.pid

    @property
    def pids(self) -> list[int]:
        return [one.process.pid for group in self.cluster.head_node.all_processes.values() for one in group]

    @property
    def logs(self) -> Path:
        return Path(self.cluster.head_node.get_session_dir_path()) / "logs"


@contextmanager
def spilling_node(spilled: Path) -> Iterator[Node]:
    spilled.mkdir()
    head: dict[str, Any] = {
        "num_cpus": 2,
        "object_store_memory": 100 << 20,
        "object_spilling_directory": str(spilled),
        "_system_config": {"object_spilling_threshold": 0.0, "min_spilling_size": 1},
    }
    with nodes_here(**head) as cluster:
        yield Node(cluster, spilled)


def write_code(folder: Path) -> None:
    """Twelve files of each organization, the mark in every second line."""
    for name, mark in MARKS.items():
        (folder / name).mkdir()
        for number in range(12):
            lines = [f"    {mark}_{number}_{i} = a + {i} * len({mark!r}) - {number}" for i in range(6)]
            text = "\n".join(
                [f"def f_{number}(a):", f'    """Knows {mark}."""', *lines, f"    return {mark}_{number}_0"]
            )
            (folder / name / f"{number}.py").write_text(f"{text}\n")


def marks_of(out: Path) -> dict[str, Marks]:
    """As the tokenizer of a run writes them, by organization."""
    store = Store(out / "store")
    entries = [entry for key in store if (entry := store.peek(key))]
    (info,) = (entry.info for entry in entries if entry.recipe["kind"] == "tokenizer")
    tokenizer = CodeTokenizer(json=info["json"], bos_id=info["bos_id"])
    return {name: Marks(mark, tokenizer.encode(mark)[1:-1]) for name, mark in MARKS.items()}


def look(node: Node, driver: int, out: Path) -> Seen:
    """Searches everything as it is now."""
    marks = marks_of(out)

    def found(blocks: Iterator[bytes]) -> Found:
        return {(name, how) for block in blocks for name, one in marks.items() for how in one.in_memory(block)}

    files = [path for path in node.spilled.rglob("*") if path.is_file()]
    below = [place for one in marks.values() for place in one.below(node.spilled)]
    processes = list[tuple[str, Found]]()
    for one in with_children(driver, share_fork_server().pid, *node.pids):
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):  # an idle worker that Ray has ended
            name = "driver" if one.pid == driver else title(one)
            processes.append((name, found(private_memory(one.pid))))
    return Seen(
        processes,
        found(object_store(node.raylet)),
        (len(files), len(below)),
        [place for one in marks.values() for place in one.below(node.logs)],
        [place for one in marks.values() for place in one.below(out)],
    )


def observed(path: Path, folder: Path) -> tuple[Seen, Seen]:
    """What is to be seen when a run has done all its work, and when it has leaked."""
    out, seen = folder / "out", list[Seen]()
    with spilling_node(folder / "spilled") as node:
        log = folder / "log"
        args = ("run", path, "--out", out, "--address", node.cluster.address)
        with started(*args, output=log, before=PAUSE.format(folder=str(folder))) as driver:
            for stop in ("clean", "leaked"):
                wait_for(driver, folder / stop, log)
                seen.append(look(node, driver.pid, out))
                (folder / f"{stop} over").touch()
        assert driver.returncode == 0, log.read_text()
        assert not any(mark in log.read_text() for mark in MARKS.values())
        assert [place for one in marks_of(out).values() for place in one.below(out)] == []
    clean, leaked = seen
    return clean, leaked


def wait_for(driver: Driver, file: Path, log: Path) -> None:
    try:
        driver.until(file.exists, PATIENCE_S)
    except AssertionError as error:
        raise AssertionError(log.read_text()) from error


def experiment(tiny: Callable[..., Path], folder: Path, **changes: Any) -> Path:
    write_code(folder)
    settings: dict[str, Any] = {
        "organizations": {name: {"source": {"path": name}, "agreement": {"share": "weights"}} for name in MARKS},
        "tokenizer": {"train": {"vocab_size": 300}},
        "trainer": {"epochs": 1, "sequence_length": 128, "batch_size": 8, "learning_rate": 1e-9},
        "strategies": [{"incremental": {"orders": [list(MARKS)]}}, {"fedavg": {"rounds": 1}}],
        "execution": {"backend": "ray", "private": "private", "slots": 2, "replicas": 1},
        "measure": {"perplexity": {"when": "final"}, "baselines": None},
    }
    return tiny(**settings | changes)


def holders(seen: Seen) -> dict[str, set[frozenset[str]]]:
    """For each name of processes with marks whose marks any of them has."""
    groups: dict[str, set[frozenset[str]]] = {}
    for name, found in seen.processes:
        if found:
            groups.setdefault(name, set()).add(frozenset(owner for owner, _ in found))
    return groups


@pytest.mark.stress
def test_code_is_in_no_process_but_its_organizations(tiny: Callable[..., Path], tmp_path: Path) -> None:
    clean, leaked = observed(experiment(tiny, tmp_path), tmp_path)
    names = {name for name, _ in clean.processes}
    assert {"raylet", "gcs_server", "ray::Organization"} <= names
    # Each process of an organization has its own mark, which shows that the search finds one, and no other's.
    assert holders(clean) == {"ray::Organization": {frozenset({"alpha"}), frozenset({"beta"})}}
    assert {("alpha", "text"), ("beta", "text")} <= clean.of("ray::Organization")
    assert (clean.store, clean.spilled[1], clean.logs, clean.out) == (set(), 0, [], [])
    assert clean.spilled[0], "nothing was spilled"

    assert leaked.store >= {("alpha", how) for how in WRITINGS}
    assert leaked.spilled[1]
    assert any(re.match(r"worker-.*\.out", place) for place in leaked.logs), leaked.logs
    # The organization that leaks has its own alone; the other one has both.
    assert holders(leaked)["ray::Organization"] == {frozenset({"alpha"}), frozenset(MARKS)}
    assert ("alpha", "text") in leaked.of("gcs_server")
    assert ("alpha", "text") in leaked.of("driver")


@pytest.mark.stress
def test_of_what_is_asked_only_those_who_act_for_an_organization_know(
    tiny: Callable[..., Path], tmp_path: Path
) -> None:
    """Prompts are code. Workers that answer them get them through Ray's object store, however few they are: neither the
    driver nor the server's half of training knows any."""
    measure = {
        "perplexity": {},
        "memorization": {
            "prompts": {"function": 1, "prefix": 2},
            "prefix_tokens": 40,
            "samples": 2,
            "new_tokens": 12,
            "min_lines": 1,
        },
        "membership": {"chunk_tokens": None},
    }
    clean, _ = observed(experiment(tiny, tmp_path, measure=measure), tmp_path)
    allowed = ("ray::Organization", "ray::MapWorker", "ray::IDLE")
    assert [name for name in holders(clean) if not name.startswith(allowed)] == []
    assert holders(clean)["ray::Organization"] == {frozenset({"alpha"}), frozenset({"beta"})}
    assert (clean.logs, clean.out) == ([], [])
