"""Solutions are judged by their answers alone: right ones pass, however they look, and cheating ones do not."""

import pytest
from sandboxed import LIMITS, needs_isolation

from raysim.sandbox.isolation import Limits
from raysim.sandbox.sandbox import Sandbox
from raysim.sandbox.trial import ENDED, ERROR, PASSED, TIMEOUT, WRONG, Checks

pytestmark = needs_isolation

GIVEN = '''
import math

def residue(total, a, b):
    return total - a - b

def add(a, b):
    """The sum of two numbers or lists."""
'''

TESTS = """
def check(candidate):
    assert candidate(2, 3) == 5
    assert abs(candidate(0.25, 0.5) - 0.75) < 1e-6
    assert candidate([1], [2]) == [1, 2]
    assert math.fabs(residue(candidate(7, 8), 7, 8)) == 0
    for a in ([3, 1], [2], []):
        assert candidate(a, [9]) == a + [9]
    assert 12 in [candidate(5, 7)]
    assert sorted(candidate([6], [5])) == [5, 6]
    assert all(candidate(n, n) == 2 * n for n in range(5))

check(add)
"""

CHECKS = Checks(TESTS, GIVEN, "add")


def outcome(sandbox: Sandbox, solution: str, checks: Checks = CHECKS) -> str:
    return sandbox.run(GIVEN + solution, LIMITS, checks)


@pytest.mark.parametrize(
    "solution",
    [
        "    return a + b",
        "    print('x' * 10**6)\n    return a + b",
        "    return helper(a, b)\n\ndef helper(a, b):\n    return a + b",
        "    import numpy\n    return a + b if isinstance(a, list) else numpy.float64(a) + b",
        "    class Sum(type(a)): pass\n    return a + b if isinstance(a, list) else Sum(a + b)",
        "    class Joined(list): pass\n    return Joined(a + b) if isinstance(a, list) else a + b",
        "    from fractions import Fraction\n    return a + b if isinstance(a, list) else Fraction(a) + Fraction(b)",
    ],
)  # fmt: skip
def test_right_solutions_pass(sandbox: Sandbox, solution: str) -> None:
    assert sandbox.run(GIVEN + solution, Limits(cpu_s=20, wall_s=60), CHECKS) == PASSED


