"""A run folder that no run has made: small, seeded, and shaped like the study (three organizations, six orders)."""

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raysim.analysis.results import RunResults
from raysim.tables.io import schema, write_table
from raysim.tables.results import open_run

ORGANIZATIONS = ("meta", "microsoft", "google")
TOKENS = {"meta": 14_600, "microsoft": 14_100, "google": 14_300}
EPOCHS = 10
LEVELS = {"single": 1.1, "centralized": 0.8, "incremental": 0.35, "fedavg": 0.45, "fedyogi": 0.5}


@dataclass(frozen=True)
class Setting:
    """A setting; those of one strategy and fraction are one arm with the same models unless `variant` differs.

    Attributes:
        strategy: single, centralized, incremental, cyclic, fedavg, fedyogi or personalized.
        variant: stands for whatever else is set.
        worse: nats a token that its models lose more than those of the usual setting.
    """

    label: str
    strategy: str
    fraction: float = 1.0
    variant: str = ""
    worse: float = 0.0

    @property
    def family(self) -> str:
        return "federated" if self.strategy.startswith("fed") else self.strategy

    @property
    def arm(self) -> str:
        return key("arm", self.strategy, self.fraction, self.variant)

    def model(self, *parts: object) -> str:
        """Key of a model; `parts` name it among those of the usual settings."""
        return key(*parts, *([self.fraction, self.variant] if self.fraction < 1 or self.variant else []))


