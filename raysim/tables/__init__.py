"""The tables of a run: one specification for each, and how they are written, read and hashed."""
