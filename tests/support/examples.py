"""How many examples a property is tried on: a few in `make check`, half as many as it says in `make test`, and twenty
times as many in `make stress`.
"""

import hypothesis

FULL = 100

for name, per_hundred in {"check": 20, "test": 50, "stress": 20 * FULL}.items():
    hypothesis.settings.register_profile(name, max_examples=per_hundred)
hypothesis.settings.load_profile("test")


def scaled(count: int) -> int:
    """`count` examples as far as the profile goes, but 10 at least if there were as many."""
    return max(min(count, 10), count * hypothesis.settings().max_examples // FULL)
