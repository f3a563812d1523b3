"""The long tables as dense arrays, because every figure and contrast is arithmetic over models, prompts and owners."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raysim.core.errors import InputError
from raysim.inference.prompts import FROM_TRAINING
from raysim.tables.names import PUBLIC
from raysim.tables.results import Results

Counts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

DEFAULT_MIN_LINES = 6


@dataclass(frozen=True)
class PromptArrays:
    """Line counts by model, prompt and owner, summed over a prompt's samples.

    Shapes: M models, P prompts, O owners. A model that was not given a prompt has ``num_samples`` 0 there.

    Attributes:
        models: keys of the models that were measured.
        prompts: keys of the prompts.
        owners: organizations, in the order of the experiment.
        organizations, kinds, repositories, files: of each prompt, length P.
        eligible: bool ``[P]``.
        copies_within, copies_across: int64 ``[P]``, other places in training splits with the true continuation.
        copies_public: int64 ``[P]``, places in references with it.
        licence_header: bool ``[P]``, whether the true continuation is text of a licence; None: not known.
        num_samples: int64 ``[M, P]``.
        num_matched: int64 ``[M, P]``, samples in which any owner covers a line.
        lines: int64 ``[M, P]``, significant lines generated.
        at_least_covered: int64 ``[M, P]``, lines that any owner covers, counted once. Which of two owners' shared
            lines are the same line is not in the table, so the larger number is taken: exact for two owners.
        covered, exclusive, shared, public: int64 ``[M, P, O]``.
        hits: int64 ``[M, P, O]``, samples in which the owner covers a line.
        continued: int64 ``[M, P]``, samples that begin with at least min_lines lines of the prompt's true continuation;
            None: not known.
    """

    models: list[str]
    prompts: list[str]
    owners: list[str]
    organizations: list[str]
    kinds: list[str]
    repositories: list[str]
    files: list[str]
    eligible: Mask
    copies_within: Counts
    copies_across: Counts
    copies_public: Counts
    licence_header: Mask | None
    num_samples: Counts
    num_matched: Counts
    lines: Counts
    at_least_covered: Counts
    covered: Counts
    exclusive: Counts
    shared: Counts
    public: Counts
    hits: Counts
    continued: Counts | None

    @cached_property
    def model_index(self) -> dict[str, int]:
        return {key: i for i, key in enumerate(self.models)}

    @cached_property
    def from_training(self) -> Mask:
        """bool ``[P]``: prompts that are training text."""
        return np.array([kind in FROM_TRAINING for kind in self.kinds], dtype=np.bool_)

    @cached_property
    def own_owner(self) -> Counts:
        """int64 ``[P]``: position of each prompt's organization among the owners; -1 of neutral ones."""
        places = {owner: place for place, owner in enumerate(self.owners)}
        return np.array([places.get(organization, -1) for organization in self.organizations], dtype=np.int64)

    @cached_property
    def prompted(self) -> Mask:
        """bool ``[P, O]``: whether the owner is the organization that the prompt is from."""
        return np.array(self.organizations)[:, None] == np.array(self.owners)

    @cached_property
    def owned(self) -> Counts:
        """int64 ``[M, P, O]``: covered lines that no reference holds, for each owner; shared ones count for each."""
        return self.exclusive + self.shared

    @property
    def empty(self) -> bool:
        return not self.models


@dataclass(frozen=True)
class LossArrays:
    """Losses by model and file of one split. Shapes: M models, F files; a file not evaluated has 0 tokens.

    Attributes:
        models: keys of the models that were evaluated.
        organizations, files: of each file, length F.
        nats: float64 ``[M, F]``.
        tokens, correct, bytes: int64 ``[M, F]``.
    """

    models: list[str]
    organizations: list[str]
    files: list[str]
    nats: npt.NDArray[np.float64]
    tokens: Counts
    correct: Counts
    bytes: Counts

    @cached_property
    def model_index(self) -> dict[str, int]:
        return {key: i for i, key in enumerate(self.models)}

    @property
    def empty(self) -> bool:
        return not self.models


