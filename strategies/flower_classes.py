"""Flower's strategies by the path of their class, made with arguments out of an experiment file."""

import inspect
from collections.abc import Iterator, Mapping
from copy import deepcopy
from importlib import import_module
from typing import Any

from flwr.serverapp.strategy import FedAvg, FedXgbBagging, FedXgbCyclic
from flwr.serverapp.strategy import Strategy as FlowerStrategy

from raysim.core.errors import InputError, first_line
from raysim.training.flower_calls import Refused

_NESTED = {"strategy", "arguments"}
"""Keys of an argument that is a strategy itself, such as the one that differential privacy wraps."""


def flower_class(path: str, where: str) -> type[FlowerStrategy]:
    """The class at `path`, written ``package.module.Class`` or ``package.module:Class``.

    Args:
        path: of the class.
        where: the setting that names it, for messages.

    Raises:
        InputError: it cannot be imported, is no strategy of Flower's message API, or trains no neural network.
    """
    module, _, name = path.partition(":") if ":" in path else path.rpartition(".")
    try:
        found = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:
        raise InputError(
            f"{where}: {path!r} cannot be imported: {type(error).__name__}: {first_line(error)}; write a class such as"
            " flwr.serverapp.strategy.Krum, or my_module:MyStrategy of a module that is installed or on PYTHONPATH, on"
            " every node"
        ) from error
    if not (isinstance(found, type) and issubclass(found, FlowerStrategy)):
        raise InputError(f"{where}: {path!r} is no class that derives from flwr.serverapp.strategy.Strategy")
    if issubclass(found, FedXgbBagging | FedXgbCyclic):
        raise InputError(
            f"{where}: {path!r} grows XGBoost's trees, and raysim's models are neural networks; name another class"
        )
    return found


def make_flower_strategy(path: str, arguments: Mapping[str, Any], where: str = "") -> FlowerStrategy:
    """A new object of the class at `path`.

    Args:
        path: see `flower_class`.
        arguments: by name; one that is itself ``{strategy: PATH, arguments: {...}}`` becomes such an object.
        where: the setting that both are below, with a dot behind it; for messages.

    Raises:
        InputError: see `flower_class`; or the class does not take these arguments.
    """
    found = flower_class(path, f"{where}strategy")
    given = {
        name: make_flower_strategy(value["strategy"], value.get("arguments") or {}, f"{where}arguments.{name}.")
        if isinstance(value, Mapping) and {"strategy"} <= value.keys() <= _NESTED
        else deepcopy(value)  # the object may change it
        for name, value in arguments.items()
    }
    try:
        inspect.signature(found).bind(**given)
        return found(**given)
    except Exception as error:
        known = ", ".join(inspect.signature(found).parameters)
        raise InputError(
            f"{where}arguments: {found.__name__} does not take them: {first_line(error)}; it knows {known}"
        ) from error


def wrapped_strategies(strategy: FlowerStrategy) -> Iterator[FlowerStrategy]:
    """`strategy`, and all that it or they wrap."""
    yield strategy
    for value in vars(strategy).values():
        if isinstance(value, FlowerStrategy):
            yield from wrapped_strategies(value)


def check_enough_nodes(strategy: FlowerStrategy, num_nodes: int) -> None:
    """Refuses a strategy that waits for nodes which never come: Flower's would wait for ever.

    Raises:
        Refused: it asks for more than `num_nodes`.
    """
    for one in wrapped_strategies(strategy):
        if not isinstance(one, FedAvg) or one.fraction_train == 0:
            continue
        sampled = max(int(num_nodes * one.fraction_train), one.min_train_nodes)
        if max(sampled, one.min_available_nodes) > num_nodes:
            raise Refused(
                f"{type(one).__name__} waits for {max(sampled, one.min_available_nodes)} organizations"
                f" (min_available_nodes: {one.min_available_nodes}, min_train_nodes: {one.min_train_nodes},"
                f" fraction_train: {one.fraction_train}), and a round has {num_nodes}; lower these arguments"
            )
