"""Finds code that stands in two places: exactly, by significant lines or tokens, at any size, without a model."""