def prompt_arrays(run: Results) -> PromptArrays:
    """The `samples` and `prompts` of a run as dense arrays.

    Raises:
        InputError: a sample of a prompt that is not in `prompts`.
    """
    prompts = run.table("prompts").sort_by("prompt")
    samples = run.table("samples")
    prompt_keys: list[str] = prompts.column("prompt").to_pylist()
    owners = run.organizations
    owners = owners + sorted(set(samples.column("owner").unique().to_pylist()) - set(owners) - {PUBLIC})
    models = sorted(samples.column("model").unique().to_pylist())
    shape = (len(models), len(prompt_keys), len(owners))

    model_of = _codes(samples, "model", models)
    prompt_of = _codes(samples, "prompt", prompt_keys)
    owner_of = _codes(samples, "owner", owners)
    if (prompt_of < 0).any():
        missing = samples.column("prompt")[int(np.argmax(prompt_of < 0))].as_py()
        raise InputError(f"{run.path}: samples name the prompt {missing}, which prompts lacks; run again to write both")
    continued = _continued(run, samples, (model_of, prompt_of), shape[:2])
    kept = owner_of >= 0  # rows of the references, if any, are counted as `public` already
    model_of, prompt_of, owner_of = model_of[kept], prompt_of[kept], owner_of[kept]
    column = {
        name: np.asarray(samples.column(name).to_numpy(), dtype=np.int64)[kept]
        for name in ("sample", "lines", "covered", "exclusive", "shared", "public")
    }

    def total(values: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Counts:
        place = np.ravel_multi_index((model_of, prompt_of, owner_of), shape) if len(model_of) else model_of
        return _sums(place, values, shape)

    # One slot for each (model, prompt, sample), to count what concerns a sample over all its owners.
    num_samples = int(column["sample"].max(initial=-1)) + 1
    slots = (shape[0], shape[1], max(num_samples, 1))
    slot = np.ravel_multi_index((model_of, prompt_of, column["sample"]), slots) if len(model_of) else model_of
    size = int(np.prod(slots))
    seen, matched = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    lines, exclusive, shared, public = (np.zeros(size, np.int64) for _ in range(4))
    seen[slot] = True
    np.logical_or.at(matched, slot, column["covered"] > 0)
    np.maximum.at(lines, slot, column["lines"])
    np.add.at(exclusive, slot, column["exclusive"])
    np.maximum.at(shared, slot, column["shared"])
    np.maximum.at(public, slot, column["public"])

    return PromptArrays(
        models=models,
        prompts=prompt_keys,
        owners=owners,
        organizations=prompts.column("organization").to_pylist(),
        kinds=prompts.column("kind").to_pylist(),
        repositories=prompts.column("repository").to_pylist(),
        files=prompts.column("file").to_pylist(),
        eligible=np.array(prompts.column("eligible").to_pylist(), dtype=np.bool_),
        copies_within=_numbers(prompts, "copies_within"),
        copies_across=_numbers(prompts, "copies_across"),
        copies_public=_numbers(prompts, "copies_public"),
        licence_header=_flags(prompts, "licence_header"),
        num_samples=seen.reshape(slots).sum(2),
        num_matched=matched.reshape(slots).sum(2),
        lines=lines.reshape(slots).sum(2),
        at_least_covered=(exclusive + shared + public).reshape(slots).sum(2),
        covered=total(column["covered"]),
        exclusive=total(column["exclusive"]),
        shared=total(column["shared"]),
        public=total(column["public"]),
        hits=total(column["covered"] > 0),
        continued=continued,
    )


def _continued(run: Results, samples: pa.Table, places: tuple[Counts, Counts], shape: tuple[int, int]) -> Counts | None:
    """Samples that begin with min_lines lines of the true continuation, of which the row of any owner tells."""
    if "continued" not in samples.column_names or samples.column("continued").null_count == len(samples):
        return None
    min_lines = run.setting("measure", "memorization", "min_lines") or DEFAULT_MIN_LINES
    begins = _numbers(samples, "continued") >= min_lines
    number = np.asarray(samples.column("sample").to_numpy(), dtype=np.int64)
    found = np.unique(np.stack([*places, number])[:, begins], axis=1)
    place: Counts = found[0] * shape[1] + found[1]
    return _sums(place, np.ones(found.shape[1], np.int64), shape)


def loss_arrays(run: Results, split: str = "valid") -> LossArrays:
    """The `losses` of a run on one split as dense arrays; of ``train`` an organization is one file without a name."""
    losses = run.table("losses")
    losses = losses.filter(pc.field("split") == split)
    models = sorted(losses.column("model").unique().to_pylist())
    places = list(zip(losses.column("organization").to_pylist(), losses.column("file").to_pylist(), strict=True))
    files = sorted(set(places))
    index = {place: i for i, place in enumerate(files)}
    shape = (len(models), len(files))
    file_of = np.array([index[place] for place in places], dtype=np.int64)
    place = np.ravel_multi_index((_codes(losses, "model", models), file_of), shape) if len(places) else file_of

    def total(name: str) -> Counts:
        return _sums(place, _numbers(losses, name), shape)

    nats = np.zeros(int(np.prod(shape)), np.float64)
    known = losses.column("nats").to_numpy()
    # A loss that is infinite says no more than one that is no number, and a difference of two has none.
    np.add.at(nats, place, np.where(np.isfinite(known), known, np.nan))
    return LossArrays(
        models=models,
        organizations=[organization for organization, _ in files],
        files=[file for _, file in files],
        nats=nats.reshape(shape),
        tokens=total("tokens"),
        correct=total("correct"),
        bytes=total("bytes"),
    )


def _codes(table: pa.Table, name: str, values: list[str]) -> Counts:
    """The position in `values` of each entry of a column, -1 where it is not in them."""
    index = {value: i for i, value in enumerate(values)}
    encoded = table.column(name).combine_chunks().dictionary_encode()
    if not len(encoded):
        return np.zeros(0, np.int64)
    positions = np.array([index.get(value, -1) for value in encoded.dictionary.to_pylist()], dtype=np.int64)
    return positions[encoded.indices.to_numpy()]


def _flags(table: pa.Table, name: str) -> Mask | None:
    if name not in table.column_names or table.column(name).null_count == len(table):
        return None
    return np.array(table.column(name).fill_null(False).to_pylist(), dtype=np.bool_)


def _numbers(table: pa.Table, name: str) -> Counts:
    return np.asarray(table.column(name).fill_null(0).to_numpy(), dtype=np.int64)


def _sums(place: Counts, values: npt.NDArray[np.int64] | npt.NDArray[np.bool_], shape: tuple[int, ...]) -> Counts:
    sums = np.bincount(place, values, minlength=int(np.prod(shape)))
    return np.rint(sums).astype(np.int64).reshape(shape)
