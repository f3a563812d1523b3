"""Versions are in the keys of the work that they decide: of the kinds of work, of libraries, and of Python."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from keyed_work import BASE, KINDS, keys_of

VERSIONS: dict[str, str] = {
    "TOKENIZER_VERSION": "tokenizer",
    "PACKING_VERSION": "packing train training_losses generate extract prompts copies membership blind baselines"
    " fisher",
    "FISHER_VERSION": "fisher",
    "INITIAL_VERSION": "initial",
    "TRAIN_VERSION": "train snapshot",
    "AGGREGATE_VERSION": "aggregate",
    "LOSSES_VERSION": "losses",
    "TRAINING_LOSSES_VERSION": "training_losses",
    "PROMPTS_VERSION": "generate prompts copies",
    "GENERATION_VERSION": "generate solve",
    "EXTRACTION_VERSION": "extract",
    "PROMPT_FACTS_VERSION": "prompts",
    "ATTRIBUTION_VERSION": "match",
    "OUTPUT_FILTER_VERSION": "",  # of the answers, where there is a filter; see test_recipes.py of memorization
    "FILTER_BLOCKS_VERSION": "filter_blocks",
    "MATCHING_VERSION": "match prompts clones held_out_copies copies emissions renamed_chance",
    "RENAMED_VERSION": "renamed renamed_chance",
    "OVERLAP_VERSION": "copies emissions",
    "STUDY_COUNTS_VERSION": "study_counts",
    "CANARIES_VERSION": "exposure",
    "PLANTS_VERSION": "recital",
    "RECITAL_VERSION": "recital",
    "BASELINES_VERSION": "baselines",
    "EXPOSURE_VERSION": "exposure",
    "MEMBERSHIP_VERSION": "membership blind",
    "BLIND_VERSION": "blind",
    "PROBLEMS_VERSION": "solve execute",
    "EXECUTION_VERSION": "execute",
    "LINTING_VERSION": "lint",
    "LICENCES_VERSION": "licences",
    "SEQUENCE_CANARIES_VERSION": "privacy_audit",
    "PRIVACY_AUDIT_VERSION": "privacy_audit",
}


def test_every_numerics_version_has_been_decided_on() -> None:
    declared = re.compile(r"^([A-Z_]*VERSION) = \d+$", re.MULTILINE)
    root = Path(__file__).parents[3]
    paths = [*root.glob("raysim/**/*.py"), *root.glob("strategies/**/*.py")]
    sources = [path.read_text(encoding="utf-8") for path in paths]
    assert {name for source in sources for name in declared.findall(source)} == set(VERSIONS)


@pytest.mark.parametrize("name", VERSIONS)
def test_a_numerics_version_is_in_the_keys_of_its_kind(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys_of(BASE)
    for module in [module for path, module in sys.modules.items() if path.startswith("raysim.")]:
        if hasattr(module, name):
            monkeypatch.setattr(module, name, 1000)
    after = keys_of(BASE)
    assert {kind for kind in KINDS if before[kind] != after[kind]} == set(VERSIONS[name].split())


LIBRARIES = {
    "numpy": "tokenizer packing generate prompts copies blind execute baselines",
    "tokenizers": "tokenizer packing generate prompts copies blind baselines",
    "scipy": "exposure blind",
    "scikit-learn": "blind",
    "python": "generate prompts copies execute renamed renamed_chance",
    "pygments": "renamed renamed_chance",
    "ruff": "lint",
    "torch": "",
    "transformers": "",
    "deepspeed": "",
}
"""Which kinds name a library in their own recipe; the others find it in `RunContext.libraries`."""


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_in_the_keys_of_what_it_decides(library: str, pretend_update: Callable[[str], None]) -> None:
    before = keys_of(BASE)
    pretend_update(library)
    after = keys_of(BASE)
    assert {kind for kind in KINDS if before[kind] != after[kind]} == set(LIBRARIES[library].split())
