"""Membership inference: what a model scores of text that it was trained on, and of text that it was not.

A score tells members from non-members only as far as it does so better than a guess without the model, so
`raysim.measures.membership.blind` goes with it (Duan et al., 2024, arXiv 2402.07841; Das et al., Blind Baselines Beat
Membership Inference Attacks, 2024, arXiv 2406.16201).
"""

import math
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from raysim.core.keys import seed_of
from raysim.core.settings import Settings, Share
from raysim.corpus.canaries import CANARIES
from raysim.corpus.files import SourceFile
from raysim.corpus.packing import PACKING_VERSION, PADDING, encode_validation, is_trained_on
from raysim.corpus.planted_functions import PLANTS
from raysim.inference.scoring import TokenScores, Window, score_tokens
from raysim.measures.when import CheckpointKinds
from raysim.organizations.organization import ModelSpec, Organization
from raysim.tables.schemas.audits import MEMBERSHIP
from raysim.training.weights import Flat

MEMBERSHIP_VERSION = 1
"""Numerics version of choosing and scoring units; part of their recipes."""

MEMBERSHIP_SCHEMA = MEMBERSHIP.without("model", "organization")


class MembershipSettings(Settings):
    """Whether scores tell training text from validation text, and how they are taken."""

    k: Share = Field(default=0.2, description="share of the least likely tokens that min_k and min_k_plus_plus average")
    chunk_tokens: int | None = Field(
        default=64, ge=1, description="length of the chunks of files that are told apart; null: whole files"
    )
    at_most: int = Field(
        default=500, ge=2, description="members, and as many non-members, drawn from each organization"
    )
    batch_size: int = Field(default=8, ge=1, description="windows scored together; sums round by it")
    when: CheckpointKinds = Field(default=("final",), description="which of a strategy's models are measured")

    def unit_recipe(self) -> dict[str, Any]:
        """The settings that decide what is told apart."""
        return {
            "kind": "units",
            "version": MEMBERSHIP_VERSION,
            "packing": PACKING_VERSION,  # says where training files lie, and so which were trained on to their end
            "chunk_tokens": self.chunk_tokens,
            "at_most": self.at_most,
        }

    def recipe(self) -> dict[str, Any]:
        """The settings that decide the scores."""
        compressor = f"zlib {zlib.ZLIB_RUNTIME_VERSION}"
        return {"units": self.unit_recipe(), "k": self.k, "batch_size": self.batch_size, "compressor": compressor}


@dataclass(frozen=True)
class Unit:
    """A file, or a chunk of one, that an attacker would tell to be a member or not.

    Attributes:
        file: path within its organization.
        chunk: its number in the file, from 0; 0 for a whole file.
        member: whether it is in the training split.
        windows: its tokens, each predicted once.
        text: what is predicted.
    """

    file: str
    chunk: int
    member: bool
    windows: tuple[Window, ...]
    text: str


def units_of(
    organization: Organization, settings: MembershipSettings, sequence_length: int, split_seed: int
) -> list[Unit]:
    """Members and non-members of one organization: the same for all models.

    A file's rest that makes no whole chunk is left out, as scores of fewer tokens spread more; so is what no sequence
    holds (the tail of the training split, and what is truncated of a file), and files that are canaries, which no
    validation file is like. Canaries planted as lines stay, and the blind guess may tell members by them. Validation
    files that repeat lines of training files are non-members all the same, which makes attacks look weaker (Duan et
    al.).
    """
    corpus, packed = organization.corpus, organization.packed
    trained = [source for source in corpus.train if source.repository not in (CANARIES, PLANTS)]
    length = settings.chunk_tokens or sequence_length
    found: list[Unit] = []
    for member, files in ((True, trained), (False, corpus.valid)):
        units: list[Unit] = []
        for unit, end in _units(organization, files, length, member, whole=settings.chunk_tokens is None):
            if not member or is_trained_on(corpus, packed, unit.file, end):
                units.append(unit)
        seed = seed_of(split_seed, "membership", corpus.train_fingerprint, corpus.valid_fingerprint, int(member))
        drawn = np.random.Generator(np.random.Philox(seed)).permutation(len(units))[: settings.at_most]
        found += [units[i] for i in sorted(drawn)]
    return found


def _units(
    organization: Organization, files: Iterable[SourceFile], length: int, member: bool, whole: bool
) -> Iterator[tuple[Unit, int]]:
    """Units of `files`, each with the number of its file's tokens up to its end."""
    tokenizer = organization.tokenizer
    for file, windows, _ in encode_validation(tuple(files), tokenizer, length):
        real = [window[window != PADDING] for window in windows]
        if whole:
            tokens = [token for window in real for token in window[1:].tolist()]
            if tokens:
                yield Unit(file, 0, member, tuple(real), tokenizer.decode(tokens)), len(tokens)
            continue
        for chunk, window in enumerate(real):
            if len(window) == length + 1:
                text = tokenizer.decode(window[1:].tolist())
                yield Unit(file, chunk, member, (window,), text), (chunk + 1) * length


def membership_scores(
    organization: Organization,
    weights: Flat,
    spec: ModelSpec,
    settings: MembershipSettings,
    sequence_length: int,
    split_seed: int,
    threads: int,
) -> pa.Table:
    """Runs inside the organization; scores every unit. A member should have a lower loss and zlib, a higher min_k.

    Returns:
        A row a unit: ``loss`` (mean nats a token, Yeom et al., CSF 2018), ``min_k`` (Shi et al., 2024,
        arXiv 2310.16789), ``min_k_plus_plus`` (Zhang et al., 2024, arXiv 2404.02936), ``zlib`` (nats over bits of the
        compressed text, after Carlini et al., USENIX Security 2021). They divide the mean loss of a token by these
        bits, of texts that are all as long; here all nats are divided, which orders chunks alike, and does not tell
        whole files by their length.
    """
    units = units_of(organization, settings, sequence_length, split_seed)
    model = organization.scoring_model(spec, weights, threads)
    windows = [window for unit in units for window in unit.windows]
    scores = iter(score_tokens(model, windows, settings.batch_size))
    rows = [_row(unit, [next(scores) for _ in unit.windows], settings.k) for unit in units]
    return pa.Table.from_pylist(rows, schema=MEMBERSHIP_SCHEMA)


def _row(unit: Unit, scores: list[TokenScores], k: float) -> dict[str, Any]:
    log_probs = np.concatenate([score.log_probs for score in scores])
    normalised = np.concatenate([score.normalised for score in scores])
    nats = -float(log_probs.sum())
    return {
        "file": unit.file,
        "chunk": unit.chunk,
        "member": unit.member,
        "tokens": len(log_probs),
        "loss": nats / len(log_probs),
        "min_k": mean_of_lowest(log_probs, k),
        "min_k_plus_plus": mean_of_lowest(normalised, k),
        "zlib": nats / (8 * len(zlib.compress(unit.text.encode()))),
    }


def mean_of_lowest(values: npt.NDArray[np.float64], k: float) -> float:
    """Mean of the lowest share `k` of `values`, of one at least."""
    # Rounded to nine places first: in binary, 0.29 * 100 is a little under 29.
    count = max(1, math.floor(round(k * len(values), 9)))
    return float(np.sort(values)[:count].mean())
