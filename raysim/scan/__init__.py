"""The tools `raysim scan` and `raysim clones`: code that is in two places, exactly, at any size, without a model."""
