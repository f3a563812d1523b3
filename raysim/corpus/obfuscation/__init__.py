"""Writes an organization's training files differently, so that a model learns what they do rather than their lines."""
