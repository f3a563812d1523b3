"""Whether a licence, as somebody has written it, is one of those that are allowed.

Licences are compared as SPDX expressions (https://spdx.github.io/spdx-spec/, annex D) where they are some, else by
their words. What is not known to be allowed is not.
"""

import functools
from collections.abc import Iterable
from typing import Any


class AllowedLicences:
    """A list of licences, of which others are told apart.

    Args:
        names: in SPDX's form (``MIT``, ``GPL-2.0-only WITH Classpath-exception-2.0``), or as a source writes them.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {form for name in names for form in (name.strip().casefold(), _canonical(name))}

    def allow(self, stated: str) -> bool:
        """Whether all that `stated` asks for can be met with these licences.

        ``A OR B`` leaves the choice, ``A AND B`` asks for both, as does a list ``A; B``. An exception (``A WITH B``)
        only adds permissions, so that A is enough.
        """
        return all(self._allows(part.strip()) for part in stated.split(";"))

    def _allows(self, stated: str) -> bool:
        if stated.casefold() in self._names:
            return True
        expression = _parsed(stated)
        return expression is not None and self._meets(expression)

    def _meets(self, expression: Any) -> bool:
        terms = _licensing()
        if str(expression).casefold() in self._names:
            return True
        if isinstance(expression, terms.OR):
            return any(map(self._meets, expression.args))
        if isinstance(expression, terms.AND):
            return all(map(self._meets, expression.args))
        base = getattr(expression, "license_symbol", None)
        return base is not None and str(base).casefold() in self._names


def canonical_licence(stated: str) -> str:
    """A licence in SPDX's own spelling, or as it is where it is no SPDX expression."""
    expression = _parsed(stated)
    return stated if expression is None else str(expression)


def _canonical(name: str) -> str:
    return canonical_licence(name.strip()).casefold()


@functools.lru_cache(maxsize=10_000)
def _parsed(text: str) -> Any | None:
    """An SPDX expression of licences that SPDX knows; None: it is none."""
    from license_expression import ExpressionError

    try:
        expression = _licensing().parse(text)
    except ExpressionError:
        return None
    return None if expression is None or _licensing().unknown_license_keys(expression) else expression


@functools.cache
def _licensing() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()
