"""Calls between a program and its judge, two processes that share nothing: plain data there, plain data back.

The judge asks, the program answers. What the program has that is no plain data (functions, classes and their instances,
iterators) the judge holds as a `Remote`: it can be called, iterated and asked for attributes, each of which is answered
by plain data or another `Remote`; it is never asked what it equals. Only functions that the judge passed as arguments
can be called back.
"""

import builtins
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from raysim.sandbox.values import decode, encode

_LENGTH_BYTES = 8
_MINE, _YOURS = "mine", "yours"
"""An object of whoever wrote a message, and one of its reader."""


class Lost(BaseException):
    """The other process has gone, or does not keep to the form of messages. No ``except Exception`` catches it."""


class Remote:
    """An object of the other process."""

    def __init__(self, peer: "Peer", number: int) -> None:
        object.__setattr__(self, "_peer", peer)
        object.__setattr__(self, "_number", number)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._peer.ask("call", self, list(arguments), named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what copying and the like look for
            raise AttributeError(name)
        return self._peer.ask("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._peer.ask("set", self, name, value)

    def __iter__(self) -> Any:
        return self._peer.ask("iterate", self)

    def __next__(self) -> Any:
        return self._peer.ask("next", self)

    def __bool__(self) -> bool:
        return self._peer.ask("truth", self) is True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and self._number == other._number

    def __hash__(self) -> int:
        return hash(self._number)

    def __contains__(self, item: Any) -> bool:
        raise TypeError("an object that is no plain data is not asked what it contains; make a list of it")

    def __reduce__(self) -> Any:
        raise TypeError("an object of another process cannot be copied")


class Peer:
    """One end of a connection.

    Args:
        descriptor: of a socket to the other process.
        operations: what the other end may ask for, by name.
        shares: which objects that are no plain data the other end may refer to.

    Attributes:
        broken: what made the connection useless; None: nothing did.
    """

    def __init__(
        self, descriptor: int, operations: Mapping[str, Callable[..., Any]], shares: Callable[[Any], bool]
    ) -> None:
        self._descriptor = descriptor
        self._operations = operations
        self._shares = shares
        self._shared: list[Any] = []
        self._numbers: dict[int, int] = {}
        self.broken: Exception | None = None

    def ask(self, operation: str, *operands: Any) -> Any:
        """What the other end answers.

        Raises:
            BaseException: of a built-in class, as raised there.
            TypeError: an operand is neither plain data nor shared.
            Lost: there is no answer.
        """
        self._send(self._encode([operation, *operands]))
        while True:
            message = self._receive()
            match message:
                case ["answer", None, list(after)] if operation == "call":
                    _take_over(operands[1], after)
                    return None
                case ["answer", result, _]:
                    return result
                case ["raised", str(name), list(details)]:
                    raise _error(name, details)
                case [str(name), *asked]:
                    self._answer(name, asked)
                case _:
                    self._break(ValueError("no message"))

    def serve(self) -> None:
        """Answers until the other end asks for nothing more.

        Raises:
            Lost: it has gone.
        """
        while True:
            name, *operands = self._receive()
            self._answer(name, operands)

    def _answer(self, name: str, operands: list[Any]) -> None:
        try:
            result = self._operations[name](*operands)
            # By convention what changes its arguments returns None; arguments of other calls stay as they are.
            after = operands[1] if name == "call" and result is None else []
            answer = self._encode(["answer", result, after])
        except Lost:
            raise
        except BaseException as error:
            answer = self._raised(error)
        self._send(answer)

    def _raised(self, error: BaseException) -> bytes:
        name = next(kind.__name__ for kind in type(error).__mro__ if vars(builtins).get(kind.__name__) is kind)
        try:
            return self._encode(["raised", name, list(error.args)])
        except BaseException:
            return self._encode(["raised", name, []])

    def _encode(self, message: list[Any]) -> bytes:
        return json.dumps(encode(message, self._refer)).encode()

    def _refer(self, value: Any) -> dict[str, int]:
        if type(value) is Remote:
            return {_YOURS: value._number}
        if not self._shares(value):
            raise TypeError(f"{type(value).__name__}: only plain data and functions are passed to a program")
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._shared)
            self._shared.append(value)
        return {_MINE: self._numbers[id(value)]}

    def _resolve(self, whose: str, number: int) -> Any:
        if whose == _MINE:
            return Remote(self, number)
        if whose == _YOURS and number >= 0:
            return self._shared[number]
        raise LookupError(whose)

    def _send(self, message: bytes) -> None:
        if self.broken:
            raise Lost
        rest = memoryview(len(message).to_bytes(_LENGTH_BYTES, "big") + message)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            self._break(error)

    def _receive(self) -> Any:
        try:
            return decode(self._read(int.from_bytes(self._read(_LENGTH_BYTES), "big")), self._resolve)
        except (OSError, EOFError, ValueError, MemoryError, OverflowError) as error:
            self._break(error)

    def _read(self, length: int) -> bytes:
        message = bytearray()
        while len(message) < length:
            part = os.read(self._descriptor, min(length - len(message), 1 << 20))
            if not part:
                raise EOFError
            message += part
        return bytes(message)

    def _break(self, error: Exception) -> Any:
        self.broken = error
        raise Lost from error


def _error(name: str, details: list[Any]) -> BaseException:
    """An exception of a built-in class."""
    kind = vars(builtins).get(name)
    if not isinstance(kind, type) or not issubclass(kind, BaseException):
        kind = Exception
    try:
        return kind(*details)
    except TypeError:
        return Exception(name)


def _take_over(arguments: list[Any], after: list[Any]) -> None:
    """Makes of the arguments of a call what it made of them."""
    for mine, now in zip(arguments, after, strict=False):
        if type(mine) is not type(now):
            continue
        if isinstance(mine, list | bytearray):
            mine[:] = now
        elif isinstance(mine, dict | set):
            mine.clear()
            mine.update(now)
