"""Sets an experiment up: references, tokenizer, organizations, the run contexts of all seeds."""

import asyncio
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from raysim.cluster.actor_pool import ActorPool
from raysim.core.errors import BoundaryError, InputError
from raysim.core.keys import Key, canonical_json, key_of, versions_of
from raysim.corpus.corpus import Drop, fingerprint
from raysim.corpus.files import SourceFile
from raysim.corpus.part_reading import forget_parts
from raysim.corpus.preparation_settings import Domain
from raysim.corpus.prose import as_prose
from raysim.corpus.public_split import PublicSplit, split_public
from raysim.corpus.reading import DropCounter
from raysim.corpus.sources import SourceSettings, read_source
from raysim.corpus.tokenizer import (
    CodeTokenizer,
    TrainedTokenizerSettings,
    is_learnable,
    load_tokenizer,
    train_tokenizer,
)
from raysim.experiment.config import LoadedExperiment
from raysim.experiment.pretraining import with_base
from raysim.inference.numerics import knows_bf16
from raysim.measures.base import EvalContext
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.organizations.client_stats import ClientStats
from raysim.organizations.deduplication import deduplicate
from raysim.organizations.organization import ModelSpec, PreparationContext
from raysim.organizations.recruiters import OwnActors, SharedActors
from raysim.simulation.base_model import BaseModel, base_config
from raysim.simulation.loop import StrategyRun, strategy_runs
from raysim.simulation.planner import Plan
from raysim.simulation.run_context import RunContext
from raysim.store.store import Store
from raysim.store.transfers import SERVER, Transfer
from raysim.training.models import ModelSettings

TOKENIZER_VERSION = 1
"""Numerics version of training a tokenizer."""


@dataclass(frozen=True)
class Setup:
    """Everything that is there before the first stage.

    Attributes:
        client_stats: what the organizations told of their corpora, by name.
        preparation_context: what they prepared them with, but for the files that each was to leave out.
        references: files that are public.
        public: which of these a base is trained on, and which nobody is.
        reference_drops: what was left out of them.
        tokenizer: of all.
        strategy_runs: every setting in every order at every seed.
        transfers: what it took to get here: inventories, texts for a tokenizer that is trained on organizations, and
            keyed hashes of files where those that several organizations have are left out.
        used: keys of the store entries that it took.
        tokenizer_bytes: text that the tokenizer was trained on just now; 0: it was there.
    """

    client_stats: Mapping[str, ClientStats]
    preparation_context: PreparationContext
    references: tuple[SourceFile, ...]
    public: PublicSplit
    reference_drops: tuple[Drop, ...]
    tokenizer: CodeTokenizer
    strategy_runs: tuple[StrategyRun, ...]
    transfers: tuple[Transfer, ...]
    used: frozenset[Key]
    tokenizer_bytes: int = 0


