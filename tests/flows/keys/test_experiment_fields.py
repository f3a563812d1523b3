"""Every field of an experiment changes the keys of its work, or is known to decide no number.

Where test_fields.py looks at one recipe at a time, here settings that act before any recipe (sources, preparation,
tokenizer, strategies) show in the keys.
"""

from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from hub_cache import COMMITS, publish
from keyed_experiment import RAW, Keys, Patch, changed, keys_of, with_patch
from settings_fields import AVAILABILITY, CONSOLIDATION, ORDERS, STRATEGIES, UPLOADS, fields, others, settings_in

from raysim.core.errors import InputError
from raysim.core.settings import Settings
from raysim.experiment.config import Experiment
from raysim.mitigations.registry import mitigation_settings
from raysim.simulation.early_stop import EarlyStopSettings
from raysim.store.model_scores import EXPOSURE, LINES
from raysim.training.objectives import OBJECTIVES

pytestmark = pytest.mark.usefixtures("few_data")


def present(raw: dict[str, Any], path: str) -> Any:
    """The value of a field, default or not."""
    value: Any = Experiment.model_validate(raw)
    for name in path.split("."):
        value = value[name] if isinstance(value, dict) else getattr(value, name)
    return value


HUB = {"name": "one", "split": "train"}
SOURCES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "packages": ({"packages": ["pluggy"]}, {"packages": ["pluggy", "iniconfig"]}),
    "path": ({"path": "b"}, {"path": "c"}),
    "files": ({"files": ["a.jsonl"]}, {"files": ["a.jsonl", "more.jsonl"]}),
    "hub.name": ({"hub": HUB}, {"hub": HUB | {"name": "two"}}),
    "hub.split": ({"hub": HUB}, {"hub": HUB | {"split": "test"}}),
    "hub.config": ({"hub": HUB}, {"hub": HUB | {"config": "small"}}),
    "hub.column": ({"hub": HUB}, {"hub": HUB | {"column": "code"}}),
    "stdlib": ({"path": "c"}, {"stdlib": True}),
    "other": ({"constants": {"count": 40}}, {"constants": {"count": 41}}),
    "column": ({"files": ["a.jsonl"]}, {"files": ["a.jsonl"], "column": "code"}),
    "include": ({"path": "b"}, {"path": "b", "include": ["[a-n]*.py"]}),
    "exclude": ({"path": "b"}, {"path": "b", "exclude": ["secrets.py"]}),
}
"""Two sources that differ in one field."""


def part(by: Any, **others: Any) -> Patch:
    """The first of two parts of a source; what is trained on is enough, as parts are small."""
    return {
        "organizations.a.source": {"files": ["a.jsonl", "more.jsonl"]},
        "organizations.a.held_out": {"packages": ["iniconfig"]},
        "organizations.a.partition": {"by": by, "parts": 2, "part": 0, **others},
    }


def skew(column: Any = "repository", alpha: float = 1.0, **others: Any) -> dict[str, Any]:
    return {"dirichlet": {"column": column, "alpha": alpha, **others}}


FOLDERS: Patch = {"organizations.a.source": {"path": "deep"}}
DEEP = {"name": "folder", "depth": 2}
PARTITIONS: dict[str, tuple[Patch, list[Patch]]] = {
    "by.sizes": (part("iid"), [part({"sizes": "linear"})]),
    "by.column.name": (part({"column": "repository"}), [part({"column": "author"})]),
    "by.column.depth": (part({"column": "folder"}) | FOLDERS, [part({"column": DEEP}) | FOLDERS]),
    "by.dirichlet.column.name": (part(skew()), [part(skew("author"))]),
    "by.dirichlet.column.depth": (part(skew("folder")) | FOLDERS, [part(skew(DEEP)) | FOLDERS]),
    "by.dirichlet.alpha": (part(skew()), [part(skew(alpha=5.0)), part(skew(alpha=0.2))]),
    "by.dirichlet.balance": (part(skew(alpha=0.5), seed=3), [part(skew(alpha=0.5, balance=True), seed=3)]),
    "parts": (part("iid"), [part("iid", parts=3)]),
    "seed": (part("iid"), [part("iid", seed=2)]),
    "min_files": (part(skew(alpha=0.3), seed=3), [part(skew(alpha=0.3), seed=3, min_files=18)]),
    "copies": (part("iid", seed=4), [part("iid", seed=4, copies="together")]),
    "part": (part("iid"), [part("iid", part=1)]),
}
"""For each setting of a partition two that differ in it alone."""

