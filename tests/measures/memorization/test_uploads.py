"""Uploads: what is asked of them, and how their rows come about; a whole run is in tests/flows/test_measurement.py."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from measured_models import MeasuredModels

from raysim.corpus.canaries import CanarySettings
from raysim.measures.exposure import ExposureSettings
from raysim.measures.memorization.measure import Memorization
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.measures.memorization.uploads import Uploads, upload_tasks
from raysim.measures.perplexity import PerplexitySettings
from raysim.simulation.executor import TrainedModel
from raysim.simulation.strategy import ModelCheckpoint
from raysim.store.entries import Entry

TEXTS = {
    name: {f"{i}.py": "".join(f"{name}_{i}_{j} = {j}\n" for j in range(30)) for i in range(3)}
    for name in ("alpha", "beta")
}
UPLOAD = ModelCheckpoint("sent", "upload", 1, False, "alpha", "average")


@pytest.fixture
def models(tmp_path: Path) -> MeasuredModels:
    return MeasuredModels(tmp_path, TEXTS)


def test_what_the_experiment_measures_of_models_is_asked_of_uploads(models: MeasuredModels) -> None:
    settings = {"perplexity": PerplexitySettings(training_sequences=2), "exposure": ExposureSettings()}
    canaries = CanarySettings(organizations=("beta",))

    def asked(organization: str, **changes: Any) -> list[str]:
        context = replace(models.context, **{"measures": settings, "canaries": canaries, **changes})
        found = upload_tasks(context, "sent", organization)
        assert {task.organization for task in found} == {organization}
        assert {task.recipe["weights"] for task in found} == {"sent"}
        return [task.recipe["kind"] for task in found]

    assert asked("beta") == ["training_losses", "exposure"]
    assert asked("alpha") == ["training_losses"]  # it has no canaries
    assert asked("beta", canaries=None) == ["training_losses"]
    assert asked("beta", measures={**settings, "perplexity": PerplexitySettings(training_sequences=0)}) == ["exposure"]
    with pytest.raises(AssertionError):
        asked("alpha", measures={})  # there is nothing to ask


@pytest.mark.parametrize(
    ("when", "wanted"), [(None, [False, False]), ("final", [False, True]), ("every_round", [True, True])]
)
def test_uploads_of_which_rounds(when: str | None, wanted: list[bool]) -> None:
    given = {"prompts": {"prefix": 1}, "when": ["every_round"], "uploads": when}
    measure = Memorization(MemorizationSettings.model_validate(given))
    assert [measure.wants(replace(UPLOAD, final=final)) for final in (False, True)] == wanted


def test_the_plan_has_the_work_on_uploads_at_their_own_organization(models: MeasuredModels) -> None:
    given = {
        "prompts": {"prefix": 2, "neutral": 3},
        "samples": 5,
        "new_tokens": 7,
        "uploads": "final",
        "extraction": {},
    }
    measure = Memorization(MemorizationSettings.model_validate(given))
    context = replace(models.context, measures={"perplexity": PerplexitySettings(training_sequences=2)})
    planned = [(one.recipe["kind"], one.tokens, one.batched) for one in measure.generations(context, UPLOAD)]
    assert planned == [("generate", 2 * 5 * 7, True)]
    tasks = [(one.recipe["kind"], one.tokens, one.shown) for one in measure.tasks(context, UPLOAD)]
    assert tasks == [("training_losses", 2 * 32, False)]


def test_a_row_for_every_setting_that_received_an_upload(models: MeasuredModels) -> None:
    """Lines are a prompt's, of the organization alone; where nothing was asked of the model nothing is said."""
    samples = [
        {"prompt": prompt, "sample": sample, "owner": owner, "covered": covered, "exclusive": covered - 1}
        for prompt, covered in (("p", 4), ("q", 1))
        for sample in range(2)
        for owner in ("alpha", "beta")
    ]
    matches = models.executor.store.put(
        {"kind": "match", "version": 1}, {}, None, {"samples": pa.Table.from_pylist(samples)}
    )
    initial = models.model()
    key = initial.checkpoint.model
    sent = replace(initial, checkpoint=replace(UPLOAD, model=key))
    again = replace(sent, checkpoint=replace(sent.checkpoint, index=2, average="other"))
    twin = replace(sent, checkpoint=replace(sent.checkpoint, last="beta"))

    async def rows(uploads: list[TrainedModel], matched: dict[tuple[str, str], Entry]) -> list[dict[str, Any]]:
        context = replace(models.context, measures={"perplexity": PerplexitySettings(training_sequences=2)})
        (table,) = await Uploads(models.executor, context).tables(uploads, matched)
        return table.to_pylist()

    async def work() -> Any:
        return await rows([sent, again, twin], {(key, "alpha"): matches}), await rows([sent], {})

    (first, second, third), (bare,) = models.run(work)
    assert (first["seed"], first["strategy"], first["round"], first["organization"]) == (1, "single", 1, "alpha")
    assert (first["model"], first["average"], first["prompts"]) == (key, "average", 2)
    assert (first["covered"], first["exclusive"], first["exposure"]) == ((4 + 4 + 1 + 1) / 2, (3 + 3) / 2, None)
    assert second == first | {"round": 2, "average": "other"}
    # The twin sent the same weights, and its lines are in answers to the same prompts.
    assert (third["organization"], third["covered"]) == ("beta", 5.0)
    assert first["training_loss"] > 0
    assert (bare["prompts"], bare["covered"], bare["exclusive"]) == (0, None, None)
