"""Names and seeds derived from content: the one place where raysim hashes a recipe.

Every piece of work is a pure function of its recipe, so the hash of the recipe names the result, and every random draw
takes its seed from the recipe and a purpose.
"""

import functools
import hashlib
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_KEY = re.compile("[0-9a-f]{32}")

Key = str
"""32 hexadecimal digits: the first half of the SHA-256 of a recipe's canonical JSON."""


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no white space; floats by ``repr``, NaN refused.

    Raises:
        ValueError: a NaN or an infinity, which has no JSON.
        TypeError: a value that JSON does not know.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def key_of(recipe: Mapping[str, Any]) -> Key:
    """The key of a recipe. A recipe always says its ``kind`` and that kind's numerics ``version``."""
    if "kind" not in recipe or "version" not in recipe:
        raise ValueError(f"a recipe needs 'kind' and 'version', this one has {sorted(recipe)}")
    return hashlib.sha256(canonical_json(recipe).encode()).hexdigest()[:32]


DIGEST_BYTES = 16
"""Of a keyed hash."""


def keyed_hash(content: bytes, secret: bytes) -> bytes:
    """`DIGEST_BYTES` that identify `content` (BLAKE2b, RFC 7693), and reveal nothing of it without the secret.

    Args:
        content: anything.
        secret: at most 64 bytes; empty: a hash that everybody can compute.
    """
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES, key=secret).digest()


def is_key(name: str) -> bool:
    """Whether `name` can be a key: what it comes from may be a file that somebody else wrote."""
    return _KEY.fullmatch(name) is not None


def seed_of(*parts: str | int) -> int:
    """A 63-bit seed for one purpose, for example ``seed_of(stage_key, "batch order", epoch)``."""
    return int.from_bytes(hashlib.sha256(canonical_json(parts).encode()).digest()[:8], "big") >> 1


@functools.cache
def versions_of(*libraries: str) -> str:
    """The versions of libraries whose code decides numbers, for a recipe; ``python`` is the running one's grammar."""
    from importlib.metadata import version  # late: it takes as long as all else that this module imports

    grammar = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return ", ".join(f"{name} {grammar if name == 'python' else version(name)}" for name in libraries)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
