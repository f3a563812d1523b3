"""Organizations on nodes of their own, where alone their files are; the tables are those of one process."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chaos import FAILURE_DETECTION, run_on
from drive import hashes, raysim
from rays import nodes_here

Tiny = Callable[..., Path]

SITES = ("alpha", "beta")

EVERYTHING: dict[str, Any] = {  # of where a model may be trained: at one, at those that share, at one behind them
    "strategies": [{"unlearned": {"organizations": ["beta"], "steps": 2}}, {"fedavg": {"rounds": 1}}],
    "references": [],
    "measure": {
        "memorization": {
            "prompts": {"function": 1, "prefix": 3},
            "samples": 1,
            "prefix_tokens": 24,
            "new_tokens": 16,
            "min_lines": 2,
        }
    },
}


@contextmanager
def sites(folder: Path, corpora: dict[str, Path]) -> Iterator[Any]:
    """A Ray of a head and a node for each site, with a home that has its code, and its packed sequences in the end."""
    head = home(folder, "head")
    with nodes_here(num_cpus=1, env_vars=head, _system_config=FAILURE_DETECTION) as cluster:
        for site in SITES:
            environment = home(folder, site)
            shutil.copytree(corpora[site], folder / site / "code")
            cluster.add_node(num_cpus=1, labels={"site": site}, env_vars=environment)
        yield cluster


def home(folder: Path, name: str) -> dict[str, str]:
    (folder / name).mkdir(exist_ok=True)
    return {"HOME": str(folder / name), "XDG_CACHE_HOME": str(folder / name / "cache")}


def strangers(cluster: Any) -> set[str]:
    """Kinds of actors, of those that there were, that ran on the head or on any node but these."""
    own = {node.node_id for node in cluster.worker_nodes}
    found = cluster.global_state.actor_table(None).values()
    return {one["ActorClassName"] for one in found if one["Address"]["NodeID"] not in own}


@pytest.fixture
def pinned(tiny: Tiny) -> Path:
    """An experiment in which every organization's code is in its own home."""
    organizations = {
        site: {"source": {"path": "~/code"}, "agreement": {"share": "data"}, "node": {"site": site}} for site in SITES
    }
    return tiny("pinned", **EVERYTHING, organizations=organizations, execution={})


def test_files_that_are_at_their_organization_alone(
    tiny: Tiny, pinned: Path, tmp_path: Path, corpus_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = tmp_path / "nodes"
    nodes.mkdir()
    with sites(nodes, corpus_folders) as cluster:
        for name, value in home(nodes, "driver").items():
            monkeypatch.setenv(name, value)
        ended = raysim(*run_on(cluster, pinned, tmp_path / "out"))
        elsewhere = strangers(cluster)
        lacking = raysim(*run_on(cluster, pinned, tmp_path / "out", "--set", "organizations.beta.node={site: delta}"))
    assert ended.returncode == 0, ended.stderr
    # Nothing of an organization lies anywhere else, and nothing that has its code runs there, but the pool that it
    # shares its data with (`agreement.share`), which has a place of its own.
    for name in ("head", "driver", *SITES):
        found = {folder.name for folder in (nodes / name / "cache" / "raysim").glob("*")}
        assert found & set(SITES) == {name} & set(SITES)
    holders = {kind for kind in elsewhere if "Organization" in kind or "MapWorker" in kind}
    assert holders <= {"PooledOrganization"}
    assert lacking.returncode == 2
    (line,) = lacking.stderr.splitlines()
    assert "organizations.beta.node: no node has the labels site=delta; of 3 nodes" in line
    assert "has site=alpha" in line
    here = {site: {"source": {"path": str(nodes / site / "code")}, "agreement": {"share": "data"}} for site in SITES}
    ended = raysim("run", tiny(**EVERYTHING, organizations=here), "--out", tmp_path / "inline")
    assert ended.returncode == 0, ended.stderr
    assert hashes(tmp_path / "out") == hashes(tmp_path / "inline")


@pytest.mark.stress
def test_every_command_asks_organizations_where_they_are(
    pinned: Path, tmp_path: Path, corpus_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking before the run, going on with a finished one, and making its work once more."""
    nodes, out = tmp_path / "nodes", tmp_path / "out"
    nodes.mkdir()
    with sites(nodes, corpus_folders) as cluster:
        for name, value in {**home(nodes, "driver"), "RAY_ADDRESS": cluster.address}.items():
            monkeypatch.setenv(name, value)
        for command in (("inspect", pinned, "--json"), ("plan", pinned, "--json")):
            looked = raysim(*command)
            assert looked.returncode == 0, looked.stderr
            assert all(site in looked.stdout for site in SITES)
        assert raysim("run", pinned, "--out", out).returncode == 0
        again = raysim("run", pinned, "--out", out)
        assert again.returncode == 0, again.stderr
        assert "computed" not in again.stdout
        verified = raysim("verify", out, "--sample", 4, "--address", cluster.address)
        assert verified.returncode == 0, verified.stderr
        swept = raysim("run", pinned, "--out", tmp_path / "sweep", "--set", "sweep={trainer.epochs: [1, 2]}")
        assert swept.returncode == 0, swept.stderr
