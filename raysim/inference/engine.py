"""Lets a model continue prompts, many at once. Only used where there is a model, so torch is imported at the top."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from raysim.core.errors import InputError
from raysim.corpus.tokenizer import Tokenizer
from raysim.inference.decoder import read_prompts, rows_of
from raysim.inference.families import fuse_activations
from raysim.inference.numerics import converted, round_weights
from raysim.inference.prompts import PREFIX, split_batches
from raysim.inference.sampling import draw, penalise_repetition, sample_uniforms
from raysim.inference.settings import Numerics, Sampling
from raysim.inference.stopping import Endings
from raysim.tables.schemas.generations import GENERATIONS
from raysim.training.lora import assign_merged
from raysim.training.models import context_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GENERATION_SCHEMA = pa.schema(
    [
        *GENERATIONS.fields("prompt", "sample"),
        ("text", pa.string()),
        *GENERATIONS.fields("new_tokens", "ended"),
    ]
)

# Steps between looks at what was generated, to find stop strings and to drop rows that ended.
_CHECK_EVERY = 16
# Prompts are dropped (which copies the cache) when at most this share of them goes on.
_KEEP_SHARE = 0.75


@dataclass
class _Rows:
    """The rows of a batch that still go on; the tensors' first dimension is the row.

    Attributes:
        index: int64, which row of the batch each is.
        seen: int64 ``[rows, length + new_tokens]``, prompt and continuation; padding repeats a token of the prompt.
        offsets: int64, padding tokens before the prompt.
        uniforms: float64 ``[rows, new_tokens]``.
        going: bool, False once an end was found.
    """

    index: torch.Tensor
    seen: torch.Tensor
    offsets: torch.Tensor
    uniforms: torch.Tensor
    going: torch.Tensor

    def select(self, keep: torch.Tensor) -> "_Rows":
        return _Rows(**{name: tensor[keep] for name, tensor in vars(self).items()})


class Generator:
    """Continues prompts with one model whose weights can be exchanged.

    Prompts of similar length run together; each is read once and its cache shared by its samples.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: Tokenizer,
        settings: Sampling,
        threads: int = 1,
        device: str = "cpu",
        numerics: Numerics = "fp32",
    ) -> None:
        """Takes over `model`: it is moved to `device`, converted to `numerics` and its activations are fused."""
        self._numerics: Numerics = numerics
        self._model = converted(model, numerics, device)
        fuse_activations(self._model)
        self._settings = settings
        self._threads = threads
        self._device = torch.device(device)
        self._context = context_of(model.config)
        self._endings = Endings(tokenizer, model.config.eos_token_id, settings.clean_up_spaces)

    def generate(self, weights: npt.NDArray[np.float32] | None, prompts: pa.Table, seed: int) -> pa.Table:
        """Continues each prompt `settings.samples` times.

        Args:
            weights: flat weights to use from now on; None keeps the model's present ones.
            prompts: columns ``prompt``, ``kind``, ``organization``, ``tokens``, ``text`` of a prompts table.
            seed: the number behind every sample, together with the prompt and the sample's number.

        Returns:
            a table of `GENERATION_SCHEMA`, a row for each prompt and sample. ``text`` is the continuation alone, up to
            the first stop string (not for prefix prompts) or the token that ends a file. ``new_tokens`` counts the
            tokens up to there, those of the stop string included.

        Raises:
            InputError: a prompt that fills the model's context.
        """
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            if weights is not None:
                assign_merged(self._model, weights)
                round_weights(self._model, self._numerics)
            with torch.inference_mode():
                tables = [self._generate_batch(batch, seed) for batch in split_batches(prompts, self._settings)]
        finally:
            torch.set_num_threads(before)
        return pa.concat_tables(tables) if tables else GENERATION_SCHEMA.empty_table()

    def _generate_batch(self, prompts: pa.Table, seed: int) -> pa.Table:
        samples = self._settings.samples
        tokens: list[list[int]] = prompts["tokens"].to_pylist()
        stops = () if prompts["kind"][0].as_py() == PREFIX else self._settings.stop
        limits = [self._limit(len(row)) for row in tokens]
        tails = [self._endings.tail(row) for row in tokens]
        new_tokens = self._new_tokens(prompts["prompt"].to_pylist(), tokens, limits, tails, stops, seed)
        rows = []
        for number, (prompt, tail, limit) in enumerate(zip(prompts["prompt"].to_pylist(), tails, limits, strict=True)):
            for sample in range(samples):
                generated = new_tokens[number * samples + sample][:limit]
                rows.append({"prompt": prompt, "sample": sample, **self._endings.finish(tail, generated, stops)})
        return pa.Table.from_pylist(rows, schema=GENERATION_SCHEMA)

    def _limit(self, prompt_tokens: int) -> int:
        """Tokens that may follow a prompt."""
        if self._context is None:
            return self._settings.new_tokens
        if prompt_tokens >= self._context:
            raise InputError(
                f"measure.memorization: a prompt of {prompt_tokens} tokens fills the model's context of "
                f"{self._context}; lower prefix_tokens or function_tokens"
            )
        return min(self._settings.new_tokens, self._context - prompt_tokens)

    def _new_tokens(
        self,
        ids: list[str],
        tokens: list[list[int]],
        limits: list[int],
        tails: list[list[int]],
        stops: tuple[str, ...],
        seed: int,
    ) -> list[list[int]]:
        """The raw continuations, a list for each row (samples of a prompt in a row), at least up to where each ends."""
        settings = self._settings
        samples, num_steps = settings.samples, max(limits)
        length = max(map(len, tokens))
        padded = torch.tensor([[row[0]] * (length - len(row)) + row for row in tokens], device=self._device)
        offsets = torch.tensor([length - len(row) for row in tokens], device=self._device)
        logits, decoder = read_prompts(self._model, padded, offsets, samples, num_steps - 1)
        uniforms = sample_uniforms(seed, ids, samples, settings.new_tokens)
        rows = _Rows(
            index=torch.arange(len(logits), device=self._device),
            seen=torch.cat([padded, padded[:, :1].expand(-1, num_steps)], 1).repeat_interleave(samples, 0),
            offsets=offsets.repeat_interleave(samples),
            uniforms=torch.from_numpy(uniforms).to(self._device),
            going=torch.ones(len(logits), dtype=torch.bool, device=self._device),
        )
        result: list[list[int]] = [[] for _ in range(len(logits))]
        ends = torch.tensor(self._endings.tokens, device=self._device)
        for step in range(num_steps):
            scores = penalise_repetition(logits, rows.seen[:, : length + step], settings.repetition_penalty)
            chosen = draw(scores, rows.uniforms[:, step], settings.temperature, settings.top_p)
            rows.seen[:, length + step] = chosen
            done = step + 1
            if done == num_steps:
                break
            if done % _CHECK_EVERY == 0:
                rows.going &= ~torch.isin(rows.seen[:, length : length + done], ends).any(1)
                if stops:
                    self._look_for_stops(rows, length, done, tails, stops)
                # A prompt keeps all its rows as long as one goes on, because they share its cache.
                prompts = rows.going.view(-1, samples).any(1)
                if int(prompts.sum()) <= _KEEP_SHARE * len(prompts):
                    self._collect(rows, ~prompts.repeat_interleave(samples), length, done, result)
                    if not bool(prompts.any()):
                        return result
                    kept = prompts.nonzero()[:, 0]
                    decoder.select(kept)
                    keep = rows_of(kept, samples)
                    rows, chosen = rows.select(keep), chosen[keep]
            positions = length + step - rows.offsets
            if self._context is not None:
                positions = positions.clamp(max=self._context - 1)  # of rows beyond their limit, cut off later
            logits = decoder.step(chosen, positions)
        self._collect(rows, torch.ones(len(rows.index), dtype=torch.bool), length, num_steps, result)
        return result

    def _look_for_stops(
        self, rows: _Rows, length: int, done: int, tails: list[list[int]], stops: tuple[str, ...]
    ) -> None:
        """Ends the rows that have a stop string among their last tokens."""
        # A token has at least one byte, so a stop string that ends in the new part begins within these.
        look_back = _CHECK_EVERY + max(len(stop.encode()) for stop in stops)
        recent = rows.seen[:, length : length + done][:, -look_back:].tolist()
        for row in rows.going.nonzero()[:, 0].tolist():
            if self._endings.may_stop(recent[row], stops):
                generated = rows.seen[row, length : length + done].tolist()
                tail = tails[int(rows.index[row]) // self._settings.samples]
                rows.going[row] = not self._endings.stopped(tail, generated, stops)

    def _collect(self, rows: _Rows, which: torch.Tensor, length: int, done: int, result: list[list[int]]) -> None:
        which = which.to(rows.index.device)
        generated = rows.seen[which, length : length + done].tolist()
        for row, tokens in zip(rows.index[which].tolist(), generated, strict=True):
            result[row] = tokens