async def set_up(loaded: LoadedExperiment, pool: ActorPool, store: Store, secret: bytes | None = None) -> Setup:
    """Reads the references, gets the tokenizer, enlists the organizations and has each prepare its corpus.

    Args:
        loaded: the experiment.
        pool: the organizations are enlisted in.
        store: may hold the tokenizer.
        secret: keys the hashes of files that organizations compare; None: one that is used for nothing else. No result
            depends on it.

    Raises:
        InputError: something that the experiment names is missing, empty or too short.
    """
    experiment = loaded.experiment
    forget_parts()  # of an earlier setup that broke off: files may have changed since
    private = experiment.execution.private
    if private and (loaded.base / os.path.expanduser(private)).resolve().is_relative_to(store.folder.resolve()):
        raise InputError(
            f"execution.private: {private} lies in the store, which holds nobody's code; name another folder"
        )
    names = list(experiment.organizations)
    recruiter = (SharedActors if experiment.shares_actors else OwnActors)(
        pool, experiment.organizations, loaded.base, private
    )
    # While this process reads the references and trains the tokenizer, those of a Ray of our own have nothing to do.
    warming = [asyncio.ensure_future(call) for call in (recruiter.warm() if pool.backend.embedded else ())]
    await asyncio.sleep(0)  # lets them begin
    model = experiment.model.resolved(loaded.base)
    references, reference_drops = _read_references(loaded, experiment.preparation.domain)
    memorization = experiment.measure_settings(MemorizationSettings)
    preparation_context = PreparationContext(
        preparation=experiment.preparation,
        split_seed=experiment.split_seed,
        tokenizer=None,
        sequence_length=experiment.trainer.sequence_length,
        min_lines=memorization.min_lines if memorization else 6,
        canaries=experiment.canaries,
        plants=experiment.plants,
        sequence_canaries=experiment.sequence_canaries,
    )
    excluded, compared = await deduplicate(
        pool, names, preparation_context, experiment.deduplication, secret or secrets.token_bytes(32)
    )
    asked = {name: replace(preparation_context, excluded=excluded.get(name)) for name in names}
    tokenizer, shared, used, tokenizer_bytes = await _tokenizer(loaded, model, pool, store, references, asked)
    preparation_context = replace(preparation_context, tokenizer=tokenizer)
    await asyncio.gather(*warming)
    client_stats = await recruiter.prepare(preparation_context, excluded)
    context = max(experiment.trainer.sequence_length, *(measure.context_tokens for measure in loaded.measures), 0)
    spec = ModelSpec(model, tokenizer.vocab_size, tokenizer.bos_id, context)
    libraries = versions_of("torch", "transformers", "tokenizers", "numpy")
    contexts = [
        RunContext(
            spec=spec,
            trainer=experiment.trainer,
            tokenizer=tokenizer.fingerprint,
            client_stats=client_stats,
            split_seed=experiment.split_seed,
            seed=seed,
            libraries=libraries,
            bf16=asks_for_bf16(loaded) and knows_bf16(),
        )
        for seed in experiment.seed
    ]
    pretrain = model.pretrain
    public = _split_public(loaded, references)
    if pretrain:
        based = with_base(contexts[0], pretrain, public, tokenizer, pool)
        contexts = [replace(context, public=based.public) for context in contexts]
    configs = (*([base_config()] if _has_base(loaded) else []), *loaded.settings)
    runs = tuple(
        strategy_run for context in contexts for setting in configs for strategy_run in strategy_runs(setting, context)
    )
    prompt_stats = [Transfer.of(name, SERVER, "inventory", content_of(stats)) for name, stats in client_stats.items()]
    transfers = (*shared, *compared, *prompt_stats)
    return Setup(
        client_stats,
        preparation_context,
        references,
        public,
        reference_drops,
        tokenizer,
        runs,
        transfers,
        used,
        tokenizer_bytes,
    )


def _has_base(loaded: LoadedExperiment) -> bool:
    """Whether settings start from a model that was trained before, and so is worth measuring by itself."""
    model = loaded.experiment.model
    measured_anyway = any(issubclass(config.strategy_class, BaseModel) for config in loaded.settings)
    return model.pretrain is not None or (model.pretrained is not None and not measured_anyway)


def eval_context(loaded: LoadedExperiment, setup: Setup) -> EvalContext:
    """What measures know of a run, at its first seed."""
    experiment = loaded.experiment
    return EvalContext(
        run=setup.strategy_runs[0].context,
        tokenizer=setup.tokenizer,
        references=setup.references,
        held_out_references=setup.public.held_out,
        policies={name: settings.agreement for name, settings in experiment.organizations.items()},
        canaries=experiment.canaries,
        base=loaded.base,
        plants=experiment.plants,
        base_references=setup.public.trained if experiment.model.pretrain else (),
        measures={measure.name: measure.settings for measure in loaded.measures},
        sequence_canaries=experiment.sequence_canaries,
    )


def asks_for_bf16(loaded: LoadedExperiment) -> bool:
    """Whether anything depends on what this processor makes of bf16: to find out takes torch, a second to import."""
    generating = (getattr(measure.settings, "precision", None) for measure in loaded.measures)
    return "bf16" in (loaded.experiment.trainer.precision, *generating)


def tokenizer_recipe(settings: TrainedTokenizerSettings, content: Key, split_seed: int) -> dict[str, Any]:
    """Recipe of a tokenizer that is trained on the texts that `content` names."""
    return {
        "kind": "tokenizer",
        "version": TOKENIZER_VERSION,
        "content": content,
        "settings": settings.recipe(),
        "seed": split_seed,
        "libraries": versions_of("tokenizers", "numpy"),
    }


def content_of(stats: ClientStats) -> bytes:
    """What crosses of an inventory."""
    told = asdict(stats)
    unsaid = {"redactions": (), "obfuscations": (), "languages": ("python",)}
    return canonical_json({name: told[name] for name in told if told[name] != unsaid.get(name)}).encode()


