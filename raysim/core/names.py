"""Names out of files that become part of a path: each names one thing right below a folder, nothing elsewhere."""

import re
from typing import Any

_PLAIN = re.compile(r"[^.\x00-\x1f/\\][^\x00-\x1f/\\]*")


def is_plain(name: Any) -> bool:
    """Whether `name` is text that can name a file right below a folder: no separator, no way up, nothing hidden."""
    return isinstance(name, str) and _PLAIN.fullmatch(name) is not None
