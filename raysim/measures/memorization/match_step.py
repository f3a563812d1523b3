"""Matching as a step of a batch job: a plain class from table to table, made once for each worker."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from raysim.core.arrow import table_bytes
from raysim.tasks.ray_data import fetch


class MatchStep:
    """Attributes generations to the organizations whose lines they repeat.

    Args:
        min_lines: consecutive significant lines that make a match.
        window_in_prompt: whether they may begin in the prompt.
        secret: key of all line hashes.
        indexes: by organization, made there; or references to them.
        reference: of public code, or a reference to it.
        contexts: by organization: see `raysim.matching.matches.prompt_context`; or references to them. Code, so a
            worker acts for the organization whose prompts were answered.
    """

    def __init__(
        self,
        min_lines: int,
        secret: bytes,
        indexes: Mapping[str, Any],
        reference: Any,
        contexts: Mapping[str, Any],
        window_in_prompt: bool = False,
    ) -> None:
        self._min_lines = min_lines
        self._secret = secret
        self._indexes = {name: fetch(index) for name, index in indexes.items()}
        self._reference = fetch(reference)
        self._contexts = contexts
        self._window_in_prompt = window_in_prompt

    def __call__(self, generations: pa.Table) -> pa.Table:
        """Generations of one model at one organization, which two columns name, to one row of packed tables."""
        from raysim.matching.matches import match

        model, organization = generations["model"][0].as_py(), generations["organization"][0].as_py()
        context = fetch(self._contexts[organization])
        samples, matches = match(
            generations,
            context,
            self._indexes,
            self._reference,
            self._min_lines,
            self._secret,
            self._window_in_prompt,
        )
        row = {
            "model": model,
            "organization": organization,
            "samples": table_bytes(samples),
            "matches": table_bytes(matches),
        }
        return pa.Table.from_pylist([row])
