"""What a mitigation is: a change of an experiment's settings, nothing else.

What protects code is done by options of the experiment (a loss, a transform of the corpus, a strategy), which anybody
may also write by hand. A mitigation knows which of them belong together, so that many can be tried side by side against
the same baseline. Its work is therefore in the keys as that of any other setting is.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import pydantic

from raysim.core.settings import Settings
from raysim.simulation.registry import label_of, name_and_settings, strategy_class
from raysim.simulation.strategy import StrategySettings

Tree = Mapping[str, Any]
"""An experiment as its file would hold it, with all defaults filled in but those of strategies."""


class MitigationSettings(Settings):
    """How strong a mitigation is; base of those of each. Every field has a default."""

    label: str | None = pydantic.Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        max_length=60,
        description="names it beside others, of letters, digits, '.', '_' and '-'; unset: the mitigation's name",
    )

    def values(self) -> dict[str, Any]:
        """What is set, but for the label."""
        return self.model_dump(mode="json", exclude={"label"}, exclude_none=True)


S = TypeVar("S", bound=MitigationSettings)


class Mitigation(ABC, Generic[S]):
    """One way to protect training code.

    Attributes:
        Settings: how strong it is.
        summary: what it does, for people, in half a sentence.
        source: where it was proposed or measured.

    Args:
        settings: validated by `Settings`.
    """

    Settings: ClassVar[type[MitigationSettings]]
    summary: ClassVar[str]
    source: ClassVar[str]

    def __init__(self, settings: S) -> None:
        self.settings = settings

    @abstractmethod
    def overrides(self, experiment: Tree) -> dict[str, Any]:
        """The settings that it changes, by path as for ``--set``, with their values.

        Raises:
            ValueError: it can do nothing here, with the reason.
        """


Change = Callable[[str, dict[str, Any], type[StrategySettings]], tuple[str, dict[str, Any]]]
"""From an entry's strategy, what its file says of it, and the class of its settings to what takes their place."""


def changed_strategies(
    experiment: Tree, change: Change, wanted: Callable[[str, type[StrategySettings]], bool], described: str
) -> dict[str, Any]:
    """The override of ``strategies`` in which entries of some strategies are changed, and keep their labels.

    Args:
        experiment: to change.
        change: of an entry.
        wanted: whether it concerns a strategy, by name and class of settings.
        described: which those are, for people.

    Raises:
        ValueError: there are none.
    """
    entries: list[Any] = []
    found = False
    for entry in experiment["strategies"]:
        name, settings = name_and_settings(entry, "strategies")
        settings_class = strategy_class(name, "strategies").Settings
        if wanted(name, settings_class):
            found = True
            new, changed = change(name, dict(settings), settings_class)
            entries.append({new: {**changed, "label": label_of(name, settings)}})
        else:
            entries.append(entry)
    if not found:
        raise ValueError(f"it changes {described}; there is none among strategies, so leave it out")
    return {"strategies": entries}


def named(*names: str) -> Callable[[str, type[StrategySettings]], bool]:
    """Wants the strategies of these names."""
    return lambda name, _: name in names


def has_field(field: str) -> Callable[[str, type[StrategySettings]], bool]:
    """Wants the strategies that have a setting."""
    return lambda _, settings_class: field in settings_class.model_fields
