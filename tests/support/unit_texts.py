"""The texts of units, file by file."""

import numpy as np

from raysim.matching.units import Units


def texts_of(units: Units) -> list[list[str]]:
    found = units.texts(np.arange(len(units.begins)))
    texts = [found.content[a:b].tobytes().decode() for a, b in zip(found.begins, found.ends, strict=True)]
    return [texts[a:b] for a, b in zip(units.starts[:-1], units.starts[1:], strict=True)]