COINS: Patch = {"sequence_canaries": {"count": 10}}
SCORES = (*LINES, EXPOSURE)
NEAR_COPIES = {"organizations.a.source": {"files": ["near.jsonl"]}}
PRIVATE = {"organizations.a.source": {"files": ["private.jsonl"]}}
WRITTEN = {"organizations.a.source": {"files": ["written.jsonl"]}}
LICENSED = {
    "organizations.a.source": {"files": ["licensed.jsonl"]},
    "preparation.split": {"train": 1.0, "valid": 0.0},
}
PROSE: Patch = {
    "organizations.a.source": {"packages": ["pluggy"]},
    "organizations.b.source": {"packages": ["iniconfig"]},
    "preparation.split": {"train": 1.0, "valid": 0.0},
    "preparation.min_characters_per_token": 0,
    "tokenizer": {"pretrained": "one.json"},
    "measure": {"perplexity": {}},
}
OF_FLOWER = {"trainer.backend": "flower", "trainer.app": "flower_apps:app"}
MUTATIONS: dict[str, tuple[Patch, list[Patch]]] = {
    **{
        f"{at}.{name}": ({at: one}, [{at: other}])
        for at in ("organizations.a.source", "references.0")
        for name, (one, other) in SOURCES.items()
    },
    **{
        # Beside other training files, since copies of these are never held out.
        f"organizations.a.held_out.{name}": (
            {
                "organizations.a.source": {"packages": ["pluggy"]} if name in ("path", "stdlib") else {"path": "c"},
                "organizations.a.held_out": one,
            },
            [{"organizations.a.held_out": other}],
        )
        for name, (one, other) in SOURCES.items()
    },
    **{f"organizations.a.partition.{name}": pair for name, pair in PARTITIONS.items()},
    **{
        f"preparation.near_dedup_{name}": (
            {**NEAR_COPIES, "preparation.near_dedup": True, "preparation.near_dedup_jaccard": 0.5},
            [{f"preparation.near_dedup_{name}": value} for value in values],
        )
        for name, values in {"jaccard": [0.9], "min_words": [1000], "permutations": [16, 32, 64]}.items()
    },
    "preparation.domain": (PROSE, [{"preparation.domain": "text"}]),
    "preparation.min_sentences": (
        {**PROSE, "preparation.domain": "text"},
        [{"preparation.min_sentences": number} for number in (8, 16, 4)],
    ),
    "preparation.near_dedup": (NEAR_COPIES, [{"preparation.near_dedup": True}]),
    "preparation.split_by": (
        {"organizations.b.source": {"files": ["more.jsonl"]}},
        [{"preparation.split_by": "repository"}],
    ),
    "organizations.a.agreement.licences": ({}, [{"organizations.a.agreement.licences": ["MIT"]}]),
    "organizations.a.agreement.train_on": (
        LICENSED,
        [{"organizations.a.agreement": {"share": "data", "train_on": ["MIT"]}}],
    ),
    "organizations.a.agreement.expires": ({}, [{"organizations.a.agreement.expires": "2999-12-31"}]),
    **{
        f"preparation.redact.{name}": (PRIVATE, [{f"preparation.redact.{name}": "redact"}])
        for name in ("secrets", "personal")
    },
    **{
        f"preparation.obfuscate.{name}": (WRITTEN, [{f"preparation.obfuscate.{name}": value}])
        for name, value in {"rename": True, "reorder": True, "comments": "drop", "reformat": True}.items()
    },
    "preparation.obfuscate.copies": (
        WRITTEN | {"preparation.obfuscate.rename": True},
        [{"preparation.obfuscate.copies": 2}],
    ),
    "preparation.find_licences": (LICENSED, [{"preparation.find_licences": "headers"}]),
    "deduplication.across": (
        {"organizations.b.source": {"files": ["a.jsonl", "more.jsonl"]}},
        [{"deduplication.across": "first_owner"}],
    ),
    "deduplication.match": (
        {
            "organizations.b.source": {"files": ["more.jsonl", "near.jsonl"]},
            "deduplication.across": "first_owner",
        },
        [{"deduplication.match": "near"}],
    ),
    "organizations.a.limit": ({"preparation.largest_file": 1}, [{"organizations.a.limit": "14 KB"}]),
    "organizations.a.agreement.share": ({}, [{"organizations.a.agreement.share": "weights"}]),
    "tokenizer.pretrained": (
        {"tokenizer": {"pretrained": "one.json"}},
        [{"tokenizer": {"pretrained": "two.json"}}],
    ),
    "model.pretrained": ({"model": {"pretrained": "checkpoint"}}, [{"model": {"pretrained": "other_checkpoint"}}]),
    "model.revision": (
        {"model": {"pretrained": "someone/model", "revision": COMMITS[0]}},
        [{"model.revision": COMMITS[1]}],
    ),
    **{
        f"model.lora.{name}": (
            {"model": {"pretrained": "checkpoint", "lora": {}}},
            [{f"model.lora.{name}": value}],
        )
        for name, value in {"rank": 9, "alpha": 9, "dropout": 0.1, "targets": ["c_attn"], "train": "b"}.items()
    },
    "model.lora.carry_base": (
        {"model": {"pretrained": "checkpoint", "lora": {}}, "strategies": ["single"]},
        [{"model.lora.carry_base": True}],
    ),
    "measure.memorization.when": ({}, [{"measure.memorization.when": ["final", "every_round"]}]),
    "measure.memorization.held_out_prompts": (
        {"measure.memorization.prompts.held_out": 2, "measure.memorization.stop": []},
        [{"measure.memorization.held_out_prompts": "prefix"}],
    ),
    "measure.memorization.precision": ({}, [{"measure.memorization.precision": "bf16"}]),
    "canaries.organizations": ({}, [{"canaries.organizations": ["b"]}]),
    "canaries.repeats": ({}, [{"canaries.repeats": [0, 3]}]),
    "canaries.count": ({}, [{"canaries.count": 2}]),
    "canaries.format": ({}, [{"canaries.format": "token = '{secret}'"}]),
    "canaries.alphabet": ({}, [{"canaries.alphabet": "0123456789"}]),
    "canaries.length": ({}, [{"canaries.length": 5}]),
    "canaries.place": ({}, [{"canaries.place": "lines"}]),
    "plants.organizations": ({}, [{"plants.organizations": ["b"]}]),
    "sequence_canaries.count": (COINS, [{"sequence_canaries.count": 11}]),
    "sequence_canaries.organizations": (COINS, [{"sequence_canaries.organizations": ["b"]}]),
    "measure.privacy_audit.batch_size": (COINS, [{"measure.privacy_audit.batch_size": 3}]),
    "measure.privacy_audit.guesses": (COINS, [{"measure.privacy_audit.guesses": 2}]),
    "measure.privacy_audit.delta": (COINS, [{"measure.privacy_audit.delta": 1e-3}]),
    "measure.privacy_audit.when": (COINS, [{"measure.privacy_audit.when": "every_round"}]),
    "plants.functions": ({}, [{"plants.functions": {0: 1, 3: 1}}]),
    "plants.together": ({}, [{"plants.together": {2: 1}}]),
    "preparation.largest_file": (
        {"organizations.a.limit": "30 KB", "preparation.largest_file": 1},
        [{"preparation.largest_file": share} for share in (0.2, 0.18, 0.15, 0.1, 0.05)],
    ),
    "preparation.split.train": ({}, [{"preparation.split": {"train": 0.5, "valid": 0.5}}]),
    "preparation.split.valid": ({}, [{"preparation.split": {"train": 0.5, "valid": 0.5}}]),
    "preparation.split.test": ({}, [{"preparation.split": {"train": 0.5, "valid": 0.2, "test": 0.3}}]),
    **{
        f"model.pretrain.{name}": ({"model.pretrain": {"epochs": 2}}, [{f"model.pretrain.{name}": value}])
        for name, value in {"limit": "5 KB", "epochs": 3, "learning_rate": 0.1, "batch_size": 1, "seed": 2}.items()
    },
    "model.pretrain.domain": (
        {"model.pretrain": {"epochs": 2}, "references": [{"packages": ["pluggy"]}]},
        [{"model.pretrain.domain": "text"}],
    ),
    "organizations.a.node": ({}, [{"organizations.a.node": {"site": "a"}}]),
    "execution.share_actors": ({}, [{"execution.share_actors": True}]),
    "execution.scale_up_s": ({"execution.slots": 1}, [{"execution.scale_up_s": 1.0}]),
    "execution.track": ({}, [{"execution.track": ["tensorboard"]}]),
    **{
        f"alert.{name}": ({}, [{"alert": {"exclusive_lines": 1.0, name: value}}])
        for name, value in {**dict.fromkeys(SCORES, 0.5), "stop": True, "webhook": "https://example.org"}.items()
    },
    "measure.perplexity.when": ({}, [{"measure.perplexity.when": "final"}]),
    "measure.recital.when": ({}, [{"measure.recital.when": "every_round"}]),
    "measure.exposure.when": ({}, [{"measure.exposure.when": "every_round"}]),
    "measure.membership.when": ({}, [{"measure.membership.when": ["every_round"]}]),
    "measure.membership.chunk_tokens": ({}, [{"measure.membership.chunk_tokens": None}]),
    "measure.pass_at_k.problems": ({}, [{"measure.pass_at_k.problems": "other_tests.jsonl"}]),
    "measure.pass_at_k.when": ({}, [{"measure.pass_at_k.when": "every_round"}]),
    "measure.pass_at_k.precision": ({}, [{"measure.pass_at_k.precision": "bf16"}]),
    "trainer.backend": ({}, [{"trainer.backend": "deepspeed"}]),
    "trainer.deepspeed": (
        {"trainer.backend": "deepspeed"},
        [{"trainer.deepspeed": {"zero_optimization": {"stage": 1}}}],
    ),
    "trainer.app": (OF_FLOWER, [{"trainer.app": "flower_apps:same"}]),
    "trainer.app_config": (OF_FLOWER, [{"trainer.app_config": {"how": "draws"}}]),
    **{
        f"trainer.goldfish.{name}": ({"trainer.goldfish": {}}, [{f"trainer.goldfish.{name}": 5}])
        for name in ("k", "context")
    },
    **{
        f"measure.memorization.output_filter.{name}": (
            {"measure.memorization.output_filter": given},
            [{f"measure.memorization.output_filter.{name}": value}],
        )
        for name, given, value in (
            ("lines", {}, 5),
            ("action", {}, "resample"),
            ("attempts", {"action": "resample"}, 5),
            ("false_positive_rate", {}, 0.1),
            ("window_in_prompt", {}, True),
        )
    },
    "trainer.accumulation": ({}, [{"trainer.accumulation": 2}]),
    "trainer.ranks": ({}, [{"trainer.ranks": 2}]),
    "strategies": ({}, [{"strategies": ["single"]}]),
    "sweep": ({}, [{"sweep": {"trainer.epochs": [1, 2]}}]),
    "mitigations": ({}, [{"mitigations": ["dropout"]}]),
}
"""What to change where a type does not tell: first what a field needs to mean something, then other values."""

