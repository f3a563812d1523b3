"""Files that stand at several organizations, from the experiment to the tables; what crosses; the x-ray before it."""

import asyncio
import json
import pickle
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drive import hashes, raysim

from raysim.cluster.actor_pool import ActorPool
from raysim.cluster.backend import InlineBackend
from raysim.cluster.retries import Retrying, RetryPolicy
from raysim.cluster.scheduler import Scheduler
from raysim.core.run_folder import RunFolder
from raysim.corpus.files import SourceFile
from raysim.corpus.filters import content_hash
from raysim.corpus.lines import significant_lines
from raysim.corpus.near_duplicates import near_duplicates
from raysim.experiment.config import load_experiment, restore_experiment
from raysim.experiment.plan import inline_pool
from raysim.experiment.preview import inspect_experiment
from raysim.experiment.run import Options
from raysim.experiment.setup import Setup, set_up
from raysim.inference.prompts import HELD_OUT
from raysim.organizations.organization import Organization
from raysim.store.store import Store
from raysim.tables.io import read_table

COPY, NEAR = "copy of an earlier organization's file", "near-copy of an earlier organization's file"

Tiny = Callable[..., Path]


@pytest.fixture
def sharing(tiny: Tiny, tmp_path: Path, corpus_folders: dict[str, Path]) -> Tiny:
    """Writes the tiny experiment where beta and gamma hold a file of alpha, and gamma one of beta, touched up."""
    folders = {name: tmp_path / "shared" / name for name in corpus_folders}
    for name, folder in folders.items():
        shutil.copytree(corpus_folders[name], folder)
    bisect, netrc = ((corpus_folders[n] / f).read_text() for n, f in (("alpha", "bisect.py"), ("beta", "netrc.py")))
    (folders["beta"] / "theirs.py").write_text(bisect.replace("\n", "\n\n"))
    (folders["gamma"] / "also_theirs.py").write_text(bisect)
    (folders["gamma"] / "touched_up.py").write_text(f"# Once more.\n{netrc}\nlast = None\n")

    def write(name: str = "sharing", **changes: Any) -> Path:
        organizations = {
            name: {"source": {"path": str(folder)}, "agreement": {"share": "data"}} for name, folder in folders.items()
        }
        return tiny(name, organizations=organizations, **changes)

    return write


def _drops(setup: Setup) -> dict[tuple[str, str], int]:
    drops = [(name, drop) for name, stats in setup.client_stats.items() for drop in stats.drops]
    return {(name, drop["reason"]): drop["files"] for name, drop in drops if "organization's" in drop["reason"]}


class Border(InlineBackend):
    """Notes whatever goes to an organization and comes from it, as it would travel."""

    def __init__(self) -> None:
        self.crossed: list[bytes] = []

    async def call(self, actor: Any, method: str, *args: Any) -> Any:
        answer = await super().call(actor, method, *args)
        if method != "share_texts":
            self.crossed.append(pickle.dumps((args, answer)))
        return answer


def _assembled(path: Path, tmp_path: Path, secret: bytes = b"secret") -> tuple[Setup, list[bytes]]:
    backend = Border()
    pool = ActorPool(backend, Scheduler(1), Retrying(RetryPolicy(0), lambda _: None, backend.await_failure_detection))
    return asyncio.run(set_up(load_experiment(path, []), pool, Store(tmp_path / "store"), secret)), backend.crossed


def test_what_is_left_out_is_counted_and_crosses_as_hashes(sharing: Tiny, tmp_path: Path) -> None:
    for match, near in (("exact", {}), ("near", {("gamma", NEAR): 1})):
        path = sharing(deduplication={"across": "first_owner", "match": match})
        setup, _ = _assembled(path, tmp_path)
        assert _drops(setup) == {("beta", COPY): 1, ("gamma", COPY): 1, **near}
        kinds = Counter(transfer.kind for transfer in setup.transfers)
        # Two are told what to leave out; with near, all three have a file whose words are asked for.
        words = {"word hashes": 3} if near else {}
        assert kinds == {"texts": 3, "file signatures": 3, "file names": 5 if near else 2, **words, "inventory": 3}


@pytest.mark.parametrize(("across", "left"), [("keep", [1, 1, 1]), ("first_owner", [1, 0, 0]), ("drop_all", [0, 0, 0])])
def test_who_has_a_shared_file_in_the_end(sharing: Tiny, tmp_path: Path, across: str, left: list[int]) -> None:
    """The file of alpha that all hold; of any two files that stay at two organizations none is near the other."""
    corpora = _corpora(sharing(deduplication={"across": across, "match": "near"}), tmp_path)
    shared = content_hash((tmp_path / "shared/alpha/bisect.py").read_text())
    assert [sum(content_hash(file.text) == shared for file in files) for files in corpora.values()] == left
    together = [file for files in corpora.values() for file in files]
    assert bool(near_duplicates(together, 0.85, 10, 256, 1)) == (across == "keep")


