"""Where a continuation ends: at a stop string, at a token that ends a file, or at its longest length."""

from typing import Any

from raysim.corpus.tokenizer import Tokenizer
from raysim.inference.prompts import open_line

STOP, END_OF_FILE, LENGTH = "stop", "end of file", "length"

_CLEANED = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")


def clean_up_spaces(text: str) -> str:
    """Takes out blanks before punctuation and English contractions, one rule after the other.

    What transformers does to text that it decodes with `clean_up_tokenization_spaces`
    (`PreTrainedTokenizerBase.clean_up_tokenization`, a method of its tokenizers, which are not used here). Stop strings
    are looked for before.
    """
    for spaced in _CLEANED:
        text = text.replace(spaced, spaced.strip())
    return text


class Endings:
    """Converts the tokens behind a prompt into the text that counts.

    Attributes:
        tokens: those that end a file, ascending.
    """

    def __init__(self, tokenizer: Tokenizer, eos: int | list[int] | None, clean_up: bool = False) -> None:
        """`eos` is what a Hugging Face config names: no, one or several tokens that end a text.

        `clean_up` says whether continuations end as `clean_up_spaces` leaves them.
        """
        self._clean_up = clean_up
        self._tokenizer = tokenizer
        named = eos if isinstance(eos, list) else [] if eos is None else [eos]
        self.tokens = sorted({tokenizer.bos_id, *named})

    def tail(self, prompt: list[int]) -> list[int]:
        """The tokens of a prompt behind its last BOS: the file that goes on."""
        bos = self._tokenizer.bos_id
        return prompt[len(prompt) - prompt[::-1].index(bos) :] if bos in prompt else prompt

    def may_stop(self, recent: list[int], stops: tuple[str, ...]) -> bool:
        """Whether one of `stops` occurs in the text of the tokens `recent`, and so perhaps in the continuation."""
        text = self._tokenizer.decode(recent)
        return any(stop in text for stop in stops)

    def stopped(self, tail: list[int], generated: list[int], stops: tuple[str, ...]) -> bool:
        """Whether one of `stops` occurs in the continuation."""
        return self._read(tail, generated, stops)[1] is not None

    def text(self, tail: list[int], generated: list[int]) -> str:
        """The continuation of tokens among which none ends a file, as it counts."""
        return self._cleaned(self._read(tail, generated, ())[0])

    def decode(self, tokens: list[int]) -> str:
        """The text of some tokens by themselves, as it counts."""
        return self._cleaned(self._tokenizer.decode(tokens))

    def num_tokens(self, tail: list[int], generated: list[int], length: int) -> int:
        """The fewest of `generated` whose text has `length` characters."""
        low, high = 0, len(generated)
        while low < high:
            middle = (low + high) // 2
            if len(self.text(tail, generated[:middle])) >= length:
                high = middle
            else:
                low = middle + 1
        return low

    def finish(self, tail: list[int], generated: list[int], stops: tuple[str, ...]) -> dict[str, Any]:
        """The columns text, new_tokens and ended of `raysim.inference.engine.GENERATION_SCHEMA`."""
        end = next((i for i, token in enumerate(generated) if token in self.tokens), None)
        ended = LENGTH if end is None else END_OF_FILE
        tokens = generated[:end]
        text, cut = self._read(tail, tokens, stops)
        if cut is not None:
            ended = STOP
            text = text[:cut]
            low, high = 1, len(tokens)  # the fewest tokens with a stop string, by bisection
            while low < high:
                middle = (low + high) // 2
                if self.stopped(tail, tokens[:middle], stops):
                    high = middle
                else:
                    low = middle + 1
            tokens = tokens[:low]
        return {"text": self._cleaned(text), "new_tokens": len(tokens), "ended": ended}

    def _cleaned(self, text: str) -> str:
        return clean_up_spaces(text) if self._clean_up else text

    def _read(self, tail: list[int], generated: list[int], stops: tuple[str, ...]) -> tuple[str, int | None]:
        """The continuation, nothing of the prompt in it, and where in it the first stop string begins, if any."""
        prompt, whole = self._tokenizer.decode(tail), self._tokenizer.decode([*tail, *generated])
        # A character that the prompt ends inside is the continuation's.
        kept = prompt.removesuffix(open_line(prompt)[1])
        # Some tokenizers decode tokens otherwise where more follow, which makes no text of the prompt generated.
        text = whole[len(kept) :] if whole.startswith(kept) else self._tokenizer.decode(generated)
        found = [at for at in map(text.find, stops) if at >= 0]
        return text, min(found, default=None)
