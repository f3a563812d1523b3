"""The tools `raysim scan` and `raysim clones`: code that stands in two places, exactly, at any size, without a model."""