@dataclass
class Options:
    """What to build. `organizations` may hold hostile names; all orders are run where `orders` names none.

    `more` are settings beside the usual ones, and `without` are labels of usual ones that are not run. `test` adds a
    test split, and says for each label how many nats a token more than on validation files its models lose there.
    """

    organizations: tuple[str, ...] = ORGANIZATIONS
    seeds: tuple[int, ...] = (1,)
    prompts: int = 8
    samples: int = 2
    files: int = 6
    memorization: bool = True
    perplexity: bool = True
    federated_epochs: int = 1
    leave_one_out: bool = False
    text: str = "def forward(self, x):\nx = self.norm(x)\nif self.training:\nx = self.drop(x)\nx = x + 1\nreturn x"
    leak: float = 1.0
    orders: tuple[tuple[str, ...], ...] | None = None
    probe_stages: bool = True
    leakage_weight: float | None = None
    licences: bool = False
    training_losses: bool = True
    test: dict[str, float] | None = None
    findings: dict[str, Any] | None = None
    more: tuple[Setting, ...] = ()
    without: tuple[str, ...] = ()
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def key(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def build(folder: Path, options: Options) -> Path:
    """Writes a run folder into `folder` and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    models = [row for seed in options.seeds for row in _models(seed, options)]
    tables: dict[str, list[dict[str, Any]]] = {"models": models, **_data(options), "ledger": _ledger(models, options)}
    prompts = _prompts(options)
    if options.memorization:
        tables.update(_memorization(models, prompts, options), prompts=prompts)
        tables.update(copies=_copies(prompts, options), emissions=_emissions(models, options))
    if options.perplexity:
        tables["losses"] = _losses(models, options)
    options.tables = tables
    for name, rows in tables.items():
        write_table(folder, name, pa.Table.from_pylist(rows, schema(name)))
    (folder / "manifest.json").write_text(json.dumps(_manifest(options)), encoding="utf-8")
    stages = "".join(json.dumps(stage) + "\n" for stage in _stages(models))
    (folder / "stages.jsonl").write_text(stages + '{"key": "torn', encoding="utf-8")
    return folder


def _models(seed: int, options: Options) -> list[dict[str, Any]]:
    usual = [Setting(strategy, strategy) for strategy in LEVELS if strategy not in options.without]
    return [row for setting in [*usual, *options.more] for row in _of_setting(setting, seed, options)]


def _of_setting(setting: Setting, seed: int, options: Options) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    organizations = options.organizations
    sizes = zip(organizations, itertools.cycle(TOKENS.values()), strict=False)
    tokens = {name: round(count * setting.fraction) for name, count in sizes}

    def add(
        members: tuple[str, ...],
        moment: str,
        index: int,
        final: bool,
        model: str,
        seen: dict[str, int],
        last: str,
        order: str = "",
    ) -> None:
        steps = sum(seen.values()) // 2048
        together = max(seen.values(), default=0) // 2048
        rows.append(
            {
                "seed": seed,
                "strategy": setting.label,
                "family": setting.family,
                "arm": setting.arm,
                "fraction": setting.fraction,
                "order": order or (" > " if setting.family == "incremental" else " + ").join(members),
                "members": list(members),
                "moment": moment,
                "index": index,
                "final": final,
                "model": model,
                "parents": [],
                "organizations": list(seen),
                "last": last,
                "tokens_seen": sorted(seen.items()),
                "steps": steps,
                "steps_in_sequence": together if setting.family == "federated" else steps,
                "learning_rate_sum": steps * 1.5e-3,
                "dropout": 0.1,
                "parameters": 1_182_336,
                "of": setting,  # no column
            }
        )

    def begin(members: tuple[str, ...]) -> None:
        add(members, "initial", 0, False, key(seed, "initial"), {}, "")

    if setting.family == "single":
        for name in organizations:
            begin((name,))
            model = setting.model(seed, (name,))
            add((name,), "stage", 1, True, model, {name: tokens[name] * EPOCHS}, name)
    elif setting.family == "centralized":
        begin(organizations)
        for epoch in range(1, EPOCHS + 1):
            seen = {name: tokens[name] * epoch for name in organizations}
            add(organizations, "epoch", epoch, epoch == EPOCHS, setting.model(seed, "centralized", epoch), seen, "")
    elif setting.family == "personalized":
        for name in organizations:
            begin(organizations)
            seen = {each: tokens[each] * EPOCHS for each in organizations}
            model = setting.model(seed, "personalized", name)
            add(organizations, "stage", 1, True, model, seen, name, f"{' + '.join(organizations)} > {name}")
    elif setting.family == "cyclic":
        begin(organizations)
        for stage, name in enumerate(organizations * 2, 1):
            seen = dict.fromkeys((organizations * 2)[:stage], 5 * EPOCHS)
            order, final = " > ".join(organizations * 2), stage == 2 * len(organizations)
            model = setting.model(seed, "cyclic", stage)
            add(organizations, "stage", stage, final, model, seen, name, order)
    elif setting.family == "incremental":
        for order in options.orders or itertools.permutations(organizations):
            begin(order)
            for stage in range(1, len(order) + 1):
                seen = {name: tokens[name] * EPOCHS for name in order[:stage]}
                model = setting.model(seed, order[:stage])
                add(order, "stage", stage, stage == len(order), model, seen, order[stage - 1])
    else:
        federations = [organizations]
        if options.leave_one_out and setting.strategy == "fedavg":
            federations += [tuple(o for o in organizations if o != left) for left in organizations]
        for members in federations:
            begin(members)
            for index in range(1, 11):
                seen = {name: tokens[name] * index * options.federated_epochs for name in members}
                model = setting.model(seed, setting.strategy, members, index)
                add(members, "round", index, index == 10, model, seen, "")
    return rows


def _prompts(options: Options) -> list[dict[str, Any]]:
    rng = np.random.default_rng(7)
    rows = []
    for organization in options.organizations:
        for number in range(options.prompts):
            kind = ("function", "prefix", "prefix", "held_out")[number % 4]
            to_come = int(rng.integers(3, 40))
            rows.append(
                {
                    "prompt": key("prompt", organization, number),
                    "kind": kind,
                    "organization": organization,
                    "file": f"{organization}/module_{number // 2}.py",
                    "repository": f"{organization}/repo{number % 5}",
                    "licence": "BSD-3-Clause" if number % 3 else None,
                    "lines_to_come": to_come,
                    "eligible": kind != "held_out" and to_come >= 6,
                    "copies_within": int(number % 4 == 1),
                    "copies_across": int(number % 8 == 2),
                    "copies_public": 0,
                    "licence_header": options.licences and kind == "function",
                }
            )
    return rows


def _memorization(
    models: list[dict[str, Any]], prompts: list[dict[str, Any]], options: Options
) -> dict[str, list[dict[str, Any]]]:
    tables: dict[str, list[dict[str, Any]]] = {"generations": [], "samples": [], "matches": []}
    done: set[str] = set()
    for row in models:
        unprobed = row["moment"] in ("initial", "stage") and not row["final"] and not options.probe_stages
        if row["model"] in done or unprobed:
            continue
        done.add(row["model"])
        rng = np.random.default_rng(int(row["model"][:8], 16))
        for prompt in prompts:
            owner = prompt["organization"]
            for sample in range(options.samples):
                chance = _chance(row, prompt) * options.leak
                covered = int(rng.integers(6, 19)) if rng.random() < chance else 0
                lines = max(covered, int(rng.integers(12, 24)))
                where = {"model": row["model"], "prompt": prompt["prompt"], "sample": sample}
                parses = bool(rng.random() < 0.6) if prompt["kind"] == "function" else None
                ended = "stop" if parses else "length"
                generation = {**where, "new_tokens": 128, "lines": lines, "parses": parses, "ended": ended}
                tables["generations"].append(generation)
                public = covered // 6 if rng.random() < 0.2 else 0
                shared = (covered - public) // 2 if prompt["copies_across"] else 0
                for other in options.organizations:
                    own = covered - public - shared
                    mine = {"covered": covered, "exclusive": own, "shared": shared, "public": public}
                    theirs = {"covered": shared, "exclusive": 0, "shared": shared, "public": 0}
                    owners = options.organizations
                    neighbour = owners[(owners.index(owner) + 1) % len(owners)]
                    counts = mine if other == owner else theirs if other == neighbour else dict.fromkeys(mine, 0)
                    begun = {"continued": covered if prompt["eligible"] else 0}
                    tables["samples"].append({**where, "owner": other, "lines": lines, **counts, **begun})
                if covered:
                    fragment = key("fragment", prompt["prompt"], covered)
                    place = {"file": prompt["file"], "line": 40 + covered, "places": 1 + prompt["copies_within"]}
                    match = {**where, "owner": owner, "start": 1, "lines": covered, "fragment": fragment}
                    tables["matches"].append({**match, "text": options.text, **place})
    return tables


def _copies(prompts: list[dict[str, Any]], options: Options) -> list[dict[str, Any]]:
    """One continuation in eight is cut, so nothing is known of it."""
    rows = []
    for number, prompt in enumerate(prompts):
        if number % 8 == 7:
            continue
        neighbour = options.organizations[options.organizations.index(prompt["organization"]) - 1]
        for name in options.organizations:
            own = 0 if prompt["kind"] == "held_out" else 1 + prompt["copies_within"]
            places = own if name == prompt["organization"] else prompt["copies_across"] * (name == neighbour)
            rows.append({"prompt": prompt["prompt"], "organization": name, "places": places})
    return rows


def _emissions(models: list[dict[str, Any]], options: Options) -> list[dict[str, Any]]:
    rows = []
    for model in {row["model"]: row for row in models}.values():
        rng = np.random.default_rng(int(model["model"][4:12], 16))
        for i, owner in enumerate(options.organizations):
            lines, trained = 1_000 + 50 * i, owner in model["organizations"]
            emitted = int(options.leak * rng.integers(100, 300)) if trained else int(options.leak * rng.integers(0, 9))
            seen = lines - 20 if trained else 15 * len(model["organizations"])
            foreseen = emitted if trained else min(seen, emitted) // 2
            counts = {"lines": lines, "seen": seen, "emitted": emitted, "foreseen": foreseen, "public": emitted // 9}
            rows.append({"model": model["model"], "owner": owner, **counts})
    return rows


def _chance(model: dict[str, Any], prompt: dict[str, Any]) -> float:
    owner = prompt["organization"]
    if owner not in model["organizations"]:
        return 0.01
    progress = model["index"] / 10 if model["moment"] in ("round", "epoch") else 1.0
    level = LEVELS.get(model["of"].strategy, 1.0) * progress**2
    if model["family"] == "incremental" or model["moment"] == "stage":
        level = 1.0 if model["last"] == owner else 0.25
    by_kind = {"function": 0.25, "prefix": 0.6, "held_out": 0.04}[prompt["kind"]]
    copies = 1.5 if prompt["copies_within"] else 1.0
    return level * by_kind * copies * (0.7 if prompt["lines_to_come"] < 6 else 1.0)


def _losses(models: list[dict[str, Any]], options: Options) -> list[dict[str, Any]]:
    rows, done = [], set()
    for model in models:
        if model["model"] in done:
            continue
        done.add(model["model"])
        rng = np.random.default_rng(int(model["model"][8:16], 16))
        for organization in options.organizations:
            seen = organization in model["organizations"]
            nats = 7.0 if model["moment"] == "initial" else 2.9 if seen else 3.5
            if model["moment"] in ("round", "epoch"):
                slow = 0.09 if model["family"] == "centralized" else 0.12
                nats += slow * (10 - model["index"]) - (0.1 if model["family"] == "centralized" else 0.0)
            elif model["family"] == "incremental" and model["last"] != organization:
                nats += 0.2
            if model["moment"] != "initial":
                nats += model["of"].worse
            if options.training_losses:
                fitted = training_nats(model) if seen else nats
                sample = {"split": "train", "file": "", "nats": fitted * 1000, "tokens": 1000, "correct": 500}
                rows.append({"model": model["model"], "organization": organization, **sample, "bytes": 3000})
            held_out = {"valid": 0.0}
            if options.test is not None:
                held_out["test"] = options.test.get(model["strategy"], 0.0)
            for split, more in held_out.items():
                rows += _held_out(model["model"], organization, split, nats + more, options.files, rng)
    return rows


def _held_out(
    model: str, organization: str, split: str, nats: float, files: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    rows = []
    for number in range(files):
        tokens = 200 + 40 * number
        rows.append(
            {
                "model": model,
                "organization": organization,
                "split": split,
                "file": f"{organization}/{split}_{number}.py",
                "nats": (nats + 0.02 * rng.standard_normal()) * tokens,
                "tokens": tokens,
                "correct": int(tokens * (0.9 - nats / 6)),
                "bytes": tokens * 3,
            }
        )
    return rows


def training_nats(model: dict[str, Any]) -> float:
    """On the training text that a model has seen: centralized 0.45 after its last epoch, federated 0.65."""
    if model["moment"] not in ("round", "epoch"):
        return 0.4
    slow, end = (0.25, 0.45) if model["family"] == "centralized" else (0.25, 0.65)
    return end + slow * (10 - model["index"])


def _data(options: Options) -> dict[str, list[dict[str, Any]]]:
    clones, corpora, drops = [], [], []
    for i, organization in enumerate(options.organizations):
        for j, other in enumerate((*options.organizations, "(public)")):
            lines = 1_000 + 50 * i
            covered = (90 if i == j else 12 + 7 * ((i + j) % 3)) if other != "(public)" else 30
            clones.append(
                {
                    "organization": organization,
                    "other": other,
                    "lines": lines,
                    "covered": covered,
                    "share": covered / lines,
                    "fragments": covered // 7,
                }
            )
        for split, scale in (("train", 4), ("valid", 1)):
            size = {"files": 3 * scale, "bytes": 10_000 * scale, "lines": 260 * scale, "tokens": 3_600 * scale}
            sequences = 14 * scale if split == "train" else 0
            corpora.append({"organization": organization, "split": split, **size, "sequences": sequences})
        for reason, files in (("duplicate of another file", 4 + i), ("fewer than 5 assignments", 9)):
            drops.append({"organization": organization, "reason": reason, "files": files, "bytes": files * 3_100})
    return {"clones": clones, "corpora": corpora, "drops": drops}


def _ledger(models: list[dict[str, Any]], options: Options) -> list[dict[str, Any]]:
    rows = []
    for model in models:
        if model["moment"] == "round":
            for organization in options.organizations:
                weights = {"kind": "weights", "bytes": 4_729_344, "work": model["model"]}
                hashed = {**weights, "sha256": key(organization) * 2}
                rows.append({"sender": organization, "receiver": "server", **hashed})
                rows.append({"sender": "server", "receiver": organization, **hashed})
    for organization in options.organizations:
        code = {"kind": "code", "bytes": 40_000, "sha256": key(organization) * 2, "work": key("centralized")}
        rows.append({"sender": organization, "receiver": "trainer", **code})
    return rows


def _manifest(options: Options) -> dict[str, Any]:
    weighed = {} if options.leakage_weight is None else {"report": {"leakage_weight": options.leakage_weight}}
    return {
        "name": "quickstart",
        "created": "2026-03-02T09:14:00+00:00",
        "finished": "2026-03-02T10:02:11+00:00",
        "raysim": "0.1.0",
        "torch": "2.13.0",
        "ray": "2.60.0",
        "transformers": "5.23.0",
        "machine": {"cpus": 2, "memory_bytes": 8_000_000_000, "gpus": []},
        "organizations": list(options.organizations),
        "command": "raysim run experiments/quickstart.yaml --out runs/quickstart",
        "experiment": {
            "name": "quickstart",
            "seed": list(options.seeds),
            "split_seed": 1,
            "model": {"config": {"model_type": "gpt2", "n_layer": 2, "n_embd": 192}},
            "trainer": {"epochs": EPOCHS, "learning_rate": 3e-3, "sequence_length": 256, "batch_size": 8},
            "strategies": [
                "single",
                "centralized",
                {"incremental": {"orders": "all"}},
                {"fedavg": {"rounds": 10}},
                "fedyogi",
                *({s.strategy: {"label": s.label, "fraction": s.fraction}} for s in options.more),
            ],
            "measure": {"memorization": {"samples": options.samples, "min_lines": 6, "when": "every_round"}},
            **weighed,
            **({} if options.findings is None else {"findings": options.findings}),
        },
    }


def _stages(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    stages, done = [], set()
    for row in models:
        if row["model"] in done or row["moment"] == "initial":
            continue
        done.add(row["model"])
        kind = "aggregate" if row["moment"] == "round" else "train"
        seconds = 0.4 if kind == "aggregate" else 31.5
        stage = {"key": row["model"], "kind": kind, "label": f"{row['strategy']} {row['order']}", "attempts": 1}
        tokens = {"tokens": 146_000, "tokens_per_s": 4_600.0} if kind == "train" else {}
        stages.append({**stage, "status": "computed", "seconds": seconds, **tokens})
        generate = {"key": key("g", row["model"]), "kind": "generate", "label": f"generate {row['strategy']}"}
        stages.append({**generate, "status": "computed", "seconds": 8.2, "attempts": 1})
    stages[0]["attempts"] = 2
    stages[1]["status"] = "cached"
    return stages


@pytest.fixture(scope="session")
def build_results(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., RunResults]:
    """A function that makes a run with the given `Options`."""

    def make(**settings: Any) -> RunResults:
        return RunResults(open_run(build(tmp_path_factory.mktemp("runs") / "run", Options(**settings))))

    return make


@pytest.fixture(scope="session")
def build_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that writes a run folder of its own with the given `Options` and returns it."""

    def make(**settings: Any) -> Path:
        return build(tmp_path_factory.mktemp("runs") / "run", Options(**settings))

    return make


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run with one seed, shared by the tests that only read."""
    return build(tmp_path_factory.mktemp("runs") / "one", Options())
