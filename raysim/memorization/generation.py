"""Lets a model continue prompts, many at once. Only used where there is a model, so torch is imported at the top."""

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from transformers import DynamicCache

from raysim.errors import InputError
from raysim.memorization.cache import share_out
from raysim.memorization.prompts import PREFIX, Tokenizer, split_batches
from raysim.memorization.sampling import draw, penalise_repetition, sample_uniforms
from raysim.memorization.settings import MemorizationSettings, Precision
from raysim.memorization.shared_prefix import SHARED_PREFIX, can_share_prefix
from raysim.training.models import context_of
from raysim.training.weights import assign

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GENERATION_SCHEMA = pa.schema(
    [
        ("prompt", pa.string()),
        ("sample", pa.int32()),
        ("text", pa.string()),
        ("lead", pa.int32()),
        ("new_tokens", pa.int32()),
        ("ended", pa.string()),
    ]
)

STOP, END_OF_FILE, LENGTH = "stop", "end of file", "length"

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}

# Steps between looks at what was generated, to find stop strings and to let go of rows that ended.
_CHECK_EVERY = 16
# Rows are let go of (which copies the cache) when at most this share of them goes on.
_KEEP_SHARE = 0.75


@dataclass
class _Rows:
    """The rows of one batch that still go on; the tensors' first dimension is the row.

    Attributes:
        index: int64, which row of the batch each is.
        seen: int64 ``[rows, length + new_tokens]``, prompt and continuation; padding repeats a token of the prompt.
        mask: bool ``[rows, length + new_tokens]``, False on padding.
        offsets: int64, padding tokens before the prompt.
        uniforms: float64 ``[rows, new_tokens]``.
    """

    index: torch.Tensor
    seen: torch.Tensor
    mask: torch.Tensor
    offsets: torch.Tensor
    uniforms: torch.Tensor

    def select(self, keep: torch.Tensor) -> "_Rows":
        return _Rows(self.index[keep], self.seen[keep], self.mask[keep], self.offsets[keep], self.uniforms[keep])


