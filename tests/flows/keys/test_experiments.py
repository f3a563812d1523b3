"""What the keys of an experiment depend on, and what they do not."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keyed_experiment
import pytest
from keyed_experiment import RAW, Keys, changed, keys_of, with_patch

pytestmark = pytest.mark.usefixtures("few_data")


@pytest.mark.parametrize("library", ["torch", "transformers", "tokenizers", "numpy"])
def test_libraries_are_in_the_keys_of_all_that_they_compute(
    library: str, folder: Path, base_keys: Keys, pretend_update: Callable[[str], None]
) -> None:
    pretend_update(library)
    keys = keys_of(folder, RAW)
    measured = (
        "losses",
        "training_losses",
        "generate",
        "extract",
        "match",
        "exposure",
        "membership",
        "solve",
        "execute",
    )
    for kind in ("initial", "train", "aggregate", *measured):
        assert not keys[kind] & base_keys[kind]
    assert keys["clones"] == base_keys["clones"]


def test_a_longer_continuation_may_need_a_longer_context(folder: Path, base_keys: Keys) -> None:
    """The one way in which measuring reaches back into training: a model with room for prompt and continuation."""
    longer = with_patch(RAW, {"measure.memorization.prompts": {"prefix": 2}, "measure.memorization.new_tokens": 57})
    shorter = with_patch(longer, {"measure.memorization.new_tokens": 56})
    assert keys_of(folder, shorter)["initial"] == base_keys["initial"]
    assert keys_of(folder, longer)["initial"] != base_keys["initial"]


def test_canaries_that_are_never_planted_change_no_key_of_a_model(folder: Path) -> None:
    """Without canaries every key is what it was before there were any; secrets that stand nowhere are only ranked."""
    without = with_patch(RAW, {"canaries": None})
    never = with_patch(RAW, {"canaries": {"count": 1, "repeats": [0], "length": 4}})
    keys = [keys_of(folder, raw) for raw in (without, never)]
    assert not keys[0]["exposure"]
    assert changed(*keys) == {"exposure"}


def test_canaries_of_one_organization_leave_the_work_on_others_as_it_was(folder: Path) -> None:
    """Stages of b alone are shared with the run that has no canaries; the federated ones are not."""
    apart = with_patch(RAW, {"strategies": ["single"], "canaries": None, "measure": {}})
    planted = with_patch(apart, {"canaries": {"organizations": ["a"], "length": 4}})
    before, after = (keys_of(folder, raw) for raw in (apart, planted))
    assert len(before["train"]) == 2
    assert len(before["train"] & after["train"]) == 1


def test_leaving_copies_out_changes_the_work_on_those_that_leave_any_out(folder: Path) -> None:
    """The first owner keeps all, so stages of it alone are shared with the run that keeps all copies."""
    both = {"organizations.b.source": {"files": ["a.jsonl", "more.jsonl"]}, "strategies": ["single"], "measure": {}}
    kept = with_patch(RAW, both | {"canaries": None})
    keys = [keys_of(folder, with_patch(kept, {"deduplication.across": across})) for across in ("keep", "first_owner")]
    assert len(keys[0]["train"]) == 2
    assert len(keys[0]["train"] & keys[1]["train"]) == 1


def test_a_policy_that_finds_no_copies_changes_no_key(folder: Path, base_keys: Keys) -> None:
    for across in ("first_owner", "drop_all"):
        assert keys_of(folder, with_patch(RAW, {"deduplication": {"across": across, "match": "near"}})) == base_keys


# What no key depends on.


def reordered(value: Any) -> Any:
    """Every mapping back to front, but for the organizations."""
    if isinstance(value, dict):
        return {name: reordered(value[name]) for name in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def test_the_order_of_settings_does_not_count(folder: Path, base_keys: Keys) -> None:
    raw = reordered(RAW)
    raw["organizations"] = dict(reversed(raw["organizations"].items()))
    assert list(raw) != list(RAW)
    assert keys_of(folder, raw) == base_keys


def test_the_order_of_organizations_counts_where_something_is_summed(folder: Path, base_keys: Keys) -> None:
    """Sums run in the order of the experiment, and batches mix pooled sequences by their position."""
    raw = with_patch(RAW, {"organizations": dict(reversed(RAW["organizations"].items()))})
    of_models = {
        "losses",
        "training_losses",
        "generate",
        "extract",
        "match",
        "emissions",
        "study_counts",
        "renamed",
        "exposure",
        "recital",
        "membership",
    }
    of_models |= {"solve", "execute", "lint", "licences"}
    assert changed(keys_of(folder, raw), base_keys) == {"train", "aggregate", *of_models}
    apart = [with_patch(r, {"strategies": ["single", "incremental"]}) for r in (RAW, raw)]
    assert changed(*(keys_of(folder, r) for r in apart)) == set()


def test_a_tokenizer_of_all_does_not_depend_on_who_comes_first(folder: Path) -> None:
    on_all = with_patch(RAW, {"tokenizer.train.corpus": "organizations", "strategies": ["single"]})
    other = with_patch(on_all, {"organizations": dict(reversed(RAW["organizations"].items()))})
    assert keys_of(folder, on_all) == keys_of(folder, other)


def test_places_do_not_count(folder: Path, base_keys: Keys, tmp_path: Path) -> None:
    """Another folder, another store; the checkpoint is given by an absolute path."""
    shutil.copytree(folder, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("store"))
    assert keys_of(tmp_path / "elsewhere", RAW) == base_keys
    pretrained = [
        with_patch(RAW, {"model": {"pretrained": name}}) for name in ("checkpoint", str(folder / "checkpoint"))
    ]
    assert keys_of(tmp_path / "elsewhere", pretrained[0]) == keys_of(folder, pretrained[1])


def test_another_process_finds_the_same_keys(folder: Path, base_keys: Keys, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "other", ignore=shutil.ignore_patterns("store"))
    code = (
        "import runpy, sys, json, pathlib\n"
        "keyed = runpy.run_path(sys.argv[1])\n"
        "keys = keyed['keys_of'](pathlib.Path(sys.argv[2]), keyed['RAW'])\n"
        "print(json.dumps({kind: sorted(found) for kind, found in keys.items()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, keyed_experiment.__file__, str(tmp_path / "other")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert json.loads(done.stdout) == {kind: sorted(found) for kind, found in base_keys.items()}