def test_keep_moves_and_drops_nothing(sharing: Tiny, tmp_path: Path) -> None:
    setup, crossed = _assembled(sharing(), tmp_path)
    assert _drops(setup) == {}
    assert len(crossed) == 3
    assert {transfer.kind for transfer in setup.transfers} == {"texts", "inventory"}


@pytest.mark.slow
def test_tables_do_not_depend_on_the_secret(sharing: Tiny, tmp_path: Path) -> None:
    """Every run folder has a secret of its own; here stores are apart, too. A second run finds all of it."""
    path = sharing(strategies=["single", "centralized"], deduplication={"across": "drop_all", "match": "near"})
    for name in ("one", "two", "one"):
        ended = raysim("run", path, "--out", tmp_path / name)
        assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "one/.secret").read_bytes() != (tmp_path / "two/.secret").read_bytes()
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    assert " computed" not in ended.stdout.splitlines()[-1]
    verified = raysim("verify", tmp_path / "one")
    assert verified.returncode == 0, verified.stderr


@pytest.mark.slow
@pytest.mark.stress
def test_replicas_on_ray_leave_out_the_same(sharing: Tiny, tmp_path: Path, ray_address: str) -> None:
    one_order = {"incremental": {"orders": [["alpha", "beta", "gamma"]]}}
    path = sharing(strategies=[one_order], measure={}, deduplication={"across": "first_owner", "match": "near"})
    for backend, more in (("inline", []), ("ray", ["--address", ray_address])):
        changes = ["--set", f"execution={{backend: {backend}, slots: 2, replicas: 2}}"]
        ended = raysim("run", path, "--out", tmp_path / backend, *changes, *more)
        assert ended.returncode == 0, ended.stderr
    assert hashes(tmp_path / "ray") == hashes(tmp_path / "inline")


def test_no_code_and_no_path_crosses(sharing: Tiny, tmp_path: Path) -> None:
    path = sharing(deduplication={"across": "first_owner", "match": "near"})
    setup, crossed = _assembled(path, tmp_path)
    assert len(crossed) == 3 + 3 + 3  # signatures, words, preparation
    tokenizer = setup.tokenizer.json.encode()
    for folder in (tmp_path / "shared").iterdir():
        for file in folder.iterdir():
            lines = {line.strip().encode() for line in file.read_text().split("\n")}
            for piece in [file.name.encode(), *(line for line in lines if len(line) > 11 and line not in tokenizer)]:
                assert not any(piece in content for content in crossed), piece


def test_any_secret_gives_the_same_corpora(sharing: Tiny, tmp_path: Path) -> None:
    path = sharing(deduplication={"across": "drop_all", "match": "near"})
    found = [_assembled(path, tmp_path, secret)[0] for secret in (b"1", b"2" * 32)]
    assert found[0].client_stats == found[1].client_stats
    assert found[0].preparation_context == found[1].preparation_context
    hashed = [{c.sha256 for c in setup.transfers if c.kind != "inventory"} for setup in found]
    assert len(hashed[0] & hashed[1]) == 3  # the texts for the tokenizer


def test_inspect_shows_who_shares_what_and_what_policies_would_drop(sharing: Tiny, tmp_path: Path) -> None:
    path = sharing()
    found = json.loads(raysim("inspect", path, "--json").stdout)["xray"]
    dropped = {
        (row["across"], row["match"], row["organization"]): row["files"] for row in found["policies"] if row["files"]
    }
    assert dropped == {
        ("first_owner", "exact", "beta"): 1,
        ("first_owner", "exact", "gamma"): 1,
        ("first_owner", "near", "beta"): 1,
        ("first_owner", "near", "gamma"): 2,
        ("drop_all", "exact", "alpha"): 1,
        ("drop_all", "exact", "beta"): 1,
        ("drop_all", "exact", "gamma"): 1,
        ("drop_all", "near", "alpha"): 1,
        ("drop_all", "near", "beta"): 2,
        ("drop_all", "near", "gamma"): 2,
    }
    clones = {(row["organization"], row["other"]): row["covered"] for row in found["clones"]}
    bounds = {(row["organization"], tuple(row["others"])): row["seen"] for row in found["bounds"]}
    assert len(bounds) == 9
    for (name, others), seen in bounds.items():
        if len(others) == 1:
            assert seen == clones[name, others[0]]
        assert seen <= sum(clones[name, other] for other in others)
    assert any(bounds.values())
    assert not any("organization's" in str(row) for row in inspect_experiment(Options(path))["organizations"].values())


def test_inspect_says_what_was_left_out(sharing: Tiny) -> None:
    path = sharing(deduplication={"across": "first_owner"})
    shown = raysim("inspect", path).stdout
    assert COPY in shown
    assert "In force: first_owner, exact" in shown


