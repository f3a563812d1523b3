"""What an organization has agreed to, and whether it still holds.

`share`, `train_on` and `expires` are enforced; `licences` and `evidence` decide what is judged and published. The texts
are recorded: they stand in the manifest and in the cards of a model.
"""

import datetime
from collections.abc import Mapping
from typing import Literal

import pydantic

from raysim.core.errors import BoundaryError
from raysim.core.settings import Settings


class DataPolicy(Settings):
    """What an organization has agreed to."""

    share: Literal["data", "weights"] = pydantic.Field(
        default="weights",
        description="data: its code may be pooled with others'; weights: only weights and counts leave",
    )
    train_on: tuple[str, ...] | None = pydantic.Field(
        default=None,
        min_length=1,
        description="licences of files that may be used at all, as SPDX or the source writes them: a file under another"
        " one, or under none that is stated, is left out of all splits and counted; unset: every file",
    )
    licences: tuple[str, ...] | None = pydantic.Field(
        default=None,
        description="licences under which models may repeat its code, as its source states them; unset: not judged",
    )
    evidence: bool = pydantic.Field(
        default=False,
        description="whether lines of its code that models repeat may be in what is published (report --bundle)",
    )
    expires: datetime.date | None = pydantic.Field(
        default=None,
        description="last day (UTC) on which an experiment that reads its code may start; unset: it does not end",
    )
    purpose: str | None = pydantic.Field(default=None, description="what its code may be used for; recorded")
    owner: str | None = pydantic.Field(default=None, description="who has agreed, and whom to ask; recorded")
    liability: str | None = pydantic.Field(
        default=None, description="who answers for what models repeat of its code; recorded"
    )


def check_unexpired(policies: Mapping[str, DataPolicy], today: datetime.date | None = None) -> None:
    """Refuses to begin with the code of organizations whose agreement has ended.

    Args:
        policies: by organization.
        today: None: the day in UTC.

    Raises:
        BoundaryError: the organizations, a line each, and the days.
    """
    today = today or datetime.datetime.now(datetime.UTC).date()
    ended = {name: policy.expires for name, policy in policies.items() if policy.expires and policy.expires < today}
    if ended:
        raise BoundaryError(
            "\n".join(
                f"organizations.{name}.agreement.expires: the agreement ended on {day} (today is {today}), so nothing"
                f" of {name} is read; agree on another day, or leave {name} out"
                for name, day in ended.items()
            )
        )
