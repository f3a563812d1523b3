"""`raysim verify`: hashes every store entry, makes a run's work once more, and compares bits. It repairs nothing."""

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np

from raysim.cluster.backend import Backend
from raysim.core.errors import CheckFailed, DamagedEntry, InputError
from raysim.core.event_loop import run_coroutine
from raysim.core.keys import Key, seed_of
from raysim.core.run_folder import RunFolder, provenance
from raysim.experiment.config import LoadedExperiment, restore_experiment
from raysim.experiment.execute import execute
from raysim.experiment.observer import RunObserver
from raysim.experiment.plan import plan_run
from raysim.experiment.resources import check_address, open_actor_pool, open_backend
from raysim.measures.registry import work_kinds
from raysim.store.references import References
from raysim.store.retention import Retention
from raysim.store.shadow_store import ShadowStore
from raysim.store.store import Store


@dataclass
class Verification:
    """What was checked.

    Attributes:
        entries: in the store, each of whose bytes was hashed.
        made: pieces of work that were made once more and came out the same, by kind.
        problems: one line for everything that is not as it was.
        machine: that the run was made on.
    """

    entries: int = 0
    made: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    machine: object = None

    def check(self) -> None:
        """Raises if there are problems.

        Raises:
            CheckFailed: lists them.
        """
        if not self.problems:
            return
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        elsewhere = self.machine != provenance()["machine"]
        other = "\nThe run was made on another machine, where bits may differ; see --tolerance." if elsewhere else ""
        raise CheckFailed(f"{len(self.problems)} of {self.entries} entries are not as they were:\n{lines}{other}")


def verify_run(
    run_dir: Path, sample: int | None, tolerance: float, address: str | None, observer: RunObserver
) -> Verification:
    """Checks the store of a run. Nothing is made once more if some entry is damaged or gone.

    Args:
        run_dir: folder of a finished run.
        sample: pieces of work to make once more, of every kind in turn; None: all.
        tolerance: relative L2 distance of arrays that is let pass; 0 asks for equal bits, which is promised on the same
            processor with the same libraries.
        address: of a Ray cluster; None: as the experiment says.
        observer: receives progress.

    Raises:
        InputError: no run, or one that has not come to its end.
        BoundaryError: an agreement has ended under which its code was read.
    """
    folder = RunFolder(run_dir)
    manifest = folder.read_manifest()
    if manifest.get("points"):
        raise InputError(
            f"{run_dir}: a sweep; verify its points one by one, for example {run_dir / manifest['points'][0]['folder']}"
        )
    if not manifest.get("finished"):
        raise InputError(f"{run_dir}: this run has not come to its end; run its command again, then verify")
    folder = RunFolder.reopen(run_dir)
    loaded = restore_experiment(manifest)
    loaded.experiment.check_unexpired()
    check_address(loaded.experiment.execution, address)
    store, references = Store(folder.store), References(folder.store)
    with references.at_work():
        found = Verification(machine=manifest.get("machine"))
        observer.phase("Hashing the store")
        mine = references.of(run_dir)
        if mine is None:
            raise InputError(f"{run_dir}: the store does not know this run; run its command again, then verify")
        _hash_entries(store, found)
        found.problems += [f"store entry {key}: is not there any more" for key in sorted(mine.keys - set(store))]
        if found.problems:
            return found
        chosen = draw({key: entry.recipe["kind"] for key in mine.keys if (entry := store.peek(key))}, sample)
        backend = open_backend(loaded, address, observer.note)
        try:
            with tempfile.TemporaryDirectory(prefix="raysim-verify-") as scratch:
                again = ShadowStore(store, Path(scratch) / "store", chosen)
                run_coroutine(_execute(loaded, folder, again, backend, Path(scratch), observer))
                _compare(store, again, chosen, tolerance, found)
        finally:
            backend.close()
    return found


def draw(kinds: Mapping[Key, str], sample: int | None) -> frozenset[Key]:
    """Draws `sample` of the keys of work, the same ones for the same keys: one of every kind, then another of each.

    Kinds whose tokens cost most come first, so that few pieces are of training and of what reads models.
    """
    keys, known = sorted(kinds), work_kinds()
    generator = np.random.Generator(np.random.Philox(seed_of("verify", len(kinds), *keys)))
    strata: dict[str, list[Key]] = {}
    for i in generator.permutation(len(keys)):
        strata.setdefault(kinds[keys[i]], []).append(keys[i])
    costly = sorted(strata, key=lambda kind: (-known[kind].passes if kind in known else 0.0, kind))
    in_turn = [key for row in zip_longest(*(strata[kind] for kind in costly)) for key in row if key is not None]
    return frozenset(in_turn[:sample])


def _hash_entries(store: Store, found: Verification) -> None:
    for key in store:
        found.entries += 1
        try:
            store.get(key)
        except DamagedEntry as error:
            found.problems.append(str(error))


async def _execute(
    loaded: LoadedExperiment,
    folder: RunFolder,
    store: ShadowStore,
    backend: Backend,
    scratch: Path,
    observer: RunObserver,
) -> None:
    observer.phase("Preparing the corpora")
    pool = open_actor_pool(loaded, backend, observer.note)
    run_plan = await plan_run(loaded, pool, store)
    observer.expect(run_plan.pending, run_plan.plan.work())
    keep_all = Retention("all", {}, frozenset())
    await execute(loaded, run_plan, pool, store, keep_all, scratch / "stages.jsonl", folder.read_secret(), observer)


def _compare(store: Store, again: ShadowStore, chosen: frozenset[Key], tolerance: float, found: Verification) -> None:
    made = set(again)
    for key in sorted(made & set(store)):
        entry = store.peek(key)
        assert entry is not None, "it is among the keys"
        difference = again.difference(key, tolerance)
        if difference:
            found.problems.append(f"{entry.recipe['kind']} {key}: {difference}")
        else:
            found.made[str(entry.recipe["kind"])] += 1
    missed = sorted(chosen - made)
    if missed:
        found.problems.append(
            f"{len(missed)} pieces of work were not made again (first: {missed[0]}): corpora, settings,"
            " libraries, or whether the processor knows bf16, have changed since, and lead to other keys"
        )
