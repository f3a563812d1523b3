"""How ranks find each other."""

import socket

import torch

from raysim.training.process_group import ALONE, ProcessGroup, interface_of


def test_the_network_of_an_address() -> None:
    loopback = interface_of("127.0.0.1")
    assert loopback in {name for _, name in socket.if_nameindex()}
    assert interface_of("203.0.113.7") is None  # RFC 5737: nobody's


def test_a_rank_alone_has_nobody_to_add_up_with() -> None:
    tensor = torch.tensor([1.0, 2.0])
    ALONE.sum(tensor)
    assert tensor.tolist() == [1.0, 2.0]
    assert ALONE.largest([3.0, 4.0], "cpu") == [3.0, 4.0]
    assert ProcessGroup() == ALONE
