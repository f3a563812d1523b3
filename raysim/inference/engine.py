"""Lets a model continue prompts, many at once. Only used where there is a model, so torch is imported at the top."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from raysim.core.errors import InputError
from raysim.corpus.tokenizer import Tokenizer
from raysim.inference.decoder import read_prompts, rows_of
from raysim.inference.families import fuse_activations
from raysim.inference.filtered_sample import FilteredSample, cut_blocked
from raysim.inference.numerics import converted, round_weights
from raysim.inference.output_filter import BLOCKS_FIELDS, NO_BEGINNING, Beginning, LineWatch, OutputFilter
from raysim.inference.prompts import PREFIX, split_batches
from raysim.inference.sampling import draw, penalise_repetition, redrawn_uniforms, sample_uniforms
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

FILTERED_SCHEMA = pa.schema([*GENERATION_SCHEMA, *BLOCKS_FIELDS])
"""Of what is generated under an output filter."""

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


@dataclass(frozen=True)
class _Asked:
    """A prompt that is gone on with.

    Attributes:
        tokens: of the prompt.
        tail: those behind its last BOS.
        limit: tokens that may follow the prompt.
        beginning: what its text begins continuations with, for an output filter.
        kept: tokens behind it that are drawn already; they count as those of the continuation.
    """

    tokens: list[int]
    tail: list[int]
    limit: int
    beginning: Beginning
    kept: tuple[int, ...] = ()


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
        output_filter: OutputFilter | None = None,
    ) -> None:
        """Takes over `model`: it is moved to `device`, converted to `numerics` and its activations are fused.

        `output_filter`: what no continuation may repeat; None: there is none.
        """
        self._numerics: Numerics = numerics
        self._model = converted(model, numerics, device)
        fuse_activations(self._model)
        self._settings = settings
        self._threads = threads
        self._filter = output_filter
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
            tokens up to there, those of the stop string included. With an output filter a table of `FILTERED_SCHEMA`,
            where a text may end before the first line that the filter blocks.

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
        return pa.concat_tables(tables) if tables else self._schema.empty_table()

    @property
    def _schema(self) -> pa.Schema:
        return FILTERED_SCHEMA if self._filter else GENERATION_SCHEMA

    def _generate_batch(self, prompts: pa.Table, seed: int) -> pa.Table:
        samples = self._settings.samples
        ids: list[str] = prompts["prompt"].to_pylist()
        stops = () if prompts["kind"][0].as_py() == PREFIX else self._settings.stop
        prompted = [
            _Asked(tokens, self._endings.tail(tokens), self._limit(len(tokens)), self._beginning(text))
            for tokens, text in zip(prompts["tokens"].to_pylist(), prompts["text"].to_pylist(), strict=True)
        ]
        uniforms = sample_uniforms(seed, ids, samples, self._settings.new_tokens)
        generated = self._new_tokens(prompted, samples, uniforms, stops)
        numbered = [(prompt, sample) for prompt in ids for sample in range(samples)]
        asked = [one for one in prompted for _ in range(samples)]
        answers = [self._finish(*row, stops) for row in zip(asked, generated, strict=True)]
        if self._filter:
            answers = self._filtered(self._filter, numbered, asked, generated, answers, stops, seed)
        rows = [
            {"prompt": prompt, "sample": sample, **answer}
            for (prompt, sample), answer in zip(numbered, answers, strict=True)
        ]
        return pa.Table.from_pylist(rows, schema=self._schema)

    def _beginning(self, text: str) -> Beginning:
        return self._filter.beginning(text) if self._filter else NO_BEGINNING

    def _finish(self, one: _Asked, tokens: list[int], stops: tuple[str, ...]) -> dict[str, Any]:
        return self._endings.finish(one.tail, [*one.kept, *tokens][: one.limit], stops)

    def _filtered(
        self,
        output_filter: OutputFilter,
        numbered: list[tuple[str, int]],
        asked: list[_Asked],
        generated: list[list[int]],
        answers: list[dict[str, Any]],
        stops: tuple[str, ...],
        seed: int,
    ) -> list[dict[str, Any]]:
        """What the filter leaves of samples; blocked ones are drawn anew from the start of the line, if it says so.

        Args:
            output_filter: is applied.
            numbered: prompt and number of each sample.
            asked: of each.
            generated: its tokens.
            answers: what they come to without a filter.
            stops: stop strings.
            seed: behind all samples.
        """
        samples = [
            FilteredSample(one.tail, one.beginning, tokens[: one.limit], answer)
            for one, tokens, answer in zip(asked, generated, answers, strict=True)
        ]
        cut_blocked(output_filter, samples, self._endings)
        for attempt in range(1, output_filter.attempts + 1):
            again = [number for number, sample in enumerate(samples) if sample.block]
            if not again:
                break
            uniforms = redrawn_uniforms(seed, [numbered[i] for i in again], attempt, self._settings.new_tokens)
            rest = [replace(asked[i], kept=tuple(samples[i].kept)) for i in again]
            for number, one, tokens in zip(again, rest, self._new_tokens(rest, 1, uniforms, stops), strict=True):
                samples[number].tokens = [*one.kept, *tokens][: one.limit]
                samples[number].answer = self._finish(one, tokens, stops)
            cut_blocked(output_filter, [samples[i] for i in again], self._endings)
        return [sample.result() for sample in samples]

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
        self, asked: list[_Asked], samples: int, uniforms: npt.NDArray[np.float64], stops: tuple[str, ...]
    ) -> list[list[int]]:
        """The raw continuations, a list for each row (samples of a prompt in a row), at least up to where each ends.

        What is asked may have tokens that are kept, which are no part of the list.
        """
        settings, num_steps = self._settings, max(one.limit - len(one.kept) for one in asked)
        tokens = [[*one.tokens, *one.kept] for one in asked]
        length = max(map(len, tokens))
        padded = torch.tensor([[row[0]] * (length - len(row)) + row for row in tokens], device=self._device)
        offsets = torch.tensor([length - len(row) for row in tokens], device=self._device)
        logits, decoder = read_prompts(self._model, padded, offsets, samples, num_steps - 1)
        rows = _Rows(
            index=torch.arange(len(logits), device=self._device),
            seen=torch.cat([padded, padded[:, :1].expand(-1, num_steps)], 1).repeat_interleave(samples, 0),
            offsets=offsets.repeat_interleave(samples),
            uniforms=torch.from_numpy(uniforms).to(self._device),
            going=torch.ones(len(logits), dtype=torch.bool, device=self._device),
        )
        result: list[list[int]] = [[] for _ in range(len(logits))]
        ends = torch.tensor(self._endings.tokens, device=self._device)
        beginnings = [one.beginning for one in asked for _ in range(samples)]
        watch = LineWatch(self._filter, self._endings.decode, beginnings) if self._filter else None
        for step in range(num_steps):
            scores = penalise_repetition(logits, rows.seen[:, : length + step], settings.repetition_penalty)
            chosen = draw(scores, rows.uniforms[:, step], settings.temperature, settings.top_p)
            rows.seen[:, length + step] = chosen
            done = step + 1
            if done == num_steps:
                break
            if done % _CHECK_EVERY == 0:
                rows.going &= ~torch.isin(rows.seen[:, length : length + done], ends).any(1)
                new = rows.seen[:, length : length + done]
                if stops:
                    self._look_for_stops(rows, new, [asked[i // samples] for i in rows.index.tolist()], stops)
                if watch:
                    self._look_for_windows(rows, new, [asked[i // samples] for i in rows.index.tolist()], watch)
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

    def _look_for_stops(self, rows: _Rows, new: torch.Tensor, asked: list[_Asked], stops: tuple[str, ...]) -> None:
        """Ends the rows that have a stop string among their last tokens; `new`: those drawn until now."""
        # A token has at least one byte, so a stop string that ends in the new part begins within these.
        look_back = _CHECK_EVERY + max(len(stop.encode()) for stop in stops)
        recent = new[:, -look_back:].tolist()
        for row in rows.going.nonzero()[:, 0].tolist():
            if self._endings.may_stop(recent[row], stops):
                one = asked[row]
                rows.going[row] = not self._endings.stopped(one.tail, [*one.kept, *new[row].tolist()], stops)

    def _look_for_windows(self, rows: _Rows, new: torch.Tensor, asked: list[_Asked], watch: LineWatch) -> None:
        """Ends the rows whose finished lines complete a window of the filter."""
        index, tokens = rows.index.tolist(), new.tolist()
        going = rows.going.nonzero()[:, 0].tolist()
        generated = {index[row]: [*asked[row].kept, *tokens[row]] for row in going}
        hits = set(watch.hits(generated))
        for row in [row for row in going if index[row] in hits]:
            text = self._endings.text(asked[row].tail, generated[index[row]])
            finished = text[: text.rfind("\n") + 1]
            rows.going[row] = watch.filter.first_blocks([asked[row].beginning], [finished]) == [None]

    def _collect(self, rows: _Rows, which: torch.Tensor, length: int, done: int, result: list[list[int]]) -> None:
        which = which.to(rows.index.device)
        generated = rows.seen[which, length : length + done].tolist()
        for row, tokens in zip(rows.index[which].tolist(), generated, strict=True):
            result[row] = tokens
