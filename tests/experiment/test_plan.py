"""What a plan tries of the model before anything is trained."""

from pathlib import Path
from typing import Any

import pytest
from loaded_experiments import loaded

from raysim.core.errors import InputError
from raysim.experiment import plan
from raysim.experiment.config import LoadedExperiment
from raysim.experiment.plan import RunPlan, generates, plan_run_alone, tried_parameters, try_model
from raysim.store.store import Store
from raysim.training.model_host import ModelHost

BERT = {"model_type": "bert", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
GPT2 = {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 16}


@pytest.fixture
def planned(corpus_folders: dict[str, Path], tmp_path: Path) -> Any:
    """Makes the plan of an experiment with a model and measures."""

    def make(config: dict[str, Any], **measure: Any) -> tuple[LoadedExperiment, RunPlan]:
        off = {"min_assignments": 0, "min_characters_per_token": 0, "no_keyword_drop_probability": 0}
        one = loaded(
            organizations={"alpha": {"source": {"path": str(corpus_folders["alpha"])}}},
            references=[{"path": str(corpus_folders["gamma"])}],
            tokenizer={"train": {"vocab_size": 300}},
            preparation={**off, "config_or_test_drop_probability": 0, "split": {"valid": 0.3}},
            model={"config": {"num_attention_heads": 2, **config} if config is BERT else config},
            trainer={"sequence_length": 64},
            measure=measure,
        )
        return one, plan_run_alone(one, Store(tmp_path / "store"))

    return make


def test_a_model_is_tried_once_for_all_points_that_have_it(planned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[tuple[bool, bool]] = []
    monkeypatch.setattr(plan, "try_model", lambda host, spec, generates, clips: tries.append((generates, clips)))
    config = {**GPT2, "n_embd": 20}  # of no other test
    probing = {"prompts": {"prefix": 1}, "prefix_tokens": 16, "new_tokens": 8, "min_lines": 2}
    for measure in ({}, {}, {"memorization": probing}):
        found = tried_parameters(*planned(config, **measure))
        assert found.total == found.trained > 0
    assert tries == [(False, False), (True, False)]


def test_a_large_model_is_not_built(planned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_LARGE", 1000)
    monkeypatch.setattr(plan, "try_model", lambda *_: pytest.fail("it was built"))
    assert tried_parameters(*planned({**GPT2, "n_embd": 24})).total > 1000


def test_what_is_wrong_with_a_model_is_said(planned: Any) -> None:
    one, run_plan = planned(BERT)
    with pytest.raises(InputError, match="of type bert: sees the tokens"):
        tried_parameters(one, run_plan)
    host, spec = ModelHost("a"), planned(GPT2)[1].setup.strategy_runs[0].context.spec
    try_model(host, spec, generates=True)
    assert host.model(spec).config.model_type == "gpt2"


def test_who_writes_text(planned: Any) -> None:
    assert not generates(*planned(GPT2, membership={"chunk_tokens": 16}))
    assert generates(*planned(GPT2, memorization={"prompts": {"prefix": 1}, "prefix_tokens": 16, "new_tokens": 8}))
