"""What an experiment would do, and what it is made of: looked at without any training."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from raysim.cluster.backend import InlineBackend
from raysim.core.event_loop import run_coroutine
from raysim.core.run_folder import RunFolder
from raysim.corpus.diversity import diversities, line_entropy, smallest
from raysim.experiment.cautions import cautions, copy_cautions
from raysim.experiment.config import LoadedExperiment
from raysim.experiment.estimate.cost import estimate, matmul_rate
from raysim.experiment.estimate.memory import memory_needs, this_machine
from raysim.experiment.estimate.timings import read_timings
from raysim.experiment.overlap_report import held_out_copies, overlap_report
from raysim.experiment.plan import RunPlan, looking_pool, memory_load, plan_run, tried_parameters, workload
from raysim.experiment.points import swept
from raysim.experiment.resources import slot_count, turns_here
from raysim.experiment.run import Options
from raysim.experiment.setup import Setup, set_up
from raysim.experiment.write_tables import participation_rows
from raysim.matching import held_out
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.simulation.participation import absentees, participation_counts
from raysim.simulation.privacy import privacy_cautions
from raysim.store.store import Store


def plan_experiment(options: Options) -> dict[str, Any]:
    """What a run would do: stages by setting, and what they cost.

    Raises:
        InputError: whatever is wrong with the experiment.
    """
    loaded, folder = options.load()

    async def look(store: Store) -> tuple[RunPlan, list[dict[str, Any]]]:
        run_plan = await plan_run(loaded, pool, store)
        return run_plan, await held_out_copies(pool, run_plan.setup)

    with scratch_store(folder) as store, looking_pool(loaded, options.address) as pool:
        run_plan, copied = run_coroutine(look(store))
        summary = run_plan.plan.summary(store.has)
    warnings = cautions(loaded, run_plan.setup.client_stats) + held_out.cautions(copied)
    costing = costs(loaded, run_plan)
    warnings += privacy_cautions(run_plan.setup.strategy_runs, tried_parameters(loaded, run_plan).trained)
    attendance = participation_rows(run_plan.setup.strategy_runs)
    warnings += [*run_plan.plan.bounds, *run_plan.plan.stops, *absentees(attendance)]
    there = {label: asdict(counts) for label, counts in participation_counts(attendance).items()}
    found = {"material": _material(loaded, run_plan.setup), "participation": there, "warnings": warnings}
    return {"name": loaded.experiment.name, "strategies": summary, **costing, **found}


def _material(loaded: LoadedExperiment, setup: Setup) -> dict[str, Any]:
    """What findings would rest on: seeds, files, prompts, and what was declared of them."""
    experiment, stats = loaded.experiment, setup.client_stats.values()
    memorization = experiment.measure_settings(MemorizationSettings)
    asked = memorization.prompts.function + memorization.prompts.prefix if memorization else 0
    return {
        "seeds": len(experiment.seed),
        "validation_files": sum(one.splits["valid"]["files"] for one in stats),
        "training_files": sum(one.splits["train"]["files"] for one in stats),
        "prompts": asked * len(setup.client_stats),
        "findings": experiment.findings.model_dump(),
    }


def costs(loaded: LoadedExperiment, run_plan: RunPlan) -> dict[str, Any]:
    """What the work ahead costs on this machine; see `estimate`."""
    experiment = loaded.experiment
    slots = slot_count(loaded, InlineBackend())
    found = estimate(
        run_plan.plan,
        run_plan.evaluations,
        workload(loaded, run_plan, slots, tried_parameters(loaded, run_plan)),
        read_timings(),
        matmul_rate(experiment.trainer.precision, experiment.trainer.threads),
        slots,
        experiment.store,
    )
    inline = experiment.execution.backend == "inline"
    load = memory_load(loaded, run_plan, slots, turns_here(experiment.trainer), inline)
    return {**found, "slots": slots, "memory": memory_needs(load, this_machine(experiment.trainer.device))}


def inspect_experiment(options: Options) -> dict[str, Any]:
    """What every organization keeps and drops, and what they share, without any training; of a sweep, its base values.

    Raises:
        InputError: whatever is wrong with the experiment.
    """
    loaded, folder = options.load()

    async def look(store: Store) -> tuple[Setup, dict[str, Any]]:
        setup = await set_up(loaded, pool, store)
        return setup, await overlap_report(pool, setup, loaded.experiment.measure_settings(MemorizationSettings))

    with scratch_store(folder) as store, looking_pool(loaded, options.address) as pool:
        setup, seen_through = run_coroutine(look(store))
    spectra = {name: stats.line_spectrum for name, stats in setup.client_stats.items()}
    diversity = diversities(spectra)
    return {
        "name": loaded.experiment.name,
        "sweep": swept(loaded.experiment),
        "organizations": {
            name: asdict(stats) | {"diversity": diversity[name], "line_entropy_bits": line_entropy(spectra[name])}
            for name, stats in setup.client_stats.items()
        },
        "diversity_lines": smallest(spectra),
        "references": {
            "files": len(setup.references),
            "bytes": sum(f.num_bytes for f in setup.references),
            "drops": [drop.to_json() for drop in setup.reference_drops],
        },
        "deduplication": loaded.experiment.deduplication.model_dump(),
        "xray": seen_through,
        "warnings": cautions(loaded, setup.client_stats) + copy_cautions(seen_through["split_copies"]),
    }


@contextmanager
def scratch_store(folder: RunFolder) -> Iterator[Store]:
    """The run's store if it is there, else one that goes when the block ends: looking makes no folders."""
    if folder.store.is_dir():
        yield Store(folder.store)
        return
    with tempfile.TemporaryDirectory(prefix="raysim-") as scratch:
        yield Store(Path(scratch))
