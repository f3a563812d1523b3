"""A model card says what the tables say of a model, in the form of the hub, and has no code in it."""

from pathlib import Path

import pytest
from described import with_experiment
from huggingface_hub import ModelCard, ModelCardData
from measured_tables import audited, recited

from raysim.analysis.reached_models import ReachedModel
from raysim.analysis.results import RunResults
from raysim.report.cards.model_card import model_card, write_model_card
from raysim.report.run_page import write_run_page
from raysim.tables.results import open_run

TEXT = "def secret_of_meta(self):\nreturn self.key\n"
AGREEMENT = {"share": "data", "train_on": ["MIT"], "purpose": "research alone", "expires": "2030-01-31"}


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of which nearly everything was measured, with its report."""
    folder = tmp_path_factory.mktemp("cards") / "run"
    with_experiment(
        folder, lambda e: e["organizations"]["meta"].update(agreement=AGREEMENT), text=TEXT, prompts=4, files=12
    )
    recited(audited(folder))
    write_run_page(folder)
    return folder


@pytest.fixture
def results(reported: Path) -> RunResults:
    return RunResults(open_run(reported))


def reached(results: RunResults, strategy: str, **facts: object) -> ReachedModel:
    """The first model of a setting with these facts; a final one unless they say otherwise."""
    wanted = {"strategy": strategy, "final": True, **facts}
    return next(m for m in results.reached_models if all(getattr(m, name) == value for name, value in wanted.items()))


def test_the_hub_reads_its_head(reported: Path, results: RunResults, tmp_path: Path) -> None:
    model = reached(results, "fedavg")
    write_model_card(reported, model.model, tmp_path)
    head = ModelCard.load(tmp_path / "README.md").data
    assert isinstance(head, ModelCardData)
    assert (head.library_name, head.pipeline_tag) == ("transformers", "text-generation")
    assert "federated" in (head.tags or [])
    known = {
        row["organization"]: row for row in results.run.table("summary").to_pylist() if row["model"] == model.model
    }
    told = {(one.dataset_name, one.metric_type): one.metric_value for one in head.eval_results or []}
    for name, row in known.items():
        assert told[f"code of {name}", "bits_per_byte"] == row["bits_per_byte"]
        assert told[f"code of {name}", "own_lines"] == row["own_lines"]
    assert {path.stem for path in (tmp_path / "data_cards").iterdir()} == set(known)


def test_it_says_what_was_measured_and_agreed(results: RunResults) -> None:
    model = reached(results, "fedavg")
    text = model_card(results, model.model)
    row = next(
        row
        for row in results.run.table("summary").to_pylist()
        if (row["model"], row["organization"]) == (model.model, "meta")
    )
    figures = next(line for line in text.splitlines() if line.startswith("| meta | yes |"))
    for value in (
        f"{row['own_lines']:.3f}",
        f"{row['own_leaking']:.1%}",
        f"{row['membership_min_k_plus_plus_auc']:.3f}",
    ):
        assert f" {value} |" in figures
    for line in (
        f"| Key | {model.model} |",
        "| Parameters | 1,182,336 |",
        "| Started from | random weights |",
        "| meta | 146,000 | 34% | [meta](data_cards/meta.md) |",
        "| meta | 13 | 40,300 |",
        "| Purpose | research alone |",
        "| Holds until | 2030-01-31 |",
    ):
        assert line in text.splitlines()
    assert "3 organizations took part" in text  # the methods


def test_there_is_no_code_in_it(results: RunResults) -> None:
    assert any("secret_of_meta" in (row["text"] or "") for row in results.run.table("matches").to_pylist())
    for model in {one.model for one in results.reached_models}:
        assert "secret_of_meta" not in model_card(results, model)


def test_a_model_of_one_organization_has_seen_nothing_of_the_others(
    reported: Path, results: RunResults, tmp_path: Path
) -> None:
    model = reached(results, "single", order="google")
    write_model_card(reported, model.model, tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "- It has seen nothing of meta and microsoft." in text
    assert "### meta" not in text
    assert [path.stem for path in (tmp_path / "data_cards").iterdir()] == ["google"]
    assert "| meta | no | " in text


def test_the_last_organization_is_told_of_models_that_learnt_in_turn(results: RunResults) -> None:
    model = reached(results, "incremental")
    assert f"- It was trained on {model.last} last, and may know it best." in model_card(results, model.model)


def test_a_model_on_the_way_has_the_figures_that_there_are(results: RunResults) -> None:
    model = reached(results, "fedavg", final=False, moment="round")
    text = model_card(results, model.model)
    assert f"| Taken at | {model.moment} {model.index}, seed 1 |" in text
    bits = results.measures(model.model)["bits_per_byte", "meta"]
    assert f"| meta | yes | {bits:.3f} |" in text


def test_an_untrained_model_binds_nobody(reported: Path, results: RunResults, tmp_path: Path) -> None:
    model = next(m for m in results.reached_models if m.moment == "initial")
    write_model_card(reported, model.model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "Nothing of an organization." in text
    assert "There are none." in text
