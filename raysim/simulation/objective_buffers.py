"""What the objective of a stage begins with beside weights: the server's buffers, and those that the client kept."""

from raysim.simulation.strategy import TrainInstruction
from raysim.tasks.executor import TaskExecutor
from raysim.training.objectives import stateful
from raysim.training.weights import Flat


async def objective_buffers(executor: TaskExecutor, instruction: TrainInstruction) -> tuple[list[str], dict[str, Flat]]:
    """The buffers of a stage's objective, as far as there are any yet, and the names of those that the server sends."""
    objective = stateful(instruction.objective)
    if objective is None:
        return [], {}
    server = await executor.entry(instruction.model)
    sent = [name for name in objective.server_buffers if name in server.array_names()]
    found = {name: server.array(name) for name in sent}
    if instruction.objective_state:
        past = await executor.entry(instruction.objective_state)
        found |= {name: past.array(name) for name in objective.client_buffers}
    return sent, found
