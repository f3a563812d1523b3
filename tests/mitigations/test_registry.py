"""What each mitigation changes, in experiments that are then read; combinations, labels, and what is refused."""

import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from loaded_experiments import loaded
from under_mitigations import EXPERIMENT, strategies, under

from raysim.core.errors import InputError
from raysim.core.settings import apply_overrides
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.mitigations.registry import GROUP, mitigation_settings, resolve, summaries


def test_settings_of_the_trainer_and_the_model() -> None:
    experiment = under({"dropout": {"share": 0.3}, "weight_decay": {"factor": 2}, "goldfish": {"k": 3}}).experiment
    assert experiment.model.dropout == 0.3
    assert experiment.trainer.weight_decay == 2
    assert experiment.trainer.goldfish is not None
    assert (experiment.trainer.goldfish.k, experiment.trainer.goldfish.context) == (3, 13)


def test_adapters_take_a_higher_rate() -> None:
    experiment = under({"lora": {"rank": 4, "rate": 5}}, model={"pretrained": "./base"}).experiment
    assert experiment.model.lora is not None
    assert (experiment.model.lora.rank, experiment.model.lora.alpha) == (4, 8)
    assert experiment.trainer.learning_rate == pytest.approx(0.005)


def test_what_becomes_of_files() -> None:
    experiment = under({"deduplicate": {}, "redact": {}}).experiment
    assert (experiment.deduplication.across, experiment.deduplication.match) == ("first_owner", "near")
    assert experiment.preparation.near_dedup
    assert experiment.preparation.redact.actions == {"secrets": "redact", "personal": "redact"}
    exact = under({"deduplicate": {"match": "exact", "across": "drop_all"}}).experiment
    assert (exact.deduplication.across, exact.preparation.near_dedup) == ("drop_all", False)


def test_what_files_and_answers_become() -> None:
    measured = {"memorization": {"prompts": {"prefix": 1}, "min_lines": 3}}
    found = under({"obfuscate": {"copies": 2}, "output_filter": {}}, measure=measured)
    obfuscated = found.experiment.preparation.obfuscate
    assert (obfuscated.copies, obfuscated.rename, obfuscated.reorder, obfuscated.reformat) == (2, True, True, True)
    memorization = found.experiment.measure_settings(MemorizationSettings)
    assert memorization is not None
    assert memorization.output_filter is not None
    assert (memorization.output_filter.lines, memorization.output_filter.action) == (3, "stop")
    silent = loaded(**EXPERIMENT, measure={"perplexity": {}}).experiment.model_dump(mode="json")
    with pytest.raises(InputError, match=r"output_filter: models write nothing; add measure\.memorization"):
        resolve(["output_filter"], silent, "mitigations")


def test_all_strategies_with_the_setting_are_concerned() -> None:
    entries = ["fedavg", "fedyogi", "personalized", "centralized"]
    early = strategies(under({"early_stop": {}}, strategies=entries))
    assert [label for label, (_, of) in early.items() if getattr(of, "early_stop", None)] == ["fedavg", "fedyogi"]
    small = strategies(under({"compress": {}}, strategies=entries))
    assert [label for label, (_, of) in small.items() if getattr(of, "compression", None)] == entries[:3]


def test_private_rounds_take_over_what_they_have_and_refuse_the_rest() -> None:
    kept = {"rounds": 3, "clients": 2, "weighting": "uniform"}
    assert strategies(under({"dp_rounds": {}}, strategies=[{"fedavg": kept}]))["fedavg"][1].rounds == 3
    with pytest.raises(InputError, match=r"dp_fedavg, which takes the place of fedavg, has no adapters"):
        under({"dp_rounds": {}}, strategies=[{"fedavg": {"adapters": "exact"}}])


@pytest.mark.parametrize(
    ("name", "settings", "label", "strategy", "changed"),
    [
        ("dp_rounds", {"clip": 0.5, "target_epsilon": 8}, "fedavg", "DPFedAvg", {"clip": 0.5, "target_epsilon": 8}),
        ("dp_sgd", {"target_epsilon": 4}, "fedavg", "DPSGDAvg", {"target_epsilon": 4, "clip": 1.0}),
        ("early_stop", {"patience": 2}, "fedavg", "FedAvg", {}),
        ("compress", {"share": 0.1}, "fedavg", "FedAvg", {}),
        ("order_by", {"by": "size"}, "one by one", "Incremental", {}),
        ("replay", {"share": 0.3}, "one by one", "Incremental", {"replay": 0.3, "ewc": None}),
        ("ewc", {"strength": 7}, "one by one", "Incremental", {"replay": None}),
    ],
)
def test_a_strategy_keeps_its_label_and_what_else_is_set(
    name: str, settings: dict[str, Any], label: str, strategy: str, changed: dict[str, Any]
) -> None:
    plain, found = strategies(loaded(**EXPERIMENT)), strategies(under({name: settings}))
    assert list(found) == list(plain)
    assert found[label][0] == strategy
    assert found[label] != plain[label]
    for field in ("rounds", "clients"):
        assert getattr(found["fedavg"][1], field) == getattr(plain["fedavg"][1], field)
    assert {field: getattr(found[label][1], field) for field in changed} == changed
    assert [found[other] for other in found if other != label] == [plain[other] for other in plain if other != label]


