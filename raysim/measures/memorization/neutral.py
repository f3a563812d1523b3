"""Neutral prompts: from public code that nobody is trained on, given to every model. They are the server's to make."""

from functools import lru_cache

import pyarrow as pa

from raysim.core.errors import InputError
from raysim.corpus.corpus import fingerprint
from raysim.corpus.files import SourceFile
from raysim.corpus.languages import languages_of
from raysim.inference.prompts import split_batches
from raysim.matching.matches import prompt_context
from raysim.matching.renamed import texts_before
from raysim.measures.base import EvalContext
from raysim.measures.memorization.documented_functions import grammars_of
from raysim.measures.memorization.prompt_stats import PromptStats, stats_of
from raysim.measures.memorization.prompts import neutral_prompts
from raysim.measures.memorization.settings import MemorizationSettings


class NeutralPrompts:
    """The neutral prompts of a run.

    Args:
        context: of the run.
        settings: of memorization.
    """

    def __init__(self, context: EvalContext, settings: MemorizationSettings) -> None:
        self._settings = settings
        run = context.run
        files = context.held_out_references
        length = run.trainer.sequence_length
        self.fingerprint = neutral_fingerprint(files, settings.held_out_prompts == "function")
        self.prompts = neutral_prompts(files, context.tokenizer, settings, run.split_seed, length)

    def stats(self, secret: bytes) -> PromptStats:
        """Describes them as an organization does its own."""
        return stats_of(self.prompts, self._settings, secret)

    def batches(self) -> list[pa.Table]:
        """The batches in which they are answered."""
        return split_batches(self.prompts, self._settings)

    def contexts(self, secret: bytes) -> pa.Table:
        """What comes before their continuations, see `prompt_context`."""
        return prompt_context(self.prompts, self._settings.min_lines, secret)

    def texts_before(self) -> pa.Table:
        """What stands before their continuations, see `texts_before`; functions begin within nothing."""
        return texts_before(self.prompts, {})


@lru_cache(maxsize=4)
def neutral_fingerprint(files: tuple[SourceFile, ...], of_functions: bool) -> str:
    """Names the files that neutral prompts are from, with the grammars that tell functions of other languages apart.

    It is asked for with every model that is planned.
    """
    grammars = grammars_of(languages_of(files)) if of_functions else ""
    return f"{fingerprint(files)}, {grammars}" if grammars else fingerprint(files)


def check_neutral(context: EvalContext) -> None:
    """Refuses to ask for neutral prompts where there is no public code that they could be from.

    Raises:
        InputError: there are no references, or so few that none is set aside.
    """
    if not context.held_out_references:
        raise InputError(
            "measure.memorization.prompts.neutral: needs references that preparation.split holds out, which nobody is"
            f" trained on, and there are {len(context.references) or 'none'} in all; write for example references:"
            " [stdlib], or neutral: 0"
        )