CHEATS = {
    "answers that equal everything": [
        """
    class Equal:
        __eq__ = __lt__ = __contains__ = lambda *_: True
        __hash__ = None
        __sub__ = __rsub__ = __abs__ = __float__ = __add__ = lambda *_: 0.0
    return Equal()
        """,
        "    return type('Int', (int,), {'__eq__': lambda *_: True, '__hash__': int.__hash__})(0)",
        """
    class Float(float):
        __eq__ = lambda *_: True
        __sub__ = __rsub__ = __abs__ = lambda *_: 0.0
    return Float()
        """,
        "    return type('List', (list,), {'__eq__': lambda *_: True, '__radd__': lambda *_: 0})()",
        "    return type('Liar', (), {'__class__': property(lambda _: int), '__eq__': lambda *_: True})()",
        "    return float('nan')",
    ],
    "an iterator that has everything": [
        "    import itertools\n    return itertools.count()",
        "    return type('All', (), {'__iter__': lambda s: iter(range(99)), '__contains__': lambda *_: True})()",
    ],
    "names of the judge, defined anew": [
        "    return 0\ndef abs(v): return 0.0\ndef exec(*_): pass\ndef compile(*_): return ''\ndef all(_): return True",
        "    return 0\ndef check(candidate): pass\ndef residue(*_): return 0",
        "    return 0\nAssertionError = ZeroDivisionError\n__debug__ if True else None",
    ],
    "Python itself, changed": [
        """
    return 0
import builtins, math, operator
builtins.abs = math.fabs = lambda v: 0.0
builtins.all = builtins.any = lambda _: True
builtins.AssertionError = type('Never', (Exception,), {})
builtins.exec = builtins.compile = lambda *_, **__: None
        """,
        """
    return 0
import sys, json
json.dumps = lambda *_, **__: '["answer", true, []]'
sys.modules['math'] = sys.modules['json'] = None
        """,
    ],
    "the verdict, written over": [
        """
    return 0
import sys
for module in list(sys.modules.values()):
    for name in ('WRONG', 'ERROR', 'ENDED', 'LOST', 'TIMEOUT', 'UNCONTAINED'):
        if hasattr(module, name):
            setattr(module, name, 'passed')
        """,
        """
    return 0
import sys
frame = sys._getframe()
while frame:
    for name, value in list(frame.f_locals.items()) + list(frame.f_globals.items()):
        if name in ('writer', 'verdicts', 'peer', 'descriptor', 'self'):
            try:
                import os
                os.write(value, b'passed')
            except (TypeError, OSError):
                pass
    frame = frame.f_back
        """,
    ],
    "the connection, spoken into": [
        """
    import os
    forged = b'["answer", null, []]'
    for number in range(3, 1000):
        try:
            for _ in range(100):
                os.write(number, len(forged).to_bytes(8, 'big') + forged)
        except OSError:
            pass
    os._exit(10)
        """,
        """
    import sys
    frame = sys._getframe()
    while 'self' not in frame.f_locals:
        frame = frame.f_back
    peer = frame.f_locals['self']
    def find(value):
        return peer.ask('call', lambda *_: True, [], {})
    return find(a)
        """,
    ],
    "the tests, looked for": [
        """
    import gc, sys
    found, frame = [], sys._getframe(1)
    while frame:
        found += [*frame.f_locals.values(), *frame.f_globals.values()]
        frame = frame.f_back
    found += [i for o in gc.get_objects() for i in ([o] if isinstance(o, (list, tuple)) else vars(o).values()
              if isinstance(o, type(sys)) else [])]
    wanted = 'candi' + 'date(2, 3)'
    seen = [o for o in found if isinstance(o, (str, bytes, dict, list, tuple)) and wanted in str(o)[:10**6]]
    return a + b if seen else 0
        """,
    ],
    "an end that looks like success": [
        "    import os\n    os._exit(0)",
        "    import os\n    os._exit(10)",
        "    raise SystemExit(0)",
        "    import sys\n    sys.exit(10)",
    ],
    "arguments, changed": [
        "    a.clear() if isinstance(a, list) else None\n    return [9] if isinstance(a, list) else a + b",
        """
    if isinstance(a, list):
        a.clear()
        b.clear()
        return a
    return a + b
        """,
    ],
    "the judge's process, reached": [
        "    import os, signal\n    os.kill(os.getppid(), signal.SIGKILL)\n    return 0",
        """
    import ctypes, os
    for pid in range(1, 50):
        if pid != os.getpid():
            if ctypes.CDLL(None).ptrace(16, pid, 0, 0) == 0:
                return a + b
    return 0
        """,
    ],
    "no time and no end": ["    import time\n    time.sleep(1000)", "    while True: pass"],
}


@pytest.mark.parametrize(
    "cheat", [pytest.param(one, id=f"{kind}-{n}") for kind, all_ in CHEATS.items() for n, one in enumerate(all_)]
)
def test_cheating_solutions_do_not(sandbox: Sandbox, cheat: str) -> None:
    assert outcome(sandbox, cheat) in {WRONG, ERROR, ENDED, TIMEOUT}


def test_there_are_as_many_cheats_as_there_should_be() -> None:
    assert len(CHEATS) >= 8
    assert sum(map(len, CHEATS.values())) >= 20


@pytest.mark.parametrize("kind", ["answers that equal everything", "Python itself, changed"])
def test_they_would_where_the_judge_sits_beside_them(sandbox: Sandbox, kind: str) -> None:
    simple = (
        "assert add(2, 3) == 5\nassert abs(add(1, 1) - 2) < 1e-6" if "equal" in kind else "assert all([add(1, 2) == 3])"
    )
    cheat = GIVEN + CHEATS[kind][0]
    assert sandbox.run(f"{cheat}\n{simple}", LIMITS) == PASSED
    assert sandbox.run(cheat, LIMITS, Checks(simple, GIVEN, "add")) in {WRONG, ERROR}


