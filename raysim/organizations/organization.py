"""An organization: a plain class, which alone holds its files. A backend makes an actor of it, or calls it here."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raysim.core.errors import BoundaryError, InputError
from raysim.core.keys import key_of
from raysim.core.spool import Spool
from raysim.corpus.canaries import CanarySettings, plant
from raysim.corpus.corpus import Corpus, Packed
from raysim.corpus.deduplication import Excluded
from raysim.corpus.diversity import line_spectrum
from raysim.corpus.duplicates import duplicate_lines
from raysim.corpus.file_licences import find_licences, only_agreed
from raysim.corpus.files import SourceFile
from raysim.corpus.languages import languages_of
from raysim.corpus.lines import significant_lines
from raysim.corpus.packing import load_packed, pack, packing_key, packing_seed, store_packed, tokenize_files
from raysim.corpus.part_reading import forget_parts, read_part
from raysim.corpus.planted_functions import PlantSettings, plant_functions
from raysim.corpus.preparation import candidates, prepare
from raysim.corpus.preparation_settings import PreparationSettings
from raysim.corpus.prose import as_prose
from raysim.corpus.sequence_canaries import SequenceCanaries, SequenceCanarySettings, draw_sequence_canaries
from raysim.corpus.sources import SourceReading, SourceSettings, read_source
from raysim.corpus.token_cache import TokenCache, encode_files
from raysim.corpus.tokenizer import CodeTokenizer
from raysim.organizations.client_stats import ClientStats
from raysim.organizations.private_folder import private_folder
from raysim.organizations.settings import OrganizationSettings
from raysim.organizations.training_client import TrainingClient
from raysim.organizations.training_folder import training_folder
from raysim.training.model_host import ModelMemory
from raysim.training.model_host import ModelSpec as ModelSpec  # re-exported for measures


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
    sequence_canaries: SequenceCanarySettings | None = None


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
        self._sequence_canaries: SequenceCanaries | None = None
        self._sequences: npt.NDArray[np.int32] | None = None
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
        self._require_sharing("pool its code with others' (centralized, replay)")
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
        return candidates(
            self._read(preparation_context.preparation),
            preparation_context.preparation,
            preparation_context.split_seed,
        )

    def prepare(self, preparation_context: PreparationContext) -> ClientStats:
        """Reads, filters and splits the corpus, plants canaries, packs it, once; gives counts and fingerprints.

        Raises:
            InputError: missing source, nothing left after the filters, or less than one sequence.
        """
        tokenizer = self._tokenizer = preparation_context.tokenizer
        assert tokenizer is not None, "it is trained before"
        tokens = TokenCache(tokenizer, Spool(self.folder))  # of its own, which goes with it
        corpus = self._filter_and_split(preparation_context, tokens.num_tokens, tokens.encode_batch)
        try:
            if preparation_context.canaries and preparation_context.canaries.planted_in(self.name):
                corpus = plant(corpus, preparation_context.canaries, preparation_context.split_seed)
            if preparation_context.plants and preparation_context.plants.planted_in(self.name):
                corpus = plant_functions(corpus, preparation_context.plants, preparation_context.split_seed)
            self._packed = self._pack(corpus, tokens, preparation_context)
            audited = self._plant_sequences(tokenizer, preparation_context)
        except InputError as error:
            raise InputError(f"organizations.{self.name}: {error}") from None
        self._corpus, self._reading = corpus, None
        duplicated, _ = duplicate_lines(corpus.train, preparation_context.min_lines, self.folder)
        self._stats = ClientStats(
            organization=self.name,
            train_fingerprint=key_of({**audited, "files": corpus.trained_fingerprint})
            if audited
            else corpus.trained_fingerprint,
            valid_fingerprint=corpus.valid_fingerprint,
            splits={
                "train": _count(corpus.train)
                | {"tokens": sum(end - start for _, start, end in self._packed.file_spans)}
                | {"sequences": len(self.training_sequences())},
                "valid": _count_held_out(corpus.valid, tokens),
                **(
                    {"test": _count_held_out(corpus.test, tokens)} if preparation_context.preparation.split.test else {}
                ),
            },
            drops=tuple(drop.to_json() for drop in corpus.drops),
            licences=dict(Counter(f.licence or "not stated" for f in corpus.train)),
            duplicate_lines=duplicated,
            line_spectrum=line_spectrum(corpus.train, self.folder),
            test_fingerprint=corpus.test_fingerprint,
            redactions=tuple(row.to_json() for row in corpus.redactions),
            languages=languages_of((*corpus.train, *corpus.valid)),
            obfuscations=tuple(row.to_json() for row in corpus.obfuscations),
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
        files = (*corpus.owned, *corpus.valid, *corpus.test) if corpus else ()
        return sum(source.held_bytes for source in (*files, *(self._reading.files if self._reading else ())))

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
        """Token ids ``[num_sequences, sequence_length]``, memory-mapped; with sequence canaries, behind the others, a
        copy."""
        return self.packed.sequences if self._sequences is None else self._sequences

    @property
    def sequence_canaries(self) -> SequenceCanaries:
        """Those that it has, put in or not."""
        assert self._sequence_canaries is not None, "it has some, and prepare() comes first"
        return self._sequence_canaries

    def training_folder(self, sequences: npt.NDArray[np.int32]) -> AbstractContextManager[Path]:
        """As for all clients, in the organization's private folder; with the files that `sequences` begin, as texts."""
        begins, end = self.packed.begins, min(sequences.size, self.packed.sequences.size)  # canaries are in no file
        files = [source for source in self.corpus.train if begins[source.path] < end]
        return training_folder(self.folder, sequences, files, self.tokenizer)

    @cached_property
    def _spool(self) -> Spool:
        """Where its texts are that do not fit into memory."""
        return Spool(self.folder)

    @property
    def folder(self) -> Path:
        """Its private folder on this machine."""
        return private_folder(self._base, self._private, self.name)

    def _read(self, preparation: PreparationSettings) -> SourceReading:
        if self._reading is None:
            if partition := self._settings.partition:
                source, where = self._settings.source, f"organizations.{self.name}."
                reading = read_part(source, partition, self._base, self._spool, preparation.find_licences, where)
                self._reading = self._agreed(reading, preparation)
            else:
                self._reading = self._read_from(self._settings.source, "source", preparation)
        return self._reading

    def _read_from(self, source: SourceSettings, setting: str, preparation: PreparationSettings) -> SourceReading:
        try:
            reading = read_source(source, self._base, spool=self._spool)
        except InputError as error:
            raise InputError(f"organizations.{self.name}.{setting}: {error}") from None
        return self._agreed(find_licences(reading, preparation.find_licences, source.folder(self._base)), preparation)

    def _agreed(self, reading: SourceReading, preparation: PreparationSettings) -> SourceReading:
        """What was read, or its prose, without files of which the agreement allows to make no use."""
        agreed = only_agreed(reading, self.agreement.train_on)
        return as_prose(agreed, self._spool) if preparation.domain == "text" else agreed

    def _filter_and_split(
        self,
        preparation_context: PreparationContext,
        count_tokens: Callable[[str], int],
        tokenize_ahead: Callable[[Sequence[str]], object] = tuple,
    ) -> Corpus:
        held_out, preparation = self._settings.held_out, preparation_context.preparation
        return prepare(
            self.name,
            self._read(preparation),
            preparation,
            limit=self._settings.limit,
            split_seed=preparation_context.split_seed,
            count_tokens=count_tokens,
            tokenize_ahead=tokenize_ahead,
            excluded=preparation_context.excluded,
            held_out=self._read_from(held_out, "held_out", preparation) if held_out else None,
        )

    def _pack(self, corpus: Corpus, tokens: TokenCache, preparation_context: PreparationContext) -> Packed:
        seed = packing_seed(
            preparation_context.split_seed,
            corpus.train_fingerprint,
            self.tokenizer.fingerprint,
            preparation_context.sequence_length,
        )
        cut = corpus.truncated_at
        shard = self.folder / packing_key(seed, cut)
        if not shard.exists():
            packed = pack(corpus.train, tokens, preparation_context.sequence_length, seed, cut, self.folder)
            store_packed(packed, shard)
        return load_packed(shard)

    def _plant_sequences(self, tokenizer: CodeTokenizer, preparation_context: PreparationContext) -> dict[str, Any]:
        """Puts sequence canaries behind the packed sequences; what names them, nothing if there are none."""
        settings = preparation_context.sequence_canaries
        if settings is None or not settings.planted_in(self.name):
            return {}
        place = self.name, preparation_context.split_seed, preparation_context.sequence_length
        drawn = draw_sequence_canaries(settings, *place, tokenizer.vocab_size, tokenizer.bos_id)
        self._sequence_canaries = drawn
        self._sequences = np.concatenate([self.packed.sequences, drawn.planted])
        self._sequences.flags.writeable = False
        return {**settings.recipe(), "place": place, "tokenizer": tokenizer.fingerprint}

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


def _count_held_out(files: tuple[SourceFile, ...], tokens: TokenCache) -> dict[str, int]:
    return _count(files) | {"tokens": sum(len(ids) - 1 for ids in encode_files(files, tokens)), "sequences": 0}
