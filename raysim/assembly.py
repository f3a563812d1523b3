"""Brings the parties of an experiment together: references, tokenizer, organizations, worlds."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from raysim.corpus.corpus import fingerprint
from raysim.corpus.files import SourceFile
from raysim.corpus.sources import SourceSettings, read_source
from raysim.corpus.tokens import CodeTokenizer, TrainedTokenizerSettings, load_tokenizer, train_tokenizer
from raysim.errors import BoundaryError, InputError
from raysim.experiment import LoadedExperiment
from raysim.recipe import Key, canonical_json, key_of, versions_of
from raysim.simulation.backends import Backend
from raysim.simulation.ledger import SERVER, Crossing
from raysim.simulation.loop import Instance
from raysim.simulation.planner import Plan
from raysim.simulation.registry import variants
from raysim.simulation.store import Store
from raysim.simulation.world import World
from raysim.training.organization import Inventory, ModelSpec, Organization, Preparing

TOKENIZER_VERSION = 1
"""Numerics version of training a tokenizer."""


@dataclass(frozen=True)
class Assembly:
    """Everything that is there before the first stage.

    Attributes:
        organizations: the parties by name.
        inventories: what they told of their corpora.
        references: files that are public.
        tokenizer: of all.
        instances: every setting in every order at every seed.
        crossings: what it took to get here: inventories, and texts for a tokenizer that is trained on organizations.
    """

    organizations: Mapping[str, Any]
    inventories: Mapping[str, Inventory]
    references: tuple[SourceFile, ...]
    tokenizer: CodeTokenizer
    instances: tuple[Instance, ...]
    crossings: tuple[Crossing, ...]


async def assemble(loaded: LoadedExperiment, backend: Backend, store: Store) -> Assembly:
    """Reads the references, gets the tokenizer, and has every organization prepare its corpus.

    Raises:
        InputError: something that the experiment names is missing, empty or too short.
    """
    experiment = loaded.experiment
    references = _read_references(loaded)
    cache = store.folder / "shards"
    organizations = {
        name: backend.spawn(Organization, name, settings, loaded.base, cache / name)
        for name, settings in experiment.organizations.items()
    }
    tokenizer, shared = await _tokenizer(loaded, backend, store, organizations, references)
    memorization = experiment.measure.memorization
    preparing = Preparing(
        preparation=experiment.preparation,
        split_seed=experiment.split_seed,
        tokenizer=tokenizer,
        sequence_length=experiment.trainer.sequence_length,
        min_lines=memorization.min_lines if memorization else 6,
    )
    found = await asyncio.gather(*(backend.call(party, "prepare", preparing) for party in organizations.values()))
    inventories: dict[str, Inventory] = dict(zip(organizations, found, strict=True))
    context = experiment.trainer.sequence_length
    if memorization and memorization.prompts.prefix:
        context = max(context, memorization.prefix_tokens + memorization.new_tokens)
    spec = ModelSpec(experiment.model.resolved(loaded.base), tokenizer.vocab_size, tokenizer.bos_id, context)
    libraries = versions_of("torch", "transformers", "tokenizers", "numpy")
    worlds = [
        World(
            spec=spec,
            trainer=experiment.trainer,
            tokenizer=tokenizer.fingerprint,
            inventories=inventories,
            split_seed=experiment.split_seed,
            seed=seed,
            libraries=libraries,
        )
        for seed in experiment.seed
    ]
    instances = tuple(
        Instance(setting.label, strategy, world)
        for world in worlds
        for setting in loaded.settings
        for strategy in variants(setting.label, setting.strategy_class, setting.settings, world.federation)
    )
    told = [Crossing.of(name, SERVER, "inventory", content_of(inventory)) for name, inventory in inventories.items()]
    return Assembly(organizations, inventories, references, tokenizer, instances, (*shared, *told))


def tokenizer_recipe(settings: TrainedTokenizerSettings, content: Key, split_seed: int) -> dict[str, Any]:
    """Recipe of a tokenizer that is trained on the texts that `content` names."""
    return {
        "kind": "tokenizer",
        "version": TOKENIZER_VERSION,
        "content": content,
        "settings": settings.model_dump(mode="json"),
        "seed": split_seed,
        "libraries": versions_of("tokenizers", "numpy"),
    }


def content_of(inventory: Inventory) -> bytes:
    """What crosses of an inventory."""
    return canonical_json(asdict(inventory)).encode()


def check_agreements(loaded: LoadedExperiment, plan: Plan) -> None:
    """Raises before any training if a planned stage pools data that is not shared.

    Raises:
        BoundaryError: the setting, and the organizations that do not share data.
    """
    organizations = loaded.experiment.organizations
    for stage in plan.stages:
        names = stage.assignment.organizations
        closed = [name for name in names if organizations[name].agreement.share != "data"]
        if len(names) > 1 and closed:
            raise BoundaryError(
                f"strategies: {stage.instance.label} pools the code of {', '.join(names)}, but"
                f" {', '.join(closed)} shares weights only; write 'agreement: {{share: data}}' for"
                " every organization that agrees, or leave this strategy out"
            )


def _read_references(loaded: LoadedExperiment) -> tuple[SourceFile, ...]:
    files: list[SourceFile] = []
    for reference in loaded.experiment.references:
        settings = SourceSettings(stdlib=True) if reference == "stdlib" else reference
        try:
            files += read_source(settings, loaded.base).files
        except InputError as error:
            raise InputError(f"references: {error}") from None
    return tuple(files)


async def _tokenizer(
    loaded: LoadedExperiment,
    backend: Backend,
    store: Store,
    organizations: Mapping[str, Any],
    references: tuple[SourceFile, ...],
) -> tuple[CodeTokenizer, list[Crossing]]:
    """The tokenizer, and the texts that crossed for it."""
    settings = loaded.experiment.tokenizer
    if settings.train is None:
        return load_tokenizer(settings, loaded.base), []
    if settings.train.on == "references":
        if not references:
            raise InputError(
                "tokenizer.train.on: is 'references', but there are none; add for example references: [stdlib]"
            )
        texts = [source.text for source in references]
        content = fingerprint(references)
        crossings = []
    else:
        shared = await asyncio.gather(*(backend.call(party, "share_texts") for party in organizations.values()))
        texts = [text for part in shared for text in part]
        content = key_of({"kind": "texts", "version": 1, "texts": sorted(texts)})
        crossings = [
            Crossing.of(name, SERVER, "texts", canonical_json(part).encode())
            for name, part in zip(organizations, shared, strict=True)
        ]
    recipe = tokenizer_recipe(settings.train, content, loaded.experiment.split_seed)
    entry = store.get(key_of(recipe))
    if entry is None:
        tokenizer = train_tokenizer(
            texts, settings.train.vocab_size, sample_bytes=settings.train.sample, seed=loaded.experiment.split_seed
        )
        entry = store.put(recipe, {"json": tokenizer.json, "bos_id": tokenizer.bos_id})
    return CodeTokenizer(json=entry.info["json"], bos_id=entry.info["bos_id"]), crossings
