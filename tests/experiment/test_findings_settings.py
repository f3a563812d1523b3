import pytest

from raysim.core.errors import InputError
from raysim.core.settings import validate
from raysim.experiment.config import load_experiment
from raysim.experiment.findings_settings import FindingsSettings


def test_what_is_declared_has_a_name():
    """Margins, primaries and arms are in it, and nothing else is."""
    usual = FindingsSettings()
    assert usual.hash == FindingsSettings.model_validate({"F2": {"margin": 0.05}}).hash
    for other in ({"F2": {"margin": 0.06}}, {"F3": {"primary": "equal_exposures"}}, {"F7": {"arms": ["fedavg"]}}):
        assert FindingsSettings.model_validate(other).hash != usual.hash


@pytest.mark.parametrize("wrong", [{"F2": {"margin": 0}}, {"F1": {"primaries": []}}, {"F8": {}}, {"F4": {"arms": []}}])
def test_what_decides_nothing_is_refused(wrong):
    with pytest.raises(InputError):
        validate(FindingsSettings, wrong, "x.yaml")


def test_labels_are_told_by_where_they_are():
    settings = FindingsSettings.model_validate({"F3": {"arms": ["fedavg"], "references": ["tuned"]}})
    assert settings.labels() == {"findings.F3.arms": ["fedavg"], "findings.F3.references": ["tuned"]}


def test_arms_are_labels_of_strategies():
    experiment = {
        "name": "x",
        "organizations": {"a": {"source": {"path": "a"}}, "b": {"source": {"path": "b"}}},
        "tokenizer": {"train": {"corpus": "references", "vocab_size": 300}},
        "model": {"config": {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 16}},
        "strategies": ["centralized", {"fedavg": {"label": "mean", "rounds": 10}}],
        "findings": {"F2": {"arms": ["mean"]}},
    }
    assert load_experiment(experiment, []).experiment.findings.F2.arms == ["mean"]
    experiment["findings"] = {"F2": {"arms": ["fedavg"]}}
    with pytest.raises(
        InputError, match=r"findings\.F2\.arms: 'fedavg' is the label of no strategy.*: centralized, mean"
    ):
        load_experiment(experiment, [])
