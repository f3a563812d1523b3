"""Calls between two ends of a socket, each in a thread of its own; and what a hostile end can say."""

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.sandbox.calls import Lost, Peer, Remote
from raysim.sandbox.trial import Checks, answer, judge


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    with here, there:
        yield here, there


@pytest.fixture
def peer(ends: tuple[socket.socket, socket.socket]) -> Iterator[Peer]:
    """Asks what defines a few names."""
    source = """
def same(x): return x
def put(xs): xs.append(4)
def fail(error): raise error
class Odd(ValueError): pass
class Thing:
    value = 1
def odd(): raise Odd(1, object())
def twice(f, x): return f(f(x))
"""
    here, there = ends
    served = threading.Thread(target=answer, args=(there.fileno(), source))
    served.start()
    made = Peer(here.fileno(), {"call": lambda f, a, k: f(*a, **k)}, shares=callable)
    made.ask("load")
    yield made
    here.shutdown(socket.SHUT_RDWR)
    served.join()


def names(peer: Peer, *wanted: str) -> Any:
    return peer.ask("find", list(wanted))


def test_functions_classes_and_instances(peer: Peer) -> None:
    found = names(peer, "same", "Thing", "missing")
    assert set(found) == {"same", "Thing"}
    thing = found["Thing"]()
    assert thing.value == 1
    thing.value = [2]
    assert thing.value == [2]
    assert found["same"](thing) == thing
    assert found["Thing"]() != thing
    assert thing
    assert {thing: 1}[thing] == 1
    with pytest.raises(TypeError, match="not iterable"):
        iter(thing)
    with pytest.raises(AttributeError):
        thing.missing  # noqa: B018
    for forbidden in (
        "1 in thing",
        "thing + 1",
        "thing < 1",
        "thing.__dict__['x']",
        "abs(thing)",
        "__import__('copy').copy(thing)",
    ):
        with pytest.raises((TypeError, KeyError)):
            eval(forbidden, {"thing": thing})
    assert thing != 1
    assert [thing] != [2]


def test_errors_are_of_the_nearest_class_of_python(peer: Peer) -> None:
    with pytest.raises(ValueError, match="1") as raised:
        names(peer, "odd")["odd"]()
    assert (type(raised.value), raised.value.args[0]) == (ValueError, 1)
    with pytest.raises(TypeError, match="only plain data and functions"):
        names(peer, "same")["same"](object())


def test_an_argument_is_changed_only_where_nothing_is_returned(peer: Peer) -> None:
    xs = [3]
    assert names(peer, "put")["put"](xs) is None
    assert xs == [3, 4]
    assert names(peer, "same")["same"](xs) is not xs


def test_a_function_that_was_passed_is_called_back(peer: Peer) -> None:
    assert names(peer, "twice")["twice"](lambda x: x * 3, 5) == 45
    with pytest.raises(ZeroDivisionError):
        names(peer, "twice")["twice"](lambda x: x / 0, 5)


def say(end: socket.socket, message: bytes) -> None:
    end.sendall(len(message).to_bytes(8, "big") + message)


@pytest.mark.parametrize(
    ("message", "lost"),
    [
        (b'["answer", {"mine": 3}, []]', False),
        (b'["raised", "ValueError", ["x"]]', False),
        (b'["raised", "SystemExit", [0]]', False),
        (b'["raised", "UnicodeDecodeError", [0]]', False),
        (b'["raised", "open", ["/etc/passwd"]]', False),
        (b"[]", True),
        (b'"answer"', True),
        (b"{}", True),
        (b'["answer", {"yours": 0}, []]', True),
        (b'["answer", {"yours": -1}, []]', True),
        (b'["answer", NaN, []]', True),
    ],
)
def test_what_a_hostile_end_says(ends: tuple[socket.socket, socket.socket], message: bytes, lost: bool) -> None:
    here, there = ends
    peer = Peer(here.fileno(), {}, shares=callable)
    say(there, message)
    if b"mine" in message:
        assert type(peer.ask("find", [])) is Remote
    else:
        with pytest.raises(BaseException) as said:
            peer.ask("find", [])
        assert isinstance(said.value, Lost) == lost
        assert lost or type(said.value).__module__ == "builtins"
    assert (peer.broken is not None) == lost


def test_an_answer_does_not_change_the_arguments_of_a_call(ends: tuple[socket.socket, socket.socket]) -> None:
    here, there = ends
    peer = Peer(here.fileno(), {}, shares=callable)
    xs, ys = [1], [1]
    say(there, b'["answer", 5, [[9]]]')
    assert Remote(peer, 0)(xs) == 5
    say(there, b'["answer", null, [[9]]]')
    assert Remote(peer, 0)(ys) is None
    say(there, b'["answer", null, [{"tuple": [9]}]]')
    Remote(peer, 0)(xs)
    assert (xs, ys) == ([1], [9])


@pytest.mark.parametrize("length", [2**64 - 1, 2**40])
def test_an_end_that_announces_more_than_it_says(ends: tuple[socket.socket, socket.socket], length: int) -> None:
    here, there = ends
    there.sendall(length.to_bytes(8, "big") + b"[]")
    there.close()
    with pytest.raises(Lost):
        Peer(here.fileno(), {}, shares=callable).ask("find")


forms = st.sampled_from([b"answer", b"raised", b"call", b"truth", b"get"]).flatmap(
    lambda name: st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["mine", "yours", "tuple", "dict"]), inner, min_size=1, max_size=1)
        ),
        max_leaves=6,
    ).map(lambda rest: json.dumps([name.decode(), *(rest if isinstance(rest, list) else [rest])]).encode())
)


@settings(max_examples=scaled(300), deadline=None)
@given(st.lists(forms | st.binary(max_size=30), max_size=6))
def test_whatever_is_said_the_judge_has_a_word_and_does_not_pass(messages: list[bytes]) -> None:
    here, there = socket.socketpair()
    with here, there:
        say(there, b'["answer", true, []]')  # isolated
        say(there, b'["answer", null, []]')  # loaded
        for message in messages:
            say(there, message)
        there.shutdown(socket.SHUT_WR)
        found = judge(here.fileno(), Checks("assert f([1], lambda x: x) == 'never' and 'wanted' > ''"))
    assert found in {"wrong", "error", "memory", "ended", "lost"}