class Generator:
    """Continues prompts with one model whose weights can be exchanged.

    Prompts of similar length run together; each is read once and its cache shared by its samples.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: Tokenizer,
        settings: MemorizationSettings,
        threads: int = 1,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Takes over `model`: it is moved to `device` and cast to `dtype`."""
        # Module.to is typed as a method of the model class in a way that no checker follows.
        self._model: Any = torch.nn.Module.to(model, device=torch.device(device), dtype=dtype).eval()
        self._tokenizer = tokenizer
        self._settings = settings
        self._threads = threads
        self._device = torch.device(device)
        self._context = context_of(model.config)
        # transformers 5.24 renamed the argument.
        takes_cache = "cache" in inspect.signature(model.forward).parameters
        self._cache_argument = "cache" if takes_cache else "past_key_values"
        self._ends = sorted({tokenizer.bos_id, *_end_tokens(model.config.eos_token_id)})

    def generate(self, weights: npt.NDArray[np.float32] | None, prompts: pa.Table, seed: int) -> pa.Table:
        """Continues each prompt `settings.samples` times.

        Args:
            weights: flat weights to use from now on; None keeps the model's present ones.
            prompts: columns ``prompt``, ``kind``, ``organization``, ``tokens``, ``text`` of a prompts table.
            seed: the number behind every sample, together with the prompt and the sample's number.

        Returns:
            a table of `GENERATION_SCHEMA`, a row for each prompt and sample. ``text`` begins at the start of the line
            in which the continuation begins, so its first ``lead`` characters are the prompt's; it ends before the
            first stop string (not for prefix prompts) or the token that ends a file. ``new_tokens`` counts the tokens
            up to there, those of the stop string included.

        Raises:
            InputError: a prompt that fills the model's context.
        """
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            if weights is not None:
                assign(self._model, weights)
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
        tails = [_behind_last(row, self._tokenizer.bos_id) for row in tokens]
        new_tokens = self._new_tokens(prompts["prompt"].to_pylist(), tokens, limits, tails, stops, seed)
        rows = []
        for number, (prompt, tail, limit) in enumerate(zip(prompts["prompt"].to_pylist(), tails, limits, strict=True)):
            for sample in range(samples):
                generated = new_tokens[number * samples + sample][:limit]
                rows.append({"prompt": prompt, "sample": sample, **self._finish(tail, generated, stops)})
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
        mask = torch.arange(length + num_steps, device=self._device)[None, :] >= offsets[:, None]
        cache = DynamicCache(config=self._model.config)
        first = (torch.arange(length, device=self._device)[None, :] - offsets[:, None]).clamp_(min=0)
        logits = self._forward(padded, mask[:, :length], first, cache)
        logits = logits.repeat_interleave(samples, 0)
        share_prefix = can_share_prefix(self._model, cache)
        share_out(cache, mask[:, :length] if bool(offsets.any()) else None, samples, num_steps - 1, share_prefix)

        uniforms = sample_uniforms(seed, ids, samples, settings.new_tokens)
        rows = _Rows(
            index=torch.arange(len(logits), device=self._device),
            seen=torch.cat([padded, padded[:, :1].expand(-1, num_steps)], 1).repeat_interleave(samples, 0),
            mask=mask.repeat_interleave(samples, 0),
            offsets=offsets.repeat_interleave(samples),
            uniforms=torch.from_numpy(uniforms).to(self._device),
        )
        result: list[list[int]] = [[] for _ in range(len(logits))]
        ends = torch.tensor(self._ends, device=self._device)
        for step in range(num_steps):
            scores = penalise_repetition(logits, rows.seen[:, : length + step], settings.repetition_penalty)
            chosen = draw(scores, rows.uniforms[:, step], settings.temperature, settings.top_p)
            rows.seen[:, length + step] = chosen
            done = step + 1
            if done == num_steps:
                break
            if done % _CHECK_EVERY == 0:
                going = ~torch.isin(rows.seen[:, length : length + done], ends).any(1)
                if stops:
                    going &= self._without_stop(rows, going, length, done, tails, stops)
                # A prompt keeps all its rows as long as one goes on, because they share its cache.
                going = going.view(-1, samples).any(1).repeat_interleave(samples)
                kept = int(going.sum())
                if kept <= _KEEP_SHARE * len(going):
                    self._collect(rows, ~going, length, done, result)
                    if not kept:
                        return result
                    keep = going.nonzero()[:, 0]
                    rows, chosen = rows.select(keep), chosen[keep]
                    cache.batch_select_indices(keep)
            positions = length + step - rows.offsets
            if self._context is not None:
                positions = positions.clamp(max=self._context - 1)  # of rows beyond their limit, cut off later
            if share_prefix:
                logits = self._forward_shared(chosen[:, None], positions[:, None], cache)
            else:
                logits = self._forward(chosen[:, None], rows.mask[:, : length + done], positions[:, None], cache)
        self._collect(rows, torch.ones(len(rows.index), dtype=torch.bool), length, num_steps, result)
        return result

    def _forward(
        self,
        tokens: torch.Tensor,
        mask: torch.Tensor,
        positions: torch.Tensor,
        cache: DynamicCache,
        **options: Any,
    ) -> torch.Tensor:
        """Logits of the last position: float32 ``[rows, vocabulary]``."""
        output = self._model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            use_cache=True,
            logits_to_keep=1,
            **{self._cache_argument: cache},
            **options,
        )
        return output.logits[:, -1].float()

    def _forward_shared(self, tokens: torch.Tensor, positions: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
        config = self._model.config
        usual = config._attn_implementation
        config._attn_implementation = SHARED_PREFIX
        try:
            # The layers know the padding; a mask is given because models warn of a missing one where BOS also pads.
            return self._forward(tokens, torch.ones_like(tokens), positions, cache, shared_cache=cache)
        finally:
            config._attn_implementation = usual

    def _without_stop(
        self,
        rows: _Rows,
        going: torch.Tensor,
        length: int,
        done: int,
        tails: list[list[int]],
        stops: tuple[str, ...],
    ) -> torch.Tensor:
        """Which of the rows still going have no stop string among their last tokens."""
        # A token has at least one byte, so a stop string that ends in the new part begins within these.
        look_back = _CHECK_EVERY + max(len(stop.encode()) for stop in stops)
        recent = rows.seen[:, length : length + done][:, -look_back:].tolist()
        result = torch.ones_like(going)
        for row in going.nonzero()[:, 0].tolist():
            text = self._tokenizer.decode(recent[row])
            if any(stop in text for stop in stops):
                generated = rows.seen[row, length : length + done].tolist()
                tail = tails[int(rows.index[row]) // self._settings.samples]
                result[row] = self._continue(tail, generated, stops)[2] is None
        return result

    def _collect(self, rows: _Rows, which: torch.Tensor, length: int, done: int, result: list[list[int]]) -> None:
        which = which.to(rows.index.device)
        generated = rows.seen[which, length : length + done].tolist()
        for row, tokens in zip(rows.index[which].tolist(), generated, strict=True):
            result[row] = tokens

    def _continue(self, tail: list[int], generated: list[int], stops: tuple[str, ...]) -> tuple[str, int, int | None]:
        """Text from the start of the line, its lead, and where in the text the first stop string begins, if any."""
        prompt = self._tokenizer.decode(tail)
        begin = prompt.rfind("\n") + 1
        text = self._tokenizer.decode([*tail, *generated])[begin:]
        lead = prompt[begin:]
        num_lead = len(lead)
        if not text.startswith(lead):
            # The prompt ended inside a character, which the continuation completed or not.
            num_lead = next((i for i, (x, y) in enumerate(zip(lead, text, strict=False)) if x != y), len(text))
        found = [at for at in (text.find(stop, num_lead) for stop in stops) if at >= 0]
        return text, num_lead, min(found, default=None)

    def _finish(self, tail: list[int], generated: list[int], stops: tuple[str, ...]) -> dict[str, Any]:
        end = next((i for i, token in enumerate(generated) if token in self._ends), None)
        ended = LENGTH if end is None else END_OF_FILE
        tokens = generated[:end]
        text, lead, cut = self._continue(tail, tokens, stops)
        if cut is not None:
            ended = STOP
            text = text[:cut]
            low, high = 1, len(tokens)  # the fewest tokens with a stop string, by bisection
            while low < high:
                middle = (low + high) // 2
                if self._continue(tail, tokens[:middle], stops)[2] is None:
                    low = middle + 1
                else:
                    high = middle
            tokens = tokens[:low]
        return {"text": text, "lead": lead, "new_tokens": len(tokens), "ended": ended}


def _end_tokens(value: int | list[int] | None) -> list[int]:
    """Hugging Face configs name no, one or several tokens that end a text."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _behind_last(tokens: list[int], token: int) -> list[int]:
    return tokens[len(tokens) - tokens[::-1].index(token) :] if token in tokens else tokens