DECIDES_NOTHING = {
    "name": "of the run's folder and the report",
    "organizations.a.node": "where work is done",
    "organizations.a.agreement.licences": "what is allowed, not what comes of it",
    "organizations.a.agreement.evidence": "what is published of it, not what is measured",
    "organizations.a.agreement.expires": "whether there is an experiment at all",
    "organizations.a.agreement.purpose": "recorded",
    "organizations.a.agreement.owner": "recorded",
    "organizations.a.agreement.liability": "recorded",
    "measure.pass_at_k.k": "pass@k follows from how many passed",
    "measure.privacy_audit.guesses": "of a bound that follows from losses",
    "measure.privacy_audit.delta": "of a bound that follows from losses",
    "trainer.gpus": "who shares a GPU, not what is computed there",
    "execution.backend": "where work is done",
    "execution.slots": "how much at once",
    "execution.replicas": "how much at once",
    "execution.scale_up_s": "how long nodes are waited for",
    "execution.checkpoint_every_s": "training goes on from a checkpoint to the same bits",
    "execution.private": "where a copy of what is read lies",
    "execution.share_actors": "who lives where",
    "execution.retries": "a fault costs time and changes nothing",
    "store.keep": "what was let go is made again to the same bits",
    "store.write": "what was not written is made again to the same bits",
    "execution.track": "who is told of it",
    **dict.fromkeys(
        [f"alert.{name}" for name in (*SCORES, "stop", "webhook")], "who is told of it, and whether a run goes on"
    ),
    "report.leakage_weight": "of the report, which is no keyed work",
    "sweep": "each of its points is an experiment of its own",
    "mitigations": "each of them makes an experiment of its own, whose settings decide",
}