@pytest.mark.parametrize(
    ("solution", "tests"),
    [
        ("def f(x):\n    raise ValueError('no', x)", "try:\n    f(3)\n    raise SystemExit\nexcept ValueError as e:\n"
         "    assert e.args == ('no', 3)"),
        ("class Odd(KeyError): pass\ndef f():\n    raise Odd(1)",
         "try:\n    f()\nexcept LookupError:\n    pass\nelse:\n    assert 0"),
        ("def f(x):\n    x.sort()", "x = [2, 1]\nassert f(x) is None\nassert x == [1, 2]"),
        ("def f(x, y):\n    x['a'] = [1]\n    y.add(3)",
         "x, y = {}, {1}\nf(x, y)\nassert (x, y) == ({'a': [1]}, {1, 3})"),
        ("def f(x):\n    x.sort()\n    return x", "x = [2, 1]\nassert f(x) == [1, 2]\nassert x == [2, 1]"),
        ("def f(n):\n    yield from range(n)", "assert list(f(3)) == [0, 1, 2]\nassert next(f(2)) == 0"),
        ("def f(*a, k=1, **b):\n    return a, k, b", "assert f(1, 2, k=3, z=4) == ((1, 2), 3, {'z': 4})"),
        ("def f(g, x):\n    return [g(y) for y in x]", "assert f(lambda y: y + 1, [1, 2]) == [2, 3]"),
        ("def f(x):\n    return lambda y: x + y", "assert f(2)(3) == 5"),
        ("LIMIT = 3", "assert LIMIT == 3"),
        ("class Node:\n    def __init__(self, v): self.v, self.next = v, None\n"
         "def last(n):\n    while n.next: n = n.next\n    return n",
         "a = Node(1)\na.next = Node(2)\nassert last(a).v == 2\nassert last(a) == a.next\nassert last(a) != a"),
        ("class Solution:\n    def f(self, x): return x + 1", "assert Solution().f(1) == 2"),
        ("import re\ndef f(x): return re.match('a', x)", "assert f('a')\nassert f('b') is None"),
        ("odd = [float('-inf'), 10**5000, 1j, b'x', {(1, 2): {3}}, frozenset([1]), '\\ud800']\n"
         "def f(): return float('nan'), *odd",
         "a, *rest = f()\nassert a != a\n"
         "assert rest == [float('-inf'), 10**5000, 1j, b'x', {(1, 2): {3}}, frozenset([1]), '\\ud800']"),
        ("def f(x): return x", "import copy, math, sys\nfor x in (None, True, 1, -1.5, 'é', [(), {}, set()]):\n"
         "    y = f(copy.deepcopy(x))\n    assert type(y) is type(x) and y == x"),
    ],
)  # fmt: skip
def test_what_tests_do_with_a_solution(sandbox: Sandbox, solution: str, tests: str) -> None:
    assert sandbox.run(solution, LIMITS, Checks(tests)) == PASSED


@pytest.mark.parametrize(
    ("solution", "tests", "expected"),
    [
        ("def f(): return 1", "assert f() == 2", WRONG),
        ("def f(): return 1", "assert g() == 2", ERROR),
        ("def f(): raise MemoryError", "f()", "memory"),
        ("def f(): return bytearray(10 << 30)", "f()", "memory"),
        ("def f(): return 'x' * (100 << 20)", "f()", "memory"),
        ("def f():\n    x = []\n    x.append(x)\n    return x", "f()", ERROR),
        ("def f():\n    x = []\n    for _ in range(10**5): x = [x]\n    return x", "f()", ERROR),
        ("def f(): return f()", "f()", ERROR),
        ("def f(): pass", "raise SystemExit(0)", ENDED),
        ("def f(): pass", "while True: pass", TIMEOUT),
        ("def f():\n    import os\n    os._exit(1)", "try:\n    f()\nexcept Exception:\n    pass", ENDED),
        ("def f():\n    import os\n    os._exit(1)", "try:\n    f()\nexcept BaseException:\n    pass", ENDED),
        ("def f(): return object()", "f() + 1", ERROR),
        ("def f(x): return x", "f(object())", ERROR),
        ("def f():\n    import os\n    os.closerange(3, 99)\n    while True: pass", "f()", TIMEOUT),
    ],
)  # fmt: skip
def test_outcomes_of_tests(sandbox: Sandbox, solution: str, tests: str, expected: str) -> None:
    assert sandbox.run(solution, LIMITS, Checks(tests)) == expected