def check_agreements(loaded: LoadedExperiment, plan: Plan) -> None:
    """Raises before any training if a planned stage pools data that is not shared.

    Raises:
        BoundaryError: the setting, and the organizations that do not share data.
    """
    organizations = loaded.experiment.organizations
    for stage in plan.stages:
        names, replay, does = stage.instruction.organizations, stage.instruction.replay, "pools"
        if len(names) == 1:
            names, does = replay.organizations if replay else (), "replays"
        if closed := [name for name in names if organizations[name].agreement.share != "data"]:
            raise BoundaryError(
                f"strategies: {stage.strategy_run.label} {does} the code of {', '.join(names)}, but"
                f" {', '.join(closed)} shares weights only; write 'agreement: {{share: data}}' for"
                " every organization that agrees, or leave this strategy out"
            )


def _split_public(loaded: LoadedExperiment, references: tuple[SourceFile, ...]) -> PublicSplit:
    """What a base is trained on and what nobody is; the former of another domain where that is asked for.

    Prose and code of one file fall by their own texts, so what is held out in one domain is left out in the other.
    """
    experiment, pretrain = loaded.experiment, loaded.experiment.model.pretrain
    asked = experiment.preparation.split, pretrain.limit if pretrain else 0, experiment.split_seed
    public = split_public(references, *asked)
    if pretrain and pretrain.domain not in (None, experiment.preparation.domain):
        held_out = {(source.repository, source.path) for source in public.held_out}
        others = [
            source
            for source in _read_references(loaded, pretrain.domain)[0]
            if (source.repository, source.path) not in held_out
        ]
        return replace(public, trained=split_public(others, *asked).trained)
    return public


def _read_references(loaded: LoadedExperiment, domain: Domain) -> tuple[tuple[SourceFile, ...], tuple[Drop, ...]]:
    """The references, and what was left out of them; one that gives nothing would make all code somebody's own."""
    files: list[SourceFile] = []
    drops = DropCounter()
    for number, reference in enumerate(loaded.experiment.references):
        settings = SourceSettings(stdlib=True) if reference == "stdlib" else reference
        try:
            reading = read_source(settings, loaded.base)
        except InputError as error:
            raise InputError(f"references: {error}") from None
        if domain == "text":
            reading = as_prose(reading)
        files += reading.files
        if not reading.files:
            reasons = "; ".join(f"{drop.files} {drop.reason}" for drop in reading.skipped) or "it is empty"
            raise InputError(f"references: references[{number}] gives no file: {reasons}; mend it, or leave it out")
        drops = DropCounter([*drops.drops(), *reading.skipped])
    return tuple(files), drops.drops()


async def _tokenizer(
    loaded: LoadedExperiment,
    model: ModelSettings,
    pool: ActorPool,
    store: Store,
    references: tuple[SourceFile, ...],
    asked: Mapping[str, PreparationContext],
) -> tuple[CodeTokenizer, list[Transfer], frozenset[Key], int]:
    """The tokenizer, the texts that crossed for it, the key of its entry, and the bytes that it was trained on now."""
    settings = loaded.experiment.tokenizer
    if settings.train is None:
        return load_tokenizer(settings, loaded.base, model.eos), [], frozenset(), 0
    if settings.train.corpus == "references":
        if not references:
            raise InputError(
                "tokenizer.train.corpus: is 'references', but there are none; add for example references: [stdlib]"
            )
        learnt = tuple(source for source in references if is_learnable(source.text))
        texts = [source.text for source in learnt]
        content = fingerprint(learnt)
        transfers = []
    else:
        shared = await asyncio.gather(*(pool.call(name, "share_texts", context) for name, context in asked.items()))
        texts = [text for part in shared for text in part if is_learnable(text)]
        content = key_of({"kind": "texts", "version": 1, "texts": sorted(texts)})
        transfers = [
            Transfer.of(name, SERVER, "texts", canonical_json(part).encode())
            for name, part in zip(asked, shared, strict=True)
        ]
    recipe = tokenizer_recipe(settings.train, content, loaded.experiment.split_seed)
    entry, num_bytes = store.get(key_of(recipe)), 0
    if entry is None:
        num_bytes = min(sum(map(len, texts)), settings.train.sample or sys.maxsize)
        tokenizer = train_tokenizer(
            texts, settings.train.vocab_size, sample_bytes=settings.train.sample, seed=loaded.experiment.split_seed
        )
        entry = store.put(recipe, {"json": tokenizer.json, "bos_id": tokenizer.bos_id})
    tokenizer = CodeTokenizer(json=entry.info["json"], bos_id=entry.info["bos_id"])
    return tokenizer, transfers, frozenset({entry.key}), num_bytes
