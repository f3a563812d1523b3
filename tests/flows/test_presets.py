"""The presets of the study differ in the named options alone, their twins for a laptop in sizes alone."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from run_tables import Options, build

from raysim.analysis.results import RunResults
from raysim.tables.results import open_run

ROOT = Path(__file__).parents[2]
EXPERIMENTS = ROOT / "experiments"
SIZES = re.compile(
    r"split_seed|organizations\.\w+\.(limit|source\.include)|preparation\.(largest_file|truncate_files)"
    r"|tokenizer\.train\.\w+|model\.config\.\w+|trainer\.(epochs|sequence_length|learning_rate)"
    r"|strategies\.\w+\.(epochs|local_epochs)"
    r"|measure\.memorization\.(prompts\.\w+|prefix_tokens|function_tokens|samples|new_tokens|min_lines)"
)


def load_script() -> Any:
    spec = importlib.util.spec_from_file_location("preset_options", EXPERIMENTS / "preset_options.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = load_script()


def differing(one: str, other: str) -> dict[str, tuple[Any, Any]]:
    return SCRIPT.options(EXPERIMENTS / f"{one}.yaml", EXPERIMENTS / f"{other}.yaml")


def documented() -> dict[str, tuple[str, str]]:
    """The table of docs/presets.md."""
    rows = re.findall(r"^\| `([\w.]+)` \| (\S+) \| (\S+) \|", (ROOT / "docs/presets.md").read_text(), re.M)
    return {path: (one, other) for path, one, other in rows}


def written(value: Any) -> str:
    return "unset" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def test_the_presets_differ_in_what_is_documented_and_in_nothing_else() -> None:
    found = differing("paper", "artifact")
    assert {path: (written(one), written(other)) for path, (one, other) in found.items()} == documented()
    assert len(found) == 12


def test_the_twins_differ_in_the_same_but_for_sizes() -> None:
    found, told = differing("paper_small", "artifact_small"), documented()
    assert found.keys() == told.keys()
    for path, (one, other) in found.items():
        if not SIZES.fullmatch(path):
            assert (written(one), written(other)) == told[path]
    assert found["strategies.incremental.epochs"][1] == differing("paper", "paper_small")["trainer.epochs"][1] + 1
    for name in ("fedavg", "fedyogi"):
        one, other = found[f"strategies.{name}.local_epochs"]
        assert other == one + 1


@pytest.mark.parametrize("preset", ["paper", "artifact"])
def test_a_twin_differs_in_sizes_alone(preset: str) -> None:
    found = differing(preset, f"{preset}_small")
    assert found
    assert [path for path in found if not SIZES.fullmatch(path)] == []


def test_every_option_is_tried_alone() -> None:
    one, other = (EXPERIMENTS / f"{name}_small.yaml" for name in ("paper", "artifact"))
    runs = SCRIPT.planned(one, other)
    assert (next(iter(runs)), next(reversed(runs))) == ("paper_small", "artifact_small")
    alone = {overrides[0].partition("=")[0] for _, overrides in list(runs.values())[1:-1]}
    assert alone == documented().keys()
    assert {experiment for experiment, _ in list(runs.values())[:-1]} == {one}
    for overrides in (overrides for _, overrides in runs.values()):
        assert SCRIPT.load_experiment(one, overrides)
    fewer = SCRIPT.planned(one, other, ["centralized", "fedavg"])
    assert set(runs) - set(fewer) == {
        "incremental.epochs",
        "incremental.dropout_epochs",
        "fedyogi.local_epochs",
        "fedyogi.variant",
    }
    loaded = SCRIPT.load_experiment(other, fewer["artifact_small"][1])
    assert [config.label for config in loaded.settings] == ["centralized", "fedavg"]
    assert loaded.settings[0].settings.pooled_packing


def test_shifts_have_a_line_each_or_say_that_there_is_none(tmp_path: Path) -> None:
    def results(name: str, **options: Any) -> tuple[str, RunResults]:
        folder = build(tmp_path / name, Options(files=12, prompts=12, seeds=(1, 2), **options))
        return name, RunResults(open_run(folder))

    lines = SCRIPT.shifts(
        [results("plain"), results("leaky", leak=1.5), results("others", organizations=("x", "y"))], "F3"
    )
    leaky = [line for line in lines if line.startswith("leaky | ")]
    assert len(leaky) == len(lines) - 1 > 1
    assert any(re.search(r"\| [+-]\d\.\d{3} \([+-]\d\.\d{3} to [+-]\d\.\d{3}\) \| \d+ items; ", line) for line in leaky)
    assert lines[-1] == "others | no contrast of F3 over anything that plain has too"
