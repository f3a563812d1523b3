"""One round at a time; `test_flower.py` has rounds in a row, and what is refused."""

import numpy as np
import pytest
from flower_peers import Halving, Sending
from flwr.app import Array, RecordDict
from flwr.serverapp.strategy import DifferentialPrivacyClientSideAdaptiveClipping, FedAdam, FedAvg
from flwr.supercore.run import Run
from raysim.strategies.flower_server import FlowerServer, InMemoryGrid, config_of, packed, proximal_mu, unknown_config

from raysim.training.flower_calls import Refused, flower_call

WEIGHTS = np.array([1.0, 2.0], np.float32)


def test_a_grid_knows_its_nodes_and_its_run() -> None:
    grid = InMemoryGrid([3, 5])
    assert (grid.get_node_ids(), grid.run.run_id) == ([3, 5], 1)
    assert [node.node_id for node in grid.get_nodes()] == [3, 5]
    grid.set_run(Run.create_empty(7))
    assert grid.run.run_id == 7
    with flower_call(1):
        message = grid.create_message(RecordDict(), "train", 5, "2")
    assert (message.metadata.dst_node_id, message.metadata.group_id) == (5, "2")


def test_a_grid_carries_no_message() -> None:
    grid = InMemoryGrid([1])
    for send in (grid.push_messages, grid.pull_messages, grid.send_and_receive):
        with pytest.raises(Refused, match="sends messages by itself"):
            send([])


def test_a_grid_is_asked_a_few_times() -> None:
    grid = InMemoryGrid([1, 2])
    with pytest.raises(Refused, match="waits for more than the 2 organizations of a round, which never come"):
        list(iter(grid.get_node_ids, [1, 2, 3]))


def test_messages_have_the_model_and_go_by_ascending_node() -> None:
    server = FlowerServer(FedAvg, 1)
    messages = server.configure(4, WEIGHTS, [9, 2, 5])
    assert [message.metadata.dst_node_id for message in messages] == [2, 5, 9]
    assert [config_of(message) for message in messages] == [{"server-round": 4}] * 3
    assert all(
        message.content.array_records["arrays"]["weights"].numpy().tolist() == [1.0, 2.0] for message in messages
    )


def test_a_model_of_float64_is_rounded_once() -> None:
    server = FlowerServer(lambda: FedAdam(eta=0.1), 1)
    replies = {node: (WEIGHTS + np.float32(2), {"num-examples": 1}) for node in (1, 2)}
    after = server.aggregate(1, server.configure(1, WEIGHTS, [1, 2]), replies, WEIGHTS.shape)
    # Both moments correct their bias with exponent 2: .1 sqrt(1 - .99^2) / (1 - .9^2) * .2 / (sqrt(.04) + .001).
    rate = 0.1 * np.sqrt(1 - 0.99**2) / (1 - 0.9**2)
    np.testing.assert_allclose(after, WEIGHTS + rate * 0.2 / 0.201, rtol=1e-6)
    assert after.dtype == np.float32


def test_a_node_without_a_reply_has_failed() -> None:
    seen = []

    class Counting(FedAvg):
        def aggregate_train(self, server_round, replies):
            seen.extend((reply.metadata.src_node_id, reply.has_error()) for reply in replies)
            return super().aggregate_train(server_round, replies)

    server = FlowerServer(Counting, 1)
    replies = {node: (WEIGHTS + np.float32(node), {"num-examples": node}) for node in (1, 3)}
    after = server.aggregate(1, server.configure(1, WEIGHTS, [1, 2, 3]), replies, WEIGHTS.shape)
    assert seen == [(1, False), (2, True), (3, False)]
    np.testing.assert_allclose(after, WEIGHTS + (1 * 1 + 3 * 3) / 4, rtol=1e-6)


def test_a_client_clips_and_tells_so() -> None:
    server = FlowerServer(lambda: DifferentialPrivacyClientSideAdaptiveClipping(FedAvg(), 0.0, 2, 1.0), 1)
    messages = server.configure(1, WEIGHTS, [1, 2])
    assert config_of(messages[0]) == {"clipping_norm": 1.0, "server-round": 1}
    replies = {
        node: (WEIGHTS + np.array(u, np.float32), {"num-examples": 1}) for node, u in {1: [6, 8], 2: [0, 0.5]}.items()
    }
    after = server.aggregate(1, messages, replies, WEIGHTS.shape)
    np.testing.assert_allclose(after, [1 + 0.3, 2 + (0.8 + 0.5) / 2], rtol=1e-6)
    # Half of them were clipped, as is wanted, and so the norm stays as the constructor made it.
    assert server.remembered(after) == ({"config": ["dict", [["clipping_norm", 1.0]]]}, {})


def test_the_configuration_goes_on_from_round_to_round() -> None:
    server, later = FlowerServer(Halving, 1), FlowerServer(Halving, 1)
    first = server.configure(1, WEIGHTS, [1, 2])
    memory, arrays = server.remembered(WEIGHTS)
    later.restore(memory, arrays)
    second = later.configure(2, WEIGHTS, [1, 2])
    assert [proximal_mu(message) for message in first + second] == [1.0, 1.0, 0.5, 0.5]


def test_what_clients_know_nothing_of() -> None:
    messages = FlowerServer(lambda: Sending("a rate"), 1).configure(1, WEIGHTS, [1, 2])
    assert unknown_config(messages) == {"lr"}
    assert unknown_config(FlowerServer(Halving, 1).configure(1, WEIGHTS, [1, 2])) == set()


def test_a_client_cannot_clip_a_model_that_did_not_move() -> None:
    """Flower divides by the norm of the update."""
    server = FlowerServer(lambda: DifferentialPrivacyClientSideAdaptiveClipping(FedAvg(), 0.0, 2, 1.0), 1)
    replies = {node: (WEIGHTS, {"num-examples": 1}) for node in (1, 2)}
    with pytest.raises(Refused, match=r"^ZeroDivisionError"):
        server.aggregate(1, server.configure(1, WEIGHTS, [1, 2]), replies, WEIGHTS.shape)


@pytest.mark.parametrize("size", [1, 3, 100_000])
def test_weights_are_packed_to_the_bytes_of_flower(size: int) -> None:
    weights = np.linspace(-1, 1, size, dtype=np.float32)
    weights.flags.writeable = False
    one, other = packed(weights), Array(weights)
    assert (one.data, one.dtype, one.shape, one.stype) == (other.data, other.dtype, other.shape, other.stype)
    assert np.array_equal(one.numpy(), weights)
