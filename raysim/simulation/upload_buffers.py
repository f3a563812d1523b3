"""What a client kept of its last upload for the form of the next one."""

from raysim.simulation.strategy import TrainInstruction
from raysim.tasks.executor import TaskExecutor
from raysim.training.weights import Flat


async def upload_buffers(executor: TaskExecutor, instruction: TrainInstruction) -> dict[str, Flat]:
    """The buffers of a stage's form of upload, as far as there are any yet."""
    if instruction.upload is None or instruction.upload_state is None:
        return {}
    past = await executor.entry(instruction.upload_state)
    return {name: past.array(name) for name in instruction.upload.client_buffers}
