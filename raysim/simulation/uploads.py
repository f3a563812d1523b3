"""What a form of upload takes beside weights: what a client kept of its last one, and what is told to undo it."""

from collections.abc import Sequence

from raysim.simulation.strategy import ClientUpdate, TrainInstruction
from raysim.store.transfers import SERVER, Transfer
from raysim.tasks.executor import TaskExecutor
from raysim.training.masking import Masked, disclosures
from raysim.training.weights import Flat


async def upload_buffers(executor: TaskExecutor, instruction: TrainInstruction) -> dict[str, Flat]:
    """The buffers of a stage's form of upload, as far as there are any yet."""
    if instruction.upload is None or instruction.upload_state is None:
        return {}
    past = await executor.entry(instruction.upload_state)
    return {name: past.array(name) for name in instruction.upload.client_buffers}


def disclosed_shares(results: Sequence[ClientUpdate]) -> list[Transfer]:
    """What clients of secure aggregation tell the server so that it can remove their masks; of others nothing."""
    masked = [form for result in results if isinstance(form := result.instruction.upload, Masked)]
    if not masked:
        return []
    told = disclosures(masked[0].agreement, [form.client for form in masked])
    return [Transfer.of(one.client, SERVER, "keys and shares", one.content) for one in told]
