"""Fisher information as keyed work of its organization, replayed sequences, and what both spare of forgetting."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from train_requests import make_request

from raysim.cluster.backend import InlineBackend
from raysim.core.keys import key_of, seed_of
from raysim.corpus.sources import SourceSettings
from raysim.organizations.data_policy import DataPolicy
from raysim.organizations.organization import Organization, PreparationContext
from raysim.organizations.settings import OrganizationSettings
from raysim.simulation.planner import PlannedStage
from raysim.store.transfers import ledger_rows
from raysim.training.fisher import diagonal_fisher
from raysim.training.models import build_model
from raysim.training.objectives import ObjectiveConfig
from raysim.training.request import TrainTask
from raysim.training.torch_engine import TorchTrainer
from raysim.training.weights import assign

ORDER = {"orders": [["alpha", "beta"]]}
PLAIN, EWC, REPLAY = (
    {"incremental": {**ORDER, "label": label, **settings}}
    for label, settings in (
        ("plain", {}),
        ("ewc", {"ewc": {"strength": 100, "samples": 9}}),
        ("replay", {"replay": 0.1}),
    )
)


@pytest.fixture(scope="module")
def organizations(
    corpus_folders: Mapping[str, Path],
    preparation_context: PreparationContext,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Organization]:
    """Those of the study, made anew."""
    folder, found = tmp_path_factory.mktemp("organizations"), {}
    for name in ("alpha", "beta"):
        source = SourceSettings(path=str(corpus_folders[name]))
        settings = OrganizationSettings(source=source, agreement=DataPolicy(share="data"))
        found[name] = Organization(name, settings, folder, str(folder / "private"))
        found[name].prepare(preparation_context)
    return found


@pytest.fixture(scope="module")
def results(run_study: Callable[..., Any]) -> Any:
    return run_study(InlineBackend(), [PLAIN, EWC, REPLAY], epochs=4, learning_rate=1e-2, dropout=0.0)


def stage_of(results: Any, label: str, number: int) -> PlannedStage:
    (found,) = [s for s in results.plan.stages if (s.strategy_run.label, s.round) == (label, number)]
    return found


def fishers(results: Any) -> list[Any]:
    keys = [key for key, recipe in results.plan.recipes.items() if recipe["kind"] == "fisher"]
    return [results.store.get(key) for key in keys]


def model_of(results: Any, weights: np.ndarray) -> Any:
    spec = results.context.spec
    model = build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context, seed=0).eval()
    assign(model, weights)
    return model


def moved(results: Any, key: str) -> list[tuple[str, str, str, str]]:
    rows = ledger_rows([results.store.peek(key)], results.store)
    return [(r["sender"], r["receiver"], r["kind"], r["sha256"]) for r in rows]


def test_the_first_stage_is_trained_once_for_all(results: Any) -> None:
    assert len({stage_of(results, label, 0).key for label in ("plain", "ewc", "replay")}) == 1
    assert len({stage_of(results, label, 1).key for label in ("plain", "ewc", "replay")}) == 3
    assert len(results.keys("train", "computed")) == 4
    assert len(results.keys("fisher", "computed")) == 1


def test_the_fisher_information_is_of_the_owners_data_and_final_weights(
    results: Any, organizations: Mapping[str, Organization]
) -> None:
    (entry,) = fishers(results)
    first = stage_of(results, "ewc", 0)
    assert (entry.recipe["weights"], entry.info["site"]) == (first.key, "alpha")
    sequences = organizations["alpha"].training_sequences()[:9]
    model = model_of(results, results.store.get(first.key).array("weights"))
    assert np.array_equal(entry.array("fisher"), diagonal_fisher(model, sequences, results.context.trainer))


def test_it_leaves_its_owner_as_tensors_and_reaches_the_next_stage(results: Any) -> None:
    (entry,) = fishers(results)
    assert {row[:3] for row in moved(results, entry.key)} == {
        ("alpha", "server", "fisher"), ("server", "alpha", "weights"),
    }  # fmt: skip
    content = entry.array("fisher").tobytes()
    second = moved(results, stage_of(results, "ewc", 1).key)
    assert ("server", "beta", "objective", hashlib.sha256(content).hexdigest()) in second
    assert not [row for row in second if row[2] == "sequences"]
    assert stage_of(results, "ewc", 1).stage.recipe["importances"] == [entry.key]


def task_of(results: Any, planned: PlannedStage, **given: Any) -> TrainTask:
    context, instruction = results.context, planned.instruction
    epochs = instruction.epochs
    return TrainTask("again", context.trainer, epochs, epochs, seed_of(planned.key, "stage"), **given)


def trained(results: Any, task: TrainTask, sequences: np.ndarray, **buffers: np.ndarray) -> np.ndarray:
    """Ends of a stage behind the first, trained by the engine alone on given sequences."""
    start = results.store.get(stage_of(results, "plain", 0).key).array("weights")
    request = make_request(task, sequences, start, spec=results.context.spec)
    request.objective_buffers.update(buffers)  # type: ignore[attr-defined]
    *_, update = TorchTrainer(model_of(results, start)).train(request)
    return update.weights  # type: ignore[union-attr]


def test_a_later_stage_is_pulled_by_it(results: Any, organizations: Mapping[str, Organization]) -> None:
    second, (entry,) = stage_of(results, "ewc", 1), fishers(results)
    task = task_of(results, second, objective=ObjectiveConfig("ewc", {"strength": 100.0}))
    own = np.array(organizations["beta"].training_sequences())
    weights = trained(results, task, own, fisher=np.array(entry.array("fisher")))
    assert np.array_equal(weights, results.store.get(second.key).array("weights"))


def drawn_by_hand(organization: Organization, context: Any, preparation_context: PreparationContext) -> np.ndarray:
    """The packed sequences, worked out from the files: a seeded order of whole files, each behind a BOS."""
    files = sorted(organization.corpus.train, key=lambda file: (file.path, file.text))
    fingerprint = organization.corpus.train_fingerprint
    length = context.trainer.sequence_length
    seed = seed_of(preparation_context.split_seed, "packing", fingerprint, context.tokenizer, length)
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(files))
    stream: list[int] = []
    for number in order:
        stream += [organization.tokenizer.bos_id, *organization.tokenizer.encode(files[number].text)]
    return np.array(stream[: len(stream) // length * length], np.int32).reshape(-1, length)


def test_replay_takes_the_first_of_a_seeded_order_of_files_and_nothing_else(
    results: Any, organizations: Mapping[str, Organization], preparation_context: PreparationContext
) -> None:
    second = stage_of(results, "replay", 1)
    alpha, beta = (drawn_by_hand(organizations[n], results.context, preparation_context) for n in ("alpha", "beta"))
    share = alpha[: -(-len(alpha) // 10)]
    rows = [row for row in moved(results, second.key) if row[2] == "sequences"]
    assert rows == [("alpha", "beta", "sequences", hashlib.sha256(share.tobytes()).hexdigest())]
    assert second.stage.sequences == {"beta": len(beta), "alpha": len(share)}
    assert second.stage.own_sequences == len(beta)
    (lineage,) = [m.lineage for m in results.reached if m.checkpoint.model == second.key]
    assert lineage.tokens_seen == {"alpha": (len(alpha) + len(share)) * 64 * 4, "beta": len(beta) * 64 * 4}
    weights = trained(results, task_of(results, second), np.concatenate([beta, share]))
    assert np.array_equal(weights, results.store.get(second.key).array("weights"))


def test_forgetting_falls(results: Any, organizations: Mapping[str, Organization]) -> None:
    """Of the earlier organization's code the models at the end know more with either than without."""

    def loss(label: str, name: str) -> float:
        model = model_of(results, results.store.get(stage_of(results, label, 1).key).array("weights"))
        ids = torch.from_numpy(organizations[name].training_sequences().astype(np.int64))
        with torch.no_grad():
            logits = model(input_ids=ids).logits
        return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).item()

    alpha = {label: loss(label, "alpha") for label in ("plain", "ewc", "replay")}
    assert alpha["ewc"] < alpha["plain"] - 0.005, alpha
    assert alpha["replay"] < alpha["plain"] - 0.005, alpha