def test_each_form_of_a_strategy() -> None:
    fedavg = strategies(under({"early_stop": {"patience": 2}}))["fedavg"][1]
    assert (fedavg.early_stop.patience, fedavg.early_stop.keep) == (2, "best")
    top_k = strategies(under({"compress": {"share": 0.1}}))["fedavg"][1].compression.top_k
    assert (top_k.share, top_k.error_feedback) == (0.1, False)
    assert strategies(under({"order_by": {"by": "size"}}))["one by one"][1].orders.by == "size"
    ewc = strategies(under({"ewc": {"strength": 7}}))["one by one"][1].ewc
    assert (ewc.strength, ewc.samples) == (7, 64)


def test_labels_and_combinations() -> None:
    base = loaded(**EXPERIMENT).experiment.model_dump(mode="json")
    entries = ["goldfish", {"goldfish": {"k": 2, "label": "every_second"}}, {"goldfish": {"k": 3}, "dropout": None}]
    found = resolve(entries, base, "mitigations")
    assert [one.label for one in found] == ["goldfish", "every_second", "goldfish+dropout"]
    assert json.loads(found[1].overrides["trainer.goldfish"])["k"] == 2
    assert set(found[2].overrides) == {"trainer.goldfish", "model.dropout"}


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        (["goldfihs"], r"mitigations\[0\]: unknown mitigation 'goldfihs'; known: compress, "),
        (["dropout", "dropout"], r"mitigations\[1\]: 'dropout' is there twice"),
        ([{"dropout": {"label": "none"}}], r"mitigations\[0\]: 'none' names the experiment as it is"),
        ([{"dropout": {"label": "a/b"}}], r"mitigations\[0\]\.dropout: label: "),
        ([{"dropout": {"rate": 1}}], r"mitigations\[0\]\.dropout: rate: unknown key; known here: label, share"),
        ([{"goldfish": {"k": 1}}], r"mitigations\[0\]\.goldfish: k: "),
        ([{}], r"mitigations\[0\]: expected a mitigation's name or \{name: settings\}, found \{\}"),
        ([3], r"mitigations\[0\]: expected a mitigation's name"),
    ],
)
def test_what_is_none_is_refused(entries: list[Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        resolve(entries, loaded(**EXPERIMENT).experiment.model_dump(mode="json"), "mitigations")


@pytest.mark.parametrize("name", ["dp_rounds", "dp_sgd", "early_stop", "compress", "order_by", "ewc", "replay"])
def test_one_that_can_do_nothing_says_so(name: str) -> None:
    base = loaded(strategies=["centralized"]).experiment.model_dump(mode="json")
    with pytest.raises(InputError, match=rf"mitigations\[0\]: {name}: it changes .*; there is none among str"):
        resolve([name], base, "mitigations")


def test_every_one_works_by_its_name_and_says_what_it_does() -> None:
    measured = {"measure": {"memorization": {"prompts": {"prefix": 1}}}, "model": {"pretrained": "./base"}}
    base = loaded(**EXPERIMENT, **measured).experiment.model_dump(mode="json")
    names = sorted(point.name for point in entry_points(group=GROUP) if point.dist and point.dist.name == "raysim")
    assert len(names) >= 10
    for name in names:
        (found,) = resolve([name], base, "mitigations")
        assert loaded(**apply_overrides(base, [f"{p}={v}" for p, v in found.overrides.items()])) != loaded(**base), name
    assert set(summaries()) == set(mitigation_settings()) >= set(names)
    assert all(summaries().values())


def test_the_page_says_of_each_what_its_class_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "mitigations.md").read_text("utf-8")
    own = [point for point in entry_points(group=GROUP) if point.dist and point.dist.name == "raysim"]
    rows = {f"| `{point.name}` | {point.load().summary} | {point.load().source} |" for point in own}
    assert rows == {line for line in page.splitlines() if line.startswith("| `")}
