"""What weights mattered to earlier organizations: Fisher information as keyed work, and what a stage is sent of it.

It is computed where an organization's data lie, of its own training sequences, by the weights that it ended with, and
leaves as a buffer of the size of the model: derived from private data exactly as an update is.
"""

from raysim.core.keys import Key, key_of
from raysim.organizations.training_client import TrainingClient
from raysim.simulation.run_context import RunContext
from raysim.simulation.strategy import TrainInstruction
from raysim.store.transfers import SERVER, Transfer
from raysim.tasks.executor import TaskExecutor
from raysim.tasks.task import Task, TaskOutput
from raysim.training.elastic import FISHER
from raysim.training.fisher import diagonal_fisher
from raysim.training.lora import split
from raysim.training.model_host import ModelSpec
from raysim.training.process_memory import oom_hint
from raysim.training.request import TrainerSettings
from raysim.training.weights import Flat, assign


def importance_keys(context: RunContext, instruction: TrainInstruction) -> list[Key]:
    """Keys of the work whose buffers a stage is sent, in the order in which they are added up."""
    return [key_of(context.importance_recipe(one)) for one in instruction.importances]


async def find_importances(
    executor: TaskExecutor, context: RunContext, instruction: TrainInstruction, name: str, priority: float
) -> None:
    """Has every earlier organization compute what a stage needs of it, before that stage takes a slot.

    Args:
        executor: does the work.
        context: of the seed.
        instruction: of the stage.
        name: of the strategy run, for people.
        priority: of the stage.
    """
    for one in instruction.importances:
        recipe, trainer = context.importance_recipe(one), context.trainer
        task = Task(
            recipe,
            f"{name}: Fisher information of {one.organization}",
            one.organization,
            fisher_at,
            (context.spec, trainer, one.sequences),
            one.sequences * trainer.sequence_length,
        )
        await executor.run_on_client(task, priority)


async def importance_buffers(
    executor: TaskExecutor, context: RunContext, instruction: TrainInstruction, client: str
) -> tuple[dict[str, Flat], list[Transfer]]:
    """The summed Fisher information that a stage's objective gets, and its transfer; nothing if it asks for none."""
    keys = importance_keys(context, instruction)
    if not keys:
        return {}, []
    first, *others = [(await executor.entry(key)).array(FISHER) for key in keys]
    total = first.copy()
    for other in others:
        total += other
    return {FISHER: total}, [Transfer.of(SERVER, client, "objective", total.tobytes())]


def fisher_at(
    client: TrainingClient, weights: Flat, spec: ModelSpec, settings: TrainerSettings, count: int
) -> TaskOutput:
    """Computes the Fisher information of the first `count` training sequences of an organization; runs there."""
    import torch

    torch.set_num_threads(settings.threads)
    model = client.model(spec)
    torch.nn.Module.to(model, torch.device("cpu"))
    split(model)
    assign(model, weights)
    with oom_hint("trainer.sequence_length"):
        fisher = diagonal_fisher(model.eval(), client.training_sequences()[:count], settings)
    return TaskOutput({"sequences": count}, {FISHER: fisher})
