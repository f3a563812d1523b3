"""Clients: an organization, which alone holds its files, and a pooled organization, which was given sequences.

Both are plain classes. A backend makes actors of them, or calls them in this process.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pydantic

from raysim.core.errors import BoundaryError, InputError
from raysim.core.settings import Settings, Size
from raysim.corpus.canaries import CanarySettings, plant
from raysim.corpus.corpus import Corpus, Packed
from raysim.corpus.deduplication import Excluded
from raysim.corpus.diversity import Spectrum, line_spectrum, num_lines
from raysim.corpus.duplicates import duplicate_lines
from raysim.corpus.files import SourceFile
from raysim.corpus.lines import significant_lines
from raysim.corpus.packing import load_packed, pack, packing_key, packing_seed, store_packed, tokenize_files
from raysim.corpus.part_reading import forget_parts, read_part
from raysim.corpus.partition import KNOWN_COLUMNS, PartitionSettings
from raysim.corpus.planted_functions import PlantSettings, plant_functions
from raysim.corpus.preparation import PreparationSettings, candidates, prepare
from raysim.corpus.sources import SourceReading, SourceSettings, read_source
from raysim.corpus.tokenizer import CodeTokenizer
from raysim.organizations.private_folder import private_folder
from raysim.organizations.training_folder import training_folder
from raysim.training.model_host import ModelHost, ModelMemory
from raysim.training.model_host import ModelSpec as ModelSpec  # re-exported for measures
from raysim.training.rank_worker import train_here
from raysim.training.ranks import NO_RANK_LAUNCHER, RankLauncher
from raysim.training.request import Event, TrainRequest, Update, reads_folder
from raysim.training.upload import to_send
from raysim.training.weights import Flat


class DataPolicy(Settings):
    """What an organization has agreed to."""

    share: Literal["data", "weights"] = pydantic.Field(
        default="weights",
        description="data: its code may be pooled with others'; weights: only weights and counts leave",
    )
    licences: tuple[str, ...] | None = pydantic.Field(
        default=None,
        description="licences under which models may repeat its code, as its source states them; unset: not judged",
    )
    evidence: bool = pydantic.Field(
        default=False,
        description="whether lines of its code that models repeat may be in what is published (report --bundle)",
    )


class OrganizationSettings(Settings):
    """One organization of an experiment."""

    source: SourceSettings
    partition: PartitionSettings | None = pydantic.Field(
        default=None, description="its source is dealt to several organizations; unset: it has all of it"
    )
    held_out: SourceSettings | None = pydantic.Field(
        default=None, description="code that nobody trains on, for its validation split; unset: drawn from source"
    )
    limit: Size | None = pydantic.Field(default=None, description="at most this much code is kept, for example 40 KB")
    agreement: DataPolicy = DataPolicy()

    @pydantic.model_validator(mode="after")
    def _columns_are_known(self) -> "OrganizationSettings":
        column = self.partition.column if self.partition else None
        if column and column.of_records and self.source.files is None and self.source.hub is None:
            raise ValueError(
                f"partition: no column {column.name!r}; of this source there are {', '.join(KNOWN_COLUMNS)}"
            )
        return self


@dataclass(frozen=True)
class PreparationContext:
    """What organizations prepare their corpora with: the same for all of a run, but for what one is to leave out.

    The tokenizer is None as long as it is not trained.
    """

    preparation: PreparationSettings
    split_seed: int
    tokenizer: CodeTokenizer | None
    sequence_length: int
    min_lines: int
    canaries: CanarySettings | None = None
    plants: PlantSettings | None = None
    excluded: Excluded | None = None


@dataclass(frozen=True)
class ClientStats:
    """What an organization sends about its corpus: counts and fingerprints, no content.

    Attributes:
        train_fingerprint: names the training split, and how much of each of its files is trained on.
        splits: for ``train``, ``valid`` and, where one is asked for, ``test``: ``files``, ``bytes``, ``lines``,
            ``tokens``, ``sequences``.
        drops: ``reason``, ``files``, ``bytes`` for everything that was left out.
        licences: files by stated licence.
        duplicate_lines: significant training lines that occur in more than one place of the organization.
        line_spectrum: pairs of a count and the number of distinct significant training lines that occur so often.
        test_fingerprint: empty without a test split.
    """

    organization: str
    train_fingerprint: str
    valid_fingerprint: str
    splits: dict[str, dict[str, int]]
    drops: tuple[dict[str, Any], ...]
    licences: dict[str, int]
    duplicate_lines: int
    line_spectrum: Spectrum
    test_fingerprint: str = ""

    @property
    def sequences(self) -> int:
        """Packed training sequences."""
        return self.splits["train"]["sequences"]

    @property
    def tokens(self) -> int:
        """Training tokens, those in the dropped tail too."""
        return self.splits["train"]["tokens"]

    @property
    def stream_tokens(self) -> int:
        """Training tokens with the BOS of each file."""
        return self.tokens + self.splits["train"]["files"]

    @property
    def duplicate_share(self) -> float:
        """Duplicate lines over all significant training lines."""
        return self.duplicate_lines / num_lines(self.line_spectrum)


class TrainingClient(ModelHost, ABC):
    """A client: it has training sequences, and trains on them."""

    @abstractmethod
    def training_sequences(self) -> npt.NDArray[np.int32]:
        """Token ids ``[num_sequences, sequence_length]``."""

    def train(
        self, request: TrainRequest, weights: Flat, launcher: RankLauncher = NO_RANK_LAUNCHER
    ) -> Iterator[Event | Flat]:
        """Trains on this client's sequences, here or with ranks that `launcher` starts.

        The weights of the update, float32 ``[num_parameters]``, come before it as an item of their own, so that they
        can be handed on by themselves; in the form that the request names, of which nothing else leaves the client.

        Args:
            request: without sequences and weights.
            weights: to start from, an argument of its own so that Ray hands them over without a copy.
            launcher: of ranks, where the settings need any.
        """
        request = request.at_client(self.training_sequences()[: request.task.num_sequences], weights)
        settings = request.task.settings
        with ExitStack() as stack:
            if reads_folder(settings.backend):
                request = replace(request, folder=stack.enter_context(self.training_folder(request.sequences)))
            for event in launcher.train(request) if launcher.wanted(settings) else train_here(self, request):
                if isinstance(event, Update):
                    event = to_send(request, event)
                    yield event.weights
                    event = replace(event, weights=np.empty(0, np.float32))
                yield event

    def training_folder(self, sequences: npt.NDArray[np.int32]) -> AbstractContextManager[Path]:
        """Writes what a stage trains on to a folder that lasts as long as the stage; `sequences` are all there is."""
        return training_folder(None, sequences)


class PooledOrganization(TrainingClient):
    """Organizations that have pooled their sequences: the client of centralized training."""

    def __init__(self, name: str, sequences: Sequence[npt.NDArray[np.int32]]) -> None:
        super().__init__(name)
        self._sequences = np.concatenate(list(sequences))

    def training_sequences(self) -> npt.NDArray[np.int32]:
        """The sequences of all organizations, one after the other; batches mix them."""
        return self._sequences


class Organization(TrainingClient):
    """One organization: the only object that ever holds its files.

    Args:
        name: of the organization.
        settings: source, which part of it, limit and agreement.
        base: folder that relative paths of the source start from.
        private: where the private folders of organizations lie on the machine where it runs, its token shards among
            them; see `raysim.organizations.private_folder`.
        memory: of a model, which it shares with others of its process; None: its own.
    """

    def __init__(
        self,
        name: str,
        settings: OrganizationSettings,
        base: Path,
        private: str | None = None,
        memory: ModelMemory | None = None,
    ) -> None:
        super().__init__(name, memory)
        self.agreement = settings.agreement
        self._settings = settings
        self._base = base
        self._private = private
        self._reading: SourceReading | None = None
        self._corpus: Corpus | None = None
        self._packed: Packed | None = None
        self._tokenizer: CodeTokenizer | None = None
        self._stats: ClientStats | None = None

    def share_texts(self, preparation_context: PreparationContext) -> list[str]:
        """The texts that preparation keeps, for a tokenizer that is trained on organizations.

        Too few characters a token are no reason to drop a file here, as there are no tokens yet.

        Raises:
            BoundaryError: the agreement does not share data.
            InputError: missing source, or nothing left after the filters.
        """
        self._require_sharing("train the tokenizer on its code (tokenizer.train.corpus: organizations)")
        corpus = self._filter_and_split(preparation_context, lambda text: 0)
        return [source.text for source in corpus.train + corpus.valid + corpus.test]

    def share_sequences(self, count: int | None = None) -> npt.NDArray[np.int32]:
        """The first `count` packed training sequences (None: all), which are raw code in another writing.

        Raises:
            BoundaryError: the agreement does not share data.
        """
        self._require_sharing("pool its code with others' (centralized)")
        return np.array(self.training_sequences()[:count])

    def share_files(self) -> list[npt.NDArray[np.int32]]:
        """Each training file behind a BOS as it is trained on, for common sequences; raw code in another writing.

        Raises:
            BoundaryError: the agreement does not share data.
        """
        self._require_sharing("pack its code with others' (centralized, pooled_packing)")
        return tokenize_files(self.corpus.train, self.tokenizer, self.corpus.truncated_at)

    def forget_parts(self) -> None:
        """Lets go of what was read beside this organization's part of its source, once those beside it have theirs."""
        forget_parts()

    def candidates(self, preparation_context: PreparationContext) -> list[SourceFile]:
        """The files that its preparation chooses from, for functions that compare them with those of others."""
        return candidates(self._read(), preparation_context.preparation, preparation_context.split_seed)

    def prepare(self, preparation_context: PreparationContext) -> ClientStats:
        """Reads, filters and splits the corpus, plants canaries, packs it, once; gives counts and fingerprints.

        Raises:
            InputError: missing source, nothing left after the filters, or less than one sequence.
        """
        tokenizer = self._tokenizer = preparation_context.tokenizer
        assert tokenizer is not None, "it is trained before"
        corpus = self._filter_and_split(preparation_context, lambda text: len(tokenizer.encode(text)))
        try:
            if preparation_context.canaries and preparation_context.canaries.planted_in(self.name):
                corpus = plant(corpus, preparation_context.canaries, preparation_context.split_seed)
            if preparation_context.plants and preparation_context.plants.planted_in(self.name):
                corpus = plant_functions(corpus, preparation_context.plants, preparation_context.split_seed)
            self._packed = self._pack(corpus, tokenizer, preparation_context)
        except InputError as error:
            raise InputError(f"organizations.{self.name}: {error}") from None
        self._corpus, self._reading = corpus, None
        duplicated, _ = duplicate_lines(corpus.train, preparation_context.min_lines)
        self._stats = ClientStats(
            organization=self.name,
            train_fingerprint=corpus.trained_fingerprint,
            valid_fingerprint=corpus.valid_fingerprint,
            splits={
                "train": _count(corpus.train)
                | {"tokens": sum(end - start for _, start, end in self._packed.file_spans)}
                | {"sequences": len(self._packed.sequences)},
                "valid": _count_held_out(corpus.valid, tokenizer),
                **(
                    {"test": _count_held_out(corpus.test, tokenizer)}
                    if preparation_context.preparation.split.test
                    else {}
                ),
            },
            drops=tuple(drop.to_json() for drop in corpus.drops),
            licences=dict(Counter(f.licence or "not stated" for f in corpus.train)),
            duplicate_lines=duplicated,
            line_spectrum=line_spectrum(corpus.train),
            test_fingerprint=corpus.test_fingerprint,
        )
        return self._stats

    @property
    def stats(self) -> ClientStats:
        """What it said of its corpus."""
        assert self._stats is not None, "prepare() comes first"
        return self._stats

    @property
    def held_bytes(self) -> int:
        """Of code in memory."""
        corpus = self._corpus
        files = (*corpus.train, *corpus.valid, *corpus.test) if corpus else ()
        return sum(source.num_bytes for source in (*files, *(self._reading.files if self._reading else ())))

    @property
    def corpus(self) -> Corpus:
        """The prepared files."""
        assert self._corpus is not None, "prepare() comes first"
        return self._corpus

    @property
    def packed(self) -> Packed:
        """The training sequences and where each file lies in them."""
        assert self._packed is not None, "prepare() comes first"
        return self._packed

    @property
    def tokenizer(self) -> CodeTokenizer:
        """The tokenizer that the corpus was packed with."""
        assert self._tokenizer is not None, "prepare() comes first"
        return self._tokenizer

    def training_sequences(self) -> npt.NDArray[np.int32]:
        """Token ids ``[num_sequences, sequence_length]``, memory-mapped."""
        return self.packed.sequences

    def training_folder(self, sequences: npt.NDArray[np.int32]) -> AbstractContextManager[Path]:
        """As for all clients, in the organization's private folder; with the files that `sequences` begin, as texts."""
        begins = self.packed.begins
        files = [source for source in self.corpus.train if begins[source.path] < sequences.size]
        private = private_folder(self._base, self._private, self.name)
        return training_folder(private, sequences, files, self.tokenizer)

    def _read(self) -> SourceReading:
        if self._reading is None:
            if partition := self._settings.partition:
                try:
                    self._reading = read_part(self._settings.source, partition, self._base)
                except InputError as error:
                    raise InputError(f"organizations.{self.name}.{error}") from None
            else:
                self._reading = self._read_from(self._settings.source, "source")
        return self._reading

    def _read_from(self, source: SourceSettings, setting: str) -> SourceReading:
        try:
            return read_source(source, self._base)
        except InputError as error:
            raise InputError(f"organizations.{self.name}.{setting}: {error}") from None

    def _filter_and_split(self, preparation_context: PreparationContext, count_tokens: Callable[[str], int]) -> Corpus:
        held_out = self._settings.held_out
        return prepare(
            self.name,
            self._read(),
            preparation_context.preparation,
            limit=self._settings.limit,
            split_seed=preparation_context.split_seed,
            count_tokens=count_tokens,
            excluded=preparation_context.excluded,
            held_out=self._read_from(held_out, "held_out") if held_out else None,
        )

    def _pack(self, corpus: Corpus, tokenizer: CodeTokenizer, preparation_context: PreparationContext) -> Packed:
        seed = packing_seed(
            preparation_context.split_seed,
            corpus.train_fingerprint,
            tokenizer.fingerprint,
            preparation_context.sequence_length,
        )
        cut = corpus.truncated_at
        shard = private_folder(self._base, self._private, self.name) / packing_key(seed, cut)
        if not shard.exists():
            store_packed(pack(corpus.train, tokenizer, preparation_context.sequence_length, seed, cut), shard)
        return load_packed(shard)

    def _require_sharing(self, purpose: str) -> None:
        if self.agreement.share != "data":
            raise BoundaryError(
                f"organizations.{self.name}.agreement.share: is 'weights', so raysim may not {purpose};"
                " write 'share: data' if the organization agrees, or leave that setting out"
            )


def _count(files: tuple[SourceFile, ...]) -> dict[str, int]:
    return {
        "files": len(files),
        "bytes": sum(f.num_bytes for f in files),
        "lines": sum(len(significant_lines(f.text)[0]) for f in files),
    }


def _count_held_out(files: tuple[SourceFile, ...], tokenizer: CodeTokenizer) -> dict[str, int]:
    return _count(files) | {"tokens": sum(len(tokenizer.encode(f.text)) for f in files), "sequences": 0}
