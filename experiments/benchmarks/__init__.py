"""Benchmarks: a script each, whose last line is JSON. A package, since others bring one of this name (Opacus does)."""
