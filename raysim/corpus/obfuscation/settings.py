"""Settings of obfuscation."""

from typing import Literal

import pydantic

from raysim.core.settings import Settings


class ObfuscationSettings(Settings):
    """How training files are written differently, to code that does the same.

    The transformations are the layout and ordering ones of Collberg, Thomborson & Low, A Taxonomy of Obfuscating
    Transformations, 1997; with `copies` they augment data, as in Jain et al., arXiv 2007.04973. Files that are held out
    stay as they are, so that all are measured on the same text.
    """

    rename: bool = pydantic.Field(
        default=False, description="other names for variables that are local to a function and that nobody outside sees"
    )
    reorder: bool = pydantic.Field(
        default=False,
        description="another order of imports of Python's own modules, and of assignments that do not depend on each"
        " other",
    )
    comments: Literal["keep", "drop"] = pydantic.Field(
        default="keep", description="drop: comments are left out, but for licence notices and those that tools read"
    )
    reformat: bool = pydantic.Field(
        default=False, description="other quotes, spaces, indentation, parentheses and blank lines"
    )
    copies: int = pydantic.Field(
        default=1,
        ge=1,
        le=100,
        description="variants of each training file, each of them another; over 1 the training split grows, which"
        " `limit` does not count",
    )

    @pydantic.model_validator(mode="after")
    def _varies(self) -> "ObfuscationSettings":
        if self.copies > 1 and not (self.rename or self.reorder or self.reformat):
            raise ValueError(
                f"copies: {self.copies} variants need something that varies; set rename, reorder or reformat to true"
            )
        return self

    @property
    def active(self) -> bool:
        """Whether anything is changed."""
        return self.rename or self.reorder or self.reformat or self.comments == "drop"