ONE_CHOICE = {"model.pretrain.corpus"}
"""Fields that can have no other value yet."""

PATHS = {path: owner for path, owner in fields(Experiment) if path not in ONE_CHOICE}
LABELS = [path for path in PATHS if path.startswith("findings.") and path.endswith((".arms", ".references"))]
MUTATIONS |= {path: ({}, [{path: ["fedavg"]}]) for path in LABELS}
MUTATIONS["findings.F1.primaries"] = ({}, [{"findings.F1.primaries": ["size"]}])
DECIDES_NOTHING |= {path: "of verdicts, which are no keyed work" for path in PATHS if path.startswith("findings.")}


@pytest.fixture(autouse=True)
def hub(hub_cache: Path, folder: Path) -> None:
    """A model of which there are two commits."""
    for commit in COMMITS:
        publish(hub_cache, "someone/model", commit, folder / "checkpoint")


def mutations(path: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An experiment, and others that differ in one field alone."""
    patch, other = MUTATIONS.get(path, ({}, None))
    raw = with_patch(RAW, patch)
    if other is None:
        name = path.rpartition(".")[2]
        other = [{path: value} for value in others(PATHS[path], name, present(raw, path))]
    return raw, [with_patch(raw, patch) for patch in other]


def allowed(folder: Path, raws: list[dict[str, Any]]) -> Iterator[Keys]:
    for raw in raws:
        try:
            yield keys_of(folder, raw)
        except InputError:
            continue


def test_every_settings_class_is_reached() -> None:
    """Of strategies, test_strategy_fields.py takes care, and so of objectives, whose settings are theirs to write.

    Those of mitigations write others, which are in keys; the log of a machine is no part of an experiment.
    """

    def below(owner: type[Settings]) -> Iterator[type[Settings]]:
        for found in owner.__subclasses__():
            yield found
            yield from below(found)

    of_strategies = {owner for point in STRATEGIES.values() for owner in point.Settings.__mro__}
    of_strategies |= ORDERS.keys() | AVAILABILITY.keys() | CONSOLIDATION.keys() | {EarlyStopSettings}
    of_strategies |= {owner for found in UPLOADS for owner in found.__mro__}
    of_objectives = {point.load().Settings for point in entry_points(group=OBJECTIVES)}
    of_mitigations = {owner for found in mitigation_settings().values() for owner in found.__mro__}
    reached = {*PATHS.values(), *of_strategies, *of_objectives, *of_mitigations}
    reached |= {
        found for owner in PATHS.values() for f in owner.model_fields.values() for found in settings_in(f.annotation)
    }
    known = {found for found in below(Settings) if found.__module__.startswith(("raysim.", "strategies."))}
    assert {found for found in known if found.__module__ != "raysim.experiment.estimate.timings"} <= reached
    assert {*MUTATIONS, *DECIDES_NOTHING} <= PATHS.keys()


@pytest.mark.parametrize("path", [path for path in PATHS if path not in DECIDES_NOTHING])
def test_a_field_changes_keys(path: str, folder: Path, base_keys: Keys) -> None:
    raw, other = mutations(path)
    before = base_keys if raw == RAW else keys_of(folder, raw)
    found = next((kinds for keys in allowed(folder, other) if (kinds := changed(before, keys))), set())
    assert found
    if path.endswith("agreement.share"):
        assert found == {"baselines"}  # n-grams of all code are made where all share it
    elif path.startswith(("preparation.", "deduplication.", "organizations.", "canaries.", "plants.", "sequence_")):
        assert found & {"train", "losses"}
        assert not found & {"tokenizer", "initial"}
    if path.startswith(("trainer.", "measure.")):
        assert not found & {"tokenizer", "clones"} or path.endswith("min_lines")


@pytest.mark.parametrize("path", DECIDES_NOTHING)
def test_what_decides_no_number_changes_no_key(path: str, folder: Path, base_keys: Keys) -> None:
    raw, other = mutations(path)
    before = base_keys if raw == RAW else keys_of(folder, raw)
    found = list(allowed(folder, other))
    assert found
    assert all(keys == before for keys in found)
