"""A server that runs one of Flower's strategies over raysim's organizations: one node each, all in memory.

A round is what Flower's own loop (`flwr.serverapp.strategy.Strategy.start`) makes of it: `configure_train` says which
nodes train and with which configuration, `aggregate_train` makes a model of their replies. Rounds of evaluation are not
held: raysim measures by itself.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any, NoReturn, cast

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp.mod import adaptiveclipping_mod
from flwr.common.constant import ErrorCode, SType
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy as FlowerStrategy
from flwr.supercore.differential_privacy import KEY_CLIPPING_NORM
from flwr.supercore.run import Run
from raysim.strategies.flower_classes import check_enough_nodes
from raysim.strategies.flower_state import StateWriter, restore_attributes

from raysim.core.keys import seed_of
from raysim.training.flower_calls import Refused, explained, flower_call
from raysim.training.flower_values import WEIGHTS, restored
from raysim.training.weights import Flat

_ROUND, _PROXIMAL_MU = "server-round", "proximal-mu"

_KNOWN_CONFIG = frozenset({_ROUND, _PROXIMAL_MU, KEY_CLIPPING_NORM})
"""What raysim's clients do something about, or need not."""

_MOST_QUESTIONS = 10
"""About the nodes in one call: who asks more often waits for others, who never come."""


class InMemoryGrid(Grid):
    """Flower's view of a federation: it knows the nodes, and carries no message, since raysim does.

    Args:
        nodes: their ids.
    """

    def __init__(self, nodes: Sequence[int]) -> None:
        self._nodes = tuple(nodes)
        self._questions = 0
        self._run = Run.create_empty(1)

    def set_run(self, run: Run) -> None:
        self._run = run

    @property
    def run(self) -> Run:
        return self._run

    def get_node_ids(self) -> Iterable[int]:
        """All nodes of the round.

        Raises:
            Refused: the answer was given so often that somebody waits for another one.
        """
        self._questions += 1
        if self._questions > _MOST_QUESTIONS:
            raise Refused(f"waits for more than the {len(self._nodes)} organizations of a round, which never come")
        return list(self._nodes)

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        _refuse_messages()

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        _refuse_messages()

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        _refuse_messages()


NodeReply = tuple[Flat, Mapping[str, float]]
"""What a node answers: weights that it has trained, and metrics: ``num-examples`` and what else is known of that."""


class FlowerServer:
    """One of Flower's strategies between two rounds.

    Args:
        make: makes the strategy anew, always alike.
        seed: of the experiment; what is drawn depends on it, the round and what it is drawn for, never on the strategy
            or its arguments, so that settings of one seed are paired.
    """

    def __init__(self, make: Callable[[], FlowerStrategy], seed: int) -> None:
        self._seed = seed
        self.warnings: list[str] = []
        with flower_call(seed_of(seed, "flower", "constructor")) as heard:
            self.strategy = make()
        self.warnings += heard
        with flower_call(seed_of(seed, "flower", "constructor")):
            self._made = make()
        self._config = ConfigRecord()

    def restore(self, memory: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes over what `remembered` gave after the last round."""
        restore_attributes(self.strategy, memory.get("attributes", {}), arrays)
        self._config = ConfigRecord(dict(restored(memory["config"], arrays)) if "config" in memory else {})

    def remembered(self, weights: Flat) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """JSON values and arrays to go on from, where `weights` are the server's now, and are kept anyway.

        Raises:
            Refused: the strategy keeps something that is neither.
        """
        writer = StateWriter(weights)
        attributes = writer.attributes(self.strategy, self._made)
        config = {key: value for key, value in self._config.items() if key != _ROUND}
        memory = {"attributes": attributes} if attributes else {}
        if config:
            memory["config"] = writer.value(config, "the configuration for clients")
        return memory, writer.arrays

    def configure(self, number: int, weights: Flat, nodes: Sequence[int]) -> list[Message]:
        """Messages to the nodes that train in round `number` (from 1), by ascending node.

        Args:
            number: of the round.
            weights: the server's.
            nodes: that are there.

        Raises:
            Refused: the strategy failed, waits for other nodes, or asks for what raysim's clients do not do.
        """
        check_enough_nodes(self.strategy, len(nodes))
        model = ArrayRecord({WEIGHTS: packed(weights)})
        sent = model[WEIGHTS].data
        with flower_call(seed_of(self._seed, "flower", "configure", number)) as heard:
            asked = self.strategy.configure_train(number, model, self._config, InMemoryGrid(nodes))
            messages = sorted(asked, key=lambda message: message.metadata.dst_node_id)
        self.warnings += heard
        _check_messages(messages, nodes, sent)
        return messages

    def aggregate(
        self, number: int, messages: Sequence[Message], replies: Mapping[int, NodeReply], shape: tuple[int, ...]
    ) -> Flat:
        """The server's weights after round `number`, rounded to float32.

        Args:
            number: of the round.
            messages: that `configure` gave.
            replies: by node; one without a reply is there as an error, as Flower's own clients that fail are.
            shape: of the weights.

        Raises:
            Refused: the strategy failed, gave no model, or one of another shape.
        """
        with flower_call(seed_of(self._seed, "flower", "aggregate", number)) as heard:
            answers = [_answer(message, replies.get(message.metadata.dst_node_id)) for message in messages]
            arrays, _ = self.strategy.aggregate_train(number, answers)
        self.warnings += heard
        if arrays is None:
            failed = len(answers) - len(replies)
            failures = f" and {failed} failure{'s' * (failed > 1)}" if failed else ""
            raise Refused(explained(f"makes no model of {len(replies)} replies{failures}", heard))
        after = arrays[WEIGHTS].numpy() if list(arrays) == [WEIGHTS] else None  # which copies it
        if after is None or after.shape != shape:
            shapes = {name: array.shape for name, array in arrays.items()}
            raise Refused(f"makes arrays of the shapes {shapes} of a model that is {{{WEIGHTS!r}: {shape}}}")
        return after.astype(np.float32, copy=False)


def packed(weights: Flat) -> Array:
    """`Array(weights)` of Flower's, the same bytes with one copy in place of three."""
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(weights))
    data = b"".join((header.getvalue(), np.ascontiguousarray(weights).view(np.uint8).data))
    return Array(str(weights.dtype), weights.shape, SType.NUMPY, data)