def test_what_was_evicted_is_made_again_to_the_same_bits(results: Any, run_study: Callable[..., Any]) -> None:
    both = {"incremental": {**ORDER, "ewc": {"strength": 100, "samples": 9}, "replay": 0.1}}
    whole, evicted = (
        run_study(InlineBackend(), [both], epochs=2, dropout=0.0, keep=keep, write=write)
        for keep, write in (("all", "all"), ("leaves", "kept"))
    )
    keys = {key for key, recipe in whole.plan.recipes.items() if recipe["kind"] == "fisher"}
    assert keys == {key for key in evicted.plan.recipes if key in keys} != set()
    (last,) = (s.key for s in whole.plan.stages if s.round == 1)
    weights = [one.store.get(last).array("weights") for one in (whole, evicted)]
    assert np.array_equal(*weights)
    assert all(evicted.store.get(key).dropped for key in keys)


def test_ranks_and_backends_change_no_seed(results: Any) -> None:
    """What decides nothing of the Fisher information is not in its key."""
    context, (one,) = results.context, stage_of(results, "ewc", 1).instruction.importances
    key = key_of(context.importance_recipe(one))
    changed = {
        name: key_of(context.importance_recipe(one, context.trainer.model_copy(update={name: value}))) != key
        for name, value in {"batch_size": 4, "learning_rate": 1.0, "accumulation": 2, "threads": 2}.items()
    }
    assert changed == {"batch_size": False, "learning_rate": False, "accumulation": False, "threads": True}