@pytest.fixture(scope="module")
def fluent(tiny_writer: Callable[[Path], Tiny], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose models have learned to write lines of their training data; a single line makes a window."""
    folder = tmp_path_factory.mktemp("fluent")
    path = tiny_writer(folder)(strategies=["single"])
    changes = ["trainer.epochs=25", "trainer.learning_rate=0.01", "measure.memorization.min_lines=1"]
    changes += ["measure.memorization.prompts={prefix: 6, held_out: 1}", "measure.memorization.new_tokens=32"]
    ended = raysim("run", path, "--out", folder / "out", *(part for change in changes for part in ("--set", change)))
    assert ended.returncode == 0, ended.stderr
    return folder / "out"


@pytest.mark.slow
def test_emissions_keep_to_their_bounds(fluent: Path) -> None:
    """Of what a model was trained on it has seen every window; what it wrote and had seen is no more than either."""
    models = {row["model"]: set(row["organizations"]) for row in read_table(fluent, "models").to_pylist()}
    rows = read_table(fluent, "emissions").to_pylist()
    assert len(rows) == len(models) * 3
    assert any(row["emitted"] for row in rows if row["owner"] in models[row["model"]])
    assert any(row["foreseen"] for row in rows if row["owner"] not in models[row["model"]])
    for row in rows:
        assert 0 <= row["foreseen"] <= min(row["seen"], row["emitted"])
        assert max(row["seen"], row["emitted"], row["public"]) <= row["lines"]
        if row["owner"] in models[row["model"]]:
            assert row["foreseen"] == row["emitted"]
        if not models[row["model"]]:
            assert row["seen"] == 0


@pytest.mark.slow
def test_what_was_emitted_is_what_the_matches_hold(fluent: Path, tmp_path: Path) -> None:
    """With windows of one line an owner's emitted lines are those that equal a line of a match, wherever they stand."""
    trained = _training_lines(fluent, tmp_path)
    written: dict[tuple[str, str], set[str]] = {}
    for row in read_table(fluent, "matches").to_pylist():
        first, *others = significant_lines(row["text"])[0]
        # The prompt may have begun the first line; its owner has it whole.
        whole = trained[row["owner"]][row["file"], row["line"]]
        assert whole.endswith(first) if row["start"] == 1 else whole == first
        written.setdefault((row["model"], row["owner"]), set()).update([whole, *others])
    for row in read_table(fluent, "emissions").to_pylist():
        lines = trained[row["owner"]].values()
        assert row["lines"] == len(lines)
        assert row["emitted"] == sum(line in written.get((row["model"], row["owner"]), ()) for line in lines)


def _corpora(path: Path, tmp_path: Path) -> dict[str, list[SourceFile]]:
    """The files of both splits of every organization."""

    async def ask() -> dict[str, list[SourceFile]]:
        pool, loaded = inline_pool(), load_experiment(path, [])
        await set_up(loaded, pool, Store(tmp_path / "store"))
        return {name: await pool.call(name, "run", _files) for name in loaded.experiment.organizations}

    return asyncio.run(ask())


def _files(organization: Organization) -> list[SourceFile]:
    return [*organization.corpus.train, *organization.corpus.valid]


def _training_lines(run: Path, tmp_path: Path) -> dict[str, dict[tuple[str, int], str]]:
    """Significant lines of every training split of a run by file and number, from the organizations themselves."""

    async def ask() -> dict[str, dict[tuple[str, int], str]]:
        pool, loaded = inline_pool(), restore_experiment(RunFolder(run).read_manifest())
        await set_up(loaded, pool, Store(tmp_path / "store"))
        return {name: await pool.call(name, "run", _lines) for name in loaded.experiment.organizations}

    return asyncio.run(ask())


def _lines(organization: Organization) -> dict[tuple[str, int], str]:
    return {
        (source.path, number): line
        for source in organization.corpus.train
        for line, number in zip(*significant_lines(source.text), strict=True)
    }


@pytest.mark.slow
def test_copies_add_up_to_those_of_the_prompts(fluent: Path) -> None:
    """`prompts` counts the same windows: within the organization besides its own place, and across."""
    places: dict[str, dict[str, int]] = {}
    for row in read_table(fluent, "copies").to_pylist():
        places.setdefault(row["prompt"], {})[row["organization"]] = row["places"]
    assert places
    for prompt in read_table(fluent, "prompts").to_pylist():
        if prompt["prompt"] in places:
            found = places[prompt["prompt"]]
            own = found.pop(prompt["organization"])
            assert prompt["copies_within"] == max(0, own - 1)
            assert prompt["copies_across"] == sum(found.values())
            assert own >= 1 or prompt["kind"] == HELD_OUT
