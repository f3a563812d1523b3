"""How the work of an experiment is done; nothing here changes a result."""

from typing import Literal

import pydantic

from raysim.core.settings import Settings

MANY = 65
"""Organizations from which on they share actors where nothing is said of it: a process each would not fit a laptop."""


class ExecutionSettings(Settings):
    """How the work is done; nothing here changes a result."""

    backend: Literal["ray", "inline"] = pydantic.Field(default="ray", description="Ray actors, or all in one process")
    slots: int | None = pydantic.Field(
        default=None,
        ge=1,
        description="ranks at work at once, of which a stage takes trainer.ranks; unset: CPUs over trainer.threads",
    )
    scale_up_s: float = pydantic.Field(
        default=0.0,
        ge=0,
        description="on a cluster: how long to wait for an autoscaler to bring the nodes that `slots` need, in seconds;"
        " what is there then is used; 0: none is asked",
    )
    replicas: int | None = pydantic.Field(
        default=None, ge=1, description="actors of one organization at most, for work side by side; unset: as slots"
    )
    share_actors: bool | None = pydantic.Field(
        default=None,
        description="organizations live together in as many actors as work at once (slots, replicas), each of which"
        " prepares whom it works for: whoever may look into such a process may look into all of them; unset: from"
        f" {MANY} organizations on",
    )
    checkpoint_every_s: float = pydantic.Field(default=30.0, gt=0, description="between mid-stage checkpoints")
    retries: int = pydantic.Field(
        default=3, ge=0, description="of work whose process or node was lost; then the run ends, resumable"
    )
    private: str | None = pydantic.Field(
        default=None,
        min_length=1,
        description="folder, on the machine of each organization, for its packed sequences, which are its code in"
        " another writing: nobody but its user may look into it; unset: raysim in that user's cache (XDG_CACHE_HOME,"
        " else ~/.cache). It may be deleted; the sequences are made again",
    )
    track: list[str] = pydantic.Field(
        default=[],
        description="where losses and scores also go while the run goes on, by name: tensorboard, mlflow, wandb,"
        " prometheus, or what another package brings",
    )