def config_of(message: Message) -> dict[str, Any]:
    """All that a message tells its node beside the weights."""
    return {key: value for record in message.content.config_records.values() for key, value in record.items()}


def proximal_mu(message: Message) -> float:
    """The weight of FedProx's proximal term that a message asks for; 0 without one."""
    return float(config_of(message).get(_PROXIMAL_MU, 0.0))


def unknown_config(messages: Iterable[Message]) -> set[str]:
    """What messages tell their nodes of which raysim's clients know nothing."""
    return {key for message in messages for key in config_of(message)} - _KNOWN_CONFIG


def _check_messages(messages: Sequence[Message], nodes: Sequence[int], model: bytes) -> None:
    if not messages:
        raise Refused("asks nobody to train")
    asked = [message.metadata.dst_node_id for message in messages]
    if len(set(asked)) < len(asked) or not set(asked) <= set(nodes):
        raise Refused(f"asks the nodes {asked} of {list(nodes)}: each may be asked once")
    for message in messages:
        if (kind := message.metadata.message_type) != MessageType.TRAIN:
            raise Refused(f"sends messages of type {kind!r}; raysim's clients know {MessageType.TRAIN!r}")
        records = list(message.content.array_records.values())
        if len(records) != 1 or list(records[0]) != [WEIGHTS]:
            raise Refused("sends other arrays than the server's model, which is all that raysim's clients take")
        if records[0][WEIGHTS].data != model:
            raise Refused("sends a model that is not the server's, which raysim's clients train from")


def _answer(message: Message, reply: NodeReply | None) -> Message:
    """The reply of a node, clipped as a client of Flower's does it where the message has a norm to clip to.

    Without one it is what Flower's runtime gives for a node that does not answer in time.
    """
    if reply is None:
        return Message(Error(ErrorCode.NODE_UNAVAILABLE, "takes no part in the round"), reply_to=message)
    weights, metrics = reply
    name = next(iter(message.content.array_records))
    content = RecordDict({name: ArrayRecord({WEIGHTS: packed(weights)}), "metrics": MetricRecord(dict(metrics))})
    answer = Message(content, reply_to=message)
    if KEY_CLIPPING_NORM not in config_of(message):
        return answer
    # The mod for fixed norms does the same, but does not tell whether it has clipped; where nobody asks, no harm.
    clipped = adaptiveclipping_mod(message, cast(Context, None), lambda *_: answer)
    if clipped.has_error():
        raise Refused(clipped.error.reason)
    return clipped


def _refuse_messages() -> NoReturn:
    raise Refused("sends messages by itself; raysim carries those that configure_train returns")
